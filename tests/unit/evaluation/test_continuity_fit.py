# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from voiceauth.errors import SettingsError
from voiceauth.evaluation.continuity import detected, fit_continuity, main
from voiceauth.evaluation.handovers import Stretch, WatchedCall
from voiceauth.liveness.continuity import format_continuity, parse_continuity
from voiceauth.types import ModelHash

MODEL = ModelHash("ab" * 32)


def made_up_call(person: int, other: int | None, seed: int) -> WatchedCall:
    """Return a call with six stretches before the joint and ten after it."""
    rng = np.random.default_rng((person, seed))

    def stretch(place: int) -> Stretch:
        stranger = other is not None and place >= 6
        mean = 0.2 if stranger else 0.8
        alike = float(rng.normal(mean, 0.12)), float(rng.normal(mean, 0.1))
        return Stretch(alike, 5.0 + place, float(place - 5), pure=place != 6)

    stretches = tuple(stretch(place) for place in range(16))
    return WatchedCall(person, other, 11.0, stretches, stretches)


def made_up_calls(kinds: Sequence[bool] = (True, False)) -> list[WatchedCall]:
    """Return calls of one person (True) and with a hand-over (False)."""
    return [
        made_up_call(person, None if same else person + 1, turn * 2 + same)
        for person in range(20)
        for turn in range(5)
        for same in kinds
    ]


def test_a_fit_finds_hand_overs_within_its_false_alarms() -> None:
    """On calls that it was not fitted to, alarms are rare without a hand-over and soon with one."""
    rule = fit_continuity(made_up_calls(), MODEL)
    unseen = [made_up_call(100 + n, None if n % 2 else 1, 7) for n in range(200)]

    found = [detected(one.windows, rule.voiceprint, 0.5, (0, 1)).delay_seconds for one in unseen]
    same = [delay for one, delay in zip(unseen, found, strict=True) if one.other is None]
    other = [delay for one, delay in zip(unseen, found, strict=True) if one.other is not None]

    assert np.mean(np.isfinite(same)) <= 0.05
    assert np.mean([0.0 < delay <= 3.0 for delay in other]) > 0.9


def test_a_fitted_calibration_can_be_shipped() -> None:
    """What is fitted survives its file and names its model."""
    rule = fit_continuity(made_up_calls(), MODEL)

    assert parse_continuity(format_continuity(rule)) == rule
    assert rule.model == MODEL


def test_the_calls_of_the_fit_raise_no_more_alarms_than_stated() -> None:
    """The alarm lies above all but the stated share of the calls of one person."""
    calls = made_up_calls()
    rule = fit_continuity(calls, MODEL)

    alarms = [
        np.isfinite(detected(one.windows, rule.call, 0.5, (0,)).delay_seconds)
        for one in calls
        if one.other is None
    ]

    assert np.mean(alarms) <= rule.false_alarm_rate


@pytest.mark.parametrize("kinds", [(True,), ()])
def test_a_fit_without_hand_overs_is_refused(kinds: tuple[bool, ...]) -> None:
    """Nothing can be told from calls of one kind."""
    with pytest.raises(SettingsError):
        fit_continuity(made_up_calls(kinds), MODEL)


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without models the command ends with a sentence and code 1."""
    assert main(["--manifest", str(tmp_path / "m.csv"), "--models", str(tmp_path)]) == 1
    assert "manifest" in capsys.readouterr().err
