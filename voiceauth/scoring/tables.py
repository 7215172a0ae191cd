# SPDX-License-Identifier: Apache-2.0
"""The calibration file: JSON that people can read, checked as strictly as any other input.

Format 1 had a line per length of speech and knew neither noise nor the length of the enrolment.
Such files are refused, not converted: their support was never stated.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import SettingsError
from voiceauth.scoring.calibration import Calibration, Node, Normalisation, Table, Worth
from voiceauth.scoring.condition import Line, Range, Support
from voiceauth.types import Bandwidth, ModelHash

FORMAT = 2
_DIGITS = 6
_SUPPORTED = ("net_seconds", "enrolled_seconds", "snr_db")


def dumps(calibration: Calibration) -> str:
    """Write tables as JSON, one line per node, rates rounded up to six digits."""
    tables = [
        {
            "bandwidth": table.bandwidth.value,
            "conditions": table.conditions,
            "support": {name: [r.least, r.most] for name, r in _ranges(table.support)},
            "line": {
                "terms": list(table.line.terms),
                "slope": list(table.line.slope),
                "offset": list(table.line.offset),
            },
            "worth": None if table.worth is None else asdict(table.worth),
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
        "data_sha256": calibration.data_sha256,
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
            raise SettingsError(
                f"The calibration file has format {content['format']!s:.20}, this version reads "
                f"{FORMAT}: calibrate again."
            )
        return _calibration(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
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
        data_sha256=_text(content["data_sha256"]),
        speakers=int(content["speakers"]),
        confidence=_number(content["confidence"]),
        grid=_curve(content["grid"]),
        tables=tuple(_table(one) for one in content["tables"]),
    )


def _table(content: Mapping[str, Any]) -> Table:
    return Table(
        bandwidth=Bandwidth(content["bandwidth"]),
        support=Support(*(_range(content["support"][name]) for name in _SUPPORTED)),
        line=Line(
            tuple(_text(term) for term in content["line"]["terms"]),
            tuple(_number(weight) for weight in content["line"]["slope"]),
            tuple(_number(weight) for weight in content["line"]["offset"]),
        ),
        nodes=tuple(_node(one) for one in content["nodes"]),
        conditions=_text(content["conditions"]),
        worth=None if content["worth"] is None else _worth(content["worth"]),
    )


def _ranges(support: Support) -> list[tuple[str, Range]]:
    return [(name, getattr(support, name)) for name in _SUPPORTED]


def _range(content: object) -> Range:
    least, most = _curve(content)
    return Range(float(least), float(most))


def _worth(content: Mapping[str, Any]) -> Worth:
    # Files of the first releases of this format do not have the last one.
    before, least = content["before"], content.get("least_before")
    return Worth(
        cllr=_number(content["cllr"]),
        min_cllr=_number(content["min_cllr"]),
        before=None if before is None else _number(before),
        least_before=None if least is None else _number(least),
    )


def _node(content: Mapping[str, Any]) -> Node:
    return Node(
        net_seconds=_number(content["net_seconds"]),
        false_match=_curve(content["false_match"]),
        false_non_match=_curve(content["false_non_match"]),
        target_trials=int(content["target_trials"]),
        impostor_trials=int(content["impostor_trials"]),
    )


def _node_fields(node: Node) -> dict[str, object]:
    return {
        "net_seconds": node.net_seconds,
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


def _number(content: object) -> float:
    if not isinstance(content, int | float) or isinstance(content, bool):
        message = "a number is missing"
        raise TypeError(message)
    if not math.isfinite(content):
        message = "a number is not finite"
        raise ValueError(message)
    return float(content)


def _text(content: object) -> str:
    if not isinstance(content, str) or not content:
        message = "a text is missing"
        raise TypeError(message)
    return content
