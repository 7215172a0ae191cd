# SPDX-License-Identifier: Apache-2.0
"""Properties of net speech over arbitrary bytes and arbitrary chunks."""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceauth.errors import EngineError
from voiceauth.signal import g711
from voiceauth.signal.net_speech import NetSpeech
from voiceauth.types import AudioFormat, Encoding, Span

DATA = Path(__file__).resolve().parents[1] / "data"
MULAW = AudioFormat(Encoding.MULAW)


@lru_cache(maxsize=1)
def call() -> bytes:
    """Nine seconds of a reader as µ-law."""
    audio, rate = soundfile.read(min(DATA.glob("speech-*.opus")))
    narrow = np.clip(soxr.resample(audio, rate, 8000), -1, 0.999)
    return g711.encode_mulaw((narrow * 32767).astype(np.int16)).tobytes()


@lru_cache(maxsize=1)
def whole() -> list[Span]:
    """Spans of the call in one push."""
    speech = NetSpeech(MULAW)
    return speech.push(call()) + speech.finish()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=40))
def test_spans_do_not_depend_on_the_chunks(sizes: list[int]) -> None:
    """Any split of the byte stream gives exactly the same spans."""
    speech = NetSpeech(MULAW)
    spans: list[Span] = []
    start = 0
    for size in [*sizes, len(call())]:
        spans += speech.push(call()[start : start + size])
        start += size
    spans += speech.finish()

    assert len(spans) == len(whole()) > 0
    for one, other in zip(spans, whole(), strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one.start_seconds == other.start_seconds
        assert one.end_seconds == other.end_seconds
        assert one.quality == other.quality
    assert math.isclose(speech.net_seconds, sum(s.net_seconds for s in spans if s.counted))


_FORMATS = st.sampled_from(
    [
        MULAW,
        AudioFormat(Encoding.ALAW),
        AudioFormat(Encoding.PCM16LE, 11025),
        AudioFormat(Encoding.PCM16LE, 48000, 2, 1),
    ]
)


@settings(max_examples=40, deadline=None)
@given(_FORMATS, st.lists(st.binary(max_size=3000), max_size=8), st.integers(1, 20))
def test_random_bytes_raise_only_errors_of_the_engine(
    audio_format: AudioFormat, chunks: list[bytes], repeat: int
) -> None:
    """Whatever the bytes, spans are finite and nothing but the engine's own errors comes out."""
    speech = NetSpeech(audio_format)
    try:
        spans = [span for chunk in chunks for span in speech.push(chunk * repeat)]
        speech.dtmf(0.1)
        spans += speech.gap(0.5)
        spans += speech.finish()
    except EngineError:
        return
    assert all(np.isfinite(span.samples).all() for span in spans)
    counted = sum(span.net_seconds for span in spans if span.counted)
    assert math.isclose(speech.net_seconds, counted, abs_tol=1e-6)
