# SPDX-License-Identifier: Apache-2.0
"""Bytes in, net speech out, on two readings and on what is no speech."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError, SettingsError, TooShortError
from voiceauth.signal import g711
from voiceauth.signal.net_speech import NetSpeech, SpeechOptions
from voiceauth.signal.waveform import spans_of
from voiceauth.types import AudioFormat, Bandwidth, Encoding, Reason, Span

DATA = Path(__file__).resolve().parents[2] / "data"
MULAW = AudioFormat(Encoding.MULAW)
RATE_HZ = 8000
Audio = NDArray[np.float64]


@pytest.fixture(scope="module")
def wide() -> Audio:
    """Some 18 s of two readers, 16 kHz."""
    paths = sorted(DATA.glob("speech-*.opus"))
    return np.concatenate([soundfile.read(path)[0] for path in paths])


@pytest.fixture(scope="module")
def narrow(wide: Audio) -> Audio:
    """The same at 8 kHz."""
    return np.asarray(soxr.resample(wide, 16000, RATE_HZ), dtype=np.float64)


def pcm(audio: Audio) -> NDArray[np.int16]:
    """Round to 16 bits."""
    return np.clip(np.round(audio * 32767), -32768, 32767).astype("<i2")


def mulaw(audio: Audio) -> bytes:
    """Encode for the wire."""
    return g711.encode_mulaw(pcm(audio)).tobytes()


def heard(
    data: bytes,
    audio_format: AudioFormat = MULAW,
    options: SpeechOptions = SpeechOptions(),  # noqa: B008
) -> tuple[NetSpeech, list[Span]]:
    """Run a whole stream."""
    speech = NetSpeech(audio_format, options)
    return speech, speech.push(data) + speech.finish()


def line(*hertz: float, seconds: float = 12.0, on: float = 1.0, off: float = 0.0) -> Audio:
    """Make a tone of equal lines, cadenced, at -14 dBFS a line, on a line's faint hiss."""
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = sum(0.2 * np.sin(2 * np.pi * one * times) for one in hertz)
    hiss = 0.0005 * np.random.default_rng(1).standard_normal(len(times))
    return np.asarray(tone * (times % (on + off) < on) + hiss)


def test_a_block_that_completes_a_span_may_do_so(narrow: Audio) -> None:
    """No span comes of bytes of which the room said beforehand that they can complete none."""
    stream, promised, completed = NetSpeech(MULAW), [], []
    data = mulaw(narrow)
    for at in range(0, len(data), 1600):
        promised.append(stream.may_complete(len(data[at : at + 1600])))
        completed.append(bool(stream.push(data[at : at + 1600])))

    assert any(completed)
    assert all(may for may, did in zip(promised, completed, strict=True) if did)
    assert sum(promised) < len(promised) / 3


def test_speech_becomes_counted_spans_of_the_asked_length(narrow: Audio) -> None:
    """Read speech gives counted spans: the first of 2 s, then 3 s of net speech each."""
    speech, spans = heard(mulaw(narrow))

    assert [round(span.net_seconds, 2) for span in spans[:3]] == [2.0, 3.0, 3.0]
    assert all(span.counted for span in spans)
    assert 0.5 * speech.heard_seconds < speech.net_seconds < speech.heard_seconds
    quality = speech.quality()
    assert quality is not None
    assert quality.issues == ()
    assert quality.snr_db is not None
    assert quality.snr_db > 15


def test_pauses_are_limited(narrow: Audio) -> None:
    """Ten seconds of silence inside speech leave at most 0.3 s of it in the spans."""
    silence = np.zeros(10 * RATE_HZ)
    half = len(narrow) // 2

    _, plain = heard(mulaw(narrow))
    _, paused = heard(mulaw(np.concatenate([narrow[:half], silence, narrow[half:]])))

    more = sum(len(s.samples) for s in paused) - sum(len(s.samples) for s in plain)
    assert more < 1.5 * RATE_HZ


@pytest.mark.parametrize(
    "audio",
    [
        pytest.param(np.zeros(12 * RATE_HZ), id="silence"),
        pytest.param(np.full(12 * RATE_HZ, 0.4), id="dc"),
        pytest.param(0.1 * np.random.default_rng(2).standard_normal(12 * RATE_HZ), id="noise"),
        pytest.param(line(50, 150, 250, 350), id="hum"),
        pytest.param(line(350, 440), id="dial tone, US"),
        pytest.param(line(425), id="dial tone, Europe"),
        pytest.param(line(440, 480, on=2, off=4), id="ring-back, US"),
        pytest.param(line(425, on=1, off=4), id="ring-back, Europe"),
        pytest.param(line(770, 1336, on=0.1, off=0.1), id="DTMF 5"),
        pytest.param(line(941, 1633, on=0.06, off=0.06), id="DTMF D"),
    ],
)
def test_what_is_no_speech_is_not_counted(audio: Audio) -> None:
    """Silence, steady noise, hum and signalling tones yield no net speech at all."""
    speech, spans = heard(mulaw(audio))

    assert spans == []
    assert speech.net_seconds == 0.0


def test_ring_back_before_speech_does_not_spoil_it(narrow: Audio) -> None:
    """Tones before the first word are cut out without disqualifying the speech after them."""
    _, spans = heard(mulaw(np.concatenate([line(425, on=1, off=4), narrow])))

    assert spans
    assert all(span.counted for span in spans)


def test_a_gap_breaks_a_span_and_moves_the_time(narrow: Audio) -> None:
    """Speech before and after lost audio is never in one span, and later times include it."""
    speech = NetSpeech(MULAW)
    data = mulaw(narrow)
    half = len(data) // 2

    before = speech.push(data[:half]) + speech.gap(5.0)
    after = speech.push(data[half:]) + speech.finish()

    assert before[-1].end_seconds <= half / RATE_HZ + 0.01
    assert after[0].start_seconds >= half / RATE_HZ + 5.0
    assert speech.heard_seconds == len(data) / RATE_HZ


def test_a_dtmf_mark_excludes_the_audio_around_it(narrow: Audio) -> None:
    """Net speech near an out-of-band key press does not count."""
    plain, _ = heard(mulaw(narrow))
    marked = NetSpeech(MULAW)
    data = mulaw(narrow)
    marked.push(data[: 4 * RATE_HZ])
    marked.dtmf(3.0)
    marked.push(data[4 * RATE_HZ :])
    marked.finish()

    assert marked.net_seconds < plain.net_seconds - 1.0


@pytest.mark.parametrize("declared", list(Encoding))
@pytest.mark.parametrize("actual", ["mulaw", "alaw", "pcm16le", "pcm16be"])
def test_wrong_encodings_are_suspected_and_right_ones_are_not(
    narrow: Audio, declared: Encoding, actual: str
) -> None:
    """Every confusion of the encodings is suspected and counts no speech; the truth is not."""
    data = {
        "mulaw": mulaw(narrow),
        "alaw": g711.encode_alaw(pcm(narrow)).tobytes(),
        "pcm16le": pcm(narrow).tobytes(),
        "pcm16be": pcm(narrow).byteswap().tobytes(),
    }[actual]
    data = data[: len(data) // 2 * 2]

    speech, spans = heard(data, AudioFormat(declared))

    quality = speech.quality()
    if actual == declared.value:
        assert quality is not None
        assert Reason.FORMAT_SUSPECT not in quality.issues
        assert spans
    else:
        assert quality is None or Reason.FORMAT_SUSPECT in quality.issues
        assert not any(span.counted for span in spans)


def test_upsampled_telephone_speech_is_narrowband(wide: Audio, narrow: Audio) -> None:
    """16 kHz audio without anything above 4 kHz is called narrowband; true wideband is not."""
    rate = AudioFormat(Encoding.PCM16LE, 16000)

    up, spans = heard(pcm(soxr.resample(narrow, RATE_HZ, 16000)).tobytes(), rate)
    true, _ = heard(pcm(wide).tobytes(), rate)

    assert up.bandwidth is Bandwidth.NARROWBAND
    assert Reason.UPSAMPLED_NARROWBAND in spans[-1].quality.issues
    assert spans[-1].counted
    assert true.bandwidth is Bandwidth.WIDEBAND


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: np.clip(x * 40, -1, 1), Reason.CLIPPED),
        (lambda x: x * 0.05, Reason.LOW_LEVEL),
        (lambda x: x * 0.3 + 0.5, Reason.DC_OFFSET),
    ],
)
def test_damaged_speech_is_not_counted(
    narrow: Audio, change: Callable[[Audio], Audio], reason: Reason
) -> None:
    """Clipped, faint or heavily offset speech is reported and does not count."""
    options = replace(SpeechOptions(), least_level_dbfs=-40.0)
    speech, spans = heard(pcm(change(narrow)).tobytes(), AudioFormat(Encoding.PCM16LE), options)

    quality = speech.quality()
    assert quality is not None
    assert reason in quality.issues
    assert spans
    assert not any(span.counted for span in spans)
    assert speech.net_seconds == 0.0


def test_memory_stays_bounded_in_silence() -> None:
    """Ten minutes of silence leave no more behind than one minute does."""
    speech = NetSpeech(MULAW)
    minute = b"\xff" * (60 * RATE_HZ)
    tracemalloc.start()
    speech.push(minute)
    first = tracemalloc.get_traced_memory()[0]
    for _ in range(9):
        speech.push(minute)
    growth = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()

    assert growth < 50_000


def test_files_and_streams_share_one_path(narrow: Audio) -> None:
    """A whole recording gives the same spans as its 16-bit stream."""
    whole = pcm(narrow)
    _, live = heard(whole.tobytes(), AudioFormat(Encoding.PCM16LE))

    spans = spans_of((whole / 32768).astype(np.float32), RATE_HZ)

    assert len(spans) == len(live)
    for one, other in zip(spans, live, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_files_with_impossible_values_are_refused(bad: float) -> None:
    """NaN and infinity in a recording are bad audio."""
    samples = np.zeros(RATE_HZ, dtype=np.float32)
    samples[100] = bad

    with pytest.raises(BadAudioError):
        spans_of(samples, RATE_HZ)


def test_an_empty_file_is_too_short() -> None:
    """A recording without samples is too short rather than silent."""
    with pytest.raises(TooShortError):
        spans_of(np.zeros(0, dtype=np.float32), RATE_HZ)


def test_options_out_of_range_are_refused() -> None:
    """Options that the room cannot honour are refused at construction."""
    with pytest.raises(SettingsError):
        NetSpeech(MULAW, replace(SpeechOptions(), tail_seconds=2.0))


def test_spans_can_become_shorter_during_a_call(narrow: Audio) -> None:
    """After a verdict stretches of a second are wanted; no speech is lost or heard twice."""
    speech = NetSpeech(MULAW)
    data = mulaw(narrow)
    before = speech.push(data[: 8 * RATE_HZ])
    speech.cut_every(1.0)
    after = speech.push(data[8 * RATE_HZ :])

    assert [round(span.net_seconds, 2) for span in after[1:4]] == [1.0, 1.0, 1.0]
    assert after[0].start_seconds >= before[-1].end_seconds - 0.31
    assert all(b.start_seconds >= a.end_seconds - 0.31 for a, b in pairwise(after))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_span_length_that_is_none_is_refused(seconds: float) -> None:
    """Spans without a length would never close, or always."""
    with pytest.raises(SettingsError):
        NetSpeech(MULAW).cut_every(seconds)
