# SPDX-License-Identifier: Apache-2.0
"""The models of an installation with what belongs to each, every hash checked."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import IntegrityError, ModelHashMismatchError, SettingsError
from voiceauth.models.batching import BatchingSpeaker, BatchingSpoof
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import Manifest, ModelEntry, SpoofEntry, read_manifest, read_verified
from voiceauth.models.padded import Shapes
from voiceauth.models.session import SessionChoices
from voiceauth.models.speaker import OnnxSpeaker, Precision
from voiceauth.models.spoof import OnnxSpoof
from voiceauth.types import ModelCard, ModelHash
from voiceauth.units import Hertz

COHORT_ARRAY = "embeddings"
"""Name of the array inside a cohort file."""
MODEL_ARRAY = "model"
"""Name of a second array, of one text: the hash of the model whose embeddings these are."""
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class SpoofBundle:
    """The model that looks for synthetic speech.

    Attributes:
        detector: the loaded model.
        calibration: the verified text of its calibration, for ``liveness`` to parse.
    """

    detector: OnnxSpoof
    calibration: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelBundle:
    """All that scoring needs from the models.

    Attributes:
        speaker: the loaded model.
        calibration: the verified text of its calibration tables, for ``scoring`` to parse.
        cohort: unit embeddings of other people, float32, shape (people, dimension).
        cards: what is told about the models in use.
        spoof: None if there is none, or it is not wanted.
        continuity: the verified text of the model's continuity calibration; None without one.
    """

    speaker: OnnxSpeaker
    calibration: str
    cohort: NDArray[np.float32]
    cards: tuple[ModelCard, ...]
    spoof: SpoofBundle | None = None
    continuity: str | None = None


def load_bundle(
    directory: Path | None = None,
    name: str | None = None,
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    precision: Precision = "fp32",
    synthetic: bool = True,
    batches: int = 1,
) -> ModelBundle:
    """Load a speaker model with everything that belongs to it, and the spoof model if there is one.

    Args:
        directory: holds ``manifest.json``; None means the packaged models.
        name: of the model in the manifest; None means its default.
        device: where the model runs.
        precision: which form of the model; both have one calibration and one cohort.
        synthetic: False leaves the spoof model out.
        batches: load models that can also be asked for so many spans in one run.

    Raises:
        SettingsError: no models, a manifest that cannot be used, or an unknown name, or
            no int8 form, or batches of it.
        UnbatchableModelError: batches are asked for, and a model cannot run in them.
        ModelHashMismatchError: a file differs from the manifest.
        IntegrityError: a file has the stated hash and is unusable all the same.
        MissingExtraError: CUDA was asked for and its runtime is not installed, or batches and
            ``onnx``.
    """
    manifest = read_manifest(directory or default_model_directory())
    entry, choices = manifest.entry(name), SessionChoices(device=device)
    speaker = _speaker(manifest.directory, entry, choices, precision, batches=batches)
    tables = read_verified(manifest.directory, entry.calibration.file, entry.calibration.sha256)
    cohort = read_verified(manifest.directory, entry.cohort.file, entry.cohort.sha256)
    return ModelBundle(
        speaker=speaker,
        calibration=_text(tables),
        cohort=read_cohort(cohort, entry.dimension, entry.sha256),
        cards=(_card(entry, precision), *_spoof_cards(manifest, wanted=synthetic)),
        spoof=_spoof(manifest, choices, batches=batches) if synthetic else None,
        continuity=_continuity(manifest, entry),
    )


def _speaker(
    directory: Path,
    entry: ModelEntry,
    choices: SessionChoices,
    precision: Precision,
    *,
    batches: int,
) -> OnnxSpeaker:
    if batches == 1:
        return OnnxSpeaker.of_entry(directory, entry, choices, precision)
    if precision != "fp32":
        raise SettingsError("An int8 model runs each span alone: set models.batch_spans to 1.")
    shapes = _batch_shapes(choices.device, batches, entry.sample_rate_hz)
    return BatchingSpeaker.of_manifest(directory, entry, choices, shapes)


def _batch_shapes(device: Literal["cpu", "cuda"], most: int, rate_hz: Hertz) -> Shapes | None:
    # On a processor a new shape costs nothing, and more padding does.
    return None if device == "cpu" else Shapes.up_to(most, rate_hz)


def _continuity(manifest: Manifest, entry: ModelEntry) -> str | None:
    if entry.continuity is None:
        return None
    file = entry.continuity
    return _text(read_verified(manifest.directory, file.file, file.sha256))


def _spoof(manifest: Manifest, choices: SessionChoices, *, batches: int) -> SpoofBundle | None:
    entry = manifest.spoof
    if entry is None:
        return None
    if batches == 1:
        path = manifest.directory / entry.file
        detector = OnnxSpoof.of_file(path, entry.sha256, choices)
    else:
        shapes = _batch_shapes(choices.device, batches, entry.sample_rate_hz)
        detector = BatchingSpoof.of_manifest(manifest.directory, entry, choices, shapes)
    if (detector.rate_hz, detector.least_samples) != (entry.sample_rate_hz, entry.least_samples):
        raise IntegrityError("The manifest describes another spoof model than its file holds.")
    calibration = read_verified(
        manifest.directory, entry.calibration.file, entry.calibration.sha256
    )
    return SpoofBundle(detector, _text(calibration))


def _spoof_cards(manifest: Manifest, *, wanted: bool) -> tuple[ModelCard, ...]:
    return (spoof_card(manifest.spoof),) if wanted and manifest.spoof is not None else ()


def spoof_card(entry: SpoofEntry) -> ModelCard:
    """What is told about the spoof model: one number comes out of it."""
    return ModelCard(
        entry.role, entry.name, entry.sha256, entry.licence, entry.sample_rate_hz, dimension=1
    )


def read_cohort(
    content: bytes, dimension: int, model: ModelHash | None = None, *, stated: bool = False
) -> NDArray[np.float32]:
    """Parse a cohort file.

    Args:
        content: of an ``.npz`` file with the array ``embeddings`` and, in files of operators, the
            hash of the model that made them.
        dimension: expected length of a row.
        model: whose embeddings they must be, if the file says; None leaves it unchecked.
        stated: refuse a file that does not say. Models of one dimension are common, and their
            embeddings have nothing to do with each other.

    Returns:
        float32, shape (people, dimension), unit rows, at least two of them.

    Raises:
        IntegrityError: anything else is in it.
        ModelHashMismatchError: another model made it.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            rows = np.asarray(arrays[COHORT_ARRAY])
            made_with = str(arrays[MODEL_ARRAY]) if MODEL_ARRAY in arrays else None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise IntegrityError("The cohort file cannot be read.", detail=str(error)) from error
    if rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != dimension:  # noqa: PLR2004
        raise IntegrityError(detail=f"the cohort has shape {rows.shape} of {rows.dtype}")
    norms = np.linalg.norm(rows, axis=1)
    if len(rows) < 2 or not (np.abs(norms - 1.0) <= _UNIT_TOLERANCE).all():  # noqa: PLR2004
        raise IntegrityError(detail="the cohort is empty or not of unit embeddings")
    if stated and made_with is None:
        raise IntegrityError("The cohort file does not say which model made it.")
    if model is not None and made_with not in {None, model}:
        raise ModelHashMismatchError(detail=f"the cohort was made with model {made_with:.64}")
    return rows


def write_cohort(
    path: Path, embeddings: NDArray[np.float32], model: ModelHash | None = None
) -> None:
    """Write a cohort file.

    Args:
        path: file to write.
        embeddings: unit rows, float32, shape (people, dimension).
        model: hash of the model that made them, to stand in the file.
    """
    path.write_bytes(cohort_file(embeddings, model))


def cohort_file(embeddings: NDArray[np.float32], model: ModelHash | None = None) -> bytes:
    """Return the content that ``write_cohort`` writes."""
    rows = np.asarray(embeddings, dtype=np.float32)
    buffer = io.BytesIO()
    if model is None:
        np.savez(buffer, embeddings=rows)
    else:
        np.savez(buffer, embeddings=rows, model=np.array(str(model)))
    return buffer.getvalue()


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise IntegrityError("The calibration file is not text.", detail=str(error)) from error


def _card(entry: ModelEntry, precision: Precision) -> ModelCard:
    return ModelCard(
        role=entry.role,
        name=entry.name if precision == "fp32" else f"{entry.name}-{precision}",
        sha256=entry.sha256,
        licence=entry.licence,
        rate_hz=entry.sample_rate_hz,
        dimension=entry.dimension,
    )
