# SPDX-License-Identifier: Apache-2.0
"""The models: the only room that knows ONNX Runtime.

Waveform in, unit embedding out; the front end lives in the ONNX graph, so that training and
serving cannot drift apart.

Rules:

* A file is hashed before it is loaded, and what was hashed is what is loaded.
* Calibration and cohort name the model they were made with; a mix is refused at start.
* An output with NaN, infinity, a wrong shape or no direction is an error, never a score.
"""
