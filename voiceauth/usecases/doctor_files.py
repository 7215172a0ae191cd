# SPDX-License-Identifier: Apache-2.0
"""What the operating system says: permissions of files, room on disks, ends of certificates."""

import shutil
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from voiceauth.access.certificates import expires_at
from voiceauth.access.revocation import read_revocations
from voiceauth.config import Settings, TlsSettings
from voiceauth.errors import EngineError
from voiceauth.ports import Clock
from voiceauth.types import Finding, Level
from voiceauth.usecases.backup_keys import backup_key_path
from voiceauth.usecases.key_services import VAULT_FILE

_SOON = timedelta(days=30)
_GIB = 1 << 30
_LEAST_BYTES = 100 << 20
_COPIES = 3
"""Of the vault, that a disk should have room for: a backup, a restore, and growth."""


def permissions(settings: Settings) -> Iterator[Finding]:
    """Say which files others can read that should not."""
    check, bad = "permissions", False
    for path in _private(settings):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue  # whether it has to be there is the matter of other checks
        if mode & 0o077:
            bad = True
            right = "0700" if path.is_dir() else "0600"
            yield Finding(
                check, Level.PROBLEM, f"{path} has mode {mode:04o}.", f"chmod {right} {path}"
            )
    if not bad:
        yield Finding(check, Level.GOOD, "Private files are private.")


def _private(settings: Settings) -> Iterator[Path]:
    home = settings.storage.data_dir
    yield home
    for name in (VAULT_FILE, f"{VAULT_FILE}-wal", f"{VAULT_FILE}-shm", f"{VAULT_FILE}.anchor"):
        yield home / name
    for path in (
        settings.storage.keys,
        settings.keyring.passphrase_file,
        settings.keyring.pin_file,
        backup_key_path(settings),
        settings.backup.passphrase_file,
        settings.backup.directory,
        settings.tls.key,
        settings.client.key,
        settings.client.token_file,
    ):
        if path is not None:
            yield path


def certificates(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Say which certificates end soon, and until when revocation lists hold."""
    check, now = "certificates", clock.now()
    named = {
        "tls.certificate": settings.tls.certificate,
        "tls.client_ca": settings.tls.client_ca,
        "client.certificate": settings.client.certificate,
        "client.ca": settings.client.ca,
    }
    for name, path in named.items():
        if path is None:
            continue
        try:
            end = expires_at(path.read_bytes())
        except (OSError, EngineError) as error:
            yield Finding(check, Level.PROBLEM, f"{name} cannot be read: {error}.")
            continue
        text = f"{name} ends on {end:%Y-%m-%d}."
        if end <= now:
            yield Finding(check, Level.PROBLEM, text, "Renew it now; no restart is needed.")
        elif end - now < _SOON:
            yield Finding(check, Level.WARNING, text, "Renew it; no restart is needed.")
        else:
            yield Finding(check, Level.GOOD, text)
    yield from _revocations(settings.tls, clock)


def _revocations(tls: TlsSettings, clock: Clock) -> Iterator[Finding]:
    """Say until when the revocation lists hold: lists live for hours or days, not for months."""
    check, name = "certificates", "tls.client_crl"
    if tls.client_crl is None or tls.client_ca is None:
        return
    try:
        data, authorities = tls.client_crl.read_bytes(), tls.client_ca.read_bytes()
        end = read_revocations(data, authorities, allow_stale=False).hold_until
    except (OSError, EngineError) as error:
        yield Finding(check, Level.PROBLEM, f"{name} cannot be used: {error}.")
        return
    text = f"{name} holds until {end:%Y-%m-%d %H:%M} UTC."
    if end < clock.now():
        fix = "Fetch the authority's list again, and see why that stopped."
        yield Finding(check, Level.PROBLEM, text, fix)
    else:
        yield Finding(check, Level.GOOD, text)


def room_on_disks(settings: Settings) -> Iterator[Finding]:
    """Say whether vault and backups have room."""
    vault = settings.storage.data_dir / VAULT_FILE
    size = vault.stat().st_size if vault.exists() else 0
    places = {"storage.data_dir": settings.storage.data_dir}
    if settings.backup.directory is not None:
        places["backup.directory"] = settings.backup.directory
    for name, place in places.items():
        # Before the first start the directory is not there, but its disk is.
        path = next((one for one in (place, *place.parents) if one.exists()), place)
        try:
            free = shutil.disk_usage(path).free
        except OSError as error:
            yield Finding("disk", Level.PROBLEM, f"{name} {path}: {error.strerror}.")
            continue
        text = f"{name} has {free / _GIB:.1f} GiB left."
        if free < max(_LEAST_BYTES, size):
            yield Finding("disk", Level.PROBLEM, text, "Make room: a full disk stops every call.")
        elif free < max(_GIB, _COPIES * size):
            yield Finding("disk", Level.WARNING, text, "Make room.")
        else:
            yield Finding("disk", Level.GOOD, text)
