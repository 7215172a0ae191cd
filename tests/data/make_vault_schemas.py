# SPDX-License-Identifier: Apache-2.0
"""Writes ``vault-schema-N.sql`` and its anchor: a vault as an engine with schema N left it.

Run it once for a new schema, before the next one is begun, and never again for an old one: a
fixture is worth something only because it does not follow the code.

    python tests/data/make_vault_schemas.py 3
"""

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from unittest import mock

from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import (
    MODEL,
    made_up_consent,
    made_up_recording,
    made_up_segment,
    made_up_voiceprint,
)
from voiceauth.types import GroupName, StoredCheckpoint, SubjectId, TenantId
from voiceauth.vault.open import open_vault
from voiceauth.vault.schema import MIGRATIONS

HERE = Path(__file__).resolve().parent
BANK, ALICE, BOB = TenantId("bank"), SubjectId("alice"), SubjectId("bob")
WITH_RECORDINGS, WITH_CHECKPOINT = 2, 3


def fill(path: Path, version: int) -> None:
    """Make a vault with two subjects, one enrolled and one half enrolled, and three entries."""
    vault = open_vault(path, FakeKeyService(), clock=FakeClock(), random=FakeRandom(1))
    with vault.begin() as change:
        change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset({GroupName("vip")}))
        change.put_consent(BANK, ALICE, made_up_consent())
        change.add_voiceprint(BANK, made_up_voiceprint("v-alice", ALICE, seed=5))
        change.append(at=EPOCH, tenant=BANK, event="subject.created", body={"subject": "a"})
    with vault.begin() as change:
        change.create_subject(BANK, BOB, at=EPOCH, groups=frozenset())
        change.add_voiceprint(BANK, made_up_voiceprint("v-bob", BOB, seed=6))
        change.append(at=EPOCH, tenant=BANK, event="subject.created", body={"subject": "b"})
    with vault.begin() as change:
        change.put_pending_segments(BANK, BOB, MODEL, [made_up_segment(7)])
        if version >= WITH_RECORDINGS:
            change.put_recordings(BANK, BOB, [made_up_recording(1)])
        change.append(at=EPOCH, tenant=BANK, event="enrol.partial", body={"subject": "b"})
    if version >= WITH_CHECKPOINT:
        vault.put_checkpoint(StoredCheckpoint("a note that nobody signed", b""))
    vault.close()


def main(version: int) -> None:
    """Write the two files of one schema version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vault.db"
        with mock.patch("voiceauth.vault.schema.MIGRATIONS", MIGRATIONS[:version]):
            fill(path, version)
        with closing(sqlite3.connect(path)) as connection:
            script = "\n".join(connection.iterdump())
        (HERE / f"vault-schema-{version}.sql").write_text(f"{script}\n", encoding="utf-8")
        anchor = path.with_name("vault.db.anchor").read_bytes()
        (HERE / f"vault-schema-{version}.anchor").write_bytes(anchor)


if __name__ == "__main__":
    main(int(sys.argv[1]))
