# SPDX-License-Identifier: Apache-2.0
"""After an erasure nobody can say whom the older entries of the ledger mean."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_engine import TENANT, consent, consenting, make_engine

from voiceauth.ledger.chain import verify
from voiceauth.ledger.pseudonym import commitment
from voiceauth.types import AudioFormat, CallId, Encoding, SubjectId
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.verify_call import VerifyCall

ANNA = SubjectId("anna")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Return an engine in which anna did this and that, called, and was erased."""
    built = make_engine(tmp_path)
    consenting(built, "anna")
    called(built)
    yield built
    built.vault.close()


def called(engine: Engine) -> None:
    """Let somebody claim to be anna and hang up."""
    call = VerifyCall(engine, Claim(CallId("c"), TENANT, ANNA, AudioFormat(Encoding.MULAW)))
    call.load()
    call.conclude()


def names(engine: Engine, after: int = 0) -> list[str]:
    """Return the pseudonyms that stand in the entries."""
    bodies = [json.loads(one.body) for one in engine.vault.ledger(after=after)]
    return [body["subject"] for body in bodies if "subject" in body]


def test_before_the_erasure_the_entries_of_a_subject_belong_together(engine: Engine) -> None:
    """All of them have one pseudonym, which the engine can tell."""
    with engine.vault.read() as view:
        assert set(names(engine)) == {engine.subject_pseudonym(view, TENANT, ANNA)}


def test_after_it_no_secret_of_the_installation_leads_to_them(engine: Engine) -> None:
    """Neither the id with every key that is left, nor the erasure, gives the pseudonym.

    Who has the vault can count which entry is whose erasure, so it must not name the stand-in.
    """
    before = set(names(engine))
    erasure = erase_subject(engine, TENANT, ANNA)

    tombstone = json.loads(engine.vault.ledger()[-1].body)
    with engine.vault.read() as view:
        now = engine.subject_pseudonym(view, TENANT, ANNA)

    assert now == engine.pseudonym(TENANT, ANNA)
    assert now not in before
    assert not [one for one in before if one in json.dumps(tombstone)]
    assert tombstone["commitment"] == commitment(erasure.token, TENANT, ANNA)
    assert erasure.token not in json.dumps(tombstone)
    assert len(erasure.token) == 32
    assert erasure.token not in repr(erasure)


def test_a_later_claim_and_a_new_enrolment_are_strangers_to_the_old_entries(
    engine: Engine,
) -> None:
    """The same id gets other pseudonyms: one while nobody knows it, a fresh one when created."""
    before = set(names(engine))
    erased = erase_subject(engine, TENANT, ANNA)
    called(engine)
    manage_subjects.create_subject(engine, TENANT, ANNA, frozenset())
    manage_subjects.record_consent(engine, TENANT, ANNA, consent(engine))

    later = names(engine, after=erased.record_id)

    assert len(set(later)) == 2
    assert not before & set(later)


def test_the_chain_holds_over_tombstones(engine: Engine) -> None:
    """No entry is changed by an erasure, so every hash is what it was."""
    hashes = [one.entry_hash for one in engine.vault.ledger()]
    erase_subject(engine, TENANT, ANNA)
    entries = engine.vault.ledger()

    assert verify(entries) == len(entries)
    assert [one.entry_hash for one in entries][: len(hashes)] == hashes
