# SPDX-License-Identifier: Apache-2.0
"""Enter a speaker or spoof model and its companions in the manifest of a model directory."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from voiceauth.errors import IntegrityError, SettingsError
from voiceauth.models.forms import COSINE_NOTE, ERROR_NOTE, FORM_NOTE
from voiceauth.models.manifest import (
    FORMAT,
    MANIFEST_FILE,
    SPEAKER_ROLE,
    SPOOF_ROLE,
    CompanionFile,
    Int8Form,
    ModelEntry,
    SpoofEntry,
    read_manifest,
)
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.models.spoof import OnnxSpoof
from voiceauth.types import ModelHash


def install(directory: Path, name: str, *, licence: str) -> ModelEntry:
    """Enter a model, replacing an entry of the same name, and make it the default.

    The files ``NAME.onnx``, ``NAME-calibration.json``, ``NAME-cohort.npz`` and ``NAME.md`` must lie
    in the directory; ``NAME-int8.onnx`` is entered with them if it is a form of ``NAME.onnx``, and
    ``NAME-continuity.json`` if it was fitted to it. The manifest is replaced as a whole: a reader
    sees the old one or the new one.

    Args:
        directory: of the models.
        name: of the model.
        licence: SPDX expression.

    Returns:
        The entry as it was written.

    Raises:
        SettingsError: a file is missing, or the present manifest cannot be used.
        IntegrityError: the model cannot be loaded.
    """
    speaker = OnnxSpeaker.of_file(directory / f"{name}.onnx")
    _digest(directory / f"{name}.md")
    entry = ModelEntry(
        name=name,
        role=SPEAKER_ROLE,
        file=f"{name}.onnx",
        sha256=speaker.model,
        sample_rate_hz=speaker.rate_hz,
        dimension=speaker.dimension,
        least_samples=speaker.least_samples,
        licence=licence,
        card=f"{name}.md",
        calibration=_companion(directory, f"{name}-calibration.json", speaker.model),
        cohort=_companion(directory, f"{name}-cohort.npz", speaker.model),
        int8=_int8(directory, f"{name}-int8.onnx", speaker.model),
        continuity=_continuity(directory, f"{name}-continuity.json", speaker.model),
    )
    others: tuple[ModelEntry, ...] = ()
    spoof: SpoofEntry | None = None
    if (directory / MANIFEST_FILE).exists():
        present = read_manifest(directory)
        others = tuple(one for one in present.models if one.name != name)
        spoof = present.spoof
    _replace_manifest(directory, name, (*others, entry), spoof)
    return entry


def install_spoof(directory: Path, name: str, *, licence: str) -> SpoofEntry:
    """Enter the spoof model, replacing the one before; the speaker models stay as they are.

    The files ``NAME.onnx``, ``NAME-calibration.json`` and ``NAME.md`` must lie in the directory,
    which has speaker models already.

    Args:
        directory: of the models.
        name: of the model.
        licence: SPDX expression.

    Returns:
        The entry as it was written.

    Raises:
        SettingsError: a file is missing, or the present manifest cannot be used.
        IntegrityError: the model cannot be loaded.
    """
    present = read_manifest(directory)
    detector = OnnxSpoof.of_file(directory / f"{name}.onnx")
    _digest(directory / f"{name}.md")
    entry = SpoofEntry(
        name=name,
        role=SPOOF_ROLE,
        file=f"{name}.onnx",
        sha256=detector.model,
        sample_rate_hz=detector.rate_hz,
        least_samples=detector.least_samples,
        licence=licence,
        card=f"{name}.md",
        calibration=_companion(directory, f"{name}-calibration.json", detector.model),
    )
    _replace_manifest(directory, present.default, present.models, entry)
    return entry


def enter_continuity(directory: Path, name: str) -> ModelEntry:
    """Enter ``NAME-continuity.json`` beside a model that is in the manifest already.

    Raises:
        SettingsError: there is no such model or file.
        IntegrityError: the file is not of this model.
    """
    present = read_manifest(directory)
    old = present.entry(name)
    companion = _continuity(directory, f"{name}-continuity.json", old.sha256)
    if companion is None:
        raise IntegrityError(f"{name}-continuity.json is missing or of another model.")
    entry = replace(old, continuity=companion)
    models = tuple(entry if one.name == name else one for one in present.models)
    _replace_manifest(directory, present.default, models, present.spoof)
    return entry


def _replace_manifest(
    directory: Path, default: str, models: tuple[ModelEntry, ...], spoof: SpoofEntry | None
) -> None:
    content: dict[str, object] = {
        "format": FORMAT,
        "default": default,
        "models": [asdict(one) for one in models],
    }
    if spoof is not None:
        content[SPOOF_ROLE] = asdict(spoof)
    temporary = directory / f"{MANIFEST_FILE}.new"
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(directory / MANIFEST_FILE)
    read_manifest(directory)


def _int8(directory: Path, file: str, model: ModelHash) -> Int8Form | None:
    """Read what the int8 file says of itself; one that was made from another model is left out."""
    if not (directory / file).exists():
        return None
    speaker = OnnxSpeaker.of_file(directory / file)
    if speaker.notes.get(FORM_NOTE) != model:
        return None
    try:
        least, difference = (float(speaker.notes[note]) for note in (COSINE_NOTE, ERROR_NOTE))
    except (KeyError, ValueError) as error:
        raise IntegrityError(f"{file} does not say how it was measured.") from error
    return Int8Form(file, speaker.model, least, difference)


def _continuity(directory: Path, file: str, model: ModelHash) -> CompanionFile | None:
    """Read whose the continuity calibration is; one of another model is left out."""
    try:
        content = json.loads((directory / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{file} cannot be read.", detail=str(error)) from error
    if not isinstance(content, dict) or content.get("model") != model:
        return None
    return _companion(directory, file, model)


def _companion(directory: Path, file: str, model: ModelHash) -> CompanionFile:
    return CompanionFile(file, _digest(directory / file), model)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
