# SPDX-License-Identifier: Apache-2.0
"""The calibration file: JSON that people can read, checked as strictly as any other input."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.scoring.calibration import Calibration, Node, Normalisation, Table
from voiceauth.types import Bandwidth, ModelHash

FORMAT = 1
_DIGITS = 6


def dumps(calibration: Calibration) -> str:
    """Write tables as JSON, one line per node, rates rounded up to six digits."""
    tables = [
        {
            "bandwidth": table.bandwidth.value,
            "least_seconds": table.least_seconds,
            "conditions": table.conditions,
            "nodes": [_node_fields(node) for node in table.nodes],
        }
        for table in calibration.tables
    ]
    content = {
        "format": FORMAT,
        "version": calibration.version,
        "model": calibration.model,
        "normalisation": {
            "top": calibration.normalisation.top,
            "cohort_sha256": calibration.normalisation.cohort_sha256,
        },
        "data": calibration.data,
        "speakers": calibration.speakers,
        "confidence": calibration.confidence,
        "grid": calibration.grid.tolist(),
        "tables": tables,
    }
    return json.dumps(content, indent=1) + "\n"


def loads(text: str) -> Calibration:
    """Read tables from JSON.

    Raises:
        SettingsError: not JSON, another format, a missing or mistyped field, or impossible values.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise SettingsError("The calibration file is not JSON.", detail=str(error)) from error
    try:
        if content["format"] != FORMAT:
            raise SettingsError(f"The calibration file has another format than {FORMAT}.")
        return _calibration(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(
            "The calibration file lacks a field or has one of the wrong type.", detail=repr(error)
        ) from error


def _calibration(content: Mapping[str, Any]) -> Calibration:
    normalisation = content["normalisation"]
    return Calibration(
        version=_text(content["version"]),
        model=ModelHash(_text(content["model"])),
        normalisation=Normalisation(int(normalisation["top"]), str(normalisation["cohort_sha256"])),
        data=_text(content["data"]),
        speakers=int(content["speakers"]),
        confidence=float(content["confidence"]),
        grid=_curve(content["grid"]),
        tables=tuple(_table(one) for one in content["tables"]),
    )


def _table(content: Mapping[str, Any]) -> Table:
    return Table(
        bandwidth=Bandwidth(content["bandwidth"]),
        least_seconds=float(content["least_seconds"]),
        nodes=tuple(_node(one) for one in content["nodes"]),
        conditions=_text(content["conditions"]),
    )


def _node(content: Mapping[str, Any]) -> Node:
    return Node(
        net_seconds=float(content["net_seconds"]),
        scale=float(content["scale"]),
        offset=float(content["offset"]),
        false_match=_curve(content["false_match"]),
        false_non_match=_curve(content["false_non_match"]),
        target_trials=int(content["target_trials"]),
        impostor_trials=int(content["impostor_trials"]),
    )


def _node_fields(node: Node) -> dict[str, object]:
    return {
        "net_seconds": node.net_seconds,
        "scale": node.scale,
        "offset": node.offset,
        "target_trials": node.target_trials,
        "impostor_trials": node.impostor_trials,
        "false_match": _rounded_up(node.false_match),
        "false_non_match": _rounded_up(node.false_non_match),
    }


def _rounded_up(rates: NDArray[np.float64]) -> list[float]:
    """Shorten rates without ever stating less than was found."""
    steps = 10.0 ** (np.floor(np.log10(rates)) - _DIGITS + 1)
    short = np.minimum(np.ceil(rates / steps - 1e-9) * steps, 1.0)
    return [float(f"{rate:.{_DIGITS}g}") for rate in short]


def _curve(content: object) -> NDArray[np.float64]:
    curve = np.asarray(content, dtype=np.float64)
    if curve.ndim != 1 or not np.isfinite(curve).all():
        message = "a curve is an array of finite numbers"
        raise ValueError(message)
    return curve


def _text(content: object) -> str:
    if not isinstance(content, str) or not content:
        message = "a text is missing"
        raise TypeError(message)
    return content
