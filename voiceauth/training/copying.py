# SPDX-License-Identifier: Apache-2.0
"""Names of the copying systems that need no program and no weights beside Python packages."""

from voiceauth.training import vocoders, vocoders_source
from voiceauth.training.vocoders import Vocoder

COPYING: dict[str, Vocoder] = {
    "world": vocoders.world,
    "world-changed": vocoders.world_changed,
    "griffin-lim": vocoders.griffin_lim,
    "mel-kept-phase": vocoders.mel_kept_phase,
    "smoothed": vocoders.smoothed,
    "lpc": vocoders.lpc,
    "mel-source": vocoders_source.mel_source,
    "sinusoidal": vocoders_source.sinusoidal,
    "pitch-shifted": vocoders_source.pitch_shifted,
}
KEEPS_PHASE = frozenset({"mel-kept-phase", "smoothed"})
"""Systems that keep recorded phases, which no synthesiser has: a limit, not an attack."""
