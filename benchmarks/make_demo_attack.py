# SPDX-License-Identifier: Apache-2.0
"""Makes the synthetic voice of ``voiceauth demo``: a WORLD copy of one of its callers.

    pip install pyworld 'setuptools<81'
    python benchmarks/make_demo_attack.py --clips voiceauth/_demo

The copy says what the caller says in the clip of the impersonating call, in the caller's own voice,
built anew from pitch, spectral envelope and aperiodicity. Seeded; no detector is asked, so nothing
is chosen for being easy to detect.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile

from voiceauth.training.vocoders import world

SEED = 20_264
SOURCE, TARGET = "caller-01-impostor.opus", "caller-01-synthetic.opus"


def main() -> None:
    """Copy and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="the demo's clips")
    clips = parser.parse_args().clips
    audio, rate = soundfile.read(clips / SOURCE, dtype="float32")
    copy = world(audio, np.random.default_rng(SEED))
    soundfile.write(
        clips / TARGET, copy, rate, format="OGG", subtype="OPUS", compression_level=0.93
    )
    print(f"{TARGET}: {len(copy) / rate:.1f} s")


if __name__ == "__main__":
    main()
