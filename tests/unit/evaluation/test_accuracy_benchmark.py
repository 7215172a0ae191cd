# SPDX-License-Identifier: Apache-2.0
"""The accuracy benchmark's plan and pages, on a pack that has names and no audio."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy_plan import CLEAN, MAIN_SET, PHONE, groups_of, make_plan
from accuracy_report import TARGETS, provenance, targets, write_between
from accuracy_speech import Pack, read_pack

from voiceauth.errors import InputError

HEADER = "path,set,kind,speaker,split,gender,age,seconds,sample_rate,system,licence"
SPLITS = {"train": 200, "dev": 12, "test": 4}
RECORDINGS = 13


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Three sets with people of every split, and the list of the main set's test people."""
    root = tmp_path_factory.mktemp("pack")
    rows = [HEADER, "noise/rain.opus,esc10,noise,,test,,,5,16000,,CC0"]
    for name in (MAIN_SET, "librispeech", "dspspeech20"):
        for split, people in SPLITS.items():
            for person in range(people):
                who = f"{name}-{split}-{person}"
                about = f"{'mf'[person % 2]},{9 + 15 * (person // 2)}"
                rows += [
                    f"{who}/{place:02}.opus,{name},speech,{who},{split},{about},3,16000,,x"
                    for place in range(RECORDINGS)
                ]
    (root / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    lines = ["enrol_id,enrol_paths,test_path,target"]
    for one in range(SPLITS["test"]):
        who = f"{MAIN_SET}-test-{one}"
        enrol = "|".join(f"{who}/{place:02}.opus" for place in range(3))
        for other in range(SPLITS["test"]):
            lines += [
                f"{who},{enrol},{MAIN_SET}-test-{other}/{place:02}.opus,{int(one == other)}"
                for place in range(3, RECORDINGS)
            ]
    (root / "trials").mkdir()
    listed = root / "trials" / f"{MAIN_SET}-test.csv"
    listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_pack(root)


@pytest.mark.parametrize("quick", [False, True])
def test_only_test_people_are_in_trials_and_only_train_people_in_the_cohort(
    pack: Pack, *, quick: bool
) -> None:
    """No condition compares voices that training, calibration or the cohort know."""
    plan = make_plan(pack, quick=quick)
    assert all("-train-" in person for person in plan.cohort)
    assert len(set(plan.cohort)) == len(plan.cohort) >= 150
    for condition in plan.conditions:
        trials = plan.trials_of(condition)
        assert {trial.target for trial in trials} == {True, False}
        for trial in trials:
            assert all("-test-" in path for path in (*trial.enrol_paths, trial.test_path))
            assert trial.test_path not in trial.enrol_paths


def test_every_sound_of_a_condition_is_made_once(pack: Pack) -> None:
    """The jobs hold what every condition needs, and nothing twice."""
    plan = make_plan(pack, quick=False)
    jobs = plan.jobs()
    assert len(set(jobs)) == len(jobs)
    needed = {("cohort", person) for person in plan.cohort}
    for condition in plan.conditions:
        for trial in plan.trials_of(condition):
            needed.add((condition.view, trial.test_path))
            needed |= {(condition.enrol, path) for path in trial.enrol_paths}
    assert set(jobs) == needed


def test_the_main_conditions_use_every_trial_of_the_list(pack: Pack) -> None:
    """The three main conditions and that of 3 s are on the whole list, others on a part."""
    plan = make_plan(pack, quick=False)
    sizes = {one.name: len(plan.trials_of(one)) for one in plan.conditions}
    whole = SPLITS["test"] ** 2 * 10
    assert {sizes[name] for name in ("wideband", "phone-phone", "clean-phone", "net-3s")} == {whole}
    assert sizes["codec/GSM"] == sizes["net-10s"] == SPLITS["test"] ** 2 * 4
    crossed = next(one for one in plan.conditions if one.name == "clean-phone")
    assert (crossed.enrol, crossed.view) == (CLEAN, PHONE)


def test_groups_hold_trials_between_people_of_one_kind(pack: Pack) -> None:
    """Women against men are in no group of one gender, children against adults in none of age."""
    plan = make_plan(pack, quick=False)
    trials = plan.trials[MAIN_SET]
    groups = groups_of(trials, pack.speaker, pack)
    person = np.array([(int(t.enrol_id[-1]), int(pack.speaker[t.test_path][-1])) for t in trials])
    same = person[:, 0] % 2 == person[:, 1] % 2
    np.testing.assert_array_equal(groups["same gender"], same)
    np.testing.assert_array_equal(groups["adults"], (person >= 2).all(axis=1))
    np.testing.assert_array_equal(groups["children"], (person < 2).all(axis=1))
    np.testing.assert_array_equal(
        groups["women and girls"] | groups["men and boys"], groups["same gender"]
    )


def test_a_pack_without_a_manifest_is_refused(tmp_path: Path) -> None:
    """The benchmark names the file that it cannot read."""
    with pytest.raises(InputError, match=r"manifest\.csv"):
        read_pack(tmp_path)


def _line(name: str, eer: float, ratio: list[float | None], *, ahead: bool) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "group": "main",
        "figures": {"ours": {"as-norm": {"eer": [eer, eer / 2, eer * 2]}}},
        "eer_over_campplus": {"best": ratio},
        "ahead_of_ge2e": ahead,
    }


def test_targets_are_judged_by_value_and_interval() -> None:
    """Reached, reached with an interval beyond the limit, and not reached are told apart."""
    lines = [
        _line("phone-phone", 0.02, [0.4, 0.3, 0.49], ahead=True),
        _line("clean-phone", 0.02, [0.2, 0.1, None], ahead=True),
        _line("net-3s", 0.02, [0.51, 0.4, 0.6], ahead=True),
        _line("wideband", 0.026, [1.0, 0.5, 2.0], ahead=False),
    ]
    verdicts = [row.split("|")[-2].strip() for row in targets(lines).splitlines()[2:]]
    assert len(verdicts) == len(TARGETS) + 1
    assert verdicts == [
        "reached",
        "reached, but the interval reaches beyond it",
        "not reached",
        "not reached",
        "not reached: wideband",
    ]


@pytest.mark.parametrize(("eer", "verdict"), [(0.0214, "reached"), (0.0217, "not reached")])
def test_the_int8_form_is_judged_where_it_differs_most(eer: float, verdict: str) -> None:
    """0.15 points of EER are allowed in every condition; groups of a condition do not count."""
    lines = [_line(name, 0.02, [0.4, 0.3, 0.5], ahead=True) for name in ("wideband", "net-3s")]
    grouped = {**_line("wideband|adults", 0.02, [1.0, 1.0, 1.0], ahead=True), "group": "groups x"}
    for line, int8 in ((lines[0], 0.02), (lines[1], eer), (grouped, 0.5)):
        line["figures"]["ours int8"] = {"as-norm": {"eer": [int8, int8, int8]}}

    row = next(one for one in targets([*lines, grouped]).splitlines() if "int8" in one)

    assert "in: net-3s" in row
    assert row.split("|")[-2].strip() == verdict


@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_says_so_on_the_page(quick: bool) -> None:
    """Figures of a third of the probes are never taken for those of a whole run."""
    report = {
        "quick": quick,
        "measured": "2026-01-02T03:04:05+00:00",
        "model": "tiny",
        "model_sha256": "a" * 64,
        "systems": {"ours": "ours-" + "a" * 64, "CAM++": "campplus-0123456789abcdef"},
        "machine": {"cores": 2, "python": "3.11", "load": [0.1]},
        "seed": 7,
        "draws": 1000,
    }

    text = provenance(report)

    assert ("quick run" in text) == quick
    assert "2026-01-02" in text
    assert "CAM++ `0123456789ab`" in text


def test_a_block_is_replaced_between_its_markers(tmp_path: Path) -> None:
    """Writing twice leaves one block; text around it stays; a page without a place is refused."""
    page = tmp_path / "card.md"
    page.write_text("# Card\n\n## Limits\n\nMany.\n", encoding="utf-8")
    for content in ("first \\1", "second"):
        write_between(page, "accuracy", content, before="## Limits")
    expected = "# Card\n\n<!-- accuracy -->\nsecond\n<!-- /accuracy -->\n\n## Limits\n\nMany.\n"
    assert page.read_text(encoding="utf-8") == expected
    with pytest.raises(InputError, match="tables"):
        write_between(page, "tables", "x")
