# SPDX-License-Identifier: Apache-2.0
"""How good is a model on recordings, and what are its scores worth?

``run`` scores a trial list and states error rates with intervals; ``calibrate`` turns labelled
recordings into calibration tables. Both hear recordings exactly as the engine hears a call: the
signal room cuts spans, each span is embedded once, the spans are averaged by net speech.

Rules:

* A recording without enough speech is counted and named, never silently left out.
* Intervals are over people, not over trials.
* Simulated telephone lines are called simulated wherever a figure of theirs stands.
"""
