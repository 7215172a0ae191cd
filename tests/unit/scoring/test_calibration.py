# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from voiceauth.errors import ModelHashMismatchError, SettingsError
from voiceauth.scoring.calibration import Calibration, Node, Normalisation, Table
from voiceauth.scoring.cosine import unit
from voiceauth.scoring.operating_point import llr_for, smallest_supported
from voiceauth.scoring.scorer import CalibratedScorer, cohort_sha256
from voiceauth.scoring.tables import dumps, loads
from voiceauth.types import Bandwidth, ModelHash

NARROW, WIDE = Bandwidth.NARROWBAND, Bandwidth.WIDEBAND
GRID = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
SHORT = Node(
    net_seconds=2.0,
    scale=10.0,
    offset=-3.0,
    false_match=np.array([1.0, 0.5, 0.1, 0.02, 0.01]),
    false_non_match=np.array([0.01, 0.03, 0.1, 0.4, 0.9]),
    target_trials=100,
    impostor_trials=3000,
)
LONG = replace(
    SHORT,
    net_seconds=8.0,
    scale=20.0,
    offset=-5.0,
    false_match=np.array([1.0, 0.4, 0.05, 0.005, 0.0001]),
)
CALIBRATION = Calibration(
    version="test-1",
    model=ModelHash("a" * 64),
    normalisation=Normalisation(),
    data="made by hand",
    speakers=5,
    confidence=0.95,
    grid=GRID,
    tables=(Table(NARROW, 1.9, (SHORT, LONG), "by hand"),),
)


def test_at_a_node_the_line_and_the_curves_are_the_nodes() -> None:
    """2 s of speech and a raw score of 0.5 read the first node's own values."""
    score = CALIBRATION.score(0.5, 2.0, NARROW)

    assert score.llr == pytest.approx(2.0)
    assert score.false_match_rate == pytest.approx(0.02)
    assert score.false_non_match_rate == pytest.approx(0.4)
    assert not score.floor_reached


def test_between_grid_ratios_the_rates_are_overstated() -> None:
    """A ratio of 1 has the false-match rate of 0 and the false-non-match rate of 2."""
    score = CALIBRATION.score(0.4, 2.0, NARROW)

    assert score.llr == pytest.approx(1.0)
    assert score.false_match_rate == pytest.approx(0.1)
    assert score.false_non_match_rate == pytest.approx(0.4)


def test_between_nodes_the_values_lie_between() -> None:
    """4 s is halfway between 2 s and 8 s: the line's mean, the rates' geometric mean."""
    score = CALIBRATION.score(0.4, 4.0, NARROW)

    assert score.llr == pytest.approx(15.0 * 0.4 - 4.0)
    assert score.false_match_rate == pytest.approx(np.sqrt(0.02 * 0.005))


def test_beyond_the_last_node_the_last_one_counts() -> None:
    """More speech than the tables know is worth as much as the most they know."""
    assert CALIBRATION.score(0.3, 100.0, NARROW) == CALIBRATION.score(0.3, 8.0, NARROW)


def test_a_little_less_than_the_first_node_counts_as_the_first_node() -> None:
    """Support begins just below the mean length of the first node's probes."""
    assert CALIBRATION.score(0.3, 1.95, NARROW) == CALIBRATION.score(0.3, 2.0, NARROW)


@pytest.mark.parametrize(
    ("seconds", "bandwidth"), [(1.89, NARROW), (0.0, NARROW), (-1.0, NARROW), (5.0, WIDE)]
)
def test_outside_the_support_there_is_no_ratio_and_no_rate(
    seconds: float, bandwidth: Bandwidth
) -> None:
    """Too little speech, or a bandwidth without a table: nothing is guessed."""
    score = CALIBRATION.score(0.99, seconds, bandwidth)

    assert (score.llr, score.false_match_rate, score.false_non_match_rate) == (None, None, None)


@pytest.mark.parametrize("raw", [float("nan"), float("inf")])
def test_a_raw_score_that_is_no_number_has_no_rates(raw: float) -> None:
    """NaN never compares as good."""
    assert CALIBRATION.score(raw, 5.0, NARROW).false_match_rate is None


def test_no_number_of_seconds_has_no_support() -> None:
    """NaN seconds are below every support."""
    assert CALIBRATION.score(0.9, float("nan"), NARROW).llr is None


def test_the_floor_is_stated_and_marked() -> None:
    """However high a score is, its rate is the table's floor, and the score says so."""
    score = CALIBRATION.score(0.99, 8.0, NARROW)

    assert score.false_match_rate == pytest.approx(0.0001)
    assert score.floor_reached


def test_below_the_grid_an_impostor_always_reaches() -> None:
    """A ratio below the grid has the worst false-match rate, and the grid's least miss rate."""
    score = CALIBRATION.score(-1.0, 2.0, NARROW)

    assert score.false_match_rate == 1.0
    assert score.false_non_match_rate == pytest.approx(0.01)


def test_above_the_grid_the_miss_rate_is_not_understated() -> None:
    """A ratio above the grid says nothing on how rarely the speaker stays below it."""
    assert CALIBRATION.score(1.0, 2.0, NARROW).false_non_match_rate == 1.0


def test_tables_survive_their_file() -> None:
    """Writing and reading gives the same scores."""
    again = loads(dumps(CALIBRATION))

    for raw in np.linspace(-1, 1, 41):
        for seconds in (1.0, 2.0, 3.0, 9.0):
            one, other = (c.score(float(raw), seconds, NARROW) for c in (CALIBRATION, again))
            assert one.llr == other.llr
            if one.false_match_rate is not None:
                assert other.false_match_rate == pytest.approx(one.false_match_rate, rel=1e-5)
    assert (again.version, again.model, again.data) == ("test-1", "a" * 64, "made by hand")


def test_a_file_never_states_a_smaller_rate_than_was_found() -> None:
    """Shortening the digits rounds up."""
    odd = replace(SHORT, false_match=np.array([1.0, 1 / 3, 1 / 7, 1 / 700, 1 / 70000]))
    written = replace(CALIBRATION, tables=(Table(NARROW, 1.9, (odd,), "by hand"),))

    read = loads(dumps(written)).tables[0].nodes[0].false_match

    assert np.all(read >= odd.false_match)
    np.testing.assert_allclose(read, odd.false_match, rtol=1e-5)


def _broken(path: str, value: Any) -> str:
    content = json.loads(dumps(CALIBRATION))
    place: Any = content
    *way, last = path.split("/")
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 2),
        ("version", None),
        ("version", ""),
        ("model", 7),
        ("grid", [0.0, 0.0, 1.0, 2.0, 3.0]),
        ("grid", [0.0]),
        ("grid", "x"),
        ("tables", []),
        ("tables", 3),
        ("tables/0/bandwidth", "ultrawide"),
        ("tables/0/least_seconds", 3.0),
        ("tables/0/nodes", []),
        ("tables/0/nodes/1/net_seconds", 1.95),
        ("tables/0/nodes/0/scale", -1.0),
        ("tables/0/nodes/0/scale", float("nan")),
        ("tables/0/nodes/0/false_match", [1.0, 0.5, 0.6, 0.02, 0.01]),
        ("tables/0/nodes/0/false_match", [1.0, 0.5, 0.1, 0.02, 0.0]),
        ("tables/0/nodes/0/false_match", [1.0, 0.5, 0.1]),
        ("tables/0/nodes/0/false_match", [1.0, 0.5, 0.1, 0.02, float("nan")]),
        ("tables/0/nodes/0/false_non_match", [0.5, 0.4, 0.3, 0.2, 0.1]),
        ("tables/0/nodes/0/false_non_match", None),
        ("normalisation", None),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(path: str, value: Any) -> None:
    """Missing, mistyped and impossible fields are errors of the engine, never scores."""
    with pytest.raises(SettingsError):
        loads(_broken(path, value))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"format": 1}'])
def test_a_file_that_is_no_calibration_is_refused(text: str) -> None:
    """Whatever stands in the file, only the engine's own error comes out."""
    with pytest.raises(SettingsError):
        loads(text)


def test_two_tables_of_one_bandwidth_are_refused() -> None:
    """A score must not depend on which of two tables is found first."""
    with pytest.raises(SettingsError):
        replace(CALIBRATION, tables=CALIBRATION.tables * 2)


def test_the_ratio_for_a_target_meets_it_and_the_one_below_does_not() -> None:
    """The operating point is the smallest grid ratio whose stated rate is within the target."""
    assert llr_for(CALIBRATION, 0.02, net_seconds=2.0, bandwidth=NARROW) == 2.0
    assert llr_for(CALIBRATION, 0.019, net_seconds=2.0, bandwidth=NARROW) == 4.0
    assert llr_for(CALIBRATION, 1.0, net_seconds=2.0, bandwidth=NARROW) == -4.0


def test_a_target_below_the_floor_has_no_operating_point() -> None:
    """What the tables cannot support has no ratio, and neither has a bandwidth without tables."""
    assert smallest_supported(CALIBRATION, net_seconds=2.0, bandwidth=NARROW) == pytest.approx(0.01)
    assert llr_for(CALIBRATION, 0.0099, net_seconds=2.0, bandwidth=NARROW) is None
    assert llr_for(CALIBRATION, 0.5, net_seconds=2.0, bandwidth=WIDE) is None
    assert smallest_supported(CALIBRATION, net_seconds=1.0, bandwidth=NARROW) is None


@pytest.mark.parametrize("target", [0.0, -0.1, 1.1, float("nan")])
def test_a_target_that_is_no_rate_is_refused(target: float) -> None:
    """Rates lie above 0 and at most at 1."""
    with pytest.raises(SettingsError):
        llr_for(CALIBRATION, target, net_seconds=2.0, bandwidth=NARROW)


COHORT = unit(np.random.default_rng(1).standard_normal((12, 4)))
VOICE = COHORT[0]


def test_a_scorer_without_normalisation_reads_the_cosine() -> None:
    """The raw score of a probe with itself is 1."""
    scorer = CalibratedScorer(dumps(CALIBRATION), COHORT)

    score = scorer.score(VOICE, VOICE, net_seconds=8.0, bandwidth=NARROW)

    assert score.raw == pytest.approx(1.0)
    assert score.llr == pytest.approx(15.0)
    assert scorer.version == "test-1"


def test_a_scorer_normalises_when_its_tables_were_normalised() -> None:
    """The raw score is then the adaptive norm's, not the cosine."""
    normalised = replace(CALIBRATION, normalisation=Normalisation(5, cohort_sha256(COHORT)))
    scorer = CalibratedScorer(dumps(normalised), COHORT)

    score = scorer.score(VOICE, COHORT[1], net_seconds=8.0, bandwidth=NARROW)

    assert score.raw != pytest.approx(float(VOICE @ COHORT[1]), abs=1e-3)


def test_another_cohort_than_the_tables_is_refused() -> None:
    """Normalised tables are meaningless with another cohort."""
    normalised = replace(CALIBRATION, normalisation=Normalisation(5, cohort_sha256(COHORT)))

    with pytest.raises(ModelHashMismatchError):
        CalibratedScorer(dumps(normalised), COHORT[:11])
