# SPDX-License-Identifier: Apache-2.0
"""What looks after an engine's records beside the calls, and when each of it has its turn."""

from dataclasses import dataclass
from functools import partial

from voiceauth.config import Settings
from voiceauth.ports import Vault
from voiceauth.usecases.alert_setup import alert_chores
from voiceauth.usecases.attempt_desk import AttemptDesk
from voiceauth.usecases.back_up import BackupDesk
from voiceauth.usecases.backup_chores import backup_chores
from voiceauth.usecases.engine import Chore
from voiceauth.usecases.keep_checkpoints import CheckpointDesk
from voiceauth.usecases.keep_gallery import CHORE_SECONDS, GalleryKeeper
from voiceauth.usecases.keep_keys import KeyDesk
from voiceauth.usecases.raise_alerts import AlertDesk
from voiceauth.usecases.rekey_voiceprints import CHORE_SECONDS as REKEYING_SECONDS
from voiceauth.usecases.rekey_voiceprints import RekeyDesk
from voiceauth.usecases.replay_guard import ReplayGuard, forget_expired
from voiceauth.usecases.step_up_desk import StepUpDesk, step_up_chore
from voiceauth.vault.store import SqliteVault

_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class Desks:
    """What looks after an engine's records. None where the settings switch one off."""

    checkpoints: CheckpointDesk
    keys: KeyDesk
    rekeying: RekeyDesk
    filling: GalleryKeeper
    replay: ReplayGuard | None
    backups: BackupDesk | None
    attempts: AttemptDesk
    alerts: AlertDesk | None
    step_ups: StepUpDesk


def chores_of(desks: Desks, settings: Settings, vault: SqliteVault) -> tuple[Chore, ...]:
    """Return what a running engine repeats, but for the sweep of retention.

    Raises:
        StorageError: the vault cannot be written.
    """
    filling = desks.filling
    return (
        Chore("checkpoint", settings.ledger.checkpoint_seconds, desks.checkpoints.run),
        Chore("keys", _HOUR_SECONDS, desks.keys.run),
        # Not at the end: what is unfinished is gone on with after the next start.
        Chore("voiceprints", REKEYING_SECONDS, desks.rekeying.run, at_end=False),
        Chore("gallery", CHORE_SECONDS, filling.run, at_end=False, at_once=True, stop=filling.stop),
        *_forgetting(desks.replay, vault),
        *backup_chores(desks.backups),
        Chore("old attempts", _HOUR_SECONDS, partial(desks.attempts.tidy, vault)),
        *alert_chores(desks.alerts, settings.alerts, vault.audit_ledger),
        Chore("old step-ups", _HOUR_SECONDS, step_up_chore(desks.step_ups, vault)),
    )


def _forgetting(guard: ReplayGuard | None, vault: Vault) -> tuple[Chore, ...]:
    """Return what keeps to the retention time of recordings, as far as there are any."""
    if guard is None:
        return ()
    return (Chore("old recordings", _HOUR_SECONDS, partial(forget_expired, guard, vault)),)
