# SPDX-License-Identifier: Apache-2.0
"""Learn the fingerprint's directions, and calibrate the replay layer.

    python -m voiceauth.training.replay_fit --data PACK --cache CACHE --directions
    python -m voiceauth.training.replay_fit --data PACK --cache CACHE --calibration

Directions: from train speakers of the pack (speechocean762, librispeech), one clip of each, as it
is and through four simulated lines; those along which moments of speech differ most against lines.
Calibration: on speakers that the directions have not seen (dspspeech20 train), replays against
honest calls, most of which repeat the words of a remembered one. The numbers are printed; they
stand in ``voiceauth/liveness/replay.py``.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from voiceauth.errors import EngineError, SettingsError
from voiceauth.evaluation.replays import (
    CODINGS,
    CONDITIONS,
    HARD,
    Compared,
    counted_spans,
    looks,
    make_call,
    memory,
    played_again,
    remembered,
    same_words_again,
)
from voiceauth.liveness import fingerprint as front
from voiceauth.liveness.replay import Line, ReplayCalibration
from voiceauth.scoring.fit import fit_affine
from voiceauth.testing.channel import apply, draw_channel
from voiceauth.testing.codecs import RATE_HZ
from voiceauth.training.corpus import Corpus, load_corpus
from voiceauth.types import Samples

DIRECTIONS = 64
LINES = 4
LONGEST = 6 * RATE_HZ
PRIOR = 0.01
HOP = 128
PER_CALL = 2
"""Recordings joined to a call."""
LENGTHS = (0.0, 4.0)
"""Seconds compared from which a calibration line holds: up to three blocks, and more."""
_EVERY = 3
_LEAST = 3
_FLOOR = 1e-3
_SOURCES = ("speechocean762", "librispeech")


def learn_directions(clips: Iterator[Samples], seed: int) -> NDArray[np.float16]:
    """Find the directions, float16, shape (patch values, 64).

    Args:
        clips: 8 kHz speech of train speakers.
        seed: of the lines.
    """
    rng = np.random.default_rng(seed)
    within: NDArray[np.float64] = np.zeros(())
    total: NDArray[np.float64] = np.zeros(())
    count = 0
    for spoken in clips:
        stack = _aligned(spoken, rng)
        if stack.shape[1] < _LEAST:
            continue
        apart = (stack - stack.mean(axis=0)).reshape(-1, stack.shape[2])
        rows = stack.reshape(-1, stack.shape[2])
        within = within + apart.T @ apart * (len(stack) / (len(stack) - 1))
        total = total + rows.T @ rows
        count += len(rows)
    within, total = within / count, total / count
    size = len(within)
    root = np.linalg.cholesky(within + _FLOOR * float(np.trace(within)) / size * np.eye(size))
    inverse = np.linalg.inv(root)
    ratios, vectors = np.linalg.eigh(inverse @ (total - within) @ inverse.T)
    best = np.argsort(-ratios)[:DIRECTIONS]
    columns = inverse.T @ vectors[:, best]
    # Equal spread along each, so that a rotation takes as much of one as of another.
    spread = np.sqrt(np.einsum("ij,ik,kj->j", columns, total, columns))
    return np.asarray(columns / spread, dtype=np.float16)


def _aligned(spoken: Samples, rng: np.random.Generator) -> NDArray[np.float64]:
    """Patches of one clip and of its lines at the same moments, shape (1 + lines, moments, values).

    A line also shifts by up to half a hop and plays up to 1 % off, as the places and speeds that
    the comparison tries are off.
    """
    clean = front.patches(front.band_powers(spoken), every=1)
    moments = np.arange(0, len(clean), _EVERY)
    known = np.ones(len(moments), dtype=np.bool_)
    middle = (front.SUPPORT - HOP) / 2 / HOP
    versions = [(clean, moments)]
    for _ in range(LINES):
        speed = 1.0 + rng.uniform(-0.01, 0.01)
        late = int(rng.integers(-HOP // 2, HOP // 2 + 1))
        coding = list(CODINGS.values())[int(rng.integers(len(CODINGS)))]
        severity = replace(HARD, snr_db=(8.0, 32.0))
        line = replace(draw_channel(rng, None, severity), codings=(coding,))
        heard = apply(line, spoken)
        played = np.interp(
            np.arange(0.0, len(heard) - 1, speed), np.arange(len(heard)), heard
        ).astype(np.float32)
        shifted = np.concatenate([np.zeros(HOP + late, dtype=np.float32), played])
        found = front.patches(front.band_powers(shifted), every=1)
        places = np.round((moments + middle) / speed - middle + 1).astype(np.int64)
        known &= (places >= 0) & (places < len(found))
        versions.append((found, places))
    stack = [found[np.clip(places, 0, len(found) - 1)] for found, places in versions]
    return np.stack(stack)[:, known].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Looks:
    """What the layer found at every look: at replays, and at honest calls."""

    replays: list[Compared]
    repeats: list[Compared]
    others: list[Compared]


def compared(speech: Corpus, seed: int, calls: int, people: range) -> Looks:
    """Make calls of every speaker, play each again, say its words again, and compare.

    Args:
        speech: speakers whose words are separated by pauses.
        seed: of everything random.
        calls: remembered per speaker.
        people: numbers of the speakers.
    """
    found = Looks([], [], [])
    version = front.shipped_directions().version
    raw = ReplayCalibration(version, (Line(0.0, -1.0, 0.0, 1.0),))  # agreement matters here
    for number in people:
        speaker = speech.speakers()[number]
        rng = np.random.default_rng((seed, number))
        mine = [place for place, clip in enumerate(speech.clips) if clip.speaker == speaker]
        voices = [_narrow(speech.samples(place)) for place in rng.permutation(mine)]
        groups = [voices[n * PER_CALL : (n + 1) * PER_CALL] for n in range(calls + 2)]
        made = [make_call(np.concatenate(one), rng, HARD) for one in groups if one]
        heard = [
            remembered(str(n), counted_spans(one.received)) for n, one in enumerate(made[:calls])
        ]
        against = memory(heard)
        for place, call in enumerate(made[:calls]):
            condition = CONDITIONS[(place + number) % len(CONDITIONS)]
            again = played_again(call, condition, rng)
            found.replays.extend(looks(counted_spans(again), against, raw))
            said = same_words_again(groups[place], voices[calls * PER_CALL :])
            if len(said):
                repeat = make_call(said, rng, HARD).received
                found.repeats.extend(looks(counted_spans(repeat), against, raw))
        for call in made[calls:]:
            found.others.extend(looks(counted_spans(call.received), against, raw))
        print(speaker, len(found.replays), len(found.repeats), flush=True)  # noqa: T201
    return found


def calibrated(found: Looks) -> str:
    """Fit a line for each of ``LENGTHS``; return what stands in the source."""
    lines = []
    # Looks at one call depend on each other: this is the most that the trials could support.
    support = float(np.log(min(len(found.replays), len(found.repeats) + len(found.others))))
    for least, most in itertools.pairwise((*LENGTHS, float("inf"))):
        parts = [
            np.array([one.agreement for one in some if least < one.seconds <= most])
            for some in (found.replays, [*found.repeats, *found.others])
        ]
        if min(len(one) for one in parts) < _LEAST:
            raise SettingsError("The pack is too small to calibrate the replay layer.")
        scores = np.concatenate(parts)
        again = np.arange(len(scores)) < len(parts[0])
        weights = np.where(again, PRIOR / again.sum(), (1.0 - PRIOR) / (~again).sum())
        slope, offset = fit_affine(scores, again, weights, PRIOR)
        lines.append(f"Line({least:.1f}, {-slope:.3f}, {-offset:.3f}, {support:.2f})")
        for name, some in zip(("replays", "honest"), parts, strict=True):
            marks = np.quantile(some, [0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0])
            print(f"from {least:.1f} s {name:8} {len(some):5}", np.round(marks, 3))  # noqa: T201
    version = front.shipped_directions().version
    return f'ReplayCalibration("{version}", ({", ".join(lines)}))'


def _one_clip_each(speech: Corpus, seed: int, most: int) -> Iterator[Samples]:
    rng = np.random.default_rng(seed)
    places: dict[str, list[int]] = {}
    for place, clip in enumerate(speech.clips):
        if clip.speaker:
            places.setdefault(clip.speaker, []).append(place)
    for mine in list(places.values())[:most]:
        yield _narrow(speech.samples(mine[int(rng.integers(len(mine)))]))[:LONGEST]


def _narrow(samples: Samples) -> Samples:
    return np.asarray(soxr.resample(samples, 16_000, RATE_HZ), dtype=np.float32)


def main(arguments: list[str] | None = None) -> int:
    """Learn and calibrate from the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.directions:
            target = Path(front.__file__).with_name(front.DIRECTIONS_FILE)
            np.save(target, learn_directions(_clips(options), options.seed))
        if options.calibration:
            words = load_corpus(options.data, options.cache, "speech", "train", "dspspeech20")
            found = compared(words, options.seed, options.calls, range(options.speakers))
            print(calibrated(found))  # noqa: T201
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    return 0


def _clips(options: argparse.Namespace) -> Iterator[Samples]:
    for source in _SOURCES:
        speech = load_corpus(options.data, options.cache, "speech", "train", source)
        yield from _one_clip_each(speech, options.seed, options.most)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m voiceauth.training.replay_fit")
    parser.add_argument("--data", type=Path, required=True, help="root of the speech pack")
    parser.add_argument("--cache", type=Path, required=True, help="folder for decoded audio")
    parser.add_argument("--directions", action="store_true")
    parser.add_argument("--calibration", action="store_true")
    parser.add_argument("--most", type=int, default=40, help="speakers of each set, directions")
    parser.add_argument("--calls", type=int, default=5, help="remembered calls of a person")
    parser.add_argument("--speakers", type=int, default=18, help="of the calibration")
    parser.add_argument("--seed", type=int, default=2026)
    return parser


if __name__ == "__main__":
    sys.exit(main())
