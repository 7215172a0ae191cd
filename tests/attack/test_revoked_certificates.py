# SPDX-License-Identifier: Apache-2.0
"""A certificate that its authority took back, over real mutual TLS."""

from pathlib import Path

import pytest
from secured import revoke, secured
from served import TENANT, Parts

from voiceauth.errors import UnauthenticatedError


async def test_a_revoked_certificate_is_out_on_an_open_connection(
    parts: Parts, tmp_path: Path
) -> None:
    """The next request is refused, without a new handshake; the reason stands in the ledger."""
    async with secured(parts, tmp_path, lists=True) as bank:
        stolen, kept = bank.holder("administrator"), bank.holder("administrator")
        async with (
            bank.client(None, issued=stolen) as thief,
            bank.client(None, issued=kept) as owner,
        ):
            await thief.create_subject(TENANT, "before")
            revoke(tmp_path, bank.authority, stolen)
            parts.clock.advance(2.0)
            with pytest.raises(UnauthenticatedError):
                await thief.create_subject(TENANT, "after")
            await owner.create_subject(TENANT, "owner")
            async with bank.client(None, issued=stolen) as again:
                with pytest.raises(UnauthenticatedError):
                    await again.create_subject(TENANT, "again")

        assert bank.reasons() == ["certificate_revoked"] * 2


async def test_stale_lists_let_nobody_in(parts: Parts, tmp_path: Path) -> None:
    """When nobody publishes lists any more, the door closes; it does not open."""
    async with secured(parts, tmp_path, lists=True) as bank:
        async with bank.client("administrator") as client:
            await client.create_subject(TENANT, "before")
            parts.clock.advance(7200.0)
            with pytest.raises(UnauthenticatedError):
                await client.create_subject(TENANT, "after")

        assert bank.reasons() == ["certificate_revocation_list_stale"]
