# SPDX-License-Identifier: Apache-2.0
import sqlite3
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from voiceauth.errors import InputError, IntegrityError, InternalError
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import (
    Attempts,
    Burial,
    Counter,
    FailedVoice,
    SubjectId,
    TenantId,
    Tombstone,
)
from voiceauth.vault.attempt_codec import (
    decode_attempts,
    decode_failed_voice,
    encode_attempts,
    encode_failed_voice,
)
from voiceauth.vault.store import SqliteVault

BANK, SHOP = TenantId("bank"), TenantId("shop")
ANNA = SubjectId("anna")
COUNTS = Attempts(3, 2, 9, EPOCH)


def test_counters_come_back_as_they_were(vault: SqliteVault) -> None:
    """Each counter of each name of each tenant is its own; the rest is zero."""
    with vault.begin() as change:
        change.put_attempts(BANK, Counter.VOICE, "a", COUNTS, at=EPOCH, subject=SubjectId("a"))
    with vault.read() as view:
        assert view.attempts(BANK, Counter.VOICE, "a") == COUNTS
        for other in (
            view.attempts(SHOP, Counter.VOICE, "a"),
            view.attempts(BANK, Counter.NUMBER, "a"),
            view.attempts(BANK, Counter.VOICE, "b"),
        ):
            assert other == Attempts()


def test_counters_are_replaced(vault: SqliteVault) -> None:
    """The newest count is the count."""
    with vault.begin() as change:
        change.put_attempts(BANK, Counter.NUMBER, "1", COUNTS, at=EPOCH)
        change.put_attempts(BANK, Counter.NUMBER, "1", Attempts(total=9), at=EPOCH)
    with vault.read() as view:
        assert view.attempts(BANK, Counter.NUMBER, "1") == Attempts(total=9)


def test_a_view_counts_nothing(vault: SqliteVault) -> None:
    """Counters change in write transactions only."""
    with vault.read() as view, pytest.raises(InternalError):
        view.put_attempts(BANK, Counter.NUMBER, "1", COUNTS, at=EPOCH)


def test_forgetting_counters_keeps_to_kind_and_time(vault: SqliteVault) -> None:
    """Only counters of the kind that were not changed for so long go."""
    later = EPOCH + timedelta(days=1)
    with vault.begin() as change:
        change.put_attempts(BANK, Counter.VOICE, "a", COUNTS, at=EPOCH)
        change.put_attempts(BANK, Counter.NUMBER, "1", COUNTS, at=EPOCH)
        change.put_attempts(BANK, Counter.NUMBER, "2", COUNTS, at=later)

        assert change.forget_attempts(Counter.NUMBER, before=later) == 1


def test_a_name_that_is_no_text_is_refused(vault: SqliteVault) -> None:
    """Lone surrogates reach no key."""
    with vault.read() as view, pytest.raises(InputError):
        view.attempts(BANK, Counter.VOICE, "\udc00")


@pytest.mark.parametrize("attempts", [Attempts(), COUNTS, Attempts(2**40, 1, 2**50)])
def test_counters_survive_coding(attempts: Attempts) -> None:
    """What is written is read."""
    assert decode_attempts(encode_attempts(attempts)) == attempts


@pytest.mark.parametrize(
    "payload",
    [b"", encode_attempts(COUNTS)[:-1], encode_attempts(COUNTS)[:-8] + b"\xff" * 7 + b"\x7f"],
)
def test_malformed_counters_never_read_as_none(payload: bytes) -> None:
    """A payload that does not decode stops everything."""
    with pytest.raises(IntegrityError):
        decode_attempts(payload)


def test_a_voice_survives_coding() -> None:
    """Embedding, seconds and time come back."""
    voice = FailedVoice(np.arange(4, dtype=np.float32), 2.5, EPOCH)

    again = decode_failed_voice(encode_failed_voice(voice))

    assert (again.net_seconds, again.heard_at) == (2.5, EPOCH)
    assert again.embedding.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("payload", [b"", b"x" * 16, b"\x00" * 17])
def test_a_malformed_voice_is_refused(payload: bytes) -> None:
    """A payload that does not decode is no voice."""
    with pytest.raises(IntegrityError):
        decode_failed_voice(payload)


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros((2, 2), dtype=np.float32),
        np.zeros(3),
        np.array([np.nan], dtype=np.float32),
    ],
)
def test_what_is_no_embedding_is_not_stored(vector: np.ndarray) -> None:
    """Shapes, types and values are those of an embedding."""
    with pytest.raises(InternalError):
        encode_failed_voice(FailedVoice(vector, 1.0, EPOCH))


def test_what_is_counted_about_an_erased_subject_goes_again_when_a_backup_is_restored(
    vault: SqliteVault, tmp_path: Path
) -> None:
    """Counters and step-ups of somebody whom the backup may not even know as a subject."""
    with vault.begin() as change:
        change.create_subject(BANK, ANNA, at=EPOCH, groups=frozenset())
        change.put_attempts(BANK, Counter.VOICE, ANNA, COUNTS, at=EPOCH, subject=ANNA)
        change.put_attempts(BANK, Counter.VOICE, "b", COUNTS, at=EPOCH, subject=SubjectId("b"))
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        (row_key,) = connection.execute("SELECT row_key FROM subjects").fetchone()

    with vault.begin() as change:
        assert change.bury_again(Tombstone(1, row_key, Burial.ERASED, EPOCH))

    with vault.read() as view:
        assert view.attempts(BANK, Counter.VOICE, ANNA) == Attempts()
        assert view.attempts(BANK, Counter.VOICE, "b") == COUNTS
