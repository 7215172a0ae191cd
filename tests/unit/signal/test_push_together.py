# SPDX-License-Identifier: Apache-2.0
"""Streams that are worked on at once, against each of them alone."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voiceauth.errors import BadAudioError, EngineError
from voiceauth.signal import detector, vad
from voiceauth.signal.g711 import encode_alaw, encode_mulaw
from voiceauth.signal.net_speech import NetSpeech, push_together
from voiceauth.types import AudioFormat, Encoding, Span

DATA = Path(__file__).resolve().parents[2] / "data"
MULAW, ALAW = AudioFormat(Encoding.MULAW), AudioFormat(Encoding.ALAW)
WIDE = AudioFormat(Encoding.PCM16LE, 16000, 2, 1)


@lru_cache(maxsize=8)
def audio(which: int, audio_format: AudioFormat) -> bytes:
    """Return one of two readers in a format."""
    sound, rate = soundfile.read(sorted(DATA.glob("speech-*.opus"))[which])
    at_rate = np.clip(soxr.resample(sound, rate, audio_format.rate_hz), -1, 0.999)
    pcm = (at_rate * 32767).astype(np.int16)
    if audio_format.encoding is Encoding.MULAW:
        return encode_mulaw(pcm).tobytes()
    if audio_format.encoding is Encoding.ALAW:
        return encode_alaw(pcm).tobytes()
    return np.repeat(pcm, audio_format.channels).astype("<i2").tobytes()


CALLS = [(0, MULAW), (1, MULAW), (0, ALAW), (1, WIDE), (0, MULAW)]


def alone(data: bytes, audio_format: AudioFormat) -> list[Span]:
    """Hear one stream by itself."""
    stream = NetSpeech(audio_format)
    return stream.push(data) + stream.finish()


def together(sizes: list[int]) -> list[list[Span]]:
    """Hear all calls at once, each in chunks of its own size, some beginning later."""
    streams = [NetSpeech(audio_format) for _, audio_format in CALLS]
    data = [audio(*call) for call in CALLS]
    heard = [0] * len(CALLS)
    found: list[list[Span]] = [[] for _ in CALLS]
    turn = 0
    while any(at < len(all_) for at, all_ in zip(heard, data, strict=True)):
        who = [n for n in range(len(CALLS)) if turn >= 2 * n and heard[n] < len(data[n])]
        chunks = [data[n][heard[n] : heard[n] + sizes[n]] for n in who]
        for n, spans in zip(who, push_together([streams[n] for n in who], chunks), strict=True):
            assert isinstance(spans, list)
            found[n] += spans
            heard[n] += sizes[n]
        turn += 1
    return [spans + stream.finish() for spans, stream in zip(found, streams, strict=True)]


@pytest.mark.parametrize("sizes", [[1600, 1600, 1600, 12800, 1600], [160, 999, 4000, 6400, 1601]])
def test_a_stream_is_heard_as_if_it_were_alone(sizes: list[int]) -> None:
    """Who else calls at the same time changes nothing about a call's spans."""
    for spans, (which, audio_format) in zip(together(sizes), CALLS, strict=True):
        expected = alone(audio(which, audio_format), audio_format)
        assert len(spans) == len(expected) > 0
        for one, other in zip(spans, expected, strict=True):
            np.testing.assert_array_equal(one.samples, other.samples)
            assert (one.start_seconds, one.end_seconds) == (other.start_seconds, other.end_seconds)
            assert one.quality == other.quality


def test_a_stream_that_fails_fails_alone() -> None:
    """The error of one stream is its own result; the others get theirs."""
    streams = [NetSpeech(MULAW), NetSpeech(MULAW)]
    good, bad = push_together(streams, [audio(0, MULAW)[:32_000], b"RIFF" + bytes(3000)])

    assert isinstance(good, list)
    assert isinstance(bad, BadAudioError)
    assert streams[0].heard_seconds == 4.0
    with pytest.raises(EngineError):
        streams[1].push(b"")


def test_streams_at_the_same_place_are_measured_in_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten blocks of twenty streams cost the numpy calls of one block, not of two hundred."""
    passes = []

    def counted(windows: list[vad.Floats], rate_hz: int) -> vad.Floats:
        passes.append(len(windows))
        return vad.measure(windows, rate_hz)

    monkeypatch.setattr(detector, "measure", counted)
    push_together([NetSpeech(MULAW) for _ in range(20)], [audio(0, MULAW)[:16_000]] * 20)

    assert passes == [20]
