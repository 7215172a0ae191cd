# SPDX-License-Identifier: Apache-2.0
"""G.711 by table: µ-law and A-law codes to 16-bit samples and back.

Source: ITU-T G.711 (11/1988), tables 1 and 2. A-law codes carry the even-bit inversion (XOR 0x55),
µ-law codes the complement of all bits, as on the wire.
"""

import numpy as np
from numpy.typing import NDArray

from voiceauth.types import Samples

FULL_SCALE = 32768.0
"""What a 16-bit sample is divided by."""

Pcm = NDArray[np.int16]


def _mulaw_table() -> Pcm:
    code = ~np.arange(256, dtype=np.int64) & 0xFF
    magnitude = ((((code & 15) << 3) + 132) << ((code >> 4) & 7)) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_table() -> Pcm:
    code = np.arange(256, dtype=np.int64) ^ 0x55
    segment = (code >> 4) & 7
    step = ((code & 15) << 4) + 8
    magnitude = np.where(segment == 0, step, (step + 256) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _mulaw_codes() -> NDArray[np.uint8]:
    """Code of each 16-bit sample: index is the sample plus 32768, shape (65536,)."""
    sample = np.arange(-32768, 32768, dtype=np.int64)
    magnitude = np.minimum(np.abs(sample), 32635) + 132
    segment = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    code = (segment << 4) | ((magnitude >> (segment + 3)) & 15)
    wire = ~(code | np.where(sample < 0, 0x80, 0)) & 0xFF
    return np.asarray(wire, dtype=np.uint8)


def _alaw_codes() -> NDArray[np.uint8]:
    """Code of each 16-bit sample: index is the sample plus 32768, shape (65536,)."""
    sample = np.arange(-32768, 32768, dtype=np.int64)
    magnitude = np.where(sample >= 0, sample, -sample - 1) >> 4
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64) - 3, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment - 1, 0)) & 15)
    wire = (code | np.where(sample >= 0, 0x80, 0)) ^ 0x55
    return np.asarray(wire, dtype=np.uint8)


MULAW_PCM = _mulaw_table()
"""16-bit sample of each µ-law code, shape (256,)."""
ALAW_PCM = _alaw_table()
"""16-bit sample of each A-law code, shape (256,)."""
_MULAW_CODES = _mulaw_codes()
_ALAW_CODES = _alaw_codes()
_MULAW_FLOAT = (MULAW_PCM / FULL_SCALE).astype(np.float32)
_ALAW_FLOAT = (ALAW_PCM / FULL_SCALE).astype(np.float32)


def decode_mulaw(codes: NDArray[np.uint8]) -> Samples:
    """Decode µ-law codes of any shape to float32 of the same shape, full scale 1."""
    return _MULAW_FLOAT[codes]


def decode_alaw(codes: NDArray[np.uint8]) -> Samples:
    """Decode A-law codes of any shape to float32 of the same shape, full scale 1."""
    return _ALAW_FLOAT[codes]


def encode_mulaw(pcm: Pcm) -> NDArray[np.uint8]:
    """Encode 16-bit samples of any shape to µ-law codes."""
    return _MULAW_CODES[pcm.astype(np.int64) + 32768]


def encode_alaw(pcm: Pcm) -> NDArray[np.uint8]:
    """Encode 16-bit samples of any shape to A-law codes."""
    return _ALAW_CODES[pcm.astype(np.int64) + 32768]
