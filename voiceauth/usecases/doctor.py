# SPDX-License-Identifier: Apache-2.0
"""Look an installation over: what is old, weak, open to others, due or missing.

It only reads, may run beside a server, and needs no server to run. A check that cannot be made is a
problem itself; it stops none of the others.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

from voiceauth import __version__
from voiceauth.adapters import SystemClock
from voiceauth.config import Settings
from voiceauth.errors import EngineError
from voiceauth.ports import Clock
from voiceauth.types import Finding, Level
from voiceauth.usecases import doctor_files, doctor_record
from voiceauth.usecases.doctor_settings import weak_settings
from voiceauth.vault.inspection import LEAST_SQLITE, SQLITE_VERSION

_PACKAGES = ("grpcio", "onnxruntime", "faiss-cpu", "cryptography", "numpy")


def diagnose(settings: Settings, clock: Clock | None = None) -> tuple[Finding, ...]:
    """Return everything that was looked at, in a fixed order of checks."""
    now = clock or SystemClock()
    checks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("versions", versions),
        ("settings", lambda: weak_settings(settings)),
        ("permissions", lambda: doctor_files.permissions(settings)),
        ("certificates", lambda: doctor_files.certificates(settings, now)),
        ("disk", lambda: doctor_files.room_on_disks(settings)),
        ("clock", lambda: doctor_record.clock_sanity(settings, now)),
        ("vault", lambda: doctor_record.vault(settings)),
        ("keys", lambda: doctor_record.key_ages(settings, now)),
        ("models", lambda: doctor_record.models(settings, now)),
        ("backup", lambda: doctor_record.backups(settings, now)),
    )
    return tuple(one for name, check in checks for one in _checked(name, check))


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of all."""
    order = list(Level)
    return max((one.level for one in findings), key=order.index, default=Level.GOOD)


def versions() -> Iterator[Finding]:
    """Say what runs here, and whether it is too old."""
    parts = [f"voiceauth {__version__}", f"Python {platform.python_version()}"]
    parts.append(f"SQLite {SQLITE_VERSION}")
    for name in _PACKAGES:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    yield Finding("versions", Level.GOOD, ", ".join(parts) + ".")
    if tuple(int(part) for part in SQLITE_VERSION.split(".")[:2]) < LEAST_SQLITE:
        yield Finding(
            "versions", Level.PROBLEM, f"SQLite {SQLITE_VERSION} is too old.", "Update Python."
        )


def _checked(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except (EngineError, OSError, ValueError, KeyError) as error:
        yield Finding(name, Level.PROBLEM, f"It could not be checked: {error}")
