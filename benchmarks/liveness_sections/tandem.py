# SPDX-License-Identifier: Apache-2.0
"""Costs of the whole system: targets against other people and attacks together.

Every species of attack weighs alike, and so do the people who are claimed to be.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceauth.types import Decision, Verdict

PRIORS = {"target": 0.9405, "nontarget": 0.0095, "spoof": 0.05}
COSTS = {"miss": 1.0, "false accept": 10.0}
"""Of the ASVspoof tandem cost."""
NO_SCORE = -30.0


@dataclass
class Tally:
    """What became of the presentations of one kind."""

    scores: list[float] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    claims: list[int] = field(default_factory=list)

    def add(self, verdict: Verdict, claim: int) -> None:
        """Count one verdict about a claim to be the person of that number."""
        ratio = verdict.evidence.combined_llr
        self.scores.append(NO_SCORE if ratio is None else ratio)
        self.decisions.append(verdict.decision)
        self.claims.append(claim)

    def accepted(self) -> int:
        """Number of ACCEPT."""
        return self.decisions.count(Decision.ACCEPT)


def costs(
    genuine: Tally, others: Tally, attacks: dict[str, Tally]
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Least a-DCF, a-DCF at the policy, and SASV-EER; 90 % intervals over the claimed people."""
    kinds = [genuine, others, *attacks.values()]
    count = 1 + max(claim for kind in kinds for claim in kind.claims)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(count, np.full(count, 1 / count), 500)
    rows = [_costs(kinds, times) for times in (np.ones(count), *draws)]
    table = np.array(rows)
    return (_spread(table[:, 0]), _spread(table[:, 1]), _spread(table[:, 2]))


def _costs(kinds: list[Tally], times: NDArray[Any]) -> tuple[float, float, float]:
    weights = [times[np.array(kind.claims)].astype(float) for kind in kinds]
    weights = [one / max(float(one.sum()), 1e-9) for one in weights]
    scores = [np.array(kind.scores) for kind in kinds]
    grid = np.unique(np.concatenate([*scores, [np.inf]]))

    def above(place: int, at: float) -> float:
        return float(weights[place][scores[place] >= at].sum())

    spoofs = range(2, len(kinds))
    points = []
    for at in grid:
        miss = 1.0 - above(0, at)
        stranger, spoof = above(1, at), float(np.mean([above(place, at) for place in spoofs]))
        wrong = (stranger + spoof * len(spoofs)) / (1 + len(spoofs))
        points.append((_cost(miss, stranger, spoof), abs(miss - wrong), (miss + wrong) / 2.0))
    taken = [
        float(weight[[one is Decision.ACCEPT for one in kind.decisions]].sum())
        for kind, weight in zip(kinds, weights, strict=True)
    ]
    policy = _cost(1.0 - taken[0], taken[1], float(np.mean(taken[2:])))
    equal = min(points, key=lambda point: point[1])[2]
    return min(point[0] for point in points), policy, equal


def _cost(miss: float, stranger: float, spoof: float) -> float:
    cost = COSTS["miss"] * PRIORS["target"] * miss + COSTS["false accept"] * (
        PRIORS["nontarget"] * stranger + PRIORS["spoof"] * spoof
    )
    reject_all = COSTS["miss"] * PRIORS["target"]
    accept_all = COSTS["false accept"] * (PRIORS["nontarget"] + PRIORS["spoof"])
    return cost / min(reject_all, accept_all)


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.quantile(values[1:], [0.05, 0.95])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}
