# SPDX-License-Identifier: Apache-2.0
"""Trial lists: who enrols with which recordings, and which recording claims to be them.

A CSV file with the columns ``enrol_id, enrol_paths, test_path, target``; several enrolment paths
are joined by ``|``; ``target`` is 1 where the test recording is of the enrolled person. Paths are
relative to a root folder.
"""

import csv
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voiceauth.errors import InputError

COLUMNS = ("enrol_id", "enrol_paths", "test_path", "target")
_TRUE, _FALSE = frozenset({"1", "true", "target"}), frozenset({"0", "false", "nontarget"})


@dataclass(frozen=True, slots=True)
class Trial:
    """One comparison.

    Attributes:
        enrol_id: names the enrolment.
        enrol_paths: relative to the root.
        test_path: relative to the root.
        target: whether the voices are one person's.
    """

    enrol_id: str
    enrol_paths: tuple[str, ...]
    test_path: str
    target: bool


@dataclass(frozen=True, slots=True)
class TrialList:
    """A checked trial list.

    Attributes:
        root: folder that paths are relative to.
        trials: at least one of each kind.
    """

    root: Path
    trials: tuple[Trial, ...]


def read_trials(path: Path, root: Path | None = None) -> TrialList:
    """Read a trial list.

    Args:
        path: the CSV file.
        root: folder of the recordings; None means the folder of the CSV file.

    Raises:
        InputError: not readable, a missing column, a bad line (its number is named), a path that
            leaves the root, two enrolments under one id, or trials of one kind only.
    """
    root = root or path.parent
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            trials = tuple(_parse(csv.DictReader(handle), path.name))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read the trial list {path}.", detail=str(error)) from error
    if len({trial.target for trial in trials}) < 2:  # noqa: PLR2004 - both kinds
        raise InputError(f"{path.name}: a trial list needs target and non-target trials.")
    enrolments: dict[str, tuple[str, ...]] = {}
    for trial in trials:
        if enrolments.setdefault(trial.enrol_id, trial.enrol_paths) != trial.enrol_paths:
            raise InputError(f"{path.name}: {trial.enrol_id} enrols with two sets of recordings.")
    return TrialList(root, trials)


def _parse(reader: "csv.DictReader[str]", name: str) -> Iterable[Trial]:
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{name}: the trial list lacks the column {missing[0]}.")
    for row in reader:
        place = f"{name}, line {reader.line_num}"
        values = {column: (row[column] or "").strip() for column in COLUMNS}
        empty = [column for column in COLUMNS if not values[column]]
        if empty:
            raise InputError(f"{place}: {empty[0]} is empty.")
        paths = tuple(values["enrol_paths"].split("|"))
        for one in (*paths, values["test_path"]):
            if not one or Path(one).is_absolute() or ".." in Path(one).parts:
                raise InputError(f"{place}: {one!r} is not a path inside the root folder.")
        label = values["target"].lower()
        if label not in _TRUE | _FALSE:
            raise InputError(f"{place}: target is {values['target']!r}, expected 0 or 1.")
        yield Trial(values["enrol_id"], paths, values["test_path"], label in _TRUE)


def speakers_of(trials: Sequence[Trial]) -> dict[str, str]:
    """Tell whose voice each test recording is, as far as the list says.

    Returns:
        Test path to the enrolment id of its target trial; a recording without one stands for
        itself.
    """
    known = {trial.test_path: trial.enrol_id for trial in trials if trial.target}
    return {trial.test_path: known.get(trial.test_path, trial.test_path) for trial in trials}


def draw_trials(
    people: Mapping[str, Sequence[str]], *, enrol: int, probes: int, seed: int
) -> tuple[Trial, ...]:
    """Build a trial list from labelled recordings by a seeded rule.

    Each person's recordings, sorted by name, are shuffled by a generator that the seed and the
    person's name fix; the first ``enrol`` of them enrol, the next ``probes`` probe, and every probe
    meets every enrolment. People with fewer than ``enrol + 1`` recordings take no part.

    Args:
        people: person to recordings, relative to one root.
        enrol: recordings that enrol a person.
        probes: recordings that probe, at most.
        seed: of the shuffling.

    Raises:
        InputError: fewer than two people are left.
    """
    enrolled: dict[str, tuple[str, ...]] = {}
    probing: list[tuple[str, str]] = []
    for person, paths in sorted(people.items()):
        if len(paths) <= enrol:
            continue
        rng = np.random.default_rng((seed, zlib.crc32(person.encode())))
        drawn = [sorted(paths)[place] for place in rng.permutation(len(paths))]
        enrolled[person] = tuple(drawn[:enrol])
        probing += [(person, path) for path in drawn[enrol : enrol + probes]]
    if len(enrolled) < 2:  # noqa: PLR2004 - both kinds of trials
        raise InputError("A trial list needs two people with recordings to spare.")
    return tuple(
        Trial(claimed, parts, path, target=claimed == person)
        for claimed, parts in enrolled.items()
        for person, path in probing
    )
