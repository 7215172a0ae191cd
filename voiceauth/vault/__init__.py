# SPDX-License-Identifier: Apache-2.0
"""The record: subjects, consents, voiceprints, unfinished enrolments and the ledger, in SQLite.

The only room that knows ``sqlite3``. Public:

* ``open.open_vault(path, keys, clock=..., random=..., options=...)``: open or make a vault.
* ``open.VaultOptions``: how long to wait for locks, and what to check at opening.
* ``store.SqliteVault``: ``ports.Vault``, and beyond it ``verify_ledger`` and ``rewrap_keys``.

Rules:

* What returned from ``begin()`` without an error survives a crash and a power cut.
* Each subject has a data key of its own. Everything personal is sealed under it and bound to
  tenant, subject, kind, record and model: a row moved elsewhere raises ``TagMismatchError``.
* The files name nobody: rows are found by a keyed hash of tenant and subject id.
* Tenant ids, model hashes, voiceprint ids and ledger entries stand in clear.
* Nothing decrypted outlives the transaction that asked for it.
"""
