# SPDX-License-Identifier: Apache-2.0
"""What the accuracy benchmark compares with what: conditions, trial lists, groups.

The trials are those of the pack's test list: three utterances enrol, one probes, every probe meets
every enrolment. Conditions beside the main ones use four of each person's ten probes, ``--quick``
three. The other two sets of the pack have no list: theirs is drawn by a seeded rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from accuracy_speech import CODECS, NET_SECONDS, SEED, SNR_BANDS, WIDEBAND_CODECS, Pack
from numpy.typing import NDArray

from voiceauth.evaluation.trials import Trial, draw_trials, read_trials
from voiceauth.types import Bandwidth

MAIN_SET = "speechocean762"
OTHER_SETS = ("librispeech", "dspspeech20")
ENROL = 3
OTHER_PROBES = 12
ADULT_YEARS = 18
QUICK_COHORT = 150
"""People of the cohort of a quick run."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of the tables.

    Attributes:
        name: short and unique; stands in the JSON file.
        title: for people.
        group: of lines that belong together.
        listing: set whose trials are used.
        enrol: treatment of the enrolment recordings.
        probe: label of the probe's sound.
        bandwidth: of the probe.
    """

    name: str
    title: str
    group: str
    listing: str
    enrol: str
    probe: str
    bandwidth: Bandwidth = Bandwidth.NARROWBAND

    @property
    def view(self) -> str:
        """The treatment that makes the probe's sound."""
        return "net" if self.probe.startswith("net/") else self.probe


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one run does.

    Attributes:
        conditions: lines of the tables, in order.
        trials: set to its whole trial list.
        short: probes of the conditions that use only some.
        cohort: names of the cohort's pieces, one per person.
        seed: of everything that is drawn.
    """

    conditions: tuple[Condition, ...]
    trials: Mapping[str, tuple[Trial, ...]]
    short: frozenset[str]
    cohort: tuple[str, ...]
    seed: int = SEED

    def trials_of(self, condition: Condition) -> tuple[Trial, ...]:
        """Return the trials of a condition, before any is lost."""
        whole = self.trials[condition.listing]
        if condition.group in FULL_GROUPS or condition.probe == "net/3":
            return whole
        return tuple(trial for trial in whole if trial.test_path in self.short)

    def jobs(self) -> list[tuple[str, str]]:
        """Return what is to be heard, (treatment, file) without repeats, in order of use."""
        wanted: dict[tuple[str, str], None] = {}
        for place, condition in enumerate(self.conditions):
            if place and self.conditions[place - 1].group == "main" != condition.group:
                wanted |= dict.fromkeys(("cohort", name) for name in self.cohort)
            trials = self.trials_of(condition)
            for path in (path for trial in trials for path in trial.enrol_paths):
                wanted[condition.enrol, path] = None
            for trial in trials:
                wanted[condition.view, trial.test_path] = None
        return list(wanted)


FULL_GROUPS = frozenset({"main", "set"})
"""Groups whose conditions use every probe."""

CLEAN, PHONE = "clean", "phone"


def make_plan(pack: Pack, *, quick: bool) -> Plan:
    """Choose conditions and trials.

    Raises:
        InputError: the pack has no trial list, or sets are missing.
    """
    listed = read_trials(pack.root / "trials" / f"{MAIN_SET}-test.csv", pack.root).trials
    probes = _probes(listed)
    if quick:
        kept = frozenset(path for mine in probes.values() for path in mine[::4])
        listed = tuple(trial for trial in listed if trial.test_path in kept)
        short = kept
    else:
        short = frozenset(path for mine in probes.values() for path in mine[::3])
    trials = {MAIN_SET: listed}
    for name in () if quick else OTHER_SETS:
        people = pack.speech.get((name, "test"), {})
        trials[name] = draw_trials(people, enrol=ENROL, probes=OTHER_PROBES, seed=SEED)
    cohort = [
        person
        for (_, split), mine in sorted(pack.speech.items())
        if split == "train"
        for person in mine
    ]
    if quick:
        picks = np.random.default_rng(SEED).permutation(len(cohort))[:QUICK_COHORT]
        cohort = [cohort[pick] for pick in sorted(picks)]
    conditions = _quick_conditions() if quick else _all_conditions()
    return Plan(conditions, trials, short, tuple(cohort))


def _probes(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """Test recordings of each enrolled person, sorted."""
    mine: dict[str, list[str]] = {}
    for trial in trials:
        if trial.target:
            mine.setdefault(trial.enrol_id, []).append(trial.test_path)
    return {name: sorted(paths) for name, paths in mine.items()}


def _main_conditions() -> list[Condition]:
    return [
        Condition("wideband", "wideband, as recorded", "main", MAIN_SET, CLEAN, CLEAN, _WIDE),
        Condition("phone-phone", "phone against phone", "main", MAIN_SET, PHONE, PHONE),
        Condition("clean-phone", "clean enrolment, phone probe", "main", MAIN_SET, CLEAN, PHONE),
    ]


def _net_conditions(lengths: Sequence[int]) -> list[Condition]:
    return [
        Condition(f"net-{n}s", f"{n} s of net speech", "net", MAIN_SET, PHONE, f"net/{n}")
        for n in lengths
    ]


def _quick_conditions() -> tuple[Condition, ...]:
    return (*_main_conditions(), *_net_conditions([3]))


def _all_conditions() -> tuple[Condition, ...]:
    found = _main_conditions() + _net_conditions(NET_SECONDS)
    for name in CODECS:
        bandwidth = _WIDE if name in WIDEBAND_CODECS else Bandwidth.NARROWBAND
        probe = f"codec/{name}"
        found.append(Condition(probe, name, "codec", MAIN_SET, CLEAN, probe, bandwidth))
    for low, high in SNR_BANDS:
        probe = f"snr/{low}-{high}"
        found.append(Condition(probe, f"{low} to {high} dB", "snr", MAIN_SET, CLEAN, probe))
    found.append(Condition("room", "recorded rooms", "room", MAIN_SET, CLEAN, "room"))
    for name in OTHER_SETS:
        found += [
            Condition(f"{name}-clean", f"{name}, as recorded", "set", name, CLEAN, CLEAN, _WIDE),
            Condition(f"{name}-phone", f"{name}, phone against phone", "set", name, PHONE, PHONE),
        ]
    return tuple(found)


_WIDE = Bandwidth.WIDEBAND


def groups_of(
    trials: Sequence[Trial], speaker: Mapping[str, str], pack: Pack
) -> dict[str, NDArray[np.bool_]]:
    """Tell which trials are between people of one group.

    Args:
        trials: of a set whose manifest states gender and age.
        speaker: recording to person.
        pack: describes the people.

    Returns:
        Group to mask, bool, shape (trials,).
    """
    one = [pack.people[speaker[trial.enrol_paths[0]]] for trial in trials]
    other = [pack.people[speaker[trial.test_path]] for trial in trials]
    genders = np.array([(a.gender, b.gender) for a, b in zip(one, other, strict=True)])
    ages = np.array([(a.age, b.age) for a, b in zip(one, other, strict=True)])
    women, men = (genders == "f").all(axis=1), (genders == "m").all(axis=1)
    adults, children = (ages >= ADULT_YEARS).all(axis=1), (ages < ADULT_YEARS).all(axis=1)
    same = women | men
    return {
        "same gender": same,
        "women and girls": women,
        "men and boys": men,
        "adults": adults,
        "children": children,
        "adults, same gender": adults & same,
        "children, same gender": children & same,
    }
