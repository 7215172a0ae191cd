# SPDX-License-Identifier: Apache-2.0
"""First tables of a model: calls are made of labelled recordings, over simulated lines.

An operator with recordings of real lines refits these tables with ``refitting``: real lines and
people beat any simulation.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from voiceauth.errors import InputError, SettingsError
from voiceauth.evaluation.fitting import GRID, fit_table
from voiceauth.evaluation.sessions import (
    Selection,
    Session,
    SessionChoices,
    labelled_recordings,
    record_sessions,
)
from voiceauth.models.bundle import read_cohort
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.scoring.calibration import Calibration, Normalisation, Table
from voiceauth.scoring.fit import FitChoices
from voiceauth.scoring.scorer import cohort_sha256, normaliser
from voiceauth.scoring.tables import dumps
from voiceauth.types import Bandwidth

Progress = Callable[[int, int], None]
"""Told how many people are done, of how many."""

DEFAULT_TOP = 50
"""On development people 20 to 100 do alike, and better than none; 400 of 448 do worse."""
_VERSION_DIGITS = 10


@dataclass(frozen=True, slots=True)
class CalibrationChoices:
    """What is calibrated, and how.

    Attributes:
        top: nearest cohort members of the score normalisation; 0 for plain cosines.
        selection: rows of the manifest.
        sessions: calls that are made of the recordings.
        fit: of each node.
    """

    top: int = DEFAULT_TOP
    selection: Selection = field(default_factory=Selection)
    sessions: SessionChoices = field(default_factory=SessionChoices)
    fit: FitChoices = field(default_factory=FitChoices)


def calibrate(
    manifest: Path,
    model: Path,
    cohort: Path,
    choices: CalibrationChoices | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the calibration tables of a model.

    Args:
        manifest: CSV file of labelled recordings.
        model: the ONNX file.
        cohort: its cohort file.
        choices: what and how.
        progress: called after each person.

    Raises:
        InputError: the recordings do not suffice.
        BadAudioError: a recording cannot be read.
        SettingsError, IntegrityError: the model or its cohort cannot be used, or they do not
            belong together.
    """
    choices = choices or CalibrationChoices()
    people = labelled_recordings(manifest, choices.selection)
    sessions: list[Session] = []
    for done, some in enumerate(record_sessions(people, model, choices.sessions), start=1):
        sessions += some
        if progress is not None:
            progress(done, len(people))
    return fit_calibration(sessions, model, cohort, choices)


def fit_calibration(
    sessions: Sequence[Session], model: Path, cohort: Path, choices: CalibrationChoices
) -> Calibration:
    """Fit the tables from calls that were already heard. Raises as ``calibrate``."""
    speaker = OnnxSpeaker.of_file(model)
    rows = read_cohort(_content(cohort), speaker.dimension, speaker.model)
    used = Normalisation(choices.top, cohort_sha256(rows)) if choices.top else Normalisation()
    norm = normaliser(used, rows)
    tables = []
    for bandwidth in Bandwidth:
        try:
            tables.append(fit_table(sessions, bandwidth, norm, choices.fit))
        except InputError:
            # A bandwidth that the recordings do not have is left without a table: no support.
            continue
    if not tables:
        raise InputError("The recordings hold too little speech to calibrate with.")
    people = len({one.person for one in sessions})
    chosen = [f"{name} {value}" for name, value in choices.selection.values.items()]
    where = f" ({', '.join(chosen)})" if chosen else ""
    calibration = Calibration(
        version="unnamed",
        model=speaker.model,
        normalisation=used,
        data=f"{people} people{where}, {len(sessions)} calls, telephone lines simulated, "
        f"seed {choices.sessions.seed}",
        data_sha256=_digest(sessions),
        speakers=people,
        confidence=choices.fit.confidence,
        grid=GRID,
        tables=tuple(tables),
    )
    return named(calibration)


def named(calibration: Calibration) -> Calibration:
    """Name tables after their content: two of one version never differ."""
    unnamed = replace(calibration, version="unnamed")
    digest = hashlib.sha256(dumps(unnamed).encode()).hexdigest()
    return replace(unnamed, version=f"{calibration.model[:8]}-{digest[:_VERSION_DIGITS]}")


def summary(calibration: Calibration) -> str:
    """Describe the tables in a few lines."""
    lines = [f"version {calibration.version}, {calibration.data}"]
    lines += [
        f"{table.bandwidth.value:11} {node.net_seconds:5.1f} s  least FMR "
        f"{node.false_match_floor:.5f}  {node.target_trials} target, "
        f"{node.impostor_trials} impostor trials"
        for table in calibration.tables
        for node in table.nodes
    ]
    return "\n".join([*lines, *(described(table) for table in calibration.tables)])


def described(table: Table) -> str:
    """Describe a table's support and what its ratios are worth."""
    support = table.support
    text = (
        f"{table.bandwidth.value}: supported from {support.net_seconds.least:.1f} s of speech, "
        f"{support.enrolled_seconds.least:.1f} s of enrolment and {support.snr_db.least:.1f} dB"
    )
    worth = table.worth
    if worth is None:
        return text
    text += f"; Cllr {worth.cllr:.3f} bit, least {worth.min_cllr:.3f}, on people not fitted on"
    if worth.before is None:
        return text
    text += f"; before {worth.before:.3f}"
    return text if worth.least_before is None else f"{text}, least {worth.least_before:.3f}"


def _digest(sessions: Sequence[Session]) -> str:
    """Hash what was heard of whom."""
    digest = hashlib.sha256()
    for one in sessions:
        key = (one.person, one.division, one.half, one.channel.value, one.turn)
        digest.update(repr(key).encode())
        for piece in one.voice.pieces:
            digest.update(piece.embedding.tobytes())
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
