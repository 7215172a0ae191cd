# SPDX-License-Identifier: Apache-2.0
"""The manifest: which model files belong here, and what is known about each.

A model directory holds ``manifest.json`` and the files it names. Anything that is missing, unknown
or of the wrong type refuses the whole manifest: a half-understood model must not score anybody.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voiceauth.errors import ModelHashMismatchError, SettingsError
from voiceauth.models.forms import LEAST_COSINE, MOST_ERROR_DIFFERENCE
from voiceauth.types import ModelHash
from voiceauth.units import Cosine, Hertz, Rate

MANIFEST_FILE = "manifest.json"
FORMAT = 1
SPEAKER_ROLE = "speaker"
SPOOF_ROLE = "spoof"
_OPTIONAL = frozenset({"int8", "continuity"})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class CompanionFile:
    """A file that was made with one model and is meaningless with another.

    Attributes:
        file: name inside the model directory.
        sha256: of the file, lower-case hex.
        model: hash of the model that it belongs to.
    """

    file: str
    sha256: str
    model: ModelHash


@dataclass(frozen=True, slots=True)
class Int8Form:
    """An int8 file that may stand in for a model's fp32 file; see ``forms``.

    Attributes:
        file: name inside the model directory.
        sha256: of the file, lower-case hex.
        least_cosine: between both forms, over held-out utterances.
        error_difference: of the equal error rates, largest of all conditions, 0 to 1.
    """

    file: str
    sha256: str
    least_cosine: Cosine
    error_difference: Rate


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the manifest.

    Attributes:
        name: how settings ask for it.
        role: what it does; ``speaker`` is the only role of this version.
        file: name inside the model directory.
        sha256: of the file, lower-case hex.
        sample_rate_hz: of the waveform that it takes.
        dimension: length of its embedding.
        least_samples: fewer are refused.
        licence: SPDX expression.
        card: file name of its model card, for people.
        calibration: tables that turn its scores into error rates.
        cohort: embeddings of other people, for score normalisation and decoys.
        int8: its faster form, if there is one.
        continuity: how its embeddings tell a hand-over, if that was fitted.
    """

    name: str
    role: str
    file: str
    sha256: ModelHash
    sample_rate_hz: Hertz
    dimension: int
    least_samples: int
    licence: str
    card: str
    calibration: CompanionFile
    cohort: CompanionFile
    int8: Int8Form | None = None
    continuity: CompanionFile | None = None


@dataclass(frozen=True, slots=True)
class SpoofEntry:
    """The model that looks for synthetic speech; it serves every speaker model of its rate.

    Attributes:
        name: for people.
        role: ``spoof``.
        file: name inside the model directory.
        sha256: of the file, lower-case hex.
        sample_rate_hz: of the waveform that it takes.
        least_samples: shorter spans are not scored.
        licence: SPDX expression.
        card: file name of its model card.
        calibration: line and rates that turn its scores into a ratio.
    """

    name: str
    role: str
    file: str
    sha256: ModelHash
    sample_rate_hz: Hertz
    least_samples: int
    licence: str
    card: str
    calibration: CompanionFile


@dataclass(frozen=True, slots=True)
class Manifest:
    """The checked content of a manifest.

    Attributes:
        directory: where the files lie.
        default: name of the model that no name means.
        models: speaker models, at least one, names unique.
        spoof: None if there is no such model.
    """

    directory: Path
    default: str
    models: tuple[ModelEntry, ...]
    spoof: SpoofEntry | None = None

    def entry(self, name: str | None) -> ModelEntry:
        """Return the named model, or the default one.

        Raises:
            SettingsError: there is no such model.
        """
        wanted = name or self.default
        for one in self.models:
            if one.name == wanted:
                return one
        known = ", ".join(one.name for one in self.models)
        raise SettingsError(f"There is no model {wanted!r} in the manifest; it has: {known}.")


def read_manifest(directory: Path) -> Manifest:
    """Read and check ``manifest.json`` of a model directory.

    Raises:
        SettingsError: missing, not JSON, an unknown or absent field, or a value that cannot be.
        ModelHashMismatchError: a calibration or cohort belongs to another model.
    """
    path = directory / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except OSError as error:
        raise SettingsError(f"Cannot read the model manifest {path}: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"The model manifest {path} is not JSON.", detail=str(error)) from error
    optional = frozenset({SPOOF_ROLE})
    fields = _Fields(content, "manifest", {"format", "default", "models"}, optional)
    if fields.number("format") != FORMAT:
        raise SettingsError(f"The model manifest has another format than {FORMAT}.")
    models = tuple(_entry(one) for one in fields.array("models"))
    names = [one.name for one in models]
    if len(set(names)) != len(names):
        raise SettingsError("The model manifest names one model twice.")
    default = fields.text("default")
    if default not in names:
        raise SettingsError(f"The manifest's default model {default!r} is not among its models.")
    return Manifest(directory, default, models, _spoof(fields.part(SPOOF_ROLE)))


def read_verified(directory: Path, file: str, sha256: str) -> bytes:
    """Read a file of the model directory, refusing it unless its hash is the stated one.

    Raises:
        SettingsError: the file cannot be read.
        ModelHashMismatchError: its content is not what the manifest states.
    """
    path = directory / file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"Cannot read the model file {path}: {error.strerror}.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelHashMismatchError(detail=f"{file}: sha256 {found}, manifest says {sha256}")
    return content


class _Fields:
    """Strict access to one JSON object: exactly the expected names, each of the expected type."""

    def __init__(
        self, content: object, place: str, names: set[str], optional: frozenset[str] = frozenset()
    ) -> None:
        if not isinstance(content, Mapping):
            raise SettingsError(f"Model manifest: {place} is not an object.")
        wrong = names.symmetric_difference(set(content) - optional)
        if wrong:
            state = "lacks" if min(wrong) in names else "has the unknown field"
            raise SettingsError(f"Model manifest: {place} {state} {min(wrong)!r}.")
        self._content = content
        self._place = place

    def text(self, name: str, form: re.Pattern[str] | None = None) -> str:
        value = self._content[name]
        if not isinstance(value, str) or not value or (form and not form.fullmatch(value)):
            raise SettingsError(f"Model manifest: {self._place}: {name} is not valid.")
        return value

    def number(self, name: str) -> int:
        value = self._content[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SettingsError(f"Model manifest: {self._place}: {name} is not a positive integer.")
        return value

    def fraction(self, name: str) -> float:
        value = self._content[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise SettingsError(f"Model manifest: {self._place}: {name} is not within 0 and 1.")
        return float(value)

    def array(self, name: str) -> list[object]:
        value = self._content[name]
        if not isinstance(value, list) or not value:
            raise SettingsError(f"Model manifest: {self._place}: {name} is not a filled array.")
        return value

    def part(self, name: str) -> object:
        return self._content.get(name)


def _entry(content: object) -> ModelEntry:
    names = set(ModelEntry.__dataclass_fields__)
    fields = _Fields(content, "model", names - _OPTIONAL, _OPTIONAL)
    name = fields.text("name")
    if fields.text("role") != SPEAKER_ROLE:
        raise SettingsError(f"Model manifest: {name} has a role that this version does not know.")
    sha256 = ModelHash(fields.text("sha256", _SHA256))
    return ModelEntry(
        name=name,
        role=SPEAKER_ROLE,
        file=fields.text("file", _FILE_NAME),
        sha256=sha256,
        sample_rate_hz=fields.number("sample_rate_hz"),
        dimension=fields.number("dimension"),
        least_samples=fields.number("least_samples"),
        licence=fields.text("licence"),
        card=fields.text("card", _FILE_NAME),
        calibration=_companion(fields.part("calibration"), f"{name}: calibration", sha256),
        cohort=_companion(fields.part("cohort"), f"{name}: cohort", sha256),
        int8=_int8(fields.part("int8"), f"{name}: int8"),
        continuity=_optional(fields.part("continuity"), f"{name}: continuity", sha256),
    )


def _spoof(content: object) -> SpoofEntry | None:
    if content is None:
        return None
    fields = _Fields(content, SPOOF_ROLE, set(SpoofEntry.__dataclass_fields__))
    if fields.text("role") != SPOOF_ROLE:
        raise SettingsError("Model manifest: the spoof model has another role.")
    sha256 = ModelHash(fields.text("sha256", _SHA256))
    return SpoofEntry(
        name=fields.text("name"),
        role=SPOOF_ROLE,
        file=fields.text("file", _FILE_NAME),
        sha256=sha256,
        sample_rate_hz=fields.number("sample_rate_hz"),
        least_samples=fields.number("least_samples"),
        licence=fields.text("licence"),
        card=fields.text("card", _FILE_NAME),
        calibration=_companion(fields.part("calibration"), "spoof: calibration", sha256),
    )


def _int8(content: object, place: str) -> Int8Form | None:
    if content is None:
        return None
    fields = _Fields(content, place, set(Int8Form.__dataclass_fields__))
    form = Int8Form(
        file=fields.text("file", _FILE_NAME),
        sha256=fields.text("sha256", _SHA256),
        least_cosine=fields.fraction("least_cosine"),
        error_difference=fields.fraction("error_difference"),
    )
    if form.least_cosine < LEAST_COSINE or form.error_difference > MOST_ERROR_DIFFERENCE:
        raise SettingsError(f"Model manifest: {place} differs too much from the fp32 file.")
    return form


def _optional(content: object, place: str, model: ModelHash) -> CompanionFile | None:
    return None if content is None else _companion(content, place, model)


def _companion(content: object, place: str, model: ModelHash) -> CompanionFile:
    fields = _Fields(content, place, set(CompanionFile.__dataclass_fields__))
    made_with = ModelHash(fields.text("model", _SHA256))
    if made_with != model:
        raise ModelHashMismatchError(detail=f"{place} belongs to model {made_with}, not {model}")
    return CompanionFile(fields.text("file", _FILE_NAME), fields.text("sha256", _SHA256), made_with)
