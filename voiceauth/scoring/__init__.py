# SPDX-License-Identifier: Apache-2.0
"""From embeddings to calibrated evidence: pure numpy, no I/O, no clock, no model.

Rules:

* No similarity threshold stands anywhere: a raw score means nothing before calibration.
* A table says nothing outside its support; the score is then without rates, never guessed.
* Rates that an operator reads are upper confidence bounds over speakers, not best guesses.
"""
