# SPDX-License-Identifier: Apache-2.0
"""Names of the copying systems that need a program or a package's weights, which may be missing."""

from voiceauth.training import reading_voices
from voiceauth.training.reading_voices import through_codec2
from voiceauth.training.vocoders import Vocoder
from voiceauth.training.vocoders_gan import hifigan, package_missing
from voiceauth.training.vocoders_neural import fargan, fargan_changed

BY_PROGRAM: dict[str, Vocoder] = {
    "codec2": through_codec2,
    "fargan": fargan,
    "fargan-changed": fargan_changed,
    "hifigan": hifigan,
}


def missing(system: str) -> bool:
    """Whether what this copying system needs is not installed."""
    return package_missing() if system == "hifigan" else reading_voices.missing(system)
