# SPDX-License-Identifier: Apache-2.0
"""What an operator asks of a running server: ``client.maintenance``."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from voiceauth.types import BackupFacts, DrillFacts, Finding, MigrationAction, ModelMigration
from voiceauth.v1 import maintenance_pb2
from voiceauth.wire.maintenance import (
    action_to_wire,
    backup_from_wire,
    drill_from_wire,
    finding_from_wire,
    migration_from_wire,
)

_T = TypeVar("_T")
Ask = Callable[[str, Any], Awaitable[Any]]
"""Sends a request to a method of the maintenance service, by its name."""


class Maintenance:
    """Backups of a server. None of these is ever repeated by itself.

    Args:
        ask: of the client.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def create_backup(self) -> BackupFacts:
        """Make a backup now.

        Raises:
            BusyError: one is being made.
            PolicyError: the server has no place for backups.
        """
        request = maintenance_pb2.CreateBackupRequest()
        return backup_from_wire(await self._ask("CreateBackup", request))

    async def list_backups(self) -> tuple[BackupFacts, ...]:
        """List the archives in the server's directory, oldest first."""
        reply = await self._ask("ListBackups", maintenance_pb2.ListBackupsRequest())
        return tuple(backup_from_wire(one) for one in reply.backups)

    async def verify_backup(self, backup: str = "") -> BackupFacts:
        """Check signature, seal and hashes of an archive, the newest for an empty name.

        Raises:
            NotFoundError: there is no such archive.
            IntegrityError: it does not hold.
        """
        request = maintenance_pb2.VerifyBackupRequest(backup=backup)
        return backup_from_wire(await self._ask("VerifyBackup", request))

    async def drill_backup(self, backup: str = "") -> DrillFacts:
        """Restore an archive beside the installation, see that it works, and throw it away.

        Raises:
            NotFoundError: there is no such archive.
            IntegrityError: it does not come back whole.
        """
        request = maintenance_pb2.DrillBackupRequest(backup=backup)
        return drill_from_wire(await self._ask("DrillBackup", request))

    async def diagnose(self) -> tuple[Finding, ...]:
        """Have the server look its installation over."""
        reply = await self._ask("Diagnose", maintenance_pb2.DiagnoseRequest())
        return tuple(finding_from_wire(one) for one in reply.findings)

    async def migrate_models(
        self, action: MigrationAction = MigrationAction.STATUS, *, drop_waiting: bool = False
    ) -> ModelMigration:
        """Look at a migration between two speaker models, finish it, or take it back.

        Raises:
            PolicyError: the server knows no previous model, or subjects still wait.
        """
        request = maintenance_pb2.MigrateModelsRequest(
            action=action_to_wire(action), drop_waiting=drop_waiting
        )
        return migration_from_wire(await self._ask("MigrateModels", request))


class SyncMaintenance:
    """The blocking twin of ``Maintenance``: same names, same arguments, same errors."""

    def __init__(
        self, maintenance: Maintenance, wait_for: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        self._maintenance = maintenance
        self._wait_for = wait_for

    def create_backup(self) -> BackupFacts:
        """Make a backup now."""
        return self._done(self._maintenance.create_backup())

    def list_backups(self) -> tuple[BackupFacts, ...]:
        """List the archives in the server's directory, oldest first."""
        return self._done(self._maintenance.list_backups())

    def verify_backup(self, backup: str = "") -> BackupFacts:
        """Check signature, seal and hashes of an archive, the newest for an empty name."""
        return self._done(self._maintenance.verify_backup(backup))

    def drill_backup(self, backup: str = "") -> DrillFacts:
        """Restore an archive beside the installation, see that it works, and throw it away."""
        return self._done(self._maintenance.drill_backup(backup))

    def diagnose(self) -> tuple[Finding, ...]:
        """Have the server look its installation over."""
        return self._done(self._maintenance.diagnose())

    def migrate_models(
        self, action: MigrationAction = MigrationAction.STATUS, *, drop_waiting: bool = False
    ) -> ModelMigration:
        """Look at a migration between two speaker models, finish it, or take it back."""
        return self._done(self._maintenance.migrate_models(action, drop_waiting=drop_waiting))

    def _done(self, work: Coroutine[Any, Any, _T]) -> _T:
        done: _T = self._wait_for(work)
        return done
