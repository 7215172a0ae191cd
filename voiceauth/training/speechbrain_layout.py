# SPDX-License-Identifier: Apache-2.0
"""An official speechbrain ECAPA checkpoint, read without running anything that stands in it.

To speechbrain, ``hyperparams.yaml`` is a program: it builds whatever Python object it names. A
``.ckpt`` file is a pickle, which is one too. Whoever takes both from a hub runs a stranger's code.

Rules:

* The file is parsed, never run. ``!new:`` and ``!ref`` are marks here; any other tag refuses it.
* The three parts that make an embedding must be the known classes, and every argument a known one
  with a value that this version can reproduce. Anything else is refused, not ignored: an option
  that is not understood would make another model.
* Parts that make no embedding (classifier, label encoder, pretrainer) are not looked at.
* Weights are loaded by torch's loader of plain tensors. Names and shapes must be exactly those of
  the network, values finite.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import yaml

from voiceauth.errors import DependencyError, IntegrityError, SettingsError

HYPERPARAMS, WEIGHTS = "hyperparams.yaml", "embedding_model.ckpt"
NEEDED: Final = (HYPERPARAMS, WEIGHTS)
"""Of the five files of the layout, those that make an embedding."""
_MOST_YAML_BYTES = 65_536
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REFERENCE = re.compile(r"<(\w+)>")
_MOST = 16_384
"""Larger sizes are no network of this kind: nobody's memory is filled by a line of text."""

_FBANK = "speechbrain.lobes.features.Fbank"
_NORMALISATION = "speechbrain.processing.features.InputNormalization"
_ECAPA = "speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN"

_FIXED: Final[Mapping[str, Mapping[str, object]]] = {
    "compute_features": {
        "deltas": False,
        "context": False,
        "requires_grad": False,
        "filter_shape": "triangular",
        "param_rand_factor": 0.0,
    },
    "mean_var_norm": {"norm_type": "sentence", "std_norm": False, "mean_norm": True},
    "embedding_model": {"global_context": True, "dropout": 0.0},
}
"""Arguments that may stand there with this value only."""
_UNUSED: Final = frozenset({"left_frames", "right_frames", "param_change_factor", "device"})
"""Arguments without effect where the fixed ones stand."""


@dataclass(frozen=True)
class Layout:
    """What a checkpoint says of itself, checked.

    Args:
        features: arguments of ``Fbank``.
        network: arguments of ``ECAPA_TDNN``.
        rate_hz: of its waveforms.
        dimension: of its embedding.
        weights: the file.
    """

    features: Mapping[str, Any]
    network: Mapping[str, Any]
    rate_hz: int
    dimension: int
    weights: Path


def fetch(source: str, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint, from the hub if it is no local folder.

    Args:
        source: a directory, or a hub id such as ``speechbrain/spkrec-ecapa-voxceleb``.
        revision: of the hub's repository; a commit, so that the same files come every time.

    Raises:
        SettingsError: neither a folder nor the form of a hub id, or a folder without the files.
        DependencyError: the hub cannot be reached, or does not have the files.
    """
    folder = Path(source)
    if not folder.is_dir():
        if not _HUB_ID.fullmatch(source):
            raise SettingsError(f"{source} is neither a folder nor the id of a model on a hub.")
        folder = _downloaded(source, revision)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise SettingsError(f"The checkpoint lacks {missing[0]}.")
    return folder


def _downloaded(source: str, revision: str | None) -> Path:
    import huggingface_hub  # noqa: PLC0415 - not every import of this room looks at the hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                source, revision=revision, allow_patterns=list(NEEDED)
            )
        )
    except (OSError, ValueError) as error:
        # Every error of the hub's client is one of the two.
        raise DependencyError(
            f"Cannot get {source} from the hub; a folder with its files can be given instead.",
            detail=repr(error),
        ) from error


def read_layout(folder: Path) -> Layout:
    """Read and check ``hyperparams.yaml``.

    Raises:
        SettingsError: missing, not YAML, with a tag that would run something, or with a value
            that this version does not reproduce; the sentence names it.
    """
    parts = _parts(folder / HYPERPARAMS)
    features = _Part(parts, "compute_features", _FBANK)
    _Part(parts, "mean_var_norm", _NORMALISATION).all_of({"norm_type", "std_norm"})
    network = _Part(parts, "embedding_model", _ECAPA)
    frames = features.integers("n_mels", "sample_rate", "n_fft", "win_length", "hop_length")
    edges = features.numbers("f_min", "f_max")
    sizes = network.integers(
        "input_size", "lin_neurons", "attention_channels", "res2net_scale", "se_channels"
    )
    lists = network.lists("channels", "kernel_sizes", "dilations")
    features.nothing_else({*frames, *edges})
    network.nothing_else({*sizes, *lists})
    network.all_of({"input_size"})
    rate = frames.setdefault("sample_rate", 16_000)
    if rate not in {8000, 16_000}:
        raise SettingsError(f"{HYPERPARAMS}: a sampling rate of {rate} Hz is not supported.")
    dimension = sizes.setdefault("lin_neurons", 192)
    _check_network(sizes, lists, frames.setdefault("n_mels", 40))
    return Layout({**frames, **edges}, {**sizes, **lists}, rate, dimension, folder / WEIGHTS)


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Load a checkpoint's tensors, and nothing but tensors.

    Raises:
        SettingsError: the file cannot be opened.
        IntegrityError: it holds anything else than named, finite tensors.
    """
    try:
        with path.open("rb") as handle:
            # weights_only: the unpickler knows tensors and plain containers, no other class.
            state = torch.load(handle, map_location="cpu", weights_only=True)
    except OSError as error:
        raise SettingsError(f"Cannot read {path.name}: {error.strerror}.") from error
    except Exception as error:  # the loader lets through whatever a broken archive makes it meet
        raise IntegrityError(
            f"{path.name} is not a file of plain weights.", detail=repr(error)
        ) from error
    if not isinstance(state, Mapping):
        raise IntegrityError(f"{path.name} is not a file of plain weights.")
    for name, tensor in state.items():
        plain = isinstance(name, str) and isinstance(tensor, torch.Tensor)
        if not plain or not bool(torch.isfinite(tensor).all()):
            raise IntegrityError(f"{path.name} holds something else than finite weights.")
    return dict(state)


@dataclass(frozen=True)
class _Tagged:
    """A value under ``!new:`` or ``!ref``: what would be built or looked up, unbuilt."""

    kind: str
    name: str
    content: Mapping[str, object] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no annotations
    """Parses YAML with the two marks of the layout; every other tag raises."""


def _new(loader: _Loader, suffix: str, node: yaml.Node) -> _Tagged:
    if isinstance(node, yaml.ScalarNode) and not node.value:
        return _Tagged("new", suffix)
    if not isinstance(node, yaml.MappingNode):
        raise yaml.constructor.ConstructorError(None, None, "arguments by name are expected")
    return _Tagged("new", suffix, loader.construct_mapping(node, deep=True))


def _ref(loader: _Loader, node: yaml.Node) -> _Tagged:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(None, None, "a reference is expected")
    return _Tagged("ref", str(loader.construct_scalar(node)))


_Loader.add_multi_constructor("!new:", _new)
_Loader.add_constructor("!ref", _ref)


def _parts(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > _MOST_YAML_BYTES:
            raise SettingsError(f"{path.name} is too large to be a list of settings.")
        # The loader is a safe one: it knows no tag that builds anything.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    except OSError as error:
        raise SettingsError(f"Cannot read {path.name}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError) as error:
        raise SettingsError(
            f"{path.name} is not in the layout of a speechbrain checkpoint.", detail=str(error)
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path.name} is not in the layout of a speechbrain checkpoint.")
    modules = content.get("modules")
    for name in _FIXED:
        used = modules.get(name) if isinstance(modules, Mapping) else None
        if used != _Tagged("ref", f"<{name}>"):
            raise SettingsError(f"{path.name}: modules does not use {name} under its own name.")
    return content


class _Part:
    """One part that makes an embedding: its arguments, references looked up."""

    def __init__(self, parts: Mapping[str, object], name: str, kind: str) -> None:
        found = parts.get(name)
        if not isinstance(found, _Tagged) or (found.kind, found.name) != ("new", kind):
            raise SettingsError(f"{HYPERPARAMS}: {name} is not a {kind}.")
        self._name = name
        self._values = {key: _looked_up(parts, one) for key, one in found.content.items()}
        for key, fixed in _FIXED[name].items():
            if key in self._values and self._values[key] != fixed:
                raise self._wrong(key)

    def integers(self, *names: str) -> dict[str, int]:
        """Those of the arguments that are there, as positive integers of a sane size."""
        found: dict[str, int] = {}
        for key in (one for one in names if one in self._values):
            value = self._values[key]
            if type(value) is not int or not 0 < value <= _MOST:
                raise self._wrong(key)
            found[key] = value
        return found

    def numbers(self, *names: str) -> dict[str, float | None]:
        """Those of the arguments that are there, as frequencies; None where the file says so."""
        found: dict[str, float | None] = {}
        for key in (one for one in names if one in self._values):
            value = self._values[key]
            if value is not None and (type(value) not in {int, float} or not 0 <= value <= _MOST):
                raise self._wrong(key)
            found[key] = value
        return found

    def lists(self, *names: str) -> dict[str, list[int]]:
        """Those of the arguments that are there, as lists of positive integers."""
        found: dict[str, list[int]] = {}
        for key in (one for one in names if one in self._values):
            value = self._values[key]
            good = isinstance(value, Sequence) and 0 < len(value) <= 16
            if not good or not all(type(one) is int and 0 < one <= _MOST for one in value):
                raise self._wrong(key)
            found[key] = list(value)
        return found

    def all_of(self, names: set[str]) -> None:
        """Refuse a part without one of these arguments; its default would be another model."""
        missing = names - set(self._values)
        if missing:
            raise SettingsError(f"{HYPERPARAMS}: {self._name} lacks {min(missing)}.")

    def nothing_else(self, names: set[str]) -> None:
        """Refuse an argument that nobody here understands."""
        for key in set(self._values) - names - set(_FIXED[self._name]) - _UNUSED:
            raise self._wrong(str(key))

    def _wrong(self, key: str) -> SettingsError:
        return SettingsError(f"{HYPERPARAMS}: {self._name} has an unsupported {key}.")


def _looked_up(parts: Mapping[str, object], value: object) -> Any:
    """Follow one ``!ref <name>`` to a plain value; anything cleverer is refused."""
    if not isinstance(value, _Tagged):
        return value
    name = _REFERENCE.fullmatch(value.name) if value.kind == "ref" else None
    found = parts.get(name[1]) if name else None
    if found is None or isinstance(found, _Tagged):
        raise SettingsError(f"{HYPERPARAMS}: the reference {value.name!r} leads to no plain value.")
    return found


def _check_network(sizes: dict[str, int], lists: dict[str, list[int]], bands: int) -> None:
    """Refuse shapes that the folding does not reproduce, and such as do not fit each other."""
    channels = lists.get("channels", [512, 512, 512, 512, 1536])
    kernels = lists.get("kernel_sizes", [5, 3, 3, 3, 1])
    dilations = lists.get("dilations", [1, 2, 3, 4, 1])
    scale = sizes.get("res2net_scale", 8)
    fits = len(channels) == len(kernels) == len(dilations) >= 3
    fits = fits and sizes["input_size"] == bands and scale > 1
    fits = fits and all(width % scale == 0 for width in channels[1:-1])
    # Padding is symmetric for odd kernels only, and the aggregation must not look sideways.
    fits = fits and all(kernel % 2 for kernel in kernels) and kernels[-1] == 1
    # Blocks are joined for the aggregation, which counts on one width.
    fits = fits and len(set(channels[1:-1])) == 1
    if not fits:
        raise SettingsError(f"{HYPERPARAMS}: the network's sizes do not fit each other.")
