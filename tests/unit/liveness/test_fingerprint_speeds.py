# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from spoken import spoken

from voiceauth.errors import BadAudioError, InternalError
from voiceauth.liveness.fingerprint import Fingerprinter, Floats
from voiceauth.liveness.fingerprint_speeds import SpeedPrinter
from voiceauth.liveness.replay import SPEEDS
from voiceauth.types import Samples

KEY = bytes(range(32))


def marks(samples: Samples) -> "np.typing.NDArray[np.bool_]":
    """Mark speech with a pause in it."""
    places = np.arange(len(samples))
    return (places < 16_000) | (places > 30_000)


def together(samples: Samples, size: int) -> list[Floats]:
    """Make the frames of all speeds from pieces."""
    printer, speech = SpeedPrinter(KEY, SPEEDS), marks(samples)
    pieces = [
        printer.push(samples[start : start + size], speech[start : start + size])
        for start in range(0, len(samples), size)
    ]
    return [np.concatenate(frames) for frames in zip(*pieces, strict=True)]


def alone(samples: Samples, speed: float) -> Floats:
    """Make the frames of one speed by playing the recording at it."""
    return Fingerprinter(KEY, speed=speed).push(samples, marks(samples))


def test_what_is_no_recording_is_refused() -> None:
    """Marks that do not fit the samples are an error, not a guess."""
    with pytest.raises(BadAudioError):
        SpeedPrinter(KEY, SPEEDS).push(np.zeros(80, np.float32), np.ones(79, np.bool_))


def test_a_key_of_another_length_is_refused() -> None:
    """As by the printer of one speed."""
    with pytest.raises(InternalError):
        SpeedPrinter(b"short", SPEEDS)


def test_silence_too_short_for_a_frame_gives_none() -> None:
    """Before the first support is heard there is nothing at any speed."""
    made = SpeedPrinter(KEY, SPEEDS).push(np.zeros(100, np.float32), np.ones(100, np.bool_))
    assert [frames.shape for frames in made] == [(0, 32)] * len(SPEEDS)


def test_speed_one_is_what_is_remembered() -> None:
    """The frames at speed 1 are those of the printer that makes the stored fingerprints."""
    whole, own = together(spoken("first"), 2400)[0], alone(spoken("first"), 1.0)

    assert whole.shape == own.shape
    assert np.mean(whole == own) > 0.999


@pytest.mark.parametrize("speed", SPEEDS[1:])
def test_other_speeds_agree_with_playing_at_them(speed: float) -> None:
    """One analysis for all speeds costs next to no agreement."""
    shared = together(spoken("second"), 2400)[SPEEDS.index(speed)]
    own = alone(spoken("second"), speed)

    assert shared.shape == own.shape
    assert np.array_equal(shared.any(axis=1), own.any(axis=1))
    assert np.mean(shared == own) > 0.93


def test_pieces_give_the_same_frames_as_the_whole() -> None:
    """How a call was cut does not matter at any speed."""
    whole = together(spoken("first"), len(spoken("first")))

    for pieces, frames in zip(together(spoken("first"), 1111), whole, strict=True):
        assert pieces.shape == frames.shape
        assert np.mean(pieces == frames) > 0.999


def test_what_is_kept_does_not_grow_with_the_call() -> None:
    """After half a minute as much is kept as after some seconds."""

    def kept(seconds: int) -> int:
        printer, rng = SpeedPrinter(KEY, SPEEDS), np.random.default_rng(1)
        for _ in range(seconds):
            piece = rng.standard_normal(8000).astype(np.float32)
            printer.push(piece, np.ones(8000, np.bool_))
        return sum(part.nbytes for part in vars(printer).values() if isinstance(part, np.ndarray))

    assert kept(30) <= 1.2 * kept(4)
