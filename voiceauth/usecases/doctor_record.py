# SPDX-License-Identifier: Apache-2.0
"""What the record says: schema, ledger, keys, models, backups, and whether the clock can be right.

Nothing is written, and no migration is run.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from voiceauth.adapters import SystemRandom
from voiceauth.config import Settings
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import CompanionFile, read_manifest, read_verified
from voiceauth.ports import Clock
from voiceauth.types import Finding, Level
from voiceauth.usecases.back_up import list_backups
from voiceauth.usecases.key_services import VAULT_FILE, existing_keys
from voiceauth.vault.inspection import VaultLook, look_at

_OLD = timedelta(days=365)
_DRILLED = timedelta(days=35)
_SKEW = timedelta(minutes=5)
_RELEASED = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is earlier than this engine can be right."""


def vault(settings: Settings) -> Iterator[Finding]:
    """Say whether the vault's file is whole, and whether migrations are due."""
    path = settings.storage.data_dir / VAULT_FILE
    if not path.exists():
        yield Finding("vault", Level.WARNING, f"There is no vault in {path.parent} yet.")
        return
    found = look_at(path)
    yield Finding("vault", Level.GOOD, f"SQLite finds the vault whole: {found.entries} entries.")
    if found.schema > found.known_schema:
        yield Finding(
            "migrations",
            Level.PROBLEM,
            f"The vault has schema {found.schema}; this engine knows {found.known_schema}.",
            "Install the version that wrote it, or a newer one.",
        )
    elif found.schema < found.known_schema:
        due = found.known_schema - found.schema
        yield Finding(
            "migrations",
            Level.WARNING,
            f"{due} migration(s) are due; the next start runs them.",
            "Make a backup with the version that runs now before that start.",
        )
    else:
        yield Finding("migrations", Level.GOOD, f"Schema {found.schema}; none is due.")


def clock_sanity(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Say whether the clock can be right, as far as the record tells."""
    now, last = clock.now(), _look(settings)
    advice = "Check the time service; entries and terms go by this clock."
    if now < _RELEASED:
        text = f"The clock says {now:%Y-%m-%d}, which is before this engine was made."
        yield Finding("clock", Level.PROBLEM, text, advice)
    elif last is not None and last.newest_at is not None and now < last.newest_at - _SKEW:
        text = f"The ledger's newest entry is from {last.newest_at:%Y-%m-%d %H:%M}, in the future."
        yield Finding("clock", Level.PROBLEM, text, advice)
    else:
        yield Finding("clock", Level.GOOD, "The clock is not behind the record.")


def key_ages(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Say whether the keys can be opened, and which current ones are old."""
    if not (settings.storage.data_dir / VAULT_FILE).exists() and not settings.storage.keys.exists():
        yield Finding("keys", Level.GOOD, "There are no keys yet; the first start makes them.")
        return
    keys = existing_keys(settings, clock=clock, random=SystemRandom())
    most = timedelta(days=settings.keyring.rotate_days or _OLD.days)
    now, old = clock.now(), False
    for one in keys.inventory():
        age = now - one.created_at
        if one.current and age > most + timedelta(days=1):
            old = True
            yield Finding(
                "keys",
                Level.WARNING,
                f"{one.key_id} of {one.scope or 'the installation'} is {age.days} days old.",
                "voiceauth keys rotate",
            )
    if not old:
        yield Finding("keys", Level.GOOD, f"{len(list(keys.inventory()))} keys, none too old.")


def models(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Say whether every model file is what the manifest states, and how old the tables are."""
    manifest = read_manifest(settings.models.directory or default_model_directory())
    entry = manifest.entry(settings.models.speaker)
    read_verified(manifest.directory, entry.file, entry.sha256)
    read_verified(manifest.directory, entry.cohort.file, entry.cohort.sha256)
    yield Finding("models", Level.GOOD, f"{entry.name}: files are what the manifest states.")
    if manifest.spoof is None:
        yield Finding(
            "models",
            Level.WARNING,
            "No model looks for synthetic speech.",
            "Let no voice accept alone (docs/liveness.md).",
        )
    if settings.models.previous is not None:
        yield Finding(
            "models",
            Level.WARNING,
            f"A migration from {settings.models.previous} is under way.",
            "1:N search knows only who has moved: voiceauth models migrate status",
        )
    yield from _table_age(manifest.directory, entry.calibration, clock)


def _table_age(directory: Path, file: CompanionFile, clock: Clock) -> Iterator[Finding]:
    read_verified(directory, file.file, file.sha256)
    written = (directory / file.file).stat().st_mtime
    age = clock.now() - datetime.fromtimestamp(written, UTC)
    text = f"The calibration file is {max(0, age.days)} days old."
    if age > _OLD:
        yield Finding(
            "calibration", Level.WARNING, text, "Measure again: voiceauth evaluate, then calibrate."
        )
    else:
        yield Finding("calibration", Level.GOOD, text)


def backups(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Say how old the newest backup is, and whether one was ever brought back."""
    place = settings.backup.directory
    if place is None:
        return  # the settings' check says so
    due = timedelta(hours=settings.backup.every_hours)
    found = list_backups(place)
    if not found:
        yield Finding(
            "backup", Level.PROBLEM, f"There is no backup in {place}.", "voiceauth backup create"
        )
    else:
        age = clock.now() - found[-1].created_at
        text = f"The newest backup is {age.total_seconds() / 3600:.1f} hours old."
        if age > 2 * due:
            advice = "See the server's log for chore_failed, or run: voiceauth backup create"
            yield Finding("backup", Level.PROBLEM, text, advice)
        else:
            yield Finding("backup", Level.GOOD, text)
    yield from _drills(settings, clock)


def _drills(settings: Settings, clock: Clock) -> Iterator[Finding]:
    seen = _look(settings)
    drilled = None if seen is None else seen.last("backup.drilled")
    advice = "voiceauth backup drill"
    if drilled is None:
        yield Finding("drill", Level.WARNING, "No backup was ever brought back.", advice)
        return
    at, body = drilled
    if not json.loads(body).get("holds"):
        text = f"The last drill, on {at:%Y-%m-%d}, failed."
        yield Finding("drill", Level.PROBLEM, text, "docs/recovery.md")
    elif clock.now() - at > _DRILLED:
        yield Finding("drill", Level.WARNING, f"The last drill was on {at:%Y-%m-%d}.", advice)
    else:
        yield Finding("drill", Level.GOOD, f"A backup was brought back on {at:%Y-%m-%d}.")


def _look(settings: Settings) -> VaultLook | None:
    path = settings.storage.data_dir / VAULT_FILE
    return look_at(path, check=False) if path.exists() else None
