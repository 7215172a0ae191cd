# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from voiceauth.decision.policy import Policy
from voiceauth.decision.verdict import Decider
from voiceauth.errors import ModelHashMismatchError, SettingsError
from voiceauth.scoring.calibration import Calibration, Node, Normalisation, Table, Worth
from voiceauth.scoring.condition import Condition, Line, Range, Support
from voiceauth.scoring.cosine import unit
from voiceauth.scoring.operating_point import llr_for, smallest_supported
from voiceauth.scoring.scorer import CalibratedScorer, cohort_sha256
from voiceauth.scoring.tables import dumps, loads
from voiceauth.types import Bandwidth, Decision, ModelHash, Reason, Score

NARROW, WIDE = Bandwidth.NARROWBAND, Bandwidth.WIDEBAND
GRID = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
SHORT = Node(
    net_seconds=2.0,
    false_match=np.array([1.0, 0.5, 0.1, 0.02, 0.01]),
    false_non_match=np.array([0.01, 0.03, 0.1, 0.4, 0.9]),
    target_trials=100,
    impostor_trials=3000,
)
LONG = replace(
    SHORT,
    net_seconds=8.0,
    false_match=np.array([1.0, 0.4, 0.05, 0.005, 0.0001]),
)
# llr = 10 * score - 3 at 2 s of speech, 20 * score - 5 at 8 s, 2 more for every 10 dB.
_STEP = float(np.log(4.0))
_START = float(np.log(2.0 / 3.0)) / _STEP
LINE = Line(
    terms=("1", "net", "snr"),
    slope=(10.0 - 10.0 * _START, 10.0 / _STEP, 0.0),
    offset=(-3.0 + 2.0 * _START, -2.0 / _STEP, 2.0),
)
SUPPORT = Support(Range(1.9, 8.0), Range(2.0, 60.0), Range(5.0, 30.0))
TABLE = Table(NARROW, SUPPORT, LINE, (SHORT, LONG), "by hand", Worth(0.3, 0.28))
CALIBRATION = Calibration(
    version="test-1",
    model=ModelHash("a" * 64),
    normalisation=Normalisation(),
    data="made by hand",
    data_sha256="d" * 64,
    speakers=5,
    confidence=0.95,
    grid=GRID,
    tables=(TABLE,),
)


def scored(
    raw: float,
    seconds: float,
    bandwidth: Bandwidth = NARROW,
    snr_db: float | None = 20.0,
    enrolled: float | None = 20.0,
) -> Score:
    """Score under the usual condition unless told otherwise."""
    return CALIBRATION.score(raw, Condition(bandwidth, seconds, enrolled, snr_db))


def test_at_a_node_the_line_and_the_curves_are_the_nodes() -> None:
    """2 s of speech and a raw score of 0.5 read the first node's own values."""
    score = scored(0.5, 2.0)

    assert score.llr == pytest.approx(2.0)
    assert score.false_match_rate == pytest.approx(0.02)
    assert score.false_non_match_rate == pytest.approx(0.4)
    assert not score.floor_reached


def test_between_grid_ratios_the_rates_are_overstated() -> None:
    """A ratio of 1 has the false-match rate of 0 and the false-non-match rate of 2."""
    score = scored(0.4, 2.0)

    assert score.llr == pytest.approx(1.0)
    assert score.false_match_rate == pytest.approx(0.1)
    assert score.false_non_match_rate == pytest.approx(0.4)


def test_between_nodes_the_line_follows_the_seconds_and_the_worse_rate_holds() -> None:
    """4 s is halfway between 2 s and 8 s: the line's mean, the larger of both rates."""
    score = scored(0.4, 4.0)

    assert score.llr == pytest.approx(15.0 * 0.4 - 4.0)
    assert score.false_match_rate == pytest.approx(0.02)
    assert score.false_non_match_rate == pytest.approx(0.4)


@pytest.mark.parametrize("hair", [-1e-13, 0.0, 1e-13])
def test_rounding_moves_no_rate(hair: float) -> None:
    """A ratio that rounding put beside a grid ratio reads the rates of that ratio."""
    match = CALIBRATION.rate(SHORT.false_match, 2.0 + hair)
    missed = CALIBRATION.rate(SHORT.false_non_match, 2.0 + hair, from_below=False)

    assert match == pytest.approx(0.02)
    assert missed == pytest.approx(0.4)


def test_noise_moves_the_ratio() -> None:
    """10 dB more are worth what the line says, and more than was ever seen is not."""
    assert scored(0.5, 2.0, snr_db=10.0).llr == pytest.approx(0.0)
    assert scored(0.5, 2.0, snr_db=30.0).llr == pytest.approx(4.0)
    assert scored(0.5, 2.0, snr_db=55.0) == scored(0.5, 2.0, snr_db=30.0)


def test_what_is_not_known_is_taken_at_its_worst() -> None:
    """Without a measured noise the match is that of the noisiest, the mismatch of the best line."""
    unknown = scored(0.5, 2.0, snr_db=None, enrolled=None)
    worst, best = scored(0.5, 2.0, snr_db=5.0), scored(0.5, 2.0, snr_db=30.0)

    assert unknown.llr == worst.llr
    assert unknown.false_match_rate == worst.false_match_rate
    assert unknown.false_non_match_rate == best.false_non_match_rate


@pytest.mark.parametrize(
    ("snr_db", "enrolled"), [(4.9, 20.0), (20.0, 1.9), (float("nan"), 20.0), (20.0, float("nan"))]
)
def test_more_noise_or_less_enrolment_than_was_seen_has_no_support(
    snr_db: float, enrolled: float
) -> None:
    """At the edges of the support every rate ends, and with it every chance of an accept."""
    score = scored(0.99, 5.0, snr_db=snr_db, enrolled=enrolled)

    assert (score.llr, score.false_match_rate, score.false_non_match_rate) == (None, None, None)
    assert scored(0.99, 5.0, snr_db=5.0, enrolled=2.0).llr is not None


def test_an_unsupported_score_ends_in_step_up() -> None:
    """The decision on a score outside the support is STEP_UP, however high the score."""
    score = scored(0.99, 5.0, snr_db=4.9)

    outcome = Decider(Policy("alone", accept_on_voice_alone=True)).look(
        score, net_seconds=5.0, final=True
    )

    assert outcome.decision is Decision.STEP_UP
    assert outcome.reasons == (Reason.NO_CALIBRATION_SUPPORT,)


def test_a_line_that_falls_somewhere_is_refused() -> None:
    """A table whose slope is negative at one corner of its support cannot be made."""
    falling = replace(LINE, slope=(1.0, 10.0, 0.0))

    with pytest.raises(SettingsError):
        replace(TABLE, line=falling)


@pytest.mark.parametrize("terms", [("1", "loudness"), ("1", "net*net"), ("1",)])
def test_unknown_terms_are_refused(terms: tuple[str, ...]) -> None:
    """Terms must be known, extreme at corners, and have a weight each."""
    with pytest.raises(SettingsError):
        Line(terms, (1.0, 1.0), (0.0, 0.0))


def test_beyond_the_last_node_the_last_one_counts() -> None:
    """More speech than the tables know is worth as much as the most they know."""
    assert scored(0.3, 100.0) == scored(0.3, 8.0)


def test_a_little_less_than_the_first_node_counts_as_the_first_node() -> None:
    """Support begins just below the mean length of the first node's probes."""
    early, first = scored(0.35, 1.95), scored(0.35, 2.0)

    assert early.llr == pytest.approx(first.llr, abs=0.1)
    assert early.false_match_rate == first.false_match_rate
    assert early.false_non_match_rate == first.false_non_match_rate


@pytest.mark.parametrize(
    ("seconds", "bandwidth"), [(1.89, NARROW), (0.0, NARROW), (-1.0, NARROW), (5.0, WIDE)]
)
def test_outside_the_support_there_is_no_ratio_and_no_rate(
    seconds: float, bandwidth: Bandwidth
) -> None:
    """Too little speech, or a bandwidth without a table: nothing is guessed."""
    score = scored(0.99, seconds, bandwidth)

    assert (score.llr, score.false_match_rate, score.false_non_match_rate) == (None, None, None)


@pytest.mark.parametrize("raw", [float("nan"), float("inf")])
def test_a_raw_score_that_is_no_number_has_no_rates(raw: float) -> None:
    """NaN never compares as good."""
    assert scored(raw, 5.0).false_match_rate is None


def test_no_number_of_seconds_has_no_support() -> None:
    """NaN seconds are below every support."""
    assert scored(0.9, float("nan")).llr is None


def test_the_floor_is_stated_and_marked() -> None:
    """However high a score is, its rate is the table's floor, and the score says so."""
    score = scored(0.99, 8.0)

    assert score.false_match_rate == pytest.approx(0.0001)
    assert score.floor_reached


def test_below_the_grid_an_impostor_always_reaches() -> None:
    """A ratio below the grid has the worst false-match rate, and the grid's least miss rate."""
    score = scored(-1.0, 2.0)

    assert score.false_match_rate == 1.0
    assert score.false_non_match_rate == pytest.approx(0.01)


def test_above_the_grid_the_miss_rate_is_not_understated() -> None:
    """A ratio above the grid says nothing on how rarely the speaker stays below it."""
    assert scored(1.0, 2.0).false_non_match_rate == 1.0


def test_tables_survive_their_file() -> None:
    """Writing and reading gives the same scores."""
    again = loads(dumps(CALIBRATION))

    for raw in np.linspace(-1, 1, 41):
        for seconds in (1.0, 2.0, 3.0, 9.0):
            condition = Condition(NARROW, seconds, 20.0, 12.0)
            one, other = (c.score(float(raw), condition) for c in (CALIBRATION, again))
            assert one.llr == other.llr
            if one.false_match_rate is not None:
                assert other.false_match_rate == pytest.approx(one.false_match_rate, rel=1e-5)
    assert (again.version, again.model, again.data) == ("test-1", "a" * 64, "made by hand")
    assert again.tables[0].support == SUPPORT
    assert again.tables[0].worth == Worth(0.3, 0.28)


def test_the_worth_before_a_refit_is_kept() -> None:
    """What the tables before cost is written and read; files that lack one of the two are read."""
    worth = Worth(0.3, 0.28, 0.4, 0.29)
    refitted = replace(CALIBRATION, tables=(replace(TABLE, worth=worth),))
    content = json.loads(dumps(refitted))

    assert loads(json.dumps(content)).tables[0].worth == worth
    del content["tables"][0]["worth"]["least_before"]
    assert loads(json.dumps(content)).tables[0].worth == Worth(0.3, 0.28, 0.4)


def test_a_file_never_states_a_smaller_rate_than_was_found() -> None:
    """Shortening the digits rounds up."""
    odd = replace(SHORT, false_match=np.array([1.0, 1 / 3, 1 / 7, 1 / 700, 1 / 70000]))
    written = replace(CALIBRATION, tables=(replace(TABLE, nodes=(odd,)),))

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
        ("format", 1),
        ("format", 3),
        ("version", None),
        ("version", ""),
        ("model", 7),
        ("grid", [0.0, 0.0, 1.0, 2.0, 3.0]),
        ("grid", [0.0]),
        ("grid", "x"),
        ("tables", []),
        ("tables", 3),
        ("tables/0/bandwidth", "ultrawide"),
        ("tables/0/support/net_seconds", [3.0, 8.0]),
        ("tables/0/support/net_seconds", [0.0, 8.0]),
        ("tables/0/support/snr_db", [30.0, 5.0]),
        ("tables/0/support/snr_db", [5.0]),
        ("tables/0/support/enrolled_seconds", None),
        ("tables/0/line/terms", ["1", "net", "weather"]),
        ("tables/0/line/slope", [1.0]),
        ("tables/0/line/slope", [-1.0, 0.0, 0.0]),
        ("tables/0/line/offset", [0.0, float("nan"), 0.0]),
        ("tables/0/line/offset", [0.0, 10**400, 0.0]),
        ("tables/0/worth", {"cllr": "low"}),
        ("data_sha256", None),
        ("tables/0/nodes", []),
        ("tables/0/nodes/1/net_seconds", 1.95),
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


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"format": 2}'])
def test_a_file_that_is_no_calibration_is_refused(text: str) -> None:
    """Whatever stands in the file, only the engine's own error comes out."""
    with pytest.raises(SettingsError):
        loads(text)


def test_a_file_of_the_first_format_says_what_to_do() -> None:
    """An old file is refused with its format and the way out, not with a missing field."""
    with pytest.raises(SettingsError, match=r"format 1.*calibrate again"):
        loads('{"format": 1}')


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

    score = scorer.score(
        VOICE, VOICE, net_seconds=8.0, bandwidth=NARROW, enrolled_seconds=20.0, snr_db=20.0
    )

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


def test_tables_of_another_model_are_refused() -> None:
    """A scorer that knows its model takes no other model's tables."""
    with pytest.raises(ModelHashMismatchError):
        CalibratedScorer(dumps(CALIBRATION), COHORT, ModelHash("b" * 64))

    assert CalibratedScorer(dumps(CALIBRATION), COHORT, ModelHash("a" * 64)).version == "test-1"
