# SPDX-License-Identifier: Apache-2.0
"""What a running server does about backups by itself, as the settings say."""

from datetime import timedelta

from voiceauth.config import Settings
from voiceauth.ports import Clock, ManagedKeys, Random
from voiceauth.usecases.back_up import BackupDesk
from voiceauth.usecases.backup_keys import open_backup_keys
from voiceauth.usecases.canary import Hearing
from voiceauth.usecases.engine import Chore
from voiceauth.vault.store import SqliteVault

_JOURNAL_SECONDS = 60.0
_LOOK_SECONDS = 600.0
"""How often a server looks whether a backup is due."""


def backup_desk(
    settings: Settings,
    vault: SqliteVault,
    keys: ManagedKeys,
    hearing: Hearing,
    *,
    clock: Clock,
    random: Random,
) -> BackupDesk | None:
    """Return what backs up to the settings' directory, None without one; it sees every erasure.

    Raises:
        KeyServiceError: the backup key cannot be read or made.
    """
    chosen = settings.backup
    if chosen.directory is None:
        return None
    desk = BackupDesk(
        vault=vault,
        keys=keys,
        sealing=open_backup_keys(settings, keys, clock=clock, random=random, create=True),
        hearing=hearing,
        clock=clock,
        random=random,
        directory=chosen.directory,
        models=settings.models.directory,
        every=timedelta(hours=chosen.every_hours),
        keep_daily=chosen.keep_daily,
        keep_weekly=chosen.keep_weekly,
    )
    vault.after_burial = desk.journal.run
    return desk


def backup_chores(desk: BackupDesk | None) -> tuple[Chore, ...]:
    """Return what is repeated: nothing without a place for backups."""
    if desk is None:
        return ()
    return (
        Chore("erasure journal", _JOURNAL_SECONDS, desk.journal.run),
        # Not at the end: a command that opens an engine for a moment has other things to do.
        Chore("backup", _LOOK_SECONDS, desk.run, at_end=False),
    )
