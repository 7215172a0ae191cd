# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.config import ModelSettings, Settings
from voiceauth.errors import SettingsError
from voiceauth.usecases.measure_machine import HEADROOM, capacity, model_costs, search_cost


def test_an_estimate_is_the_headroom_over_the_cost_of_a_second() -> None:
    """Half a core of headroom left would be half the calls; parts of calls do not count."""
    found = capacity(0.0101, cores=4)

    assert found.calls_per_core == int(HEADROOM / 0.0101) == 69
    assert found.calls == 4 * 69


def test_every_form_of_the_model_is_measured() -> None:
    """The shipped model has two forms, and each costs something."""
    found = model_costs(Settings(), repeats=1)

    assert list(found) == ["fp32", "int8"]
    assert all(0.0 < cost.median_ms <= cost.high_ms for cost in found.values())


def test_a_search_is_measured_on_as_many_voiceprints_as_were_asked_for() -> None:
    """It costs time of the processor."""
    assert search_cost(50, repeats=2).median_ms > 0.0


def test_a_model_that_is_not_there_leaves_nothing_to_measure() -> None:
    """A wrong name in the settings is no form of any model."""
    settings = Settings(models=ModelSettings(speaker="absent"))

    with pytest.raises(SettingsError):
        model_costs(settings, repeats=1)
