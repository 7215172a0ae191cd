# SPDX-License-Identifier: Apache-2.0
"""Figures on a trial list: equal error rates with confidence intervals, by condition and by group.

A trial list has the columns ``enrol_id, enrol_paths, test_path, target``; enrolment
paths are joined by ``|``. It is for the end
of a run, once: a test set that is looked at often is no test set.
"""

import contextlib
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import TooShortError
from voiceauth.training.corpus import Corpus
from voiceauth.training.crops import FloatArray, unit
from voiceauth.training.evaluation import Embed, equal_error_rate, prepare
from voiceauth.units import Rate

TEST_SEED = 77001
RESAMPLES = 300
ADULT_YEARS = 16


@dataclass(frozen=True)
class Figure:
    """One equal error rate.

    Args:
        condition: ``wideband``, ``telephone`` or ``crossed`` (wideband enrolment).
        group: which trials.
        rate: 0 to 1.
        low: lower end of the 95 % interval over resampled enrolment speakers.
        high: upper end.
        targets: same-speaker trials.
        others: different-speaker trials.
    """

    condition: str
    group: str
    rate: Rate
    low: Rate
    high: Rate
    targets: int
    others: int


@dataclass(frozen=True)
class _Trials:
    """Columns of a trial list; groups are filters over the rows."""

    enrol: NDArray[np.int64]
    probe: NDArray[np.int64]
    target: NDArray[np.bool_]
    models: tuple[tuple[int, ...], ...]


def figures(embed: Embed, root: Path, trials: Path, corpus: Corpus) -> list[Figure]:
    """Score a trial list in the three conditions.

    Args:
        embed: the model.
        root: the pack; its manifest tells gender and age.
        trials: the list, relative paths as in the manifest.
        corpus: decoded speech that holds every path of the list.
    """
    held_out = prepare(corpus, TEST_SEED)
    source = np.stack([embed(waveform) for waveform in held_out.source])
    called = np.stack([embed(waveform) for waveform in held_out.called])
    listing = _read(trials, {corpus.clips[i].path: k for k, i in enumerate(held_out.clip)})
    people = _people(root)
    who = [people[name] for name in held_out.speaker]
    groups = _groups(listing, who)
    conditions = {
        "wideband": (source, source),
        "telephone": (called, called),
        "crossed": (source, called),
    }
    return [
        _figure(condition, group, _scores(listing, *pair), listing, rows)
        for condition, pair in conditions.items()
        for group, rows in groups.items()
    ]


def _read(trials: Path, place: dict[str, int]) -> _Trials:
    """Read the list; a trial with an utterance under one second is left out."""
    models: dict[str, int] = {}
    parts: list[tuple[int, ...]] = []
    rows = []
    with trials.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            paths = row["enrol_paths"].split("|")
            if row["test_path"] not in place or any(path not in place for path in paths):
                continue
            if row["enrol_id"] not in models:
                models[row["enrol_id"]] = len(models)
                parts.append(tuple(place[path] for path in paths))
            rows.append((models[row["enrol_id"]], place[row["test_path"]], row["target"] == "1"))
    table = np.array(rows)
    return _Trials(table[:, 0], table[:, 1], table[:, 2].astype(bool), tuple(parts))


def _people(root: Path) -> dict[str, tuple[str, float]]:
    """Gender and age (NaN where unknown) by speaker."""
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        return {
            row["speaker"]: (row["gender"], float(row["age"] or "nan"))
            for row in csv.DictReader(handle)
            if row["kind"] == "speech" and row["speaker"]
        }


def _groups(listing: _Trials, who: list[tuple[str, float]]) -> dict[str, NDArray[np.bool_]]:
    gender = np.array([person[0] for person in who])
    adult = np.array([person[1] >= ADULT_YEARS for person in who])
    enrolled = np.array([model[0] for model in listing.models])[listing.enrol]
    same = gender[enrolled] == gender[listing.probe]
    adults = adult[enrolled] & adult[listing.probe]
    return {"all": np.ones_like(same), "same gender": same, "adults, same gender": same & adults}


def _scores(listing: _Trials, enrol: FloatArray, probe: FloatArray) -> FloatArray:
    models = unit(np.stack([enrol[list(parts)].mean(axis=0) for parts in listing.models]))
    scores: FloatArray = np.sum(models[listing.enrol] * unit(probe)[listing.probe], axis=1)
    return scores


def _figure(
    condition: str, group: str, scores: FloatArray, listing: _Trials, rows: NDArray[np.bool_]
) -> Figure:
    target, enrol = listing.target[rows], listing.enrol[rows]
    scores = scores[rows]

    def rate(chosen: NDArray[np.bool_]) -> Rate:
        return equal_error_rate(scores[chosen & target], scores[chosen & ~target])

    low, high = _interval(rate, enrol)
    whole = rate(np.ones_like(target))
    return Figure(condition, group, whole, low, high, int(target.sum()), int((~target).sum()))


def _interval(
    rate: Callable[[NDArray[np.bool_]], Rate], enrol: NDArray[np.int64]
) -> tuple[Rate, Rate]:
    """95 % interval over random halves of the enrolment speakers.

    The spread over half-samples without replacement equals that of the ordinary bootstrap over
    speakers and needs no repeated trials. Where no half has trials of both kinds, anything may be.
    """
    rng = np.random.default_rng(0)
    speakers = np.unique(enrol)
    rates = []
    for _ in range(RESAMPLES):
        half = rng.permutation(speakers)[: max(1, len(speakers) // 2)]
        with contextlib.suppress(TooShortError):
            rates.append(rate(np.isin(enrol, half)))
    low, high = np.quantile(rates, [0.025, 0.975]) if rates else (0.0, 1.0)
    return float(low), float(high)
