# SPDX-License-Identifier: Apache-2.0
"""Equal error rates of a model on held-out speakers, through simulated telephone calls.

Three conditions: wideband source on both sides, telephone on both sides, and wideband enrolment
against a telephone probe. Three utterances enrol, the others probe, every pair is a trial. The
calls are seeded by the utterance's place and use no noise recordings, so they repeat exactly and
share nothing with training but the simulator.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import TooShortError
from voiceauth.testing.channel import Severity, apply, draw_channel
from voiceauth.training.corpus import Corpus
from voiceauth.training.crops import PHONE_HZ, FloatArray, phone_rate, unit
from voiceauth.training.teacher import middle
from voiceauth.units import Rate, Seconds

Embed = Callable[[FloatArray], FloatArray]
"""Takes float32 of shape (samples,) at 8 kHz, gives float32 of shape (192,)."""

ENROL = 3
MAX_SECONDS: Seconds = 4.0
CALLS_SEED = 424242


@dataclass(frozen=True)
class ErrorRates:
    """Equal error rates, 0 to 1.

    Args:
        wideband: band-limited source on both sides.
        telephone: a different simulated call on both sides.
        crossed: wideband enrolment, telephone probe.
    """

    wideband: Rate
    telephone: Rate
    crossed: Rate


@dataclass(frozen=True)
class HeldOut:
    """Speech of held-out speakers at 8 kHz.

    Args:
        clip: place in the corpus by utterance.
        speaker: name by utterance.
        source: band-limited waveforms.
        called: the same through one simulated call each.
    """

    clip: tuple[int, ...]
    speaker: tuple[str, ...]
    source: tuple[FloatArray, ...]
    called: tuple[FloatArray, ...]


def prepare(corpus: Corpus, seed: int = CALLS_SEED) -> HeldOut:
    """Cut, resample and call every labelled utterance of at least one second."""
    clips, speakers, source, called = [], [], [], []
    for i, clip in enumerate(corpus.clips):
        waveform = phone_rate(middle(corpus.samples(i), MAX_SECONDS))
        if not clip.speaker or len(waveform) < PHONE_HZ:
            continue
        rng = np.random.default_rng((seed, i))
        clips.append(i)
        speakers.append(clip.speaker)
        source.append(waveform)
        called.append(apply(draw_channel(rng, None, Severity(snr_db=(8.0, 30.0))), waveform))
    return HeldOut(tuple(clips), tuple(speakers), tuple(source), tuple(called))


def equal_error_rate(target: NDArray[np.floating], other: NDArray[np.floating]) -> Rate:
    """Rate at which misses and false matches are equally frequent.

    Args:
        target: scores of same-speaker trials, shape (targets,).
        other: scores of different-speaker trials, shape (others,).

    Raises:
        TooShortError: one of the two is empty.
    """
    if target.size == 0 or other.size == 0:
        raise TooShortError("An equal error rate needs trials of both kinds.")
    scores = np.concatenate([target, other])
    order = np.argsort(scores, kind="stable")
    is_target = np.concatenate([np.ones(target.size), np.zeros(other.size)])[order]
    miss = np.cumsum(is_target) / target.size
    false_match = 1.0 - np.cumsum(1.0 - is_target) / other.size
    k = int(np.argmin(np.abs(miss - false_match)))
    return float((miss[k] + false_match[k]) / 2.0)


def evaluate(embed: Embed, held_out: HeldOut) -> ErrorRates:
    """Error rates of one model in the three conditions."""
    source = np.stack([embed(waveform) for waveform in held_out.source])
    called = np.stack([embed(waveform) for waveform in held_out.called])
    return error_rates(held_out.speaker, source, called)


def error_rates(speaker: tuple[str, ...], source: FloatArray, called: FloatArray) -> ErrorRates:
    """Error rates of embeddings; each speaker's first utterances enrol.

    Args:
        speaker: name by utterance.
        source: embeddings of the source, shape (utterances, dimension).
        called: embeddings of the calls, same shape.
    """
    return ErrorRates(
        wideband=_rate(speaker, source, source),
        telephone=_rate(speaker, called, called),
        crossed=_rate(speaker, source, called),
    )


def _rate(speaker: tuple[str, ...], enrol: FloatArray, probe: FloatArray) -> Rate:
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(speaker):
        by_speaker[name].append(i)
    names = [name for name, mine in by_speaker.items() if len(mine) > ENROL]
    models = unit(np.stack([enrol[by_speaker[name][:ENROL]].mean(axis=0) for name in names]))
    probes = [i for name in names for i in by_speaker[name][ENROL:]]
    scores = models @ unit(probe[probes]).T
    same = np.array([[speaker[i] == name for i in probes] for name in names])
    return equal_error_rate(scores[same], scores[~same])
