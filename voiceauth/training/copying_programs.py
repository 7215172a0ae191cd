# SPDX-License-Identifier: Apache-2.0
"""Names of the copying systems that need a program or a package's weights, which may be missing."""

from voiceauth.training import reading_voices, vocoders_gan
from voiceauth.training.reading_voices import through_codec2
from voiceauth.training.vocoders import Vocoder
from voiceauth.training.vocoders_neural import fargan, fargan_changed

BY_PROGRAM: dict[str, Vocoder] = {
    "codec2": through_codec2,
    "fargan": fargan,
    "fargan-changed": fargan_changed,
    "hifigan": vocoders_gan.hifigan,
}


def missing(system: str) -> bool:
    """Whether what this copying system needs is not installed."""
    return vocoders_gan.package_missing() if system == "hifigan" else reading_voices.missing(system)
