# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from spoken import part

from voiceauth.liveness.fingerprint import fingerprint, shipped_directions
from voiceauth.liveness.replay import (
    BLOCK,
    SHIPPED,
    STEP,
    Comparison,
    Line,
    Memory,
    ReplayCalibration,
    covered_seconds,
    memory_of,
    stand_in,
)
from voiceauth.testing.channel import Channel, Noise, apply
from voiceauth.testing.codecs import Codec, Coding
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import CallId, Fingerprint, HeardRecording, ReplayEvidence, Samples

KEY = bytes(range(32))
LENGTH = 2000


def recording(call: str, samples: Samples) -> HeardRecording:
    """Remember a call."""
    return HeardRecording(CallId(call), EPOCH, fingerprint(samples, KEY))


def both() -> Memory:
    """Return the memory of two calls."""
    calls = [recording("one", part("first", 0.0, 6.0)), recording("two", part("second", 0.0, 6.0))]
    return memory_of(calls, LENGTH, b"filling")


def compared(memory: Memory, samples: Samples, size: int = 8000) -> ReplayEvidence | None:
    """Compare a call, piece by piece."""
    comparison = Comparison(KEY, memory)
    for start in range(0, len(samples), size):
        piece = samples[start : start + size]
        comparison.push(piece, np.ones(piece.shape, dtype=np.bool_))
    return comparison.evidence()


def over_another_line(samples: Samples, codec: Codec = Codec.PCMA) -> Samples:
    """Send speech through noise and a codec."""
    line = Channel(-30.0, noises=(Noise("colour", 25.0, -3.0, 2),), codings=(Coding(codec),))
    return apply(line, samples)


def test_the_shipped_calibration_belongs_to_the_shipped_directions() -> None:
    """A calibration of other directions would give numbers without meaning."""
    assert SHIPPED.directions == shipped_directions().version
    assert SHIPPED.lines[0].from_seconds == 0.0
    assert all(line.slope < 0.0 < line.most for line in SHIPPED.lines)


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.GSM])
def test_a_recording_that_is_played_again_is_found(codec: Codec) -> None:
    """The ratio speaks against a live voice and names the call, whatever came before it."""
    found = compared(both(), over_another_line(part("second", 0.7, 6.0), codec))

    assert found is not None
    assert found.llr < 0.0
    assert found.call == "two"
    assert found.speed == 1.0
    assert found.matched_seconds > 1.5


def test_a_faster_replay_is_found() -> None:
    """Playing back three per cent faster does not hide a recording."""
    samples = part("first", 0.0, 6.0)
    places = np.arange(0.0, len(samples) - 1, 1.03)
    fast = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    found = compared(both(), over_another_line(fast))

    assert found is not None
    assert found.llr < 0.0
    assert found.call == "one"


def test_a_replay_with_other_speech_around_it_is_found() -> None:
    """Half a call of new speech does not make the other half new."""
    mixed = np.concatenate([part("first", 0.0, 5.0), part("second", 6.0, 9.0)])
    found = compared(both(), over_another_line(mixed))

    assert found is not None
    assert found.llr < 0.0
    assert found.matched_seconds < found.compared_seconds


def test_new_speech_of_the_same_person_is_live() -> None:
    """Other sentences of the remembered voices are not taken for their recordings."""
    for who in ("first", "second"):
        found = compared(both(), part(who, 6.0, 9.0))
        assert found is not None
        assert found.llr > 0.0
        assert found.call is None


def test_before_the_first_block_there_is_no_ratio() -> None:
    """A second of speech is too little to say anything: absent, not passed."""
    assert compared(both(), part("second", 0.0, 1.0)) is None


def test_without_anything_remembered_there_is_no_ratio() -> None:
    """Nothing to compare with is absent as well, and is known beforehand."""
    empty = memory_of([], LENGTH, b"filling")

    assert not Comparison(KEY, empty).possible
    assert compared(empty, part("second", 0.0, 6.0)) is None


def test_another_versions_fingerprints_are_not_compared() -> None:
    """Directions that were learned anew cannot be held against old ones."""
    old = HeardRecording(CallId("one"), EPOCH, Fingerprint("old", 100, bytes(400)))
    assert memory_of([old], LENGTH, b"filling").searched == 0


def test_a_calibration_of_other_directions_says_nothing() -> None:
    """Absent, rather than a number that means something else."""
    other = ReplayCalibration("other", (Line(0.0, -10.0, 5.0, 5.0),))
    assert not Comparison(KEY, both(), other).possible


def test_a_stand_in_is_compared_and_never_found() -> None:
    """Somebody who is not there gets a ratio of the same form, for a live voice."""
    found = compared(stand_in(LENGTH, b"filling"), part("second", 0.0, 6.0))

    assert found is not None
    assert found.llr > 0.0
    assert found.call is None


def test_all_memories_are_equally_long() -> None:
    """The work of a comparison does not tell how much is remembered of whom."""
    lengths = {
        len(memory.words)
        for memory in (both(), memory_of([], LENGTH, b""), stand_in(LENGTH, b"other"))
    }
    assert lengths == {LENGTH + BLOCK}


def test_the_newest_recordings_have_the_room() -> None:
    """What does not fit any more is the oldest."""
    first, second = (
        recording("one", part("first", 0.0, 6.0)),
        recording("two", part("second", 0.0, 6.0)),
    )
    memory = memory_of([first, second], second.fingerprint.frames + BLOCK, b"")

    assert memory.calls == ("two",)


def test_the_ratio_falls_with_agreement_and_has_bounds() -> None:
    """More agreement never speaks for a live voice, and no ratio exceeds its trials."""
    line = ReplayCalibration("1", (Line(0.0, -20.0, 10.0, 6.0),))
    ratios = [line.llr(agreement, 2.0) for agreement in (-1.0, 0.4, 0.6, 1.0)]

    assert ratios == sorted(ratios, reverse=True)
    assert (ratios[0], ratios[-1]) == (6.0, -6.0)


def test_more_speech_has_a_line_of_its_own() -> None:
    """The same agreement is worth more over a longer stretch."""
    both_lines = ReplayCalibration("1", (Line(0.0, -5.0, 2.0, 2.0), Line(4.0, -20.0, 10.0, 6.0)))

    assert both_lines.llr(0.8, 3.9) == pytest.approx(-2.0)
    assert both_lines.llr(0.8, 4.0) == pytest.approx(-6.0)


def test_half_overlapping_blocks_are_counted_once() -> None:
    """Two neighbours cover three halves, two apart cover four."""
    half = STEP * 0.032

    assert covered_seconds([True, True, False]) == pytest.approx(3 * half)
    assert covered_seconds([True, False, True]) == pytest.approx(4 * half)
    assert covered_seconds([False]) == 0.0


def test_a_memory_is_as_small_as_what_is_stored() -> None:
    """Hundreds of calls wait at once: each holds four bytes per remembered frame and no more."""
    memory = both()
    held = memory.words.nbytes + memory.silent.nbytes + memory.starts.nbytes

    assert held < 6 * (LENGTH + BLOCK)
