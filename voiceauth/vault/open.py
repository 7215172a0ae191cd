# SPDX-License-Identifier: Apache-2.0
"""Open a vault, or make one: every check that can fail does so here, before anything is served."""

import sqlite3
from pathlib import Path

from voiceauth.errors import IntegrityError
from voiceauth.ledger.chain import GENESIS, Head
from voiceauth.ports import Clock, KeyService, Random
from voiceauth.vault import ledger_rows, schema
from voiceauth.vault.anchor_file import AnchorFile, require_not_behind
from voiceauth.vault.codec import to_microseconds
from voiceauth.vault.connections import Connections, VaultOptions, check_file, make_file
from voiceauth.vault.faults import translated
from voiceauth.vault.sealing import Sealer, check_canary, new_canary
from voiceauth.vault.store import SqliteVault

__all__ = ["VaultOptions", "open_vault"]


def open_vault(
    path: Path,
    keys: KeyService,
    *,
    clock: Clock,
    random: Random,
    options: VaultOptions | None = None,
    accept_ledger_head: bool = False,
) -> SqliteVault:
    """Open the vault at ``path``, or make an empty one.

    Args:
        path: the database file; the ledger's anchor stands beside it as ``<name>.anchor``.
        keys: of the installation that made the vault.
        clock: dates a new vault.
        random: makes data keys and nonces.
        options: waiting times and checks.
        accept_ledger_head: take the end of the ledger as it is and anchor it anew. Only for an
            operator who restored a backup: otherwise it hides a cut-off tail.

    Raises:
        WrongKeyError: the keys are another installation's.
        KeyServiceError: the key service is down.
        ChainBrokenError: the ledger ends before its anchor, or the anchor is missing.
        IntegrityError: the file is damaged, no vault, or a newer engine's.
        StorageError: the file cannot be opened or made.
    """
    options = options or VaultOptions()
    sealer = Sealer(keys, random)
    anchor = AnchorFile(path.with_name(f"{path.name}.anchor"), keys.derive("ledger-anchor"))
    make_file(path)
    if options.check_at_open and path.stat().st_size <= options.most_checked_bytes:
        check_file(path, options)
    connections = Connections(path, options)
    try:
        with connections.alone() as connection, connections.change(connection):
            schema.migrate(connection)
            _recognise(connection, keys, clock, random)
        with connections.alone() as connection:
            _check_anchor(connection, anchor, accept=accept_ledger_head)
    except BaseException:
        connections.close()
        raise
    return SqliteVault(connections, sealer, anchor)


def _recognise(
    connection: sqlite3.Connection, keys: KeyService, clock: Clock, random: Random
) -> None:
    """Check that the vault was made under these keys; mark a new one with them."""
    with translated():
        row = connection.execute("SELECT canary FROM vault_info").fetchone()
        if row is not None:
            check_canary(keys, row[0])
            return
        used = connection.execute("SELECT EXISTS (SELECT 1 FROM subjects)").fetchone()
        if used != (0,):
            raise IntegrityError("The vault's file is damaged.", detail="its canary is missing")
        connection.execute(
            "INSERT INTO vault_info (only_row, created_us, canary) VALUES (1, ?, ?)",
            (to_microseconds(clock.now()), new_canary(keys, random)),
        )


def _check_anchor(connection: sqlite3.Connection, anchor: AnchorFile, *, accept: bool) -> None:
    anchored = None if accept else anchor.read()
    last = ledger_rows.head(connection)
    if accept or (anchored is None and last == GENESIS):
        anchor.replace(last)
        return
    require_not_behind(_stored(connection, anchored), anchored, last)


def _stored(connection: sqlite3.Connection, anchored: Head | None) -> Head | None:
    if anchored is None or anchored.sequence == 0:
        return anchored
    with translated():
        row = connection.execute(
            "SELECT sequence, entry_hash FROM ledger WHERE sequence = ?", (anchored.sequence,)
        ).fetchone()
    return None if row is None else Head(row[0], row[1])
