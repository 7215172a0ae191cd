# SPDX-License-Identifier: Apache-2.0
"""Who speaks in the request that is being served, for the few servicers that have to know.

It travels with the task, as the ledger's actor does, so that no request can name somebody else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from voiceauth.access.principal import Principal
from voiceauth.errors import InternalError

_SPEAKER: ContextVar[Principal | None] = ContextVar("speaker", default=None)


@contextmanager
def speaking(principal: Principal) -> Iterator[None]:
    """Name the one who speaks, with the roles that count, for the time of the block."""
    token = _SPEAKER.set(principal)
    try:
        yield
    finally:
        _SPEAKER.reset(token)


def speaker() -> Principal:
    """Return the one who speaks. Raises InternalError outside a request."""
    found = _SPEAKER.get()
    if found is None:
        raise InternalError(detail="nobody speaks here")
    return found
