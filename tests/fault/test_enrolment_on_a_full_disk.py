# SPDX-License-Identifier: Apache-2.0
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_engine import MODEL, TENANT, consenting, make_engine, span

from voiceauth.errors import StorageError
from voiceauth.types import (
    AudioFormat,
    CallId,
    Decision,
    Encoding,
    EnrolmentOutcome,
    SubjectId,
)
from voiceauth.usecases.claim import Claim
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest
from voiceauth.usecases.verify_call import VerifyCall

MULAW = AudioFormat(Encoding.MULAW)
ANNA = 7


@contextmanager
def full_disk(home: Path) -> Iterator[None]:
    """Let every write fail that makes a file longer than the vault's log is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((home / "vault.db-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def heard(engine: Engine, subject: SubjectId) -> EnrolCall:
    """Return an enrolment call that has heard enough."""
    call = EnrolCall(engine, EnrolmentRequest(CallId("c"), TENANT, subject, MULAW))
    call.load()
    for _ in range(3):
        call.weigh(span(ANNA), engine.embedder.embed(span(ANNA).samples))
    return call


def test_an_enrolment_on_a_full_disk_stores_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    """The caller is told, no half voiceprint is searched or stored, and space heals it."""
    engine = make_engine(tmp_path)
    anna = consenting(engine, "anna")
    call = heard(engine, anna)

    with full_disk(tmp_path):
        with pytest.raises(StorageError):
            call.conclude()
        with engine.vault.read() as view:
            assert not view.voiceprints(TENANT, anna, MODEL)
        assert len(engine.gallery) == 0

    assert call.conclude().outcome is EnrolmentOutcome.ENROLLED
    engine.vault.close()


def test_a_verification_on_a_full_disk_has_no_verdict(tmp_path: Path) -> None:
    """A match that cannot be recorded is not told; with space again it is."""
    engine = make_engine(tmp_path)
    anna = consenting(engine, "anna")
    heard(engine, anna).conclude()
    call = VerifyCall(engine, Claim(CallId("c"), TENANT, anna, MULAW))
    call.load()
    call.weigh(span(ANNA), engine.embedder.embed(span(ANNA).samples))

    with full_disk(tmp_path), pytest.raises(StorageError):
        call.conclude()

    assert call.conclude().decision is Decision.ACCEPT
    engine.vault.close()
