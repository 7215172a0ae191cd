# SPDX-License-Identifier: Apache-2.0
"""A second of call costs the same at second 3 and at second 300: counted in work, not in time."""

from collections.abc import Iterator

import numpy as np
import pytest
from served import PCM, speech

from voiceauth.liveness import fingerprint, fingerprint_speeds
from voiceauth.liveness.fingerprint import Floats
from voiceauth.liveness.fingerprint_speeds import SpeedPrinter
from voiceauth.liveness.replay import SPEEDS
from voiceauth.signal import detector, vad
from voiceauth.signal.masks import Mask
from voiceauth.signal.options import SpeechOptions
from voiceauth.types import Samples, Span
from voiceauth.usecases.listening import HearingCall, Listener

FIRST, LAST, WINDOW = 3, 300, 12
"""Seconds; the sound repeats itself every 12 of them."""


def listened(seconds: int) -> tuple[HearingCall, list[Span]]:
    """Hear a call of that length, second by second."""
    call, spans = HearingCall(Listener(PCM, SpeechOptions(), 600.0)), []
    for sound in every_second(seconds):
        spans += call.hear(sound)
    return call, spans


def every_second(seconds: int) -> Iterator[bytes]:
    """Say the same 12 seconds again and again, a second at a time."""
    sound = speech(12.0)
    for second in range(seconds):
        at = second % 12 * 16_000
        yield sound[at : at + 16_000]


def test_the_signal_room_does_the_same_work_in_every_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many frames are measured and decided late in a call as early in it."""
    decided = [0]
    honest = vad.decide

    def counted(features: Floats, *more: object) -> tuple[Mask, Mask, Mask, Mask]:
        decided[-1] += features.shape[0] * features.shape[1]
        return honest(features, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(detector, "decide", counted)
    call = HearingCall(Listener(PCM, SpeechOptions(), 600.0))
    for sound in every_second(LAST):
        decided.append(0)
        call.hear(sound)

    assert decided[FIRST] > 0
    assert set(decided[FIRST:]) == {decided[FIRST]}


def test_as_much_speech_is_embedded_late_in_a_call_as_early() -> None:
    """Spans keep their length, so that no audio goes through the model twice."""
    _, spans = listened(LAST)
    samples = np.zeros(LAST + 1)
    for span in spans:
        samples[int(span.start_seconds)] += len(span.samples)

    early, late = samples[12 : 12 + 3 * WINDOW].sum(), samples[252 : 252 + 3 * WINDOW].sum()
    assert late <= 1.1 * early
    assert sum(len(span.samples) for span in spans) <= 8000 * LAST


def test_the_replay_layer_analyses_each_moment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new second brings as many spectra at the end of a call as at its beginning."""
    made: list[int] = []
    honest = fingerprint.spectra

    def counted(waveform: Samples, hop: int) -> Floats:
        found = honest(waveform, hop)
        made.append(len(found))
        return found

    monkeypatch.setattr(fingerprint_speeds, "spectra", counted)
    printer = SpeedPrinter(bytes(32), SPEEDS)
    second = np.frombuffer(speech(1.0), dtype="<i2").astype(np.float32) / np.float32(32768)
    for _ in range(60):
        printer.push(second, np.ones(8000, np.bool_))

    assert max(made[FIRST:]) <= min(made[FIRST:]) + 1


def test_a_listening_call_holds_no_more_late_than_early() -> None:
    """Arrays of the signal room do not grow with the call."""

    def held(seconds: int) -> int:
        call, _ = listened(seconds)
        context = call.speech.cutter.detector.context
        return sum(part.nbytes for part in (context.samples, context.features, context.hops))

    assert held(60) == held(6) < 64 * 1024
