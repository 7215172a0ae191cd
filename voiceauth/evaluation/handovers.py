# SPDX-License-Identifier: Apache-2.0
"""Calls in which one person hands over to another, heard as the engine hears them.

A call is made of two runs of recordings, of one person or of two, joined and sent through one
simulated line, so that the line does not give the hand-over away. The first spans stand for the
speech before the verdict; the voiceprint comes from other recordings over another line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from voiceauth.errors import SettingsError
from voiceauth.evaluation.recordings import LINE_HZ, listen, read_recording, simulated_line
from voiceauth.ports import SpeakerEmbedder
from voiceauth.scoring.combine import centroid
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.signal.net_speech import NetSpeech, SpeechOptions
from voiceauth.types import AudioFormat, Embedding, Encoding, Samples, Span
from voiceauth.units import Seconds

WINDOW_SECONDS: Seconds = 2.0
HOP_SECONDS: Seconds = 1.0
REFERENCE_SECONDS: Seconds = 5.0
_ENROL, _BEFORE, _AFTER = 7, 4, 10
"""Recordings in the voiceprint, before the hand-over and after it."""


@dataclass(frozen=True, slots=True)
class CallChoices:
    """How many calls are made.

    Attributes:
        same: calls of one person, per person.
        other: calls with a hand-over, per person who begins.
        seed: of people, orders and lines.
    """

    same: int = 8
    other: int = 4
    seed: int = 20_26


@dataclass(frozen=True, slots=True)
class Stretch:
    """One comparison.

    Attributes:
        similarities: to the call before, and to the voiceprint.
        start_seconds: stream time at which what is new in it begins.
        since_seconds: net speech from the hand-over to its end; 0 or less before.
        pure: it holds one person only.
    """

    similarities: tuple[float, float]
    start_seconds: Seconds
    since_seconds: Seconds
    pure: bool


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """What the engine sees of one call.

    Attributes:
        person: who begins, by number.
        other: who goes on, by number; None for the same person.
        handed_over_at: stream time of the joint.
        windows: stretches after the verdict.
        spans: spans against the spans before, from ``REFERENCE_SECONDS`` on.
    """

    person: int
    other: int | None
    handed_over_at: Seconds
    windows: tuple[Stretch, ...]
    spans: tuple[Stretch, ...]


class CallMaker:
    """Makes and hears calls of labelled recordings.

    Args:
        people: name -> recordings, each of one person.
        embedder: the speaker model.
        scorer: of the same model; its similarities are compared, its ratios are not.
        choices: how many.
    """

    def __init__(
        self,
        people: Mapping[str, Sequence[Path]],
        embedder: SpeakerEmbedder,
        scorer: CalibratedScorer,
        choices: CallChoices,
    ) -> None:
        least = _ENROL + _BEFORE + _AFTER // 2
        self._people = [paths for _, paths in sorted(people.items()) if len(paths) >= least]
        if len(self._people) < 2:  # noqa: PLR2004 - a hand-over needs two
            raise SettingsError(f"Continuity needs two people with {least} recordings each.")
        self._embedder = embedder
        self._scorer = scorer
        self._choices = choices
        self._read: dict[Path, Samples] = {}

    def calls(self) -> list[WatchedCall]:
        """Make all calls, person by person."""
        turns = range(self._choices.same + self._choices.other)
        return [
            self._call(person, turn, handed_over=turn >= self._choices.same)
            for person in range(len(self._people))
            for turn in turns
        ]

    def _call(self, person: int, turn: int, *, handed_over: bool) -> WatchedCall:
        rng = np.random.default_rng((self._choices.seed, person, turn))
        mine = self._shuffled(person, rng)
        step = int(rng.integers(1, len(self._people)))
        other = (person + step) % len(self._people) if handed_over else None
        after = mine[_ENROL + _BEFORE :] if other is None else self._shuffled(other, rng)
        first = self._joined(mine[_ENROL : _ENROL + _BEFORE])
        second = self._joined(after[:_AFTER])
        second = second * np.float32(_level(first) / _level(second))
        line = (self._choices.seed, person, turn, 1)
        audio = simulated_line(np.concatenate([first, second]), LINE_HZ, line)
        joint = len(first) / LINE_HZ
        voiceprint = self._voiceprint(self._joined(mine[:_ENROL]), (*line[:3], 2))
        return WatchedCall(
            person,
            other,
            joint,
            self._windows(audio, joint, voiceprint),
            self._spans(audio, joint, voiceprint),
        )

    def _voiceprint(self, audio: Samples, seed: tuple[int, ...]) -> Embedding:
        heard = simulated_line(audio, LINE_HZ, seed)
        return listen(heard, LINE_HZ, self._embedder, SpeechOptions()).mean()

    def _windows(
        self, audio: Samples, joint: Seconds, voiceprint: Embedding
    ) -> tuple[Stretch, ...]:
        """Hear a call whose verdict comes with the last span that ends before the joint."""
        speech = NetSpeech(AudioFormat(Encoding.PCM16LE), self._options())
        before: list[Span] = []
        recent: list[Span] = []
        found: list[Stretch] = []
        reference: Embedding | None = None
        since = 0.0
        for span in _streamed(speech, audio):
            if reference is None:
                before.append(span)
                if sum(one.net_seconds for one in before) >= REFERENCE_SECONDS:
                    reference = self._mean(before)
                    speech.cut_every(HOP_SECONDS)
                continue
            recent.append(span)
            since += _since(joint, span)
            while sum(one.net_seconds for one in recent[1:]) >= WINDOW_SECONDS - 1e-6:
                del recent[0]
            if sum(one.net_seconds for one in recent) >= WINDOW_SECONDS - 1e-6:
                window = np.concatenate([one.samples for one in recent])
                embedding = self._embedder.embed(window)
                alike = self._similarities(embedding, reference, voiceprint)
                found.append(self._stretch(alike, recent, joint, since))
        return tuple(found)

    def _spans(self, audio: Samples, joint: Seconds, voiceprint: Embedding) -> tuple[Stretch, ...]:
        before: list[Span] = []
        found: list[Stretch] = []
        since = 0.0
        for span in _streamed(NetSpeech(AudioFormat(Encoding.PCM16LE), self._options()), audio):
            since += _since(joint, span)
            if sum(one.net_seconds for one in before) >= REFERENCE_SECONDS:
                embedding = self._embedder.embed(span.samples)
                reference = self._mean(before)
                alike = self._similarities(embedding, reference, voiceprint)
                found.append(self._stretch(alike, [span], joint, since))
            before.append(span)
        return tuple(found)

    def _similarities(
        self, embedding: Embedding, reference: Embedding, voiceprint: Embedding
    ) -> tuple[float, float]:
        return self._scorer.raw(embedding, reference), self._scorer.raw(embedding, voiceprint)

    @staticmethod
    def _stretch(
        similarities: tuple[float, float], spans: Sequence[Span], joint: Seconds, since: Seconds
    ) -> Stretch:
        pure = spans[-1].end_seconds <= joint or spans[0].start_seconds >= joint
        return Stretch(similarities, spans[-1].start_seconds, since, pure)

    def _mean(self, spans: Sequence[Span]) -> Embedding:
        return centroid([(self._embedder.embed(one.samples), one.net_seconds) for one in spans])

    def _options(self) -> SpeechOptions:
        return SpeechOptions(rate_hz=self._embedder.rate_hz)

    def _shuffled(self, person: int, rng: np.random.Generator) -> list[Path]:
        paths = self._people[person]
        return [paths[place] for place in rng.permutation(len(paths))]

    def _joined(self, paths: Sequence[Path]) -> Samples:
        return np.concatenate([self._recording(path) for path in paths])

    def _recording(self, path: Path) -> Samples:
        if path not in self._read:
            samples, rate = read_recording(path)
            self._read[path] = soxr.resample(samples, rate, LINE_HZ).astype(np.float32)
        return self._read[path]


def _streamed(speech: NetSpeech, audio: Samples) -> Iterator[Span]:
    """Counted spans of a recording that is sent in tenths of a second, so that cuts take effect."""
    data = (np.clip(audio, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    step = LINE_HZ // 10 * 2
    for start in range(0, len(data), step):
        yield from (span for span in speech.push(data[start : start + step]) if span.counted)
    yield from (span for span in speech.finish() if span.counted)


def _since(joint: Seconds, span: Span) -> Seconds:
    """Net speech of a span that lies behind the joint."""
    behind = span.end_seconds - max(joint, span.start_seconds)
    share = behind / (span.end_seconds - span.start_seconds)
    return span.net_seconds * min(max(share, 0.0), 1.0)


def _level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) + 1e-9
