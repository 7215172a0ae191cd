# SPDX-License-Identifier: Apache-2.0
"""Keep the server's word when the server finishes first.

A server may answer and end a stream while the client still sends. In grpc.aio the write that then
fails overwrites the status that the server sent with "Internal error from Core", and the answer is
lost (grpc issue 36066, open). Here a failed write leaves the status alone and waits for it.
"""

import asyncio
from typing import Any

from voiceauth.units import Seconds

STATUS_SECONDS: Seconds = 5.0
"""Longest wait for the server's status after a failed write; then gRPC's own error stands."""


class _Patient:
    """Stands before gRPC's inner call object and holds back the error of a failed write."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def set_internal_error(self, text: str) -> None:
        """Leave the server time to say what really happened."""
        loop = asyncio.get_running_loop()
        loop.call_later(STATUS_SECONDS, self._give_up, text)

    def _give_up(self, text: str) -> None:
        if not self._inner.done():
            self._inner.set_internal_error(text)


def keep_status(call: Any) -> Any:
    """Return the stream call, made to keep the status that the server sends."""
    inner = getattr(call, "_cython_call", None)
    if inner is not None:
        call._cython_call = _Patient(inner)  # noqa: SLF001 - there is no public way
    return call
