# SPDX-License-Identifier: Apache-2.0
import math
from typing import Any

import numpy as np
import pytest
from noted import noted, one_rule, raised
from numpy.typing import NDArray

from voiceauth.alerts import drift
from voiceauth.alerts.drift import largest_distance, stability_index
from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import Observation

Values = NDArray[np.float64]
RULE = {"reference_values": 1000, "batch_values": 250}


def scored(values: Values, **more: Any) -> list[Observation]:
    """Return verdicts with these ratios."""
    body: dict[str, Any] = {"standing": "enrolled", "calibration": "v1", **more}
    return [
        noted(n, n, "verify.verdict", score={"llr": float(one)}, **body)
        for n, one in enumerate(values, start=1)
    ]


def normal(seed: int, count: int, mean: float = 5.0) -> Values:
    """Return made-up ratios."""
    return np.random.default_rng(seed).normal(mean, 4.0, count)


def test_the_same_distribution_is_no_drift() -> None:
    """Chance alone does not move twenty batches of the same callers."""
    evaluator = Evaluator(one_rule("drift-score", **RULE))

    assert raised(evaluator, *scored(normal(1, 6000))) == []


def test_a_shift_is_found_in_the_first_batch_of_it() -> None:
    """Three nats less, as after a change of the line, are seen at the batch's end."""
    evaluator = Evaluator(one_rule("drift-score", **RULE))
    values = np.concatenate([normal(1, 1000), normal(2, 250, mean=2.0)])

    (alert,) = raised(evaluator, *scored(values))

    counts = dict(alert.counts)
    assert alert.about == "tenant"
    assert counts["values"] == 250
    assert counts["psi"] > 0.2
    assert counts["ks"] > 0.15
    assert alert.records == tuple(range(1241, 1251))


def test_a_slow_drift_is_found_because_the_reference_stays() -> None:
    """A tenth of a nat per batch is seen once it adds up."""
    evaluator = Evaluator(one_rule("drift-score", **RULE))
    slow = np.concatenate([normal(9, 250, mean=5.0 - 0.1 * step) for step in range(40)])

    assert raised(evaluator, *scored(np.concatenate([normal(1, 1000), slow])))


def test_another_calibration_begins_another_reference() -> None:
    """New tables give other ratios on purpose."""
    evaluator = Evaluator(one_rule("drift-score", **RULE))
    raised(evaluator, *scored(normal(1, 1500)))

    assert raised(evaluator, *scored(normal(2, 1500, mean=-5.0), calibration="v2")) == []


def test_a_rule_without_such_a_name_keeps_its_reference() -> None:
    """Where ``within`` is empty, one reference serves for ever."""
    evaluator = Evaluator(one_rule("drift-score", within="", **RULE))
    raised(evaluator, *scored(normal(1, 1000)))

    assert raised(evaluator, *scored(normal(2, 250, mean=-5.0), calibration="v2"))


def test_entries_without_a_number_do_not_count() -> None:
    """A call without a score says nothing of scores, nor does one on nobody."""
    evaluator = Evaluator(one_rule("drift-score", **RULE))
    raised(evaluator, *scored(normal(1, 1000)))
    strangers = scored(normal(2, 250, mean=-9.0), standing="unknown")
    silent = [noted(n, n, "verify.verdict", standing="enrolled") for n in range(300)]
    nameless = Evaluator(one_rule("drift-score", key="subject", **RULE))

    assert raised(evaluator, *strangers, *silent) == []
    assert raised(nameless, *scored(normal(1, 1500))) == []


def test_values_beyond_the_ends_count_at_the_ends() -> None:
    """An impossible ratio breaks nothing."""
    evaluator = Evaluator(one_rule("drift-score", **RULE))
    values = np.concatenate([normal(1, 1000), np.full(125, 1e300), np.full(125, -1e300)])

    assert len(raised(evaluator, *scored(values))) == 1


def test_the_distributions_that_are_remembered_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Invented tenants cannot fill the memory."""
    monkeypatch.setattr(drift, "MOST_KEYS", 3)
    evaluator = Evaluator(one_rule("drift-score", **RULE))
    body: dict[str, Any] = {"standing": "enrolled", "score": {"llr": 1.0}}
    raised(evaluator, *(noted(n, n, "verify.verdict", tenant=f"t{n}", **body) for n in range(9)))

    assert evaluator.changed()["drift-score"].count('["t') == 3


def test_the_stability_index_is_that_of_the_text_books() -> None:
    """Two tenths that changed places, computed by hand."""
    reference, batch = [10] * 10, [20, 0, *[10] * 8]
    by_hand = (0.2 - 0.1) * math.log(2) + (0.005 - 0.1) * math.log(0.005 / 0.1)

    assert stability_index(reference, batch) == pytest.approx(by_hand)
    assert stability_index(reference, reference) == pytest.approx(0.0)


def test_values_beyond_the_reference_raise_the_index() -> None:
    """What the reference never had is a tenth of its own."""
    assert stability_index([50, 50, 0], [25, 25, 50]) > 0.2


def test_the_distance_is_the_largest_gap_of_the_sums() -> None:
    """By hand: after the first bin 0.5 against 0.25."""
    assert largest_distance([2, 1, 1], [1, 1, 2]) == pytest.approx(0.25)
    assert largest_distance([1, 0], [0, 1]) == 1.0
