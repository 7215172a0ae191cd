# SPDX-License-Identifier: Apache-2.0
"""Refitting on an operator's trials: made-up voices, no model."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import InputError
from voiceauth.evaluation.fitting import GRID, table_of
from voiceauth.evaluation.listed import HeardTrials, compared_trials
from voiceauth.evaluation.recordings import Piece, Voice
from voiceauth.evaluation.refitting import Normalised, refit
from voiceauth.evaluation.trials import Trial
from voiceauth.scoring.asnorm import AdaptiveNorm
from voiceauth.scoring.calibration import Calibration, Normalisation, Table
from voiceauth.scoring.cosine import unit
from voiceauth.scoring.fit import FitChoices
from voiceauth.scoring.scorer import cohort_sha256
from voiceauth.types import Bandwidth, ModelHash

NARROW, WIDE = Bandwidth.NARROWBAND, Bandwidth.WIDEBAND
QUICK = FitChoices(draws=30)
PLAIN = Normalised(Normalisation(), None)
DIMENSION = 8


def made_up(
    people: int = 14,
    tests: int = 8,
    *,
    noise: float = 0.3,
    seed: int = 1,
    bandwidth: Bandwidth = NARROW,
    who: int = 0,
) -> HeardTrials:
    """Everybody enrols once and calls a few times; every call meets every enrolment."""
    rng = np.random.default_rng((seed, who))
    voices = unit(np.random.default_rng((99, who)).standard_normal((people, DIMENSION)))

    def voice(person: int, spans: int) -> Voice:
        level = 14.0 + 4.0 * (spans % 4)
        pieces = tuple(
            Piece(unit(voices[person] + noise * rng.standard_normal(DIMENSION)), net, level)
            for net in [2.0, *[3.0] * spans]
        )
        return Voice(pieces, bandwidth)

    enrolled = {f"p{one}": voice(one, 6 + one % 3) for one in range(people)}
    tested = {
        f"p{one}/{call}.wav": voice(one, 3 + call % 3)
        for one in range(people)
        for call in range(tests)
    }
    trials = tuple(
        Trial(claimed, (f"{claimed}.wav",), path, target=path.startswith(f"{claimed}/"))
        for claimed in enrolled
        for path in tested
    )
    return HeardTrials("trials.csv", trials, enrolled, tested)


def tables_of(heard: HeardTrials, bandwidth: Bandwidth) -> Table:
    """A first table of other people, whose voices vary less than the operator's will."""
    return table_of(compared_trials(heard, bandwidth, None), bandwidth, "made up", QUICK)


@pytest.fixture(scope="module")
def present() -> Calibration:
    """Tables of both bandwidths, fitted to other people with clearer voices."""
    return Calibration(
        version="first",
        model=ModelHash("a" * 64),
        normalisation=Normalisation(),
        data="other people",
        data_sha256="d" * 64,
        speakers=14,
        confidence=0.9,
        grid=GRID,
        tables=(
            tables_of(made_up(noise=0.25, who=1), NARROW),
            tables_of(made_up(noise=0.25, who=2, bandwidth=WIDE), WIDE),
        ),
    )


@pytest.fixture(scope="module")
def cohort() -> NDArray[np.float32]:
    """Forty people whom nobody knows."""
    return unit(np.random.default_rng(7).standard_normal((40, DIMENSION)))


def test_a_refit_costs_less_on_people_that_it_did_not_see(present: Calibration) -> None:
    """Where the operator's calls are worse than those behind the tables, Cllr falls."""
    found = refit(made_up(noise=0.5), present, PLAIN, PLAIN, QUICK)

    worth = next(one for one in found.calibration.tables if one.bandwidth is NARROW).worth
    assert worth is not None
    assert worth.before is not None
    assert worth.least_before is not None
    assert worth.cllr < worth.before - 0.01
    # Stretching and shifting changes no order.
    assert worth.min_cllr == pytest.approx(worth.least_before, abs=0.03)


def test_the_new_table_speaks_about_the_operators_conditions(present: Calibration) -> None:
    """Support and nodes come from the operator's calls, not from the tables before."""
    found = refit(made_up(noise=0.5), present, PLAIN, PLAIN, QUICK)

    table = found.calibration.table(NARROW)
    assert table is not None
    assert table.support.net_seconds.least == pytest.approx(0.95 * 2.0)
    assert table.support.enrolled_seconds.least == pytest.approx(0.95 * 20.0, rel=0.05)
    assert [round(node.net_seconds) for node in table.nodes] == [2, 3, 6, 9, 15][: len(table.nodes)]
    assert found.calibration.speakers == 14
    assert found.calibration.confidence == present.confidence
    assert "first" in found.calibration.data


def test_a_bandwidth_without_trials_keeps_its_table(present: Calibration) -> None:
    """Telephone trials say nothing about wideband calls: that table stays, and it is said."""
    found = refit(made_up(noise=0.5), present, PLAIN, PLAIN, QUICK)

    assert (found.refitted, found.kept, found.dropped) == ((NARROW,), (WIDE,), ())
    assert found.calibration.table(WIDE) is present.table(WIDE)
    assert "wideband as there" in found.calibration.data


def test_another_cohort_drops_what_it_cannot_refit(
    present: Calibration, cohort: NDArray[np.float32]
) -> None:
    """Scores that another cohort normalised are on another scale: no old table may read them."""
    after = Normalised(Normalisation(20, cohort_sha256(cohort)), AdaptiveNorm(cohort, 20))

    found = refit(made_up(noise=0.5), present, PLAIN, after, QUICK)

    assert (found.refitted, found.kept, found.dropped) == ((NARROW,), (), (WIDE,))
    assert found.calibration.table(WIDE) is None
    assert found.calibration.normalisation == after.described
    worth = found.calibration.tables[0].worth
    assert worth is not None
    plain = refit(made_up(noise=0.5), present, PLAIN, PLAIN, QUICK).calibration.tables[0].worth
    assert plain is not None
    # What the tables before cost does not depend on what comes after.
    assert (worth.before, worth.least_before) == (plain.before, plain.least_before)


def test_only_the_listed_pairs_are_compared() -> None:
    """A pair that the operator left out has no part, whatever its voices."""
    heard = made_up(noise=0.5)
    left_out = [one for one in heard.trials if not (one.enrol_id == "p0" and not one.target)]
    listed = replace(heard, trials=tuple(left_out))
    spoiled = {**heard.enrolled, "nobody": heard.tested["p1/0.wav"]}

    count = [len(one.group) for one in compared_trials(listed, NARROW, None)]
    extra = [
        len(one.group) for one in compared_trials(replace(listed, enrolled=spoiled), NARROW, None)
    ]
    whole = [len(one.group) for one in compared_trials(heard, NARROW, None)]

    assert count == extra
    assert all(few < all_of_them for few, all_of_them in zip(count, whole, strict=True))


def test_the_same_trials_give_the_same_version(present: Calibration) -> None:
    """Repeated, a refit is equal; with other calls it is another version."""
    versions = [
        refit(made_up(noise=0.5, seed=seed), present, PLAIN, PLAIN, QUICK).calibration.version
        for seed in (1, 1, 2)
    ]

    assert versions[0] == versions[1] != versions[2]
    assert versions[0] != present.version


@pytest.mark.parametrize(
    ("people", "tests"), [(9, 20), (12, 2), (10, 6)], ids=["people", "targets", "impostors"]
)
def test_too_little_is_refused_with_what_is_needed(
    present: Calibration, people: int, tests: int
) -> None:
    """The sentence says what there is and what is needed, and no tables come out."""
    heard = made_up(people, tests, noise=0.5)
    # Runs of later spans would make more trials of the same calls; these calls have none.
    short = {name: Voice(voice.pieces[:1], NARROW) for name, voice in heard.tested.items()}

    with pytest.raises(InputError, match=r"needed are 10, 50 and 1000"):
        refit(replace(heard, tested=short), present, PLAIN, PLAIN, QUICK)


def test_trials_without_an_error_are_refused(present: Calibration) -> None:
    """Where nobody errs any slope fits; a calibration of that would promise anything."""
    with pytest.raises(InputError, match="separated"):
        refit(made_up(people=24, noise=0.001, tests=5), present, PLAIN, PLAIN, QUICK)


def test_calls_without_a_measured_noise_floor_have_no_part(present: Calibration) -> None:
    """A table over noise cannot learn from a call whose noise nobody knows."""
    heard = made_up(noise=0.5)
    unknown = {
        name: Voice(tuple(replace(piece, snr_db=None) for piece in voice.pieces), NARROW)
        for name, voice in heard.tested.items()
    }

    with pytest.raises(InputError, match="0 people"):
        refit(replace(heard, tested=unknown), present, PLAIN, PLAIN, QUICK)
