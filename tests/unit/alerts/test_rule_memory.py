# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from typing import Any

import pytest
from noted import DAY, noted, one_rule, raised, rejection, somebody

from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import Observation
from voiceauth.alerts.table import rules
from voiceauth.errors import IntegrityError


def mixed_traffic() -> Iterator[Observation]:
    """Yield entries that every kind of rule has to remember something of."""
    for n in range(1, 600):
        at, odd = 60.0 * n, n % 7 == 0
        yield noted(
            n,
            at,
            "verify.verdict",
            decision="reject" if odd else "accept",
            reasons=["spoof_suspected"] if n > 590 else ["match"],
            standing="enrolled",
            subject=somebody(f"subject-{n % 40}"),
            voice=somebody(f"voice-{n % 3}") if odd else "",
            number=somebody(f"number-{n % 50}"),
            score={"llr": float(n % 9)},
            calibration="v1",
            liveness={"synthetic": {"llr": 1.0}},
        )
        yield noted(10_000 + n, at, "subject.read", by=somebody(f"agent-{n % 4}"))
        yield noted(20_000 + n, at + (n % 5) * DAY, "subject.read", by=somebody("eve"))


@pytest.mark.parametrize("cut", [1, 100, 777, 1500])
def test_a_restart_changes_nothing(cut: int) -> None:
    """Whatever was seen before a restart counts after it, once: the alerts are the same."""
    entries = list(mixed_traffic())
    whole = raised(Evaluator(rules()), *entries)
    before = Evaluator(rules())
    first = raised(before, *entries[:cut])
    after = Evaluator(rules(), json.loads(json.dumps(before.changed())))

    assert first + raised(after, *entries[cut:]) == whole
    assert len({one.rule for one in whole}) >= 3


def test_only_rules_that_saw_something_are_written_down() -> None:
    """A memory that did not change need not be stored again."""
    evaluator = Evaluator(rules())
    raised(evaluator, noted(1, 0, "access.denied", by=somebody("eve")))

    assert set(evaluator.changed()) == {"access-denied"}
    assert evaluator.changed() == {}


def test_the_cooldown_survives_a_restart() -> None:
    """What was told before a restart is not told again after it."""
    before = Evaluator(one_rule("failures-subject", threshold=4))
    raised(before, *(rejection(n, n) for n in range(4)))
    after = Evaluator(one_rule("failures-subject", threshold=4), before.changed())

    assert raised(after, rejection(5, 5)) == []


def test_a_rule_with_other_terms_begins_anew() -> None:
    """What was counted under other terms does not count."""
    before = Evaluator(one_rule("failures-subject", threshold=4))
    raised(before, *(rejection(n, n) for n in range(3)))
    after = Evaluator(one_rule("failures-subject", threshold=3), before.changed())

    assert raised(after, rejection(5, 5), rejection(6, 6)) == []
    assert len(raised(after, rejection(7, 7))) == 1


def test_an_epoch_makes_a_rule_forget() -> None:
    """An operator can have a reference taken anew."""
    before = Evaluator(one_rule("failures-subject", threshold=4))
    raised(before, *(rejection(n, n) for n in range(3)))
    after = Evaluator(one_rule("failures-subject", threshold=4, epoch=1), before.changed())

    assert raised(after, rejection(5, 5)) == []


@pytest.mark.parametrize("name", sorted(rules()))
@pytest.mark.parametrize("memory", [3, None, "x", [1], [[1]], [["a"]], [[], [[1]]], {"a": 1}])
def test_a_memory_that_cannot_be_read_is_told(name: str, memory: object) -> None:
    """What was tampered with never reads as "nothing seen"."""
    evaluator = Evaluator({name: rules()[name]})
    event = min(rules()[name].events)
    raised(evaluator, noted(1, 0, event))
    print_, told, _ = json.loads(evaluator.changed()[name])

    with pytest.raises(IntegrityError):
        Evaluator({name: rules()[name]}, {name: json.dumps([print_, told, memory])})


@pytest.mark.parametrize("memory", ["", "{", "[" * 100_000, "[1]", "[1,2]", "null"])
def test_a_memory_that_is_no_json_is_told(memory: str) -> None:
    """Nor does half a file."""
    with pytest.raises(IntegrityError):
        Evaluator(one_rule("failures-subject"), {"failures-subject": memory})


def test_a_histogram_of_another_length_is_told() -> None:
    """A reference that does not belong to the rule is not used."""
    rule = one_rule("drift-score")
    evaluator = Evaluator(rule)
    body: dict[str, Any] = {"standing": "enrolled", "score": {"llr": 1.0}}
    raised(evaluator, noted(1, 0, "verify.verdict", **body))
    print_, told, memory = json.loads(evaluator.changed()["drift-score"])
    memory[0][3] = memory[0][3][:-1]

    with pytest.raises(IntegrityError):
        Evaluator(rule, {"drift-score": json.dumps([print_, told, memory])})
