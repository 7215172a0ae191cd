# SPDX-License-Identifier: Apache-2.0
"""G.711 tables against an independent implementation (libsndfile)."""

import io

import numpy as np
import pytest
import soundfile

from voiceauth.signal import g711


@pytest.mark.parametrize(
    ("subtype", "table", "encoding"),
    [("ULAW", g711.MULAW_PCM, "mulaw"), ("ALAW", g711.ALAW_PCM, "alaw")],
)
def test_all_codes_agree_both_ways(subtype: str, table: g711.Pcm, encoding: str) -> None:
    """Each of the 256 codes decodes as libsndfile does, and its sample encodes to it again."""
    codes = np.arange(256, dtype=np.uint8)
    read, _ = soundfile.read(
        io.BytesIO(codes.tobytes()),
        dtype="int16",
        format="RAW",
        subtype=subtype,
        samplerate=8000,
        channels=1,
    )

    encode = g711.encode_mulaw if encoding == "mulaw" else g711.encode_alaw
    again = table[encode(table)]

    np.testing.assert_array_equal(table, read)
    np.testing.assert_array_equal(again, table)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_every_sample_encodes_within_a_step_of_the_reference(subtype: str) -> None:
    """No 16-bit sample comes back further from itself than half a step of its segment."""
    pcm = np.arange(-32768, 32768, dtype=np.int64).astype(np.int16)
    encode, table = (
        (g711.encode_mulaw, g711.MULAW_PCM)
        if subtype == "ULAW"
        else (g711.encode_alaw, g711.ALAW_PCM)
    )

    error = np.abs(table[encode(pcm)].astype(np.int64) - pcm)

    limit = np.maximum(np.abs(pcm.astype(np.int64)) / 30 + 9, 0)
    assert (error <= limit).all()
