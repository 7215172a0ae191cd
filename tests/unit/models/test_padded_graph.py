# SPDX-License-Identifier: Apache-2.0
"""A batch of padded spans gives each what it gives alone, or the model is refused."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from graphs import Operation, graph, numbers, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voiceauth.errors import IntegrityError, UnbatchableModelError
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest
from voiceauth.models.padded import MOST_DIFFERENCE, PaddedSession
from voiceauth.models.padded_draft import LENGTHS
from voiceauth.models.padded_lengths import Batch, Length, convolved, settled
from voiceauth.models.session import Session
from voiceauth.types import Samples

FRAMES: tuple[Operation, ...] = (
    ("Unsqueeze", ["waveform", "one"], "channel", {}),
    ("Conv", ["channel", "front"], "frames", {"strides": [80]}),
)
"""A front end of four channels, a frame per 80 samples."""
MEAN: Operation = ("ReduceMean", ["last"], "answer", {"axes": [2], "keepdims": 0})
KNOWN: dict[str, NDArray[Any]] = {
    "zero": numbers(0),
    "one": numbers(1),
    "two": numbers(2),
    "all": numbers(2**63 - 1),
    "but three": numbers(-3),
    "five": numbers(5),
    "front": weights(4, 1, 200),
    "kernel": weights(4, 4, 5, seed=1),
    "plane": weights(3, 1, 3, 3, seed=2),
    "matrix": weights(4, 6, seed=3),
    "but one": numbers(-1),
    "rest": numbers(-1),
    "first": np.array(0, dtype=np.int64),
    "third": np.array(2, dtype=np.int64),
    "both ends": numbers(0, 0, 3, 0, 0, 2),
    "ends and channels": numbers(0, 1, 3, 0, 1, 2),
    "seven": np.array(7.0, dtype=np.float32),
    "hundred": np.array(100.0, dtype=np.float32),
    "frames in front": numbers(0, -1, 4),
    "hundred frames": weights(1, 1, 100),
    "one long row": numbers(1, -1),
    "rows of frames": numbers(0, -1),
}

HIDDEN: Mapping[str, Sequence[Operation]] = {
    "convolution, zeros at both ends, stride 2": (
        ("Conv", ["frames", "kernel"], "last", {"pads": [2, 2], "strides": [2]}),
        MEAN,
    ),
    "convolution with holes, one after another": (
        ("Conv", ["frames", "kernel"], "near", {"pads": [2, 2]}),
        ("Conv", ["near", "kernel"], "last", {"pads": [6, 6], "dilations": [3]}),
        MEAN,
    ),
    "convolution over bands and frames": (
        ("Unsqueeze", ["frames", "one"], "picture", {}),
        ("Conv", ["picture", "plane"], "filtered", {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Shape", ["filtered"], "size", {}),
        ("Slice", ["size", "zero", "one", "zero"], "rows", {}),
        ("Slice", ["size", "but one", "all", "zero"], "places", {}),
        ("Concat", ["rows", "rest", "places"], "to", {"axis": 0}),
        ("Reshape", ["filtered", "to"], "last", {}),
        MEAN,
    ),
    "sizes taken one by one": (
        ("Shape", ["frames"], "size", {}),
        ("Gather", ["size", "first"], "row", {}),
        ("Gather", ["size", "third"], "place", {}),
        ("Unsqueeze", ["row", "zero"], "rows", {}),
        ("Unsqueeze", ["place", "zero"], "places", {}),
        ("Concat", ["rows", "rest", "places"], "to", {"axis": 0}),
        ("Cast", ["to"], "as ever", {"to": 7}),
        ("Reshape", ["frames", "as ever"], "last", {}),
        MEAN,
    ),
    "a mirror at both ends": (
        ("Pad", ["frames", "both ends"], "mirrored", {"mode": "reflect"}),
        ("Conv", ["mirrored", "kernel"], "last", {}),
        MEAN,
    ),
    "a value put on at both ends and in the channels": (
        ("Pad", ["frames", "ends and channels", "seven"], "last", {}),
        MEAN,
    ),
    "ends cut off": (
        ("Slice", ["frames", "one", "all", "two"], "later", {}),
        ("Slice", ["later", "zero", "but three", "two"], "last", {}),
        MEAN,
    ),
    "attention": (
        ("Softmax", ["frames"], "attention", {"axis": 2}),
        ("Mul", ["attention", "frames"], "last", {}),
        ("ReduceSum", ["last", "two"], "answer", {"keepdims": 0}),
    ),
    "deviation": (
        ("ReduceMean", ["frames"], "mean", {"axes": [2], "keepdims": 1}),
        ("Sub", ["frames", "mean"], "apart", {}),
        ("Mul", ["apart", "apart"], "square", {}),
        ("ReduceMean", ["square"], "variance", {"axes": [-1], "keepdims": 0}),
        ("Sqrt", ["variance"], "answer", {}),
    ),
    "largest, of numbers below nothing": (
        ("Sub", ["frames", "hundred"], "low", {}),
        ("ReduceMax", ["low"], "answer", {"axes": [2], "keepdims": 0}),
    ),
    "smallest, of numbers above nothing": (
        ("Add", ["frames", "hundred"], "high", {}),
        ("ReduceMin", ["high"], "answer", {"axes": [2], "keepdims": 0}),
    ),
    "length of the vector along time": (
        ("ReduceL2", ["frames"], "answer", {"axes": [2], "keepdims": 0}),
    ),
    "mean over time and channels": (
        ("ReduceMean", ["frames"], "answer", {"axes": [1, 2], "keepdims": 0}),
    ),
    "mean of the waveform": (
        ("ReduceMean", ["waveform"], "mean", {"axes": [1], "keepdims": 1}),
        ("Sub", ["frames", "mean over frames"], "last", {}),
        MEAN,
    ),
    "time in front of the features": (
        ("Transpose", ["frames"], "turned", {"perm": [0, 2, 1]}),
        ("MatMul", ["turned", "matrix"], "mixed", {}),
        ("ReduceMean", ["mixed"], "answer", {"axes": [1], "keepdims": 0}),
    ),
    "logarithm of nothing in the padding": (
        ("Mul", ["frames", "frames"], "power", {}),
        ("Log", ["power"], "last", {}),
        MEAN,
    ),
}
MEAN_AS_FRAMES: Operation = ("Unsqueeze", ["mean", "two"], "mean over frames", {})

REFUSED: Mapping[str, Sequence[Operation]] = {
    "an unknown operation": (("CumSum", ["frames", "third"], "last", {}), MEAN),
    "a pooling that is not known": (
        ("AveragePool", ["frames"], "last", {"kernel_shape": [2]}),
        MEAN,
    ),
    "a fixed number of frames": (("Add", ["frames", "hundred frames"], "last", {}), MEAN),
    "a cut at a fixed place": (("Slice", ["frames", "zero", "five", "two"], "last", {}), MEAN),
    "a cut from the end": (("Slice", ["frames", "but three", "all", "two"], "last", {}), MEAN),
    "frames that become features": (("Reshape", ["frames", "rows of frames"], "answer", {}),),
    "frames and channels that are read in another order": (
        ("Reshape", ["frames", "frames in front"], "mixed", {}),
        ("ReduceMean", ["mixed"], "answer", {"axes": [1], "keepdims": 0}),
    ),
    "rows that become one": (
        ("ReduceMean", ["frames"], "means", {"axes": [2], "keepdims": 0}),
        ("Reshape", ["means", "one long row"], "answer", {}),
    ),
    "a mean over rows": (
        ("ReduceMean", ["frames"], "last", {"axes": [0], "keepdims": 1}),
        MEAN,
    ),
    "attention over rows": (("Softmax", ["frames"], "last", {"axis": 0}), MEAN),
    "time beside time": (("Concat", ["frames", "frames"], "last", {"axis": 2}), MEAN),
    "padding as the operator likes": (
        ("Conv", ["frames", "kernel"], "last", {"auto_pad": "SAME_UPPER"}),
        MEAN,
    ),
    "an edge that is repeated": (("Pad", ["frames", "both ends"], "last", {"mode": "edge"}), MEAN),
    "an answer per frame": (("Identity", ["frames"], "answer", {}),),
}


def _content(operations: Sequence[Operation]) -> bytes:
    needs_mean = any("mean over frames" in takes for _, takes, _, _ in operations)
    if needs_mean:
        operations = (operations[0], MEAN_AS_FRAMES, *operations[1:])
    used = {name for _, takes, _, _ in (*FRAMES, *operations) for name in takes}
    known = {name: value for name, value in KNOWN.items() if name in used}
    last = operations[-1]
    rank = 3 if last[0] == "Identity" else 1 if last[3].get("axes") == [1, 2] else 2
    return graph((*FRAMES, *operations), known, answer=("rows", "values", "more")[:rank])


def _spans(lengths: Sequence[int], seed: int = 0) -> list[Samples]:
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in lengths]


def _alone(content: bytes, spans: Sequence[Samples]) -> NDArray[np.float32]:
    session = Session(content)
    return np.concatenate([session.run(span[np.newaxis]) for span in spans])


def _shipped(role: str) -> bytes:
    manifest = read_manifest(default_model_directory())
    spoof = manifest.spoof
    assert spoof is not None
    file = manifest.entry(None).file if role == "speaker" else spoof.file
    return (manifest.directory / file).read_bytes()


@pytest.fixture(scope="module", params=["speaker", "spoof"])
def shipped(request: pytest.FixtureRequest) -> tuple[Session, PaddedSession]:
    """A shipped model as it is, and its padded form."""
    content = _shipped(request.param)
    return Session(content), PaddedSession(content)


@settings(max_examples=6)
@given(
    lengths=st.lists(st.integers(8000, 24_000), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_the_shipped_models_say_in_a_batch_what_they_say_alone(
    shipped: tuple[Session, PaddedSession], lengths: list[int], seed: int
) -> None:
    """Whatever the lengths are, no row differs by more than rounding."""
    spans = _spans(lengths, seed)

    alone = np.concatenate([shipped[0].run(span[np.newaxis]) for span in spans])

    np.testing.assert_allclose(shipped[1].run(spans), alone, atol=MOST_DIFFERENCE / 10)


@pytest.mark.parametrize("name", HIDDEN)
def test_an_operation_does_not_see_the_padding(name: str) -> None:
    """Each operation that looks along time gives a row what it gives the row alone."""
    content = _content(HIDDEN[name])
    spans = _spans((8000, 12_345, 8080, 15_999))

    together = PaddedSession(content).run(spans)

    np.testing.assert_allclose(together, _alone(content, spans), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HIDDEN)
def test_it_does_not_matter_what_the_padding_holds(name: str) -> None:
    """Not even NaN gets from the padding into a row's answer."""
    content = _content(HIDDEN[name])
    spans = _spans((8000, 12_345))
    waveforms = np.full((2, 13_000), np.nan, dtype=np.float32)
    for row, span in zip(waveforms, spans, strict=True):
        row[: len(span)] = span

    (answers,) = (
        PaddedSession(content)
        ._session(2, 13_000)
        .run(None, {"waveform": waveforms, LENGTHS: np.array([8000, 12_345], dtype=np.int64)})
    )

    np.testing.assert_allclose(answers, _alone(content, spans), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_a_graph_that_is_not_understood_is_refused(name: str) -> None:
    """What the rewrite does not know, or could not do for each row, gives no padded graph."""
    with pytest.raises(UnbatchableModelError, match="batch_spans"):
        PaddedSession(_content(REFUSED[name]))


@pytest.mark.parametrize("shape", [(4, Batch.ROWS), (Batch.ROWS, Length(), Length()), (Length(),)])
def test_rows_stand_in_front_and_time_is_one(shape: tuple[int | Batch | Length, ...]) -> None:
    """Other shapes cannot be masked row by row."""
    with pytest.raises(UnbatchableModelError):
        settled(shape, "a tensor")


def test_older_operators_are_refused() -> None:
    """Before set 13 Softmax and sums were told otherwise."""
    content = graph(
        [("ReduceMean", ["waveform"], "answer", {"axes": [1]})], answer=("rows", 1), opset=12
    )

    with pytest.raises(UnbatchableModelError):
        PaddedSession(content)


def test_newer_operators_name_axes_by_an_input() -> None:
    """A mean of operator set 18 is hidden from the padding like one of 17."""
    content = graph(
        [("ReduceMean", ["waveform", "one"], "answer", {})],
        {"one": numbers(1)},
        answer=("rows", 1),
        opset=18,
    )
    spans = _spans((8000, 16_000))

    np.testing.assert_allclose(PaddedSession(content).run(spans), _alone(content, spans), atol=1e-6)


def test_what_is_no_model_is_refused_as_ever() -> None:
    """Bytes that the runtime cannot load surface as the engine's own error."""
    with pytest.raises(IntegrityError):
        PaddedSession(b"not a model")


@given(
    samples=st.integers(4000, 40_000),
    layers=st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 6)),
        max_size=5,
    ),
)
def test_lengths_follow_the_layers(samples: int, layers: list[tuple[int, int, int, int]]) -> None:
    """However many layers there are, one formula gives what computing them in turn gives."""
    expected, length = samples, Length()
    for kernel, stride, dilation, padding in layers:
        expected = (expected + padding - dilation * (kernel - 1) - 1) // stride + 1
        found = convolved(length, kernel=kernel, stride=stride, dilation=dilation, padding=padding)
        assert isinstance(found, Length)
        length = found

    assert (samples + length.offset) // length.hop + length.more == expected


def test_two_ways_to_as_many_frames_are_seen_to_be_one() -> None:
    """A kernel of 3 with one zero and one of 5 with two keep their lengths alike."""
    near = convolved(Length(), kernel=3, stride=2, dilation=1, padding=2)
    wide = convolved(Length(), kernel=5, stride=2, dilation=1, padding=4)

    assert near == wide
    assert near != convolved(Length(), kernel=3, stride=1, dilation=1, padding=2)
