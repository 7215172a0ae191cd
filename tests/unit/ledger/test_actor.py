# SPDX-License-Identifier: Apache-2.0
import asyncio
from contextvars import copy_context

import pytest

from voiceauth.ledger.actor import acting, actor


def test_nobody_acts_unless_somebody_is_named() -> None:
    """The engine's own entries name no actor, before a request and after it."""
    assert actor() == ""
    with acting("anna"):
        assert actor() == "anna"
    assert actor() == ""


def test_the_one_before_acts_again_after_a_failure() -> None:
    """A request that fails leaves its name on nobody else's entry."""
    with acting("anna"):
        with pytest.raises(RuntimeError), acting("ben"):
            raise RuntimeError
        assert actor() == "anna"


async def test_requests_side_by_side_do_not_see_each_other() -> None:
    """The name travels with its task, and into the thread that works for it."""

    async def request(name: str) -> str:
        with acting(name):
            await asyncio.sleep(0)
            return await asyncio.to_thread(actor)

    seen = await asyncio.gather(request("anna"), request("ben"))

    assert list(seen) == ["anna", "ben"]
    assert copy_context().run(actor) == ""
