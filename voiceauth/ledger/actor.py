# SPDX-License-Identifier: Apache-2.0
"""Who causes the entries that are written now: set at the border, read where entries are made.

It travels with the task and the thread that serve a request, as the log's fields do, so that no use
case can leave it out or put somebody else there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ACTOR: ContextVar[str] = ContextVar("ledger_actor", default="")


@contextmanager
def acting(pseudonym: str) -> Iterator[None]:
    """Name the one who acts, by pseudonym, for the time of the block."""
    token = _ACTOR.set(pseudonym)
    try:
        yield
    finally:
        _ACTOR.reset(token)


def actor() -> str:
    """Return the pseudonym of the one who acts; empty for the engine itself."""
    return _ACTOR.get()
