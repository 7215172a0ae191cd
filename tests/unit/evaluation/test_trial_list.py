# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from voiceauth.errors import InputError
from voiceauth.evaluation.trials import Trial, draw_trials, read_trials, speakers_of

HEADER = "enrol_id,enrol_paths,test_path,target"
GOOD = "ann,a/1.wav|a/2.wav,a/3.wav,1"
OTHER = "ann,a/1.wav|a/2.wav,b/1.wav,0"


def _written(folder: Path, *lines: str) -> Path:
    path = folder / "trials.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_list_is_read_with_all_its_parts(tmp_path: Path) -> None:
    """Enrolment paths are split at the bar; the root is the list's folder by default."""
    path = _written(tmp_path, HEADER, GOOD, OTHER)

    listing = read_trials(path)

    assert listing.trials == (
        Trial("ann", ("a/1.wav", "a/2.wav"), "a/3.wav", target=True),
        Trial("ann", ("a/1.wav", "a/2.wav"), "b/1.wav", target=False),
    )
    assert listing.root == tmp_path
    assert read_trials(path, tmp_path / "audio").root == tmp_path / "audio"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ann,a/1.wav,,1", "line 3: test_path is empty"),
        ("ann,,b.wav,1", "line 3: enrol_paths is empty"),
        ("ann,a/1.wav|,b.wav,1", "line 3: '' is not a path"),
        ("bob,b/1.wav,b/2.wav,yes", "line 3: target is 'yes'"),
        ("bob,b/1.wav,/etc/passwd,0", "line 3: '/etc/passwd' is not a path inside"),
        ("bob,../b/1.wav,b/2.wav,0", "line 3: '../b/1.wav' is not a path inside"),
        ("bob,b/1.wav", "line 3: test_path is empty"),
        ("ann,a/9.wav,b/1.wav,0", "ann enrols with two sets"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    """The error says in which line what is wrong."""
    with pytest.raises(InputError, match=problem):
        read_trials(_written(tmp_path, HEADER, GOOD, line))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """A list without labels is no trial list."""
    with pytest.raises(InputError, match="target"):
        read_trials(_written(tmp_path, "enrol_id,enrol_paths,test_path", "ann,a.wav,b.wav"))


@pytest.mark.parametrize("lines", [(HEADER,), (HEADER, GOOD), (HEADER, OTHER)])
def test_both_kinds_of_trials_are_needed(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """Error rates of one kind of trial mean nothing."""
    with pytest.raises(InputError, match="target and non-target"):
        read_trials(_written(tmp_path, *lines))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00bad", b""])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Missing, binary and empty files surface as the engine's own error."""
    path = tmp_path / "trials.csv"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InputError):
        read_trials(path)


def test_a_test_recording_belongs_to_its_target_enrolment() -> None:
    """People behind test recordings are known from target trials; others stand for themselves."""
    trials = (
        Trial("ann", ("a.wav",), "x.wav", target=True),
        Trial("bob", ("b.wav",), "x.wav", target=False),
        Trial("bob", ("b.wav",), "y.wav", target=False),
    )

    assert speakers_of(trials) == {"x.wav": "ann", "y.wav": "y.wav"}


def _corpus(people: int, recordings: int) -> dict[str, list[str]]:
    return {
        f"p{person}": [f"p{person}/{place}.wav" for place in range(recordings)]
        for person in range(people)
    }


def test_a_drawn_list_meets_everybody_with_everybody() -> None:
    """Three enrol, two probe, nothing does both; each probe meets each enrolment once."""
    trials = draw_trials(_corpus(4, 7), enrol=3, probes=2, seed=1)

    assert len(trials) == 4 * 4 * 2
    assert len({(trial.enrol_id, trial.test_path) for trial in trials}) == len(trials)
    for trial in trials:
        assert len(set(trial.enrol_paths)) == 3
        assert trial.test_path not in trial.enrol_paths
        assert all(path.startswith(f"{trial.enrol_id}/") for path in trial.enrol_paths)
        assert trial.target == trial.test_path.startswith(f"{trial.enrol_id}/")


def test_a_drawn_list_is_fixed_by_its_seed() -> None:
    """The order of people and recordings makes no difference, another seed does."""
    people = _corpus(3, 8)
    shuffled = {name: people[name][::-1] for name in reversed(people)}

    first = draw_trials(people, enrol=3, probes=4, seed=1)

    assert draw_trials(shuffled, enrol=3, probes=4, seed=1) == first
    assert draw_trials(people, enrol=3, probes=4, seed=2) != first
    fewer = {name: people[name] for name in ("p0", "p1")}
    some = draw_trials(fewer, enrol=3, probes=4, seed=1)
    assert set(some) < set(first)


def test_people_with_too_few_recordings_take_no_part() -> None:
    """Somebody whose recordings all enrol could not be tested; a list needs two others."""
    people = _corpus(3, 4) | {"short": ["short/1.wav", "short/2.wav", "short/3.wav"]}

    trials = draw_trials(people, enrol=3, probes=5, seed=1)

    assert {trial.enrol_id for trial in trials} == {"p0", "p1", "p2"}
    with pytest.raises(InputError, match="two people"):
        draw_trials(_corpus(1, 9), enrol=3, probes=5, seed=1)
