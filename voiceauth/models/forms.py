# SPDX-License-Identifier: Apache-2.0
"""Forms of one model: when an int8 file may stand in for the fp32 file that it was made from.

Both are one model only if that was measured: their embeddings of the same speech must nearly
coincide, and their error rates on held-out speakers must agree. Then voiceprints of either serve
both, under the fp32 file's hash, with one calibration and one cohort. An int8 file that states
neither, or worse figures than these, is not a form of anything and is refused.
"""

from typing import Final

from voiceauth.units import Cosine, Rate

FORM_NOTE: Final = "form_of"
"""Metadata key: SHA-256 of the fp32 file."""
COSINE_NOTE: Final = "least_cosine"
"""Metadata key: smallest cosine between both forms' embeddings of one held-out utterance."""
ERROR_NOTE: Final = "error_difference"
"""Metadata key: largest difference of the equal error rates in any condition, 0 to 1."""

LEAST_COSINE: Final[Cosine] = 0.95
"""Of the worst utterance of many: how far a rare sound may leave the calibrated ranges."""
MOST_ERROR_DIFFERENCE: Final[Rate] = 0.0015
