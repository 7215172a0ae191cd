# SPDX-License-Identifier: Apache-2.0
"""Backups on the wire."""

from typing import Any

from voiceauth.types import (
    BackupFacts,
    DrillFacts,
    Finding,
    KeyId,
    Level,
    MigrationAction,
    ModelHash,
    ModelMigration,
)
from voiceauth.v1 import maintenance_pb2
from voiceauth.wire.subjects import time_from_wire, time_to_wire


def backup_to_wire(facts: BackupFacts) -> maintenance_pb2.Backup:
    """Build the message of an archive."""
    return maintenance_pb2.Backup(
        backup=facts.backup,
        created_at=time_to_wire(facts.created_at),
        size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        engine_version=facts.engine_version,
        ledger_entries=facts.entries,
        subjects=facts.subjects,
        voiceprints=facts.voiceprints,
    )


def backup_from_wire(message: maintenance_pb2.Backup) -> BackupFacts:
    """Read the message of an archive. Raises InputError for an impossible time."""
    return BackupFacts(
        backup=message.backup,
        created_at=time_from_wire(message.created_at),
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        engine_version=message.engine_version,
        entries=message.ledger_entries,
        subjects=message.subjects,
        voiceprints=message.voiceprints,
    )


def drill_to_wire(drill: DrillFacts) -> maintenance_pb2.DrillReport:
    """Build the message of a drill."""
    return maintenance_pb2.DrillReport(
        backup_info=backup_to_wire(drill.facts),
        seconds=drill.seconds,
        taken_away=drill.taken_away,
        lost_keys=drill.lost_keys,
        known_voice_llr=drill.known_voice_llr,
    )


def drill_from_wire(message: maintenance_pb2.DrillReport) -> DrillFacts:
    """Read the message of a drill. Raises InputError for an impossible time."""
    return DrillFacts(
        facts=backup_from_wire(message.backup_info),
        seconds=message.seconds,
        taken_away=message.taken_away,
        lost_keys=tuple(KeyId(one) for one in message.lost_keys),
        known_voice_llr=message.known_voice_llr,
    )


_LEVELS = {
    Level.GOOD: maintenance_pb2.FINDING_LEVEL_GOOD,
    Level.WARNING: maintenance_pb2.FINDING_LEVEL_WARNING,
    Level.PROBLEM: maintenance_pb2.FINDING_LEVEL_PROBLEM,
}


def finding_to_wire(finding: Finding) -> maintenance_pb2.Finding:
    """Build the message of a finding."""
    return maintenance_pb2.Finding(
        check=finding.check,
        level=_LEVELS[finding.level],
        text=finding.text,
        advice=finding.advice,
    )


def finding_from_wire(message: maintenance_pb2.Finding) -> Finding:
    """Read the message of a finding; a level that is not known here is taken for a problem."""
    known = {wire: level for level, wire in _LEVELS.items()}
    level = known.get(message.level, Level.PROBLEM)
    return Finding(message.check, level, message.text, message.advice)


_ACTIONS = {
    MigrationAction.STATUS: maintenance_pb2.MIGRATION_ACTION_STATUS,
    MigrationAction.FINISH: maintenance_pb2.MIGRATION_ACTION_FINISH,
    MigrationAction.ROLL_BACK: maintenance_pb2.MIGRATION_ACTION_ROLL_BACK,
}


def action_to_wire(action: MigrationAction) -> Any:
    """Return the number of an action."""
    return _ACTIONS[action]


def action_from_wire(number: int) -> MigrationAction:
    """Read an action; one that is not known here only looks."""
    known = {wire: action for action, wire in _ACTIONS.items()}
    return next((one for wire, one in known.items() if wire == number), MigrationAction.STATUS)


def migration_to_wire(found: ModelMigration) -> maintenance_pb2.ModelMigration:
    """Build the message of a migration."""
    return maintenance_pb2.ModelMigration(
        model_sha256=found.model,
        previous_model_sha256=found.previous,
        moved=found.moved,
        waiting=found.waiting,
        begun=found.begun,
    )


def migration_from_wire(message: maintenance_pb2.ModelMigration) -> ModelMigration:
    """Read the message of a migration."""
    return ModelMigration(
        ModelHash(message.model_sha256),
        ModelHash(message.previous_model_sha256),
        message.moved,
        message.waiting,
        message.begun,
    )
