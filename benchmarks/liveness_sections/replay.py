# SPDX-License-Identifier: Apache-2.0
"""Replay of an earlier call: how many replays are caught, and how many honest callers are flagged.

People of the test split only; lines are simulated. Each person has remembered calls; every
condition plays them again. Honest callers are people who say the words of a remembered call again
(dspspeech20, whose words are spoken many times each), and other calls of the same people. A call
counts as caught or flagged by its ratio at the end of the call: below 0.
"""

import math
from typing import Any

import numpy as np
import soxr

from liveness_sections import Plan
from voiceauth.evaluation.replays import (
    CONDITIONS,
    HARD,
    QUIET,
    Call,
    Compared,
    counted_spans,
    looks,
    make_call,
    memory,
    played_again,
    remembered,
    same_words_again,
)
from voiceauth.liveness.replay import SHIPPED, Memory
from voiceauth.training.corpus import Corpus, load_corpus
from voiceauth.types import Samples

CALLS = 4
"""Remembered per person."""
SETS = {"dspspeech20": 2, "speechocean762": 3}
"""Recordings joined to a call."""
PEOPLE = {"dspspeech20": 6, "speechocean762": 12}
REPLAYS = 1
"""Replays of each remembered call in each condition."""
REPEATS = 12
"""Repeats of the same words per person who has them."""
MOST_SECONDS = 9.0
"""Net speech of a probe: more than most calls need."""
Z90 = 1.645


def run(plan: Plan) -> dict[str, Any]:
    """Measure every condition, print the rates and draw the ratios."""
    found: dict[str, list[Compared]] = {}
    for source, people in PEOPLE.items():
        speech = load_corpus(plan.data, plan.cache, "speech", "test", source)
        many = max(1, people // (6 if plan.quick else 1))
        for number, speaker in enumerate(speech.speakers()[:many]):
            _measure(speech, speaker, np.random.default_rng((plan.seed, number)), found)
    rows = {name: _rates(some, replay=name.startswith("replay")) for name, some in found.items()}
    print(f"{'':42}{'calls':>6}{'below 0':>9}   90 %            {'none':>5}")
    for name, row in sorted(rows.items()):
        span = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        print(f"{name:42}{row['calls']:6d}{100 * row['rate']:8.1f} %  {span:15}{row['none']:5d}")
    _draw(plan, found)
    return {"channels": "simulated", "directions": SHIPPED.directions, "rates": rows}


def _measure(
    speech: Corpus, speaker: str, rng: np.random.Generator, found: dict[str, list[Compared]]
) -> None:
    """Add the trials of one person."""
    places = [n for n, clip in enumerate(speech.clips) if clip.speaker == speaker]
    source = speech.clips[places[0]].source
    voices = [_narrow(speech.samples(place)) for place in rng.permutation(places)]
    per_call = SETS[source]
    groups = [voices[n * per_call : (n + 1) * per_call] for n in range(len(voices) // per_call)]
    made = [make_call(np.concatenate(one), rng) for one in groups[:CALLS]]
    heard = [remembered(str(n), counted_spans(one.received)) for n, one in enumerate(made)]
    against = memory(heard)
    for condition in CONDITIONS:
        for call in made * REPLAYS:
            again = played_again(call, condition, rng)
            _add(found, f"replay, {condition.name}", again, against)
    for severity, line in ((QUIET, "quiet line"), (HARD, "hard line")):
        if source == "dspspeech20":
            for number in range(REPEATS):
                pool = [one for group in groups[CALLS:] for one in group]
                pool = [pool[n] for n in rng.permutation(len(pool))[: len(pool) // 2]]
                again = same_words_again(groups[number % CALLS], pool)
                repeat = make_call(again, rng, severity)
                _add(found, f"honest, the same words again, {line}", repeat.received, against)
        for group in groups[CALLS : CALLS + 4]:
            other: Call = make_call(np.concatenate(group), rng, severity)
            _add(found, f"honest, another call, {line}", other.received, against)


def _add(found: dict[str, list[Compared]], name: str, received: Samples, against: Memory) -> None:
    """Add the last word about one call; NaN if there is none."""
    last = looks(counted_spans(received, MOST_SECONDS), against)[-1:]
    found.setdefault(name, []).extend(last or [Compared(math.nan, None, 0.0, 0.0)])


def _llr(one: Compared) -> float:
    return SHIPPED.llr(one.agreement, one.seconds)


def _rates(some: list[Compared], *, replay: bool) -> dict[str, Any]:
    """Share below 0 with its 90 % Wilson interval; a call without a ratio is not caught."""
    measured = [one for one in some if not math.isnan(one.agreement)]
    count = len(some) if replay else len(measured)
    low = sum(_llr(one) < 0.0 for one in measured)
    rate, weight = low / max(count, 1), Z90**2 / max(count, 1)
    middle = (rate + weight / 2) / (1 + weight)
    half = Z90 * math.sqrt(rate * (1 - rate) / max(count, 1) + weight / (4 * max(count, 1)))
    return {
        "calls": count,
        "rate": rate,
        "low": max(0.0, middle - half / (1 + weight)),
        "high": min(1.0, middle + half / (1 + weight)),
        "none": len(some) - len(measured),
        "agreement": np.quantile([one.agreement for one in measured], [0, 0.05, 0.5, 0.95, 1])
        .round(3)
        .tolist(),
    }


def _narrow(samples: Samples) -> Samples:
    return np.asarray(soxr.resample(samples, 16_000, 8_000), dtype=np.float32)


def _draw(plan: Plan, found: dict[str, list[Compared]]) -> None:
    """Histograms of agreement: replays, the same words again, other calls."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of backend

    figure, axes = plt.subplots(figsize=(7, 4))
    for start in ("replay", "honest, the same words again", "honest, another call"):
        some = [
            one.agreement for name, part in found.items() if name.startswith(start) for one in part
        ]
        kept = [one for one in some if not math.isnan(one)]
        axes.hist(kept, bins=[n / 50 for n in range(51)], density=True, alpha=0.6, label=start)
    axes.set_xlabel("agreement of the better half of the blocks")
    axes.set_ylabel("density")
    axes.legend()
    figure.tight_layout()
    figure.savefig(plan.plot, dpi=120)
