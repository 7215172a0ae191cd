# SPDX-License-Identifier: Apache-2.0
"""Restore a backup beside the installation, see that it works, and throw the copy away.

A backup that was never restored is a hope. The drill goes the whole way of a restore, and one step
further: the known voice must sound like itself through the loaded model.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from voiceauth.errors import EngineError, IntegrityError, StorageError
from voiceauth.types import DrillFacts, TenantId
from voiceauth.usecases.back_up import Backup, BackupDesk, backup_facts
from voiceauth.usecases.canary import known_llr
from voiceauth.usecases.restored_vault import RestoreDesk, brought_back


def drill_backup(desk: BackupDesk, archive: Path, *, scratch: Path | None = None) -> DrillFacts:
    """Drill one archive and record the outcome.

    Args:
        desk: of the backups; its vault only gets the ledger entry.
        archive: to restore.
        scratch: where; default the system's place for such things.

    Raises:
        IntegrityError: it does not come back whole, or the known voice is not alike.
        Others: as ``restored_vault.brought_back``.
    """
    started = desk.clock.monotonic()
    try:
        found = _drilled(desk, archive, scratch)
    except EngineError as error:
        _record(desk, {"file": archive.name, "holds": False, "code": error.code})
        raise
    seconds = round(desk.clock.monotonic() - started, 3)
    drill = replace(found, seconds=seconds)
    _record(
        desk,
        {
            "file": archive.name,
            "holds": True,
            "entries": drill.facts.entries,
            "seconds": drill.seconds,
            "known_voice_llr": drill.known_voice_llr,
        },
    )
    return drill


def _drilled(desk: BackupDesk, archive: Path, scratch: Path | None) -> DrillFacts:
    try:
        place = Path(tempfile.mkdtemp(prefix="voiceauth-drill-", dir=scratch))
    except OSError as error:
        raise StorageError(f"No place for a drill: {error.strerror}.") from error
    try:
        journal = desk.journal
        journal.run()
        restore = RestoreDesk(desk.keys, desk.sealing, journal.journal, desk.clock, desk.random)
        with brought_back(archive, place, restore) as back:
            if desk.hearing.embedder.model not in back.manifest.canary:
                raise IntegrityError("The backup holds no known voice of this model.")
            shown = Backup(archive, back.sha256, archive.stat().st_size, back.manifest)
            return DrillFacts(
                facts=backup_facts(shown),
                seconds=0.0,
                taken_away=back.taken_away[0],
                lost_keys=back.lost_keys,
                known_voice_llr=known_llr(back.vault, desk.hearing),
            )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _record(desk: BackupDesk, body: dict[str, object]) -> None:
    with desk.vault.begin() as transaction:
        transaction.append(
            at=desk.clock.now(), tenant=TenantId(""), event="backup.drilled", body=body
        )
