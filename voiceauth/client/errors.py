# SPDX-License-Identifier: Apache-2.0
"""From a failed call back to the error class that the server raised."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from voiceauth import errors
from voiceauth.errors import EngineError
from voiceauth.wire.metadata import ERROR_CODE


class ClientError(EngineError):
    """The server broke the contract, or the client was used out of order."""

    code = "client"
    default = "The server's answer cannot be used."


_BY_STATUS: dict[grpc.StatusCode, type[EngineError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InputError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InputError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.PolicyError,
    grpc.StatusCode.ALREADY_EXISTS: errors.SubjectExistsError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.UNAUTHENTICATED: errors.AccessError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.LimitError,
    grpc.StatusCode.DATA_LOSS: errors.IntegrityError,
    grpc.StatusCode.UNAVAILABLE: errors.DependencyError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DependencyError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.CANCELLED: errors.DependencyError,
}
_MOST_TEXT = 500


def _family(root: type[EngineError]) -> Iterator[type[EngineError]]:
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


def _by_code() -> dict[str, type[EngineError]]:
    """Map stable codes to the classes that one sentence is enough to build."""
    return {
        kind.code: kind
        for kind in _family(EngineError)
        if kind.__module__ == errors.__name__ and kind.__init__ is EngineError.__init__
    }


_BY_CODE = _by_code()


def engine_error(failure: grpc.aio.AioRpcError) -> EngineError:
    """Return the error behind a failed call.

    A status without the server's error code comes from the way there (a proxy, the network, the
    gRPC library), and is mapped by its status alone.
    """
    code = _trailing(failure.trailing_metadata() or (), ERROR_CODE)
    status = failure.code()
    text = (failure.details() or "")[:_MOST_TEXT]
    if code is not None:
        kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ClientError)
        return kind(text or None)
    kind = _BY_STATUS.get(status, ClientError)
    if kind is errors.DependencyError:
        return kind("The server cannot be reached or did not answer in time.", detail=text)
    return kind(None, detail=f"{status.name}: {text}")


@contextmanager
def engine_errors() -> Iterator[None]:
    """Raise what a failed call means instead of gRPC's own error."""
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        raise engine_error(failure) from failure
    except grpc.aio.UsageError as failure:  # the channel was closed
        raise ClientError("The client is closed.", detail=str(failure)) from failure


def _trailing(metadata: Iterable[Any], name: str) -> str | None:
    for key, value in metadata:
        if key == name and isinstance(value, str):
            return value
    return None
