# SPDX-License-Identifier: Apache-2.0
"""Enter a speaker or spoof model and its companions in the manifest of a model directory.

The manifest is replaced as a whole: a reader sees the old one or the new one.
"""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from voiceauth.errors import IntegrityError, SettingsError, StorageError
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


def install(
    directory: Path,
    name: str,
    *,
    licence: str,
    calibration: str | None = None,
    cohort: str | None = None,
) -> ModelEntry:
    """Enter a model, replacing an entry of the same name, and make it the default.

    The files ``NAME.onnx`` and ``NAME.md`` and both companions must lie in the directory;
    ``NAME-int8.onnx`` is entered with them if it is a form of ``NAME.onnx``, and
    ``NAME-continuity.json`` if it was fitted to it.

    Args:
        directory: of the models.
        name: of the model.
        licence: SPDX expression.
        calibration: file of its tables; None means ``NAME-calibration.json``.
        cohort: file of its cohort; None means ``NAME-cohort.npz``.

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
        calibration=companion(directory, calibration or f"{name}-calibration.json", speaker.model),
        cohort=companion(directory, cohort or f"{name}-cohort.npz", speaker.model),
        int8=_int8(directory, f"{name}-int8.onnx", speaker.model),
        continuity=_continuity(directory, f"{name}-continuity.json", speaker.model),
    )
    enter(directory, entry)
    return entry


def enter(directory: Path, entry: ModelEntry, *, default: bool = True) -> None:
    """Write a speaker model's entry into the manifest, replacing one of the same name.

    Args:
        directory: of the models; a manifest is made if there is none.
        entry: of a model whose files lie there.
        default: whether it becomes what no name means; the first model does in any case.

    Raises:
        SettingsError: the present manifest cannot be used.
        StorageError: it cannot be written.
    """
    others: tuple[ModelEntry, ...] = ()
    spoof: SpoofEntry | None = None
    chosen = entry.name
    if (directory / MANIFEST_FILE).exists():
        present = read_manifest(directory)
        others = tuple(one for one in present.models if one.name != entry.name)
        spoof = present.spoof
        chosen = entry.name if default else present.default
    replace_manifest(directory, chosen, (*others, entry), spoof)


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
        calibration=companion(directory, f"{name}-calibration.json", detector.model),
    )
    replace_manifest(directory, present.default, present.models, entry)
    return entry


def enter_continuity(directory: Path, name: str) -> ModelEntry:
    """Enter ``NAME-continuity.json`` beside a model that is in the manifest already.

    Raises:
        SettingsError: there is no such model or file.
        IntegrityError: the file is not of this model.
    """
    present = read_manifest(directory)
    old = present.entry(name)
    found = _continuity(directory, f"{name}-continuity.json", old.sha256)
    if found is None:
        raise IntegrityError(f"{name}-continuity.json is missing or of another model.")
    entry = replace(old, continuity=found)
    models = tuple(entry if one.name == name else one for one in present.models)
    replace_manifest(directory, present.default, models, present.spoof)
    return entry


def companion(directory: Path, file: str, model: ModelHash) -> CompanionFile:
    """Describe a file of a directory as made with a model. Raises SettingsError without it."""
    return CompanionFile(file, _digest(directory / file), model)


def with_companions(
    entry: ModelEntry, directory: Path, *, calibration: str, cohort: str | None = None
) -> ModelEntry:
    """Return an entry with other tables and, where named, another cohort.

    Raises:
        SettingsError: a file is not in the directory.
    """
    return replace(
        entry,
        calibration=companion(directory, calibration, entry.sha256),
        cohort=entry.cohort if cohort is None else companion(directory, cohort, entry.sha256),
    )


def replace_manifest(
    directory: Path, default: str, models: tuple[ModelEntry, ...], spoof: SpoofEntry | None
) -> None:
    """Write the whole manifest; a reader sees the old one or the new one.

    Raises:
        SettingsError: it would not be a usable one.
        StorageError: it cannot be written.
    """
    content: dict[str, object] = {
        "format": FORMAT,
        "default": default,
        "models": [asdict(one) for one in models],
    }
    if spoof is not None:
        content[SPOOF_ROLE] = asdict(spoof)
    text = json.dumps(content, indent=2) + "\n"
    temporary = directory / f"{MANIFEST_FILE}.new"
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(directory / MANIFEST_FILE)
    except OSError as error:
        raise StorageError(
            f"Cannot write {directory / MANIFEST_FILE}.", detail=str(error)
        ) from error
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
    return companion(directory, file, model)


def _digest(path: Path) -> str:
    return hashlib.sha256(content_of(path)).hexdigest()


def content_of(path: Path) -> bytes:
    """Read a file. Raises SettingsError if that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
