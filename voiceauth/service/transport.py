# SPDX-License-Identifier: Apache-2.0
"""TLS of the server, from files that may be exchanged while it runs.

Before each handshake the files are looked at, at most once a second. When one has changed, all are
read and held against each other; only files that fit together are taken, so a renewal that is half
written changes nothing. Connections that are open keep what they began with, for at most their
longest age.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import structlog

from voiceauth.access.certificates import check_server_files
from voiceauth.config import TlsSettings
from voiceauth.errors import SettingsError
from voiceauth.ports import Clock
from voiceauth.units import Seconds

LOOK_SECONDS: Seconds = 1.0
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """What was read, all of it PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)
    client_ca: bytes | None = field(repr=False)


class TlsFiles:
    """The files of the settings, read again when they change.

    Args:
        settings: with a certificate and a key.
        clock: says when to look again.

    Raises:
        SettingsError: they cannot be read, or do not fit together.
    """

    def __init__(self, settings: TlsSettings, clock: Clock) -> None:
        self._paths = _paths(settings)
        self._clock = clock
        self._stamp = self._look()
        self._looked = clock.monotonic()
        self._files = self._read()
        self._refused: _Stamp | None = None

    @property
    def files(self) -> ServerFiles:
        """What is in use."""
        return self._files

    def renewed(self) -> ServerFiles | None:
        """Return new files if there are some that can be used; the log says once why not."""
        now = self._clock.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        stamp: _Stamp = ()
        try:
            stamp = self._look()
            if stamp in (self._stamp, self._refused):
                return None
            files = self._read()
        except SettingsError as error:
            if stamp != self._refused:
                structlog.get_logger().error("new TLS files are not used", sentence=error.public)
            self._refused = stamp
            return None
        self._stamp, self._files, self._refused = stamp, files, None
        structlog.get_logger().info("new TLS files are in use")
        return files

    def _look(self) -> _Stamp:
        try:
            found = [path.stat() for path in self._paths.values()]
        except OSError as error:
            raise SettingsError(f"A file of [tls] cannot be read: {error}.") from error
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)

    def _read(self) -> ServerFiles:
        try:
            read = {name: path.read_bytes() for name, path in self._paths.items()}
        except OSError as error:
            raise SettingsError(f"A file of [tls] cannot be read: {error}.") from error
        files = ServerFiles(read["certificate"], read["key"], read.get("client_ca"))
        check_server_files(files.certificate, files.key, files.client_ca)
        return files


def _paths(settings: TlsSettings) -> Mapping[str, Path]:
    given = {
        "certificate": settings.certificate,
        "key": settings.key,
        "client_ca": settings.client_ca,
    }
    return {name: path for name, path in given.items() if path is not None}


def server_credentials(settings: TlsSettings, clock: Clock) -> grpc.ServerCredentials | None:
    """Return the credentials to listen with, None for plain text.

    Raises:
        SettingsError: the files cannot be used.
    """
    if settings.certificate is None:
        return None
    source = TlsFiles(settings, clock)

    def renewed() -> Any:
        files = source.renewed()
        return None if files is None else _configuration(files)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(source.files),
        renewed,
        require_client_authentication=settings.client_ca is not None,
    )


def _configuration(files: ServerFiles) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(files.key, files.certificate)], root_certificates=files.client_ca
    )
