# SPDX-License-Identifier: Apache-2.0
"""The tables, and how an older vault becomes a newer one: forward only, one step at a time."""

import sqlite3

from voiceauth.errors import IntegrityError
from voiceauth.vault.faults import translated

_FIRST = """
CREATE TABLE vault_info (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    created_us INTEGER NOT NULL,
    canary BLOB NOT NULL
) STRICT;
CREATE TABLE subjects (
    row_key BLOB PRIMARY KEY CHECK (length(row_key) = 32),
    tenant TEXT NOT NULL,
    key_id TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    record BLOB NOT NULL,
    consent BLOB
) STRICT;
CREATE UNIQUE INDEX subjects_by_tenant ON subjects (tenant, row_key);
CREATE TABLE voiceprints (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    row_key BLOB NOT NULL REFERENCES subjects (row_key) ON DELETE CASCADE,
    model TEXT NOT NULL,
    voiceprint TEXT NOT NULL UNIQUE,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX voiceprints_by_subject ON voiceprints (row_key, model, id);
CREATE TABLE pending (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    row_key BLOB NOT NULL REFERENCES subjects (row_key) ON DELETE CASCADE,
    model TEXT NOT NULL,
    sealed BLOB NOT NULL,
    UNIQUE (row_key, model)
) STRICT;
CREATE TABLE ledger (
    sequence INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    previous_hash BLOB NOT NULL,
    entry_hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER ledger_keeps_entries BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER ledger_keeps_content BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END
"""

_RECORDINGS = """
CREATE TABLE recordings (
    row_key BLOB PRIMARY KEY REFERENCES subjects (row_key) ON DELETE CASCADE,
    sealed BLOB NOT NULL
) STRICT
"""

_CHECKPOINT = """
CREATE TABLE checkpoint (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    note TEXT NOT NULL,
    peaks BLOB NOT NULL
) STRICT
"""

_APPROVALS = """
CREATE TABLE approvals (
    approval TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    sealed BLOB NOT NULL
) STRICT
"""

_TOMBSTONES = """
CREATE TABLE tombstones (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    row_key BLOB NOT NULL CHECK (length(row_key) = 32),
    kind TEXT NOT NULL,
    at_us INTEGER
) STRICT;
CREATE TRIGGER tombstones_stay BEFORE DELETE ON tombstones
BEGIN SELECT RAISE(ABORT, 'tombstones stay'); END;
CREATE TRIGGER tombstones_keep_content BEFORE UPDATE ON tombstones
BEGIN SELECT RAISE(ABORT, 'tombstones stay'); END
"""

_VOICE_TRANSFORMS = """
CREATE TABLE voice_transforms (
    tenant TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (tenant, generation)
) STRICT;
ALTER TABLE voiceprints ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pending ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
CREATE INDEX voiceprints_unprotected ON voiceprints (row_key) WHERE generation = 0;
CREATE INDEX pending_unprotected ON pending (row_key) WHERE generation = 0
"""

_ATTEMPTS = """
CREATE TABLE attempts (
    row_key BLOB PRIMARY KEY CHECK (length(row_key) = 32),
    subject_key BLOB,
    counter TEXT NOT NULL,
    changed_us INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX attempts_by_subject ON attempts (subject_key);
CREATE TABLE failed_voices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    row_key BLOB NOT NULL CHECK (length(row_key) = 32),
    tenant TEXT NOT NULL,
    heard_us INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT
"""

_RETENTION_CLOCK = """
CREATE TABLE retention_clock (
    tenant TEXT PRIMARY KEY,
    swept_us INTEGER NOT NULL
) STRICT
"""

_ALERTS = """
CREATE TABLE alerts (
    alert TEXT PRIMARY KEY,
    record INTEGER NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    pseudonym TEXT NOT NULL,
    content TEXT NOT NULL,
    acknowledged TEXT
) STRICT;
CREATE INDEX alerts_by_tenant ON alerts (tenant, record);
CREATE TABLE alert_memory (
    part TEXT PRIMARY KEY,
    content TEXT NOT NULL
) STRICT;
CREATE TABLE alert_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    alert TEXT NOT NULL REFERENCES alerts (alert),
    attempts INTEGER NOT NULL,
    due_us INTEGER NOT NULL
) STRICT;
CREATE INDEX alert_outbox_by_sink ON alert_outbox (sink, id)
"""

_CHANGES = """
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    row_key BLOB NOT NULL,
    sealed BLOB
) STRICT;
CREATE TRIGGER voiceprint_added AFTER INSERT ON voiceprints
BEGIN INSERT INTO changes (row_key) VALUES (NEW.row_key); END;
CREATE TRIGGER voiceprint_removed AFTER DELETE ON voiceprints
BEGIN INSERT INTO changes (row_key) VALUES (OLD.row_key); END;
CREATE TRIGGER subject_changed AFTER UPDATE OF record ON subjects
BEGIN INSERT INTO changes (row_key) VALUES (NEW.row_key); END;
CREATE TRIGGER changes_pruned AFTER INSERT ON changes
BEGIN DELETE FROM changes WHERE id <= NEW.id - 20000; END
"""

_STEP_UPS = """
CREATE TABLE factors (
    row_key BLOB NOT NULL REFERENCES subjects (row_key) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (row_key, kind)
) STRICT;
CREATE TABLE step_ups (
    row_key BLOB PRIMARY KEY CHECK (length(row_key) = 32),
    subject_key BLOB NOT NULL,
    expires_us INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX step_ups_by_subject ON step_ups (subject_key)
"""

_CHALLENGES = """
CREATE TABLE challenges (
    row_key BLOB PRIMARY KEY CHECK (length(row_key) = 32),
    due_ms INTEGER,
    last_ms INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT
"""

MIGRATIONS: tuple[str, ...] = (
    _FIRST,
    _RECORDINGS,
    _CHECKPOINT,
    _APPROVALS,
    _TOMBSTONES,
    _VOICE_TRANSFORMS,
    _ATTEMPTS,
    _RETENTION_CLOCK,
    _ALERTS,
    _CHANGES,
    _STEP_UPS,
    _CHALLENGES,
)
"""Scripts in order; entry n leads from version n to n + 1. Never edit one that was released."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to this version of the engine, in one transaction.

    Must run inside a write transaction of ``connection``.

    Raises:
        IntegrityError: a newer engine wrote this vault.
    """
    with translated():
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        if tables and "schema_version" not in tables:
            raise IntegrityError("This file is a database, but no vault.")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT"
        )
        row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        version = row[0] or 0
        if version > len(MIGRATIONS):
            raise IntegrityError(
                "A newer version of voiceauth wrote this vault.", detail=f"schema {version}"
            )
        for number in range(version, len(MIGRATIONS)):
            for statement in _statements(MIGRATIONS[number]):
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version (version) VALUES (?)", (number + 1,))


def _statements(script: str) -> list[str]:
    """Split a script: ``executescript`` would commit the surrounding transaction."""
    found, statement = [], ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found
