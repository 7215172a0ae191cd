# SPDX-License-Identifier: Apache-2.0
"""Where to listen, with what transport limits, and where never to."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from voiceauth.config import ServerSettings
from voiceauth.errors import SettingsError
from voiceauth.service.limits import ENVELOPE_BYTES, RESPONSE_BYTES

_MINUTE = 60_000
_SECOND = 1000


def listening_address(limits: ServerSettings, *, encrypted: bool = False) -> str:
    """Return the address to bind.

    Raises:
        SettingsError: it is not a loopback address, there is no TLS, and plain text beyond loopback
            is not allowed.
    """
    safe = encrypted or limits.allow_plaintext_beyond_loopback
    if not is_loopback(limits.host) and not safe:
        raise SettingsError(
            f"server.host {limits.host} is reachable from other machines, and there is no [tls]. "
            "Set tls.certificate, tls.key and tls.client_ca, or listen on 127.0.0.1, or put a "
            "proxy that terminates mutual TLS in front and set "
            "server.allow_plaintext_beyond_loopback = true."
        )
    return f"{_bracketed(limits.host)}:{limits.port}"


def local_host(host: str) -> str:
    """Return how a client on this machine names a host that was bound."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host) or _bracketed(host)  # noqa: S104


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Say whether a host can only be reached from this machine; a name that is not sure is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def server_options(limits: ServerSettings) -> Sequence[tuple[str, Any]]:
    """Return gRPC's channel arguments, each one said aloud instead of left to a default."""
    call_ms = int(limits.max_stream_seconds * _SECOND)
    return (
        ("grpc.max_receive_message_length", limits.max_message_bytes + ENVELOPE_BYTES),
        ("grpc.max_send_message_length", RESPONSE_BYTES),
        ("grpc.max_metadata_size", 8192),
        ("grpc.absolute_max_metadata_size", 16_384),
        # One gateway may bring all calls over one connection.
        ("grpc.max_concurrent_streams", limits.max_concurrent_requests),
        # A peer that went away without a word is noticed within 80 s.
        ("grpc.keepalive_time_ms", _MINUTE),
        ("grpc.keepalive_timeout_ms", 20 * _SECOND),
        ("grpc.keepalive_permit_without_calls", 0),
        # A peer that pings more often than this is sent away.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5 * _MINUTE),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.max_connection_idle_ms", 5 * _MINUTE),
        ("grpc.max_connection_age_ms", 30 * _MINUTE),
        # An old connection takes no new calls, but the longest running one may end.
        ("grpc.max_connection_age_grace_ms", call_ms + 30 * _SECOND),
        ("grpc.server_handshake_timeout_ms", 10 * _SECOND),
        # A second server on the same port is a mistake to be told, not a share of the calls. Only
        # workers share it: that nobody else is on it, their supervisor has looked after.
        ("grpc.so_reuseport", int(limits.workers > 1)),
        ("grpc.enable_channelz", 0),
    )
