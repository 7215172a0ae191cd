# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from spoken import part

from voiceauth.liveness.fingerprint import fingerprint, frames_of

KEYS = st.binary(min_size=32, max_size=32)


@settings(max_examples=15, deadline=None)
@given(one=KEYS, other=KEYS)
def test_fingerprints_under_two_keys_cannot_be_compared(one: bytes, other: bytes) -> None:
    """The same recording agrees with itself under one key, and by chance under any other."""
    samples = part("first", 1.0, 4.0)
    left = frames_of(fingerprint(samples, one))
    right = frames_of(fingerprint(samples, other))

    if one == other:
        assert np.array_equal(left, right)
    else:
        assert abs(float(np.mean(left * right))) < 0.3
