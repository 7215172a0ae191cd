# SPDX-License-Identifier: Apache-2.0
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from voiceauth.errors import IntegrityError
from voiceauth.testing.fakes import FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import MODEL, made_up_consent, made_up_recording, made_up_voiceprint
from voiceauth.types import GroupName, SubjectId, TenantId
from voiceauth.vault.open import open_vault
from voiceauth.vault.schema import MIGRATIONS
from voiceauth.vault.store import SqliteVault

DATA = Path(__file__).resolve().parents[2] / "data"
VERSIONS = sorted(int(path.stem.rpartition("-")[2]) for path in DATA.glob("vault-schema-*.sql"))
BANK, ALICE, BOB = TenantId("bank"), SubjectId("alice"), SubjectId("bob")


@dataclass(frozen=True)
class Old:
    """A vault of an older engine."""

    path: Path
    version: int


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    """A vault as an engine of each schema left it: two subjects, three entries, its anchor."""
    path = tmp_path / "vault.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / f"vault-schema-{request.param}.sql").read_text("utf-8"))
    anchor = (DATA / f"vault-schema-{request.param}.anchor").read_bytes()
    path.with_name("vault.db.anchor").write_bytes(anchor)
    return Old(path, request.param)


def opened(path: Path) -> SqliteVault:
    """Open it with this engine."""
    return open_vault(path, FakeKeyService(), clock=FakeClock(), random=FakeRandom(2))


def test_every_schema_of_the_past_has_a_fixture() -> None:
    """A schema whose vaults nobody opens in a test is one that may not open."""
    assert VERSIONS[:3] == [1, 2, 3]


def test_a_vault_of_a_newer_engine_is_refused_and_left_as_it_is(old: Old) -> None:
    """There is no way back: a newer schema is not read, let alone written."""
    with closing(sqlite3.connect(old.path)) as connection, connection:
        connection.execute("INSERT INTO schema_version (version) VALUES (9999)")

    with pytest.raises(IntegrityError, match="newer"):
        opened(old.path)

    with closing(sqlite3.connect(old.path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert old.version >= 3 or "checkpoint" not in tables


def test_an_older_vault_is_brought_forward_with_all_that_is_in_it(old: Old) -> None:
    """Subjects, consent, voiceprints, unfinished enrolments, recordings and ledger stay as were."""
    vault = opened(old.path)
    with vault.read() as view:
        alice, bob = view.subject(BANK, ALICE), view.subject(BANK, BOB)
        print_ = view.voiceprints(BANK, ALICE, MODEL)[0]
        pending = view.pending_segments(BANK, BOB, MODEL)
        heard = view.recordings(BANK, BOB)
    vault.close()

    assert alice is not None
    assert bob is not None
    assert alice.groups == frozenset({GroupName("vip")})
    assert alice.consent is not None
    assert alice.consent.text_sha256 == made_up_consent().text_sha256
    assert print_.net_seconds == made_up_voiceprint("v-alice", "alice", seed=5).net_seconds
    assert len(pending) == 1
    assert heard == ((made_up_recording(1),) if old.version >= 2 else ())
    assert bob.voiceprints == 1


def test_the_ledger_of_an_older_vault_still_holds(old: Old) -> None:
    """No migration touches an entry, and the anchor fits."""
    vault = opened(old.path)

    assert vault.verify_ledger() == 3
    vault.close()


def test_an_older_vault_goes_on(old: Old) -> None:
    """It is opened twice, and written to, like one that was made today."""
    for number in range(2):
        vault = opened(old.path)
        with vault.begin() as change:
            change.erase_subject(BANK, (ALICE, BOB)[number])
        vault.close()
    with closing(sqlite3.connect(old.path)) as connection:
        version = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        left = connection.execute("SELECT count(*) FROM subjects").fetchone()

    assert version == (len(MIGRATIONS),)
    assert left == (0,)


def test_a_migration_that_breaks_off_leaves_the_old_vault(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All steps are one transaction: an error in the last undoes the first."""
    broken = (*MIGRATIONS, "CREATE TABLE half (x); CREATE TABLE subjects (x)")
    monkeypatch.setattr("voiceauth.vault.schema.MIGRATIONS", broken)
    with pytest.raises(Exception, match=r"subjects|Internal"):
        opened(old.path)
    monkeypatch.undo()

    with closing(sqlite3.connect(old.path)) as connection:
        assert connection.execute("SELECT max(version) FROM schema_version").fetchone() == (
            old.version,
        )
    opened(old.path).close()
