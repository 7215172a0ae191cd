# SPDX-License-Identifier: Apache-2.0
import re

from voiceauth.ledger.pseudonym import pseudonym
from voiceauth.types import TenantId

KEY = bytes(range(32))


def test_a_pseudonym_is_stable_and_plain() -> None:
    """The same identifier always has the same 26-character stand-in."""
    name = pseudonym(KEY, TenantId("bank"), "alice")

    assert name == pseudonym(KEY, TenantId("bank"), "alice")
    assert re.fullmatch(r"[a-z2-7]{26}", name)
    assert "alice" not in name


def test_key_tenant_and_identifier_all_count() -> None:
    """Neither across tenants nor installations can stand-ins be linked."""
    names = {
        pseudonym(KEY, TenantId("bank"), "alice"),
        pseudonym(bytes(32), TenantId("bank"), "alice"),
        pseudonym(KEY, TenantId("shop"), "alice"),
        pseudonym(KEY, TenantId("bank"), "bob"),
        pseudonym(KEY, TenantId("bankal"), "ice"),
        pseudonym(KEY, TenantId('bank","al'), "ice"),
        pseudonym(KEY, TenantId("bank"), "alice", bytes(32)),
        pseudonym(KEY, TenantId("bank"), "alice", bytes(31)),
        pseudonym(bytes(32), TenantId("bank"), "alice", KEY),
    }

    assert len(names) == 9
