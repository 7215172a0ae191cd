# SPDX-License-Identifier: Apache-2.0
"""How a client shows who it is: a certificate in the handshake, a token with every request."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from voiceauth.errors import InputError


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """The files that a client shows itself with, all PEM but the token.

    Attributes:
        ca: authority of the server's certificate; None for those that the system trusts.
        certificate: with ``key``: the client's own.
        token: a file with a bearer token; it is read again for each request, so that it can be
            renewed in place.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None


def credentials_from(files: ClientFiles) -> grpc.ChannelCredentials:
    """Return TLS credentials for ``Client(credentials=...)``.

    Raises:
        InputError: a file cannot be read, or a certificate comes without its key.
    """
    if (files.certificate is None) != (files.key is None):
        raise InputError("A client certificate and its key belong together.")
    channel = grpc.ssl_channel_credentials(
        root_certificates=_content(files.ca),
        private_key=_content(files.key),
        certificate_chain=_content(files.certificate),
    )
    path = files.token
    if path is None:
        return channel
    _content(path)  # a missing file is told now, not at the first request
    return with_token(channel, lambda: path.read_text(encoding="ascii"))


def with_token(
    credentials: grpc.ChannelCredentials, token: Callable[[], str]
) -> grpc.ChannelCredentials:
    """Return credentials that send a bearer token with every request; only ever over TLS.

    Args:
        credentials: of the channel.
        token: returns the token to send now; called for each request, and may not block for long.
    """
    calls = grpc.metadata_call_credentials(_Bearer(token), name="bearer")
    return grpc.composite_channel_credentials(credentials, calls)


class _Bearer(grpc.AuthMetadataPlugin):
    """Adds the token, or fails the request if there is none."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def __call__(self, context: Any, callback: Any) -> None:
        """Hand the token to gRPC."""
        del context
        try:
            shown = self._token().strip()
        except (OSError, ValueError) as error:
            callback((), error)
        else:
            callback((("authorization", f"Bearer {shown}"),), None)


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
