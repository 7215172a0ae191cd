# SPDX-License-Identifier: Apache-2.0
"""Scored presentations for the spoof detector: recorded and synthetic speech through fixed codecs.

Every clip gives one span, the first seconds of its speech with pauses limited as serving limits
them, sent through each of a few fixed call paths with a light hiss, so that figures can be told by
codec. The same clips pass every codec.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceauth.scoring.metrics import equal_error_rate, roc
from voiceauth.testing.channel import Channel, Noise, apply
from voiceauth.testing.codecs import Codec, Coding
from voiceauth.training.attacks import COPIED
from voiceauth.training.corpus import RATE_HZ, Corpus, load_corpus
from voiceauth.training.crops import PHONE_HZ, phone_rate
from voiceauth.training.pauses import limit_pauses
from voiceauth.training.spoof_crops import by_system, systems_of
from voiceauth.units import Rate, Seconds

FloatArray = NDArray[np.float32]
Score = Callable[[FloatArray], float]
SPAN_SECONDS: Seconds = 3.0
LEAST_SECONDS: Seconds = 2.0
BONA_FIDE = "bona fide"
CODECS: dict[str, tuple[Coding, ...]] = {
    "G.711": (Coding(Codec.PCMU),),
    "GSM": (Coding(Codec.GSM), Coding(Codec.PCMA)),
    "AMR 12.2": (Coding(Codec.AMR, 12200), Coding(Codec.PCMA)),
    "AMR 4.75": (Coding(Codec.AMR, 4750), Coding(Codec.PCMA)),
    "Opus 12": (Coding(Codec.OPUS, 12000),),
}


@dataclass(frozen=True)
class Presentation:
    """One scored span.

    Args:
        system: what made the speech; ``BONA_FIDE`` for a person.
        speaker: person, or voice that was copied or built.
        codec: name in ``CODECS``.
        score: raw score of the model.
    """

    system: str
    speaker: str
    codec: str
    score: float


def score_clips(  # noqa: PLR0917 - one call in this file
    score: Score,
    corpus: Corpus,
    numbers: Sequence[int],
    systems: Sequence[str],
    names: dict[str, str],
    seed: int,
) -> list[Presentation]:
    """Send clips through every codec and score them; clips under two seconds are left out.

    Args:
        score: of a float32 waveform at 8 kHz.
        corpus: where the clips lie.
        numbers: which of its clips.
        systems: of each of them.
        names: of the voices of synthetic clips, by path.
        seed: of the hiss.
    """
    found = []
    for number, system in zip(numbers, systems, strict=True):
        clip = corpus.clips[number]
        wide = limit_pauses(corpus.samples(number), RATE_HZ)
        speech = phone_rate(wide)[: round(SPAN_SECONDS * PHONE_HZ)]
        if len(speech) < LEAST_SECONDS * PHONE_HZ:
            continue
        hiss = Noise("colour", 28.0, -3.0, seed + number)
        for name, codings in CODECS.items():
            heard = apply(Channel(-26.0, noises=(hiss,), codings=codings), speech)
            who = clip.speaker or names.get(clip.path) or clip.path
            found.append(Presentation(system, who, name, score(heard)))
    return found


@dataclass(frozen=True)
class Rates:
    """Error rates of one system, in the terms of ISO/IEC 30107-3.

    Args:
        system: what made the attacks.
        presentations: of attacks.
        eer: equal error rate.
        apcer_1: share of attacks taken for bona fide where 1 % of bona fide is refused.
        apcer_5: the same at 5 %.
        apcer_5_low: lower end of its 90 % interval over speakers.
        apcer_5_high: upper end.
    """

    system: str
    presentations: int
    eer: Rate
    apcer_1: Rate
    apcer_5: Rate
    apcer_5_low: Rate
    apcer_5_high: Rate


def rates(
    bona: Sequence[Presentation],
    attacks: Sequence[Presentation],
    system: str,
    *,
    draws: int = 200,
    seed: int = 1,
) -> Rates:
    """Error rates with an interval from drawing speakers of both classes anew."""
    people, voices = _by_speaker(bona), _by_speaker(attacks)
    all_bona, all_attacks = np.concatenate(people), np.concatenate(voices)
    rng = np.random.default_rng(seed)
    again = [apcer(_draw(rng, people), _draw(rng, voices), 0.05) for _ in range(draws)]
    low, high = np.quantile(again, [0.05, 0.95])
    # The sweep takes higher scores as the accepted kind: a bona fide span scores low.
    eer = equal_error_rate(roc(-all_bona, -all_attacks))
    return Rates(
        system=system,
        presentations=len(all_attacks),
        eer=eer,
        apcer_1=apcer(all_bona, all_attacks, 0.01),
        apcer_5=apcer(all_bona, all_attacks, 0.05),
        apcer_5_low=float(low),
        apcer_5_high=float(high),
    )


def apcer(bona: NDArray[np.float64], attacks: NDArray[np.float64], bpcer: Rate) -> Rate:
    """Share of attacks below the score that the given share of bona fide lies above."""
    return float(np.mean(attacks < np.quantile(bona, 1.0 - bpcer)))


def _by_speaker(spans: Sequence[Presentation]) -> list[NDArray[np.float64]]:
    scores: dict[str, list[float]] = {}
    for span in spans:
        scores.setdefault(span.speaker, []).append(span.score)
    return [np.array(own) for own in scores.values()]


def _draw(rng: np.random.Generator, groups: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])


@dataclass(frozen=True)
class TrialPlan:
    """What is presented to the model.

    Args:
        data: root of the recorded pack.
        attacks: root of the attack pack.
        cache: decoded audio.
        split: ``dev`` or ``test``; its people and its attacks.
        source: set of the recorded speech; empty takes all of the split.
        per_speaker: recordings of each person.
        per_system: files of each attack system of the attack pack.
        also: systems of the train part that the model has not heard, for calibration.
        seed: of hiss and choice.
    """

    data: Path
    attacks: Path
    cache: Path
    split: str
    source: str = "speechocean762"
    per_speaker: int = 4
    per_system: int = 44
    also: tuple[str, ...] = ()
    seed: int = 1


def present(score: Score, plan: TrialPlan) -> list[Presentation]:
    """Score recorded speech and all attacks of a split.

    Raises:
        SettingsError: a pack has no such split.
    """
    rng = np.random.default_rng(plan.seed)
    speech = load_corpus(plan.data, plan.cache, "speech", plan.split, plan.source)
    people: dict[str, list[int]] = {}
    for i in rng.permutation(len(speech.clips)).tolist():
        if speech.clips[i].length >= LEAST_SECONDS * RATE_HZ:
            people.setdefault(speech.clips[i].speaker, []).append(i)
    numbers = [i for own in people.values() for i in own[: plan.per_speaker]]
    found = score_clips(score, speech, numbers, [BONA_FIDE] * len(numbers), {}, plan.seed)
    systems, names = systems_of(plan.attacks), systems_of(plan.attacks, "speaker")
    for kind in (COPIED, "spoof"):
        if kind not in systems_of(plan.attacks, "kind").values():
            continue
        made = load_corpus(plan.attacks, plan.cache / "attacks", kind, plan.split)
        for name, clips in by_system(made, systems, ()).items():
            some = clips[: plan.per_system]
            found += score_clips(score, made, some, [name] * len(some), names, plan.seed)
    names = systems_of(plan.data, "speaker")
    if plan.split == "test" or plan.also:
        split = "test" if plan.split == "test" else "train"
        neural = load_corpus(plan.data, plan.cache, "spoof", split)
        for name, clips in by_system(neural, systems_of(plan.data), ()).items():
            if split == "test" or name in plan.also:
                species = [species_of(name)] * len(clips)
                found += score_clips(score, neural, clips, species, names, plan.seed)
    return found


def species_of(system: str) -> str:
    """Voices of one kind of synthesis are one species: mimic3's models are all VITS."""
    return system.partition(":")[0]
