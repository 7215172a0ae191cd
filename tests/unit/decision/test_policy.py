# SPDX-License-Identifier: Apache-2.0
from dataclasses import asdict

import pytest

from voiceauth.config import PolicySettings
from voiceauth.decision.policy import RATES, Policy
from voiceauth.errors import SettingsError


def test_an_unnamed_choice_is_the_documented_one() -> None:
    """A policy without further words asks for what the settings' reference says, and no voice."""
    expected = {
        "name": "standard",
        "target_false_match_rate": 0.01,
        "target_false_non_match_rate": 0.02,
        "floor_seconds": 2.0,
        "full_seconds": 15.0,
        "step_seconds": 3.0,
        "accept_on_voice_alone": False,
        "max_spoof_false_accept": 0.05,
        "max_live_rejected": 0.005,
        "max_live_held": 0.05,
        "synthetic_seconds": 6.0,
        "require_liveness": frozenset(),
    }
    policy = asdict(Policy("standard"))

    assert {name: policy[name] for name in expected} == expected


def test_the_settings_and_the_policy_agree() -> None:
    """What a settings file leaves out is what the rules leave out; but it always gives routes."""
    settings, policy = PolicySettings().model_dump(exclude={"routes"}), asdict(Policy("standard"))
    settings["require_liveness"] = frozenset(settings["require_liveness"])

    assert {name: policy[name] for name in settings} == settings


@pytest.mark.parametrize("rate", RATES)
def test_a_rate_lies_between_nothing_and_a_coin_toss(rate: str) -> None:
    """One half is a rate, more is none, and neither is zero: it could never be shown."""
    assert getattr(Policy("p", **{rate: 0.5}), rate) == 0.5  # type: ignore[arg-type]
    for wrong in (0.0, -0.01, 0.5001):
        with pytest.raises(SettingsError, match=rate):
            Policy("p", **{rate: wrong})  # type: ignore[arg-type]


def test_the_rates_of_a_policy_are_all_checked() -> None:
    """Each of the five promises is a rate, and every rate is a field."""
    promises = {"target_false_match_rate", "target_false_non_match_rate"}
    promises |= {"max_spoof_false_accept", "max_live_rejected", "max_live_held"}

    assert promises <= set(RATES) <= set(asdict(Policy("p")))


@pytest.mark.parametrize(("floor", "full"), [(0.0, 15.0), (-1.0, 15.0), (15.1, 15.0)])
def test_the_floor_lies_within_the_call(floor: float, full: float) -> None:
    """Speech is needed, and not more of it than is waited for."""
    with pytest.raises(SettingsError, match="floor_seconds"):
        Policy("p", floor_seconds=floor, full_seconds=full)


@pytest.mark.parametrize("step", [0.0, -0.5])
def test_looks_are_apart(step: float) -> None:
    """Between two looks there is some speech."""
    with pytest.raises(SettingsError, match="step_seconds"):
        Policy("p", step_seconds=step)


def test_small_seconds_are_seconds() -> None:
    """A floor and a step below one second are the operator's to choose, and both ends may meet."""
    policy = Policy("p", floor_seconds=0.5, full_seconds=0.5, step_seconds=0.1)

    assert (policy.floor_seconds, policy.step_seconds) == (0.5, 0.1)


def test_the_wait_for_liveness_may_be_nothing_and_not_less() -> None:
    """Zero seconds leave it to the layer; a negative number means nothing."""
    assert Policy("p", synthetic_seconds=0.0).synthetic_seconds == 0.0
    with pytest.raises(SettingsError, match="synthetic_seconds"):
        Policy("p", synthetic_seconds=-0.1)
