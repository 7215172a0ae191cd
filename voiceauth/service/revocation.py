# SPDX-License-Identifier: Apache-2.0
"""The file of revocation lists, read again when it changes.

It is looked at with the requests, at most once a second. A new file that cannot be used changes
nothing: the lists in use hold on, and when their time is over the settings decide. The log says so,
once each.
"""

from datetime import datetime
from pathlib import Path

import structlog

from voiceauth.access.revocation import Revocations, read_revocations
from voiceauth.config import TlsSettings
from voiceauth.errors import SettingsError
from voiceauth.ports import Clock
from voiceauth.units import Seconds

LOOK_SECONDS: Seconds = 1.0
_Stamp = tuple[tuple[int, int, int] | None, ...]


class RevocationFile:
    """Checks certificates against the lists of a file.

    Args:
        path: of the lists.
        authorities: of clients' certificates, PEM file.
        allow_stale: whether lists whose time is over let in whom they do not name.
        clock: says when to look again.

    Raises:
        SettingsError: the file cannot be used now: the server does not start without it.
    """

    def __init__(self, path: Path, authorities: Path, *, allow_stale: bool, clock: Clock) -> None:
        self._path = path
        self._authorities = authorities
        self._allow_stale = allow_stale
        self._clock = clock
        self._seen = self._stamp()
        self._looked = clock.monotonic()
        self._lists = self._read()
        self._told_stale = False

    def check(self, certificate: bytes, now: datetime) -> None:
        """Refuse a certificate that counts no more. Raises UnauthenticatedError."""
        self._renew()
        self._tell(now)
        self._lists.check(certificate, now)

    def _renew(self) -> None:
        moment = self._clock.monotonic()
        if moment - self._looked < LOOK_SECONDS:
            return
        self._looked = moment
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            lists = self._read()
            lists.require_not_older(self._lists)
        except SettingsError as error:
            report = structlog.get_logger().error
            report("new revocation lists are not used", sentence=error.public)
            return
        self._lists = lists
        structlog.get_logger().info("new revocation lists are in use")

    def _tell(self, now: datetime) -> None:
        stale = self._lists.stale(now)
        if stale and not self._told_stale:
            told = "they still count" if self._allow_stale else "certificates are refused"
            structlog.get_logger().error("revocation lists are stale", then=told)
        self._told_stale = stale

    def _read(self) -> Revocations:
        try:
            data, authorities = self._path.read_bytes(), self._authorities.read_bytes()
        except OSError as error:
            raise SettingsError(f"tls.client_crl cannot be read: {error.strerror}.") from error
        return read_revocations(data, authorities, allow_stale=self._allow_stale)

    def _stamp(self) -> _Stamp:
        """Return what changes with either file; None in it for one that is away."""
        return tuple(_look(one) for one in (self._path, self._authorities))


def revocation_file(settings: TlsSettings, clock: Clock) -> RevocationFile | None:
    """Return what checks certificates, None where the settings name no lists. SettingsError."""
    if settings.client_crl is None or settings.client_ca is None:
        return None
    return RevocationFile(
        settings.client_crl,
        settings.client_ca,
        allow_stale=settings.stale_crl == "alarm",
        clock=clock,
    )


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
