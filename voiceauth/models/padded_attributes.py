# SPDX-License-Identifier: Apache-2.0
"""What a node of a graph is told beside its tensors, as attribute or as constant input."""

from typing import Any

import onnx
from onnx import helper

from voiceauth.errors import UnbatchableModelError
from voiceauth.models.padded_draft import Draft


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute's value, as text where it is text."""
    for one in node.attribute:
        if one.name == name:
            value = helper.get_attribute_value(one)
            return value.decode() if isinstance(value, bytes) else value
    return default


def optional_input(node: onnx.NodeProto, place: int) -> str:
    """Return the name of an input; empty where it was left out."""
    return node.input[place] if place < len(node.input) else ""


def integers(draft: Draft, node: onnx.NodeProto, place: int, name: str) -> list[int] | None:
    """Return numbers that older operator sets have as an attribute and newer ones as an input."""
    source = optional_input(node, place)
    if source:
        return [int(number) for number in draft.known(source).ravel()]
    told = attribute(node, name, None)
    return None if told is None else [int(number) for number in told]


def wanted_axes(
    draft: Draft, node: onnx.NodeProto, place: int, rank: int, what: str = "axes"
) -> list[int]:
    """Return axes counted from the front. Raises UnbatchableModelError where none are told."""
    axes = integers(draft, node, place, what)
    if axes is None:
        raise UnbatchableModelError(detail=f"{node.op_type} {node.name} does not say which axes")
    return [axis % rank for axis in axes]


def not_known(node: onnx.NodeProto, why: str) -> UnbatchableModelError:
    """Return the error of a node that the rewrite does not understand."""
    return UnbatchableModelError(detail=f"{node.op_type} {node.name}: {why}")
