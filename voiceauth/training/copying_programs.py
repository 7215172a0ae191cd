# SPDX-License-Identifier: Apache-2.0
"""Names of the copying systems that need a program, which may be missing (``reading_voices``)."""

from voiceauth.training.reading_voices import through_codec2
from voiceauth.training.vocoders import Vocoder
from voiceauth.training.vocoders_neural import fargan, fargan_changed

BY_PROGRAM: dict[str, Vocoder] = {
    "codec2": through_codec2,
    "fargan": fargan,
    "fargan-changed": fargan_changed,
}
