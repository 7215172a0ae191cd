# SPDX-License-Identifier: Apache-2.0
"""What changes a folder of models: first tables, refitted tables, a cohort of the operator's own.

Each function does one command's work from files to files. The packaged models are never changed:
results go to a folder of the operator, together with the model that they belong to.

Rules:

* Tables and cohorts have their version in the file's name and are never overwritten.
* The manifest always pairs tables and cohort that were made together; it is written last.
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from voiceauth.errors import SettingsError
from voiceauth.evaluation.calibrate import (
    DEFAULT_TOP,
    CalibrationChoices,
    Progress,
    calibrate,
)
from voiceauth.evaluation.listed import HeardTrials
from voiceauth.evaluation.own_cohort import LEAST_PEOPLE as LEAST_COHORT
from voiceauth.evaluation.own_cohort import CohortChoices, build_cohort, nearest_of
from voiceauth.evaluation.refitting import Normalised, Refit, refit
from voiceauth.evaluation.run import EvaluationChoices, hear_all
from voiceauth.evaluation.sessions import Selection, labelled_recordings
from voiceauth.evaluation.trials import read_trials
from voiceauth.models.adopt import adopt, enter_adopted, write_new
from voiceauth.models.bundle import ModelBundle, cohort_file, load_bundle, read_cohort
from voiceauth.models.install import install, with_companions
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import Manifest, ModelEntry, read_manifest
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.scoring.calibration import Calibration, Normalisation
from voiceauth.scoring.fit import FitChoices
from voiceauth.scoring.scorer import CalibratedScorer, cohort_sha256, normaliser
from voiceauth.scoring.tables import dumps
from voiceauth.signal.options import SpeechOptions
from voiceauth.types import ModelHash

_VERSION_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Folders:
    """Whose model is adapted, and where the result goes.

    Attributes:
        source: folder of the models in use; None means the packaged ones.
        name: of the model; None means the folder's default.
        target: the operator's folder; None means the source, unless that is the package.
    """

    source: Path | None
    name: str | None = None
    target: Path | None = None

    def manifest(self) -> Manifest:
        """Read the manifest of the models in use. Raises SettingsError."""
        return read_manifest(self.source or default_model_directory())

    def destination(self) -> Path:
        """Return the operator's folder.

        Raises:
            SettingsError: there is none, and the packaged models are not to be changed.
        """
        folder = self.target or self.source
        if folder is None:
            raise SettingsError(
                "The packaged models are not changed: name a folder of your own with --to."
            )
        return folder


@dataclass(frozen=True, slots=True)
class RefitRequest:
    """What an operator asks of a refit.

    Attributes:
        trials: the list.
        root: folder of its paths; None means the list's own.
        cohort: a cohort file to change to; None keeps the present one.
        top: nearest members of that cohort; None means the present number, as far as it goes.
        speech: options of the signal room.
        fit: of the tables.
    """

    trials: Path
    root: Path | None = None
    cohort: Path | None = None
    top: int | None = None
    speech: SpeechOptions = field(default_factory=SpeechOptions)
    fit: FitChoices = field(default_factory=FitChoices)


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A file that was written, and what it belongs to.

    Attributes:
        folder: the operator's.
        model: name of the model.
        file: name of the file in the folder.
    """

    folder: Path
    model: str
    file: str


def refit_on_trials(
    folders: Folders, request: RefitRequest, progress: Progress | None = None
) -> tuple[Refit, Written]:
    """Refit a model's tables on an operator's trials and enter them in the operator's manifest.

    Args:
        folders: the model, and where the tables go.
        request: the trials and what else is wanted.
        progress: called after each recording.

    Raises:
        InputError: the list cannot be used, or has too few people or trials.
        BadAudioError: a recording cannot be read.
        SettingsError, IntegrityError: models or cohort cannot be used, or a folder is missing.
        StorageError: the folder cannot be written.
    """
    target = folders.destination()
    manifest = folders.manifest()
    entry = manifest.entry(folders.name)
    bundle = load_bundle(manifest.directory, entry.name)
    scorer = CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)
    before = _normalised(bundle, scorer.calibration.normalisation)
    content, after = _changed(bundle, request, before)
    listing = read_trials(request.trials, request.root)
    choices = EvaluationChoices(speech=request.speech)
    heard = hear_all(listing, bundle.speaker, choices, progress)
    trials = HeardTrials(request.trials.name, listing.trials, *heard)
    found = refit(trials, scorer.calibration, before, after, request.fit)
    adopt(manifest, entry, target)
    cohort = None
    if content is not None:
        cohort = _versioned(entry, "cohort", _version(entry.sha256, content), "npz")
        write_new(target / cohort, content)
    file = _write_tables(target, entry, found.calibration)
    changed = with_companions(entry, target, calibration=file, cohort=cohort)
    enter_adopted(manifest, changed, target)
    return found, Written(target, entry.name, file)


def cohort_from_recordings(
    folders: Folders,
    recordings: Path,
    selection: Selection,
    choices: CohortChoices,
    progress: Progress | None = None,
) -> tuple[int, int, Written]:
    """Build a cohort of an operator's callers; it comes into use with a refit.

    Args:
        folders: the model, and where the file goes.
        recordings: CSV file with the columns ``path`` and ``speaker``.
        selection: rows to use.
        choices: how they are heard.
        progress: called after each person.

    Returns:
        How many people are in it, how many had too little speech, and the file.

    Raises:
        InputError, BadAudioError: as ``own_cohort.build_cohort`` and ``labelled_recordings``.
        SettingsError, IntegrityError: the model cannot be used, or a folder is missing.
        StorageError: the folder cannot be written.
    """
    target = folders.destination()
    manifest = folders.manifest()
    entry = manifest.entry(folders.name)
    speaker = OnnxSpeaker.of_entry(manifest.directory, entry)
    people = labelled_recordings(recordings, selection, people=LEAST_COHORT, recordings=1)
    found = build_cohort(people, speaker, choices, progress)
    content = cohort_file(found.embeddings, speaker.model)
    file = _versioned(entry, "cohort", _version(entry.sha256, content), "npz")
    write_new(target / file, content)
    return len(found.embeddings), found.left_out, Written(target, entry.name, file)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled recordings: a CSV file with the columns ``path`` and ``speaker``, and its rows."""

    recordings: Path
    selection: Selection = field(default_factory=Selection)


def install_with_tables(
    directory: Path,
    name: str,
    labelled: Labelled,
    *,
    licence: str,
    choices: CalibrationChoices,
    progress: Progress | None = None,
) -> tuple[Calibration, Written]:
    """Fit the first tables of a model that lies in a folder, and enter it in the manifest.

    Args:
        directory: holds ``NAME.onnx``, ``NAME-cohort.npz`` and ``NAME.md``.
        name: of the model.
        labelled: recordings to make calls of; nobody of the cohort among them.
        licence: SPDX expression.
        choices: of calls and fit; its selection is taken from ``labelled``.
        progress: called after each person.

    Raises:
        InputError: the recordings do not suffice.
        BadAudioError: a recording cannot be read.
        SettingsError, IntegrityError: the model or its cohort cannot be used.
        StorageError: the folder cannot be written.
    """
    model, cohort = directory / f"{name}.onnx", directory / f"{name}-cohort.npz"
    choices = replace(choices, selection=labelled.selection)
    calibration = calibrate(labelled.recordings, model, cohort, choices, progress)
    file = f"{name}-calibration-{calibration.version}.json"
    write_new(directory / file, dumps(calibration).encode("utf-8"))
    install(directory, name, licence=licence, calibration=file)
    return calibration, Written(directory, name, file)


def cohort_of_new_model(
    directory: Path,
    name: str,
    labelled: Labelled,
    *,
    apart: Labelled,
    choices: CohortChoices,
    progress: Progress | None = None,
) -> int:
    """Write ``NAME-cohort.npz`` for a model that has none; return how many people are in it.

    Args:
        directory: holds ``NAME.onnx``.
        name: of the model.
        labelled: recordings of the cohort's people.
        apart: recordings that tables will be fitted on; no person may be in both.
        choices: how they are heard.
        progress: called after each person.

    Raises:
        InputError: too few people, or one who is in both lists.
        BadAudioError: a recording cannot be read.
        SettingsError: a cohort is there already.
    """
    speaker = OnnxSpeaker.of_file(directory / f"{name}.onnx")
    people = labelled_recordings(
        labelled.recordings, labelled.selection, people=LEAST_COHORT, recordings=1
    )
    others = labelled_recordings(apart.recordings, apart.selection)
    if not people.keys().isdisjoint(others):
        raise SettingsError("A person is in the cohort and in the calibration: keep them apart.")
    found = build_cohort(people, speaker, choices, progress)
    write_new(directory / f"{name}-cohort.npz", cohort_file(found.embeddings, speaker.model))
    return len(found.embeddings)


def _changed(
    bundle: ModelBundle, request: RefitRequest, before: Normalised
) -> tuple[bytes | None, Normalised]:
    """Read the cohort that is changed to, if one is; its content and its normalisation."""
    if request.cohort is None:
        return None, before
    try:
        content = request.cohort.read_bytes()
    except OSError as error:
        raise SettingsError(f"Cannot read {request.cohort}: {error.strerror}.") from error
    speaker = bundle.speaker
    rows = read_cohort(content, speaker.dimension, speaker.model, stated=True)
    wanted = request.top or before.described.top or DEFAULT_TOP
    top = nearest_of(len(rows), wanted)
    used = Normalisation(top, cohort_sha256(rows))
    return content, Normalised(used, normaliser(used, rows))


def _normalised(bundle: ModelBundle, used: Normalisation) -> Normalised:
    return Normalised(used, normaliser(used, bundle.cohort))


def _write_tables(target: Path, entry: ModelEntry, calibration: Calibration) -> str:
    file = _versioned(entry, "calibration", calibration.version, "json")
    write_new(target / file, dumps(calibration).encode("utf-8"))
    return file


def _versioned(entry: ModelEntry, kind: str, version: str, suffix: str) -> str:
    return f"{entry.name}-{kind}-{version}.{suffix}"


def _version(model: ModelHash, content: bytes) -> str:
    return f"{model[:8]}-{hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS]}"
