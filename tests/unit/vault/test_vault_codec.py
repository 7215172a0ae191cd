# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.testing.fakes import EPOCH
from voiceauth.testing.records import (
    MODEL,
    made_up_consent,
    made_up_segment,
    made_up_voiceprint,
)
from voiceauth.types import Embedding, GroupName, SubjectId, SubjectState, Voiceprint, VoiceprintId
from voiceauth.vault import codec
from voiceauth.vault.codec import SubjectRecord

PRINT = made_up_voiceprint("v1", "alice", segments=3)


def decoded(payload: bytes) -> Voiceprint:
    """Read a voiceprint payload."""
    return codec.decode_voiceprint(
        payload, voiceprint=VoiceprintId("v1"), subject=SubjectId("alice"), model=MODEL
    )


def test_a_voiceprint_comes_back_bit_by_bit() -> None:
    """Embedding, provenance and times are exact after a round trip."""
    found = decoded(codec.encode_voiceprint(PRINT))

    assert found.embedding.dtype == np.float32
    assert np.array_equal(found.embedding, PRINT.embedding)
    assert (found.net_seconds, found.created_at) == (PRINT.net_seconds, PRINT.created_at)
    for was, now in zip(PRINT.segments, found.segments, strict=True):
        assert np.array_equal(was.embedding, now.embedding)
        empty = np.zeros(1, np.float32)
        # An array makes dataclasses unequal to themselves, so it is compared apart.
        plain = [replace(one, embedding=empty) for one in (was, now)]
        assert repr(plain[0]) == repr(plain[1])


def test_the_same_voiceprint_gives_the_same_bytes() -> None:
    """The coding has no freedom: no dictionaries, no addresses, no time of writing."""
    assert codec.encode_voiceprint(PRINT) == codec.encode_voiceprint(PRINT)


def test_the_seconds_can_be_read_alone() -> None:
    """A list of subjects need not decode embeddings."""
    assert codec.voiceprint_seconds(codec.encode_voiceprint(PRINT)) == PRINT.net_seconds


def test_every_truncated_payload_is_refused() -> None:
    """A payload cut short anywhere is malformed, never a shorter voiceprint."""
    payload = codec.encode_voiceprint(PRINT)
    for length in range(len(payload)):
        with pytest.raises(IntegrityError):
            decoded(payload[:length])


def test_every_truncated_list_of_segments_is_refused() -> None:
    """Segments cut short anywhere are malformed, never fewer segments."""
    payload = codec.encode_segments([made_up_segment(1)])
    for length in range(len(payload)):
        with pytest.raises(IntegrityError):
            codec.decode_segments(payload[:length])
    with pytest.raises(IntegrityError):
        codec.voiceprint_seconds(b"short")


def test_trailing_bytes_are_refused() -> None:
    """A payload says everything or it is malformed."""
    with pytest.raises(IntegrityError):
        decoded(codec.encode_voiceprint(PRINT) + b"\0")
    with pytest.raises(IntegrityError):
        codec.decode_segments(codec.encode_segments([made_up_segment(1)]) + b"\0")


@pytest.mark.parametrize(
    "embedding",
    [
        np.array([np.nan], np.float32),
        np.array([np.inf], np.float32),
        np.zeros((2, 2), np.float32),
        np.zeros(0, np.float32),
        np.zeros(4, np.float64),
    ],
)
def test_what_is_no_embedding_is_not_stored(embedding: Embedding) -> None:
    """NaN, infinity, and other shapes and types never reach the disk."""
    with pytest.raises(InternalError):
        codec.encode_voiceprint(replace(PRINT, embedding=embedding))


def test_a_consent_and_a_record_come_back() -> None:
    """Consents and subject records are exact after a round trip."""
    consent = replace(
        made_up_consent(),
        expires_at=EPOCH + timedelta(microseconds=1),
        channel="branch",
        jurisdiction="US-IL",
    )
    record = SubjectRecord(
        SubjectId("älice"),
        SubjectState.OPTED_OUT,
        EPOCH,
        frozenset({GroupName("a")}),
        last_interaction_at=EPOCH,
        ledger_secret=bytes(range(32)),
    )

    assert codec.decode_consent(codec.encode_consent(consent)) == consent
    assert codec.decode_record(codec.encode_record(record)) == record


def test_what_an_earlier_version_wrote_is_read() -> None:
    """Rows without the newer fields have them empty."""
    consent = {"given_us": 0, "expires_us": None, "withdrawn_us": None}
    texts = dict.fromkeys(("text_sha256", "purpose", "locale", "method"), "x")
    old = json.dumps({**consent, **texts}).encode()
    record = b'{"created_us":0,"groups":[],"state":"active","subject":"a"}'

    found = codec.decode_consent(old)

    assert (found.channel, found.jurisdiction) == ("", "")
    assert codec.decode_record(record).last_interaction_at is None
    assert codec.decode_record(record).ledger_secret == b""


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"null", b"\xff", b'{"given_us":1e999}'])
def test_malformed_text_payloads_are_refused(payload: bytes) -> None:
    """Whatever was stored, the error is one of integrity."""
    with pytest.raises(IntegrityError):
        codec.decode_consent(payload)
    with pytest.raises(IntegrityError):
        codec.decode_record(payload)
    with pytest.raises(IntegrityError):
        codec.decode_name_and_groups(payload)


@pytest.mark.parametrize("end", [b" ", b"x", b"{}", b"\x00"])
def test_a_record_that_goes_on_behind_its_end_is_refused(end: bytes) -> None:
    """The quick reading of a name takes what was written, whole."""
    payload = b'{"groups":["b","a"],"subject":"x"}'

    subject, groups = codec.decode_name_and_groups(payload)
    assert (subject, sorted(groups)) == ("x", ["a", "b"])
    with pytest.raises(IntegrityError):
        codec.decode_name_and_groups(payload + end)


def test_every_truncated_vector_is_refused() -> None:
    """The embedding alone is cut out whole, or not at all."""
    payload = codec.encode_voiceprint(PRINT)
    whole = codec.voiceprint_vector(payload)

    np.testing.assert_array_equal(codec.stacked([whole])[0], PRINT.embedding)
    for length in range(len(whole) + 20):
        with pytest.raises(IntegrityError):
            codec.voiceprint_vector(payload[:length])


def test_vectors_of_different_lengths_are_refused() -> None:
    """What one model made is of one length."""
    assert codec.stacked([bytes(8), bytes(8)]).shape == (2, 2)
    for vectors in ([bytes(8), bytes(4)], [b"", b""]):
        with pytest.raises(IntegrityError):
            codec.stacked(vectors)


def test_an_impossible_time_is_refused() -> None:
    """A time beyond the calendar is malformed, not a crash."""
    record = SubjectRecord(SubjectId("a"), SubjectState.ACTIVE, EPOCH, frozenset())
    payload = codec.encode_record(record).replace(b'"created_us":', b'"created_us":99999')

    with pytest.raises(IntegrityError):
        codec.decode_record(payload)
    with pytest.raises(InternalError):
        codec.to_microseconds(EPOCH.replace(tzinfo=None))
