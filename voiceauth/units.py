# SPDX-License-Identifier: Apache-2.0
"""Unit aliases, so that a signature says what a number measures.

They are plain floats and ints at run time; the name is for the reader and the type checker.
"""

from typing import Annotated

Seconds = Annotated[float, "seconds"]
Hertz = Annotated[int, "hertz"]
Decibels = Annotated[float, "decibels; levels are relative to digital full scale"]
Llr = Annotated[float, "natural-log likelihood ratio: positive favours the claimed identity"]
Rate = Annotated[float, "probability of an error, 0 to 1"]
Cosine = Annotated[float, "cosine similarity, -1 to 1"]
