# SPDX-License-Identifier: Apache-2.0
"""One ONNX Runtime session, opened with every choice made explicit.

One call is one thread: the service runs as many inferences side by side as it has threads, so a
session that spreads one inference over all cores would only make calls wait for each other.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from voiceauth.errors import (
    IntegrityError,
    MissingExtraError,
    ModelOutputError,
    SettingsError,
)

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
)
"""What the runtime raises; it has no common root of its own, all derive from Exception."""

_ERRORS_ONLY = 3
_PROVIDERS: dict[str, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
}
_PROVIDER_OPTIONS: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {
        # The default tries every algorithm for every new shape, for up to a second each, and
        # spans come in all lengths.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Calibration was measured in 32 bits; by default newer cards multiply in 19.
        "use_tf32": "0",
    }
}


@dataclass(frozen=True, slots=True)
class SessionChoices:
    """How a session runs.

    Attributes:
        device: ``cuda`` is refused, rather than quietly replaced, where it does not work.
        threads: cores that one inference may use.
        keep_memory: keep the arena between inferences: faster, at the memory of the longest span.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    keep_memory: bool = True


def open_session(content: bytes, choices: SessionChoices) -> onnxruntime.InferenceSession:
    """Open the runtime's session of a graph.

    Raises:
        IntegrityError: the content is not a model that the runtime can load.
        MissingExtraError: CUDA was asked for and its runtime is not installed.
        SettingsError: CUDA was asked for and does not start.
    """
    providers = _PROVIDERS[choices.device]
    if providers[0] not in onnxruntime.get_available_providers():
        raise MissingExtraError("onnxruntime-gpu", "gpu")
    try:
        session = onnxruntime.InferenceSession(
            content,
            sess_options=_options(choices),
            providers=list(providers),
            provider_options=[_PROVIDER_OPTIONS.get(one, {}) for one in providers],
        )
    except RUNTIME_ERRORS as error:
        raise IntegrityError("The model file cannot be loaded.", detail=str(error)) from error
    if session.get_providers()[0] != providers[0]:
        raise SettingsError(f"The device {choices.device} does not start on this machine.")
    return session


class Session:
    """A loaded graph with one float32 input and one float32 output. Safe from several threads.

    Args:
        content: the ONNX file, already checked against its hash.
        choices: how it runs.

    Raises:
        IntegrityError: the content is not a model that the runtime can load.
        MissingExtraError: CUDA was asked for and its runtime is not installed.
        SettingsError: CUDA was asked for and does not start.
    """

    def __init__(self, content: bytes, choices: SessionChoices | None = None) -> None:
        session = open_session(content, choices or SessionChoices())
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)":
            raise IntegrityError("The model file is not a waveform-to-embedding graph.")
        self._session = session
        self._input = inputs[0].name

    @property
    def notes(self) -> dict[str, str]:
        """The metadata that the file carries."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the graph.

        Args:
            waveforms: float32, shape (batch, samples).

        Returns:
            Whatever the graph gives, as float32; the caller checks it.

        Raises:
            ModelOutputError: the runtime failed.
        """
        try:
            (output,) = self._session.run(None, {self._input: waveforms})
        except RUNTIME_ERRORS as error:
            raise ModelOutputError(detail=str(error)) from error
        return np.asarray(output, dtype=np.float32)


def _options(choices: SessionChoices) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = choices.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = choices.keep_memory
    # Memory patterns are planned per input shape; spans come in all lengths.
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    # A spinning thread would steal the cores from the other calls between two inferences.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
