# SPDX-License-Identifier: Apache-2.0
"""Make certificates for trying out: an authority, a server's and one for each role, with settings.

The authority's key is never written, so nobody can issue more in its name; make all anew instead.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.issuing import DevelopmentAuthority, Issued
from voiceauth.access.roles import Role
from voiceauth.errors import InputError, StorageError

SETTINGS_FILE = "voiceauth.toml"
SECOND_OFFICER = f"{Role.PRIVACY_OFFICER}-2"
"""What one privacy officer asks for, another one has to approve."""


def make_dev_certificates(
    directory: Path, *, hosts: Sequence[str], tenant: str, now: datetime
) -> Sequence[Path]:
    """Write the files and return their paths, the settings file last.

    Args:
        directory: made if it is not there.
        hosts: names and addresses of the server.
        tenant: whose data the roles may touch; ``*`` for every tenant.
        now: when everything is issued.

    Raises:
        InputError: one of the files is there already; nothing is replaced.
        StorageError: they cannot be written.
    """
    files = dict(_contents(directory.resolve(), hosts, tenant, now))
    there = [name for name in files if (directory / name).exists()]
    if there:
        raise InputError(f"{directory / there[0]} is there already; nothing is replaced.")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            _write(directory / name, content)
    except OSError as error:
        raise StorageError(f"Cannot write to {directory}: {error.strerror}.") from error
    return [directory / name for name in files]


def _contents(
    directory: Path, hosts: Sequence[str], tenant: str, now: datetime
) -> Iterator[tuple[str, bytes]]:
    authority = DevelopmentAuthority(now)
    yield "ca.pem", authority.certificate
    yield from _pair("server", authority.server(hosts))
    holders = {role.value: role for role in Role} | {SECOND_OFFICER: Role.PRIVACY_OFFICER}
    for holder in holders:
        name = PeerName(NameKind.URI, f"voiceauth:dev:{holder}")
        yield from _pair(holder, authority.client(name))
    yield SETTINGS_FILE, _settings(directory, hosts[0], tenant, holders).encode()


def _pair(name: str, issued: Issued) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.pem", issued.certificate
    yield f"{name}.key", issued.key


def _settings(directory: Path, host: str, tenant: str, holders: dict[str, Role]) -> str:
    principals = "\n".join(
        f"[access.principals.{holder}]\n"
        f'san = "URI:voiceauth:dev:{holder}"\nroles = ["{role}"]\ntenants = ["{tenant}"]\n'
        for holder, role in holders.items()
    )
    return (
        "# Made by `voiceauth certs dev`, for trying out. Not for production.\n"
        f'[server]\nhost = "{host}"\n\n'
        f'[tls]\ncertificate = "{directory / "server.pem"}"\nkey = "{directory / "server.key"}"\n'
        f'client_ca = "{directory / "ca.pem"}"\n\n'
        f'[client]\nca = "{directory / "ca.pem"}"\n\n{principals}'
    )


def _write(path: Path, content: bytes) -> None:
    """Write a new file; keys are readable for their owner only."""
    mode = 0o600 if path.suffix == ".key" else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
