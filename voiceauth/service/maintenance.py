# SPDX-License-Identifier: Apache-2.0
"""The maintenance RPCs. Their work is long and rare: it has threads of its own, no call waits."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from voiceauth.errors import PolicyError
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.runtime import Runtime
from voiceauth.usecases.back_up import (
    BackupDesk,
    backup_facts,
    create_backup,
    listed_backups,
    named_backup,
    verify_backup,
)
from voiceauth.usecases.drill_backup import drill_backup
from voiceauth.usecases.migrate_models import migrate_models
from voiceauth.v1 import maintenance_pb2, maintenance_pb2_grpc
from voiceauth.wire.maintenance import (
    action_from_wire,
    backup_to_wire,
    drill_to_wire,
    finding_to_wire,
    migration_to_wire,
)

_T = TypeVar("_T")


class MaintenanceServicer(maintenance_pb2_grpc.MaintenanceServiceServicer):
    """What operators ask of a running server. Errors are those of the use cases."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def CreateBackup(  # noqa: N802 - gRPC's names, here and below
        self, request: maintenance_pb2.CreateBackupRequest, context: Any
    ) -> maintenance_pb2.Backup:
        """Make a backup now."""
        del request, context
        made = await _apart(partial(create_backup, self._desk()))
        return backup_to_wire(backup_facts(made))

    async def ListBackups(  # noqa: N802
        self, request: maintenance_pb2.ListBackupsRequest, context: Any
    ) -> maintenance_pb2.ListBackupsResponse:
        """List the archives of the directory."""
        del request, context
        found = await _apart(partial(listed_backups, self._desk().directory))
        return maintenance_pb2.ListBackupsResponse(backups=map(backup_to_wire, found))

    async def VerifyBackup(  # noqa: N802
        self, request: maintenance_pb2.VerifyBackupRequest, context: Any
    ) -> maintenance_pb2.Backup:
        """Check signature, seal and hashes."""
        del context
        desk = self._desk()

        def work() -> maintenance_pb2.Backup:
            found = verify_backup(desk, named_backup(desk.directory, request.backup))
            return backup_to_wire(backup_facts(found))

        return await _apart(work)

    async def DrillBackup(  # noqa: N802
        self, request: maintenance_pb2.DrillBackupRequest, context: Any
    ) -> maintenance_pb2.DrillReport:
        """Restore beside the installation, and throw the copy away."""
        del context
        desk = self._desk()

        def work() -> maintenance_pb2.DrillReport:
            return drill_to_wire(drill_backup(desk, named_backup(desk.directory, request.backup)))

        return await _apart(work)

    async def MigrateModels(  # noqa: N802
        self, request: maintenance_pb2.MigrateModelsRequest, context: Any
    ) -> maintenance_pb2.ModelMigration:
        """Look at a migration, finish it, or take it back."""
        del context
        work = partial(
            migrate_models,
            self._runtime.engine,
            action_from_wire(request.action),
            drop_waiting=request.drop_waiting,
        )
        return migration_to_wire(await _apart(work))

    async def Diagnose(  # noqa: N802
        self, request: maintenance_pb2.DiagnoseRequest, context: Any
    ) -> maintenance_pb2.DiagnoseResponse:
        """Look the installation over."""
        del request, context
        examine = self._runtime.engine.examine
        if examine is None:
            raise PolicyError("This engine was not put together from settings.")
        found = await _apart(examine)
        return maintenance_pb2.DiagnoseResponse(findings=map(finding_to_wire, found))

    def _desk(self) -> BackupDesk:
        desk = self._runtime.engine.backups
        if desk is None:
            raise PolicyError("This server makes no backups: backup.directory is not set.")
        return desk


async def _apart(work: Callable[[], _T]) -> _T:
    """Run long work in a thread of its own. Raises EngineError."""

    def guarded() -> _T:
        with engine_errors_only("maintenance"):
            return work()

    return await asyncio.to_thread(guarded)
