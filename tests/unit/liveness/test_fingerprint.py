# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from spoken import part, spoken

from voiceauth.errors import BadAudioError, InternalError
from voiceauth.liveness.fingerprint import (
    Fingerprinter,
    Floats,
    fingerprint,
    frames_of,
    packed,
)
from voiceauth.testing.channel import Channel, Noise, apply
from voiceauth.testing.codecs import Codec, Coding
from voiceauth.types import Fingerprint, Samples

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


def agreement(one: Samples, other: Samples, other_key: bytes = KEY) -> float:
    """Return the share of agreeing bits beyond chance, frame by frame."""
    left, right = frames_of(fingerprint(one, KEY)), frames_of(fingerprint(other, other_key))
    count = min(len(left), len(right))
    return float(np.mean(left[:count] * right[:count]))


def in_pieces(samples: Samples, size: int) -> Floats:
    """Make frames from pieces of a recording."""
    printer, frames = Fingerprinter(KEY), []
    for start in range(0, len(samples), size):
        piece = samples[start : start + size]
        frames.append(printer.push(piece, np.ones(piece.shape, dtype=np.bool_)))
    return np.concatenate(frames)


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 8000), np.float32), np.full(8000, np.nan, np.float32)]
)
def test_what_is_no_recording_is_refused(samples: Samples) -> None:
    """Two dimensions, and values that are not numbers, have no fingerprint."""
    with pytest.raises(BadAudioError):
        fingerprint(samples, KEY)


def test_a_key_of_another_length_is_refused() -> None:
    """A short key would be guessable; none is padded."""
    with pytest.raises(InternalError):
        fingerprint(spoken("first"), b"short")


def test_bytes_that_do_not_fit_are_refused() -> None:
    """A fingerprint with missing bytes is not read as a shorter one."""
    with pytest.raises(InternalError):
        frames_of(Fingerprint("1", 3, b"1234"))


def test_another_key_agrees_by_chance_only() -> None:
    """The same recording under two keys has nothing in common."""
    assert abs(agreement(spoken("first"), spoken("first"), OTHER_KEY)) < 0.15


def test_other_speech_agrees_by_chance_only() -> None:
    """Frames of two recordings at the same places have little in common."""
    assert abs(agreement(spoken("first"), spoken("second"))) < 0.2


@pytest.mark.parametrize(
    "coding", [Coding(Codec.PCMU), Coding(Codec.PCMA), Coding(Codec.GSM)], ids=lambda c: c.codec
)
def test_it_survives_a_codec(coding: Coding) -> None:
    """Most bits are the same after a telephone codec and noise at 25 dB."""
    line = Channel(-26.0, noises=(Noise("colour", 25.0, -3.0, 1),), codings=(coding,))
    assert agreement(spoken("first"), apply(line, spoken("first"))) > 0.5


def test_level_does_not_matter() -> None:
    """Half the level gives the same bits."""
    assert agreement(spoken("first"), spoken("first") * np.float32(0.5)) > 0.99


def test_pieces_give_the_same_frames_as_the_whole() -> None:
    """A live stream and a whole recording have one fingerprint."""
    whole = frames_of(fingerprint(spoken("first"), KEY))
    pieces = in_pieces(spoken("first"), 2400)

    assert pieces.shape == whole.shape
    assert np.mean(pieces == whole) > 0.999


def test_pauses_give_no_bits() -> None:
    """Where nothing was said there is nothing to agree in, after packing as well."""
    samples = spoken("first")
    frames = Fingerprinter(KEY).push(samples, np.arange(len(samples)) < 16_000)

    assert frames[:20].all()
    assert not frames[-20:].any()
    assert np.array_equal(frames_of(packed(frames)), frames)


def test_a_faster_recording_is_found_at_its_speed() -> None:
    """Playing back at a twentieth faster is undone by the slower track."""
    samples = part("first", 0.0, 6.0)
    places = np.arange(0.0, len(samples) - 1, 1.04)
    fast = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    slowed = frames_of(fingerprint(fast, KEY, speed=1.0 / 1.04))
    original = frames_of(fingerprint(samples, KEY))[: len(slowed)]

    assert np.mean(slowed[: len(original)] * original) > 0.7
