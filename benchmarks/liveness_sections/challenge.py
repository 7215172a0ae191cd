# SPDX-License-Identifier: Apache-2.0
"""Wrong words accepted and right words refused, on spoken digit strings through telephone channels.

The pack has no spoken digits. The strings are spoken by the voices of flite and espeak-ng, which
must be on the PATH: synthetic speech, standing in for callers; what is returned says so.
"""

import math
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

from voiceauth.errors import RecognitionError
from voiceauth.liveness.challenge import DIGITS, HEARD_DIGITS, ChallengeOptions, draw_words
from voiceauth.recognition.pocketsphinx import PocketSphinxRecognizer
from voiceauth.testing.channel import Channel, Noise, Waveform, apply
from voiceauth.testing.codecs import Codec, Coding
from voiceauth.testing.fakes import FakeRandom
from voiceauth.types import ChallengeKind

from . import Plan

RATE_HZ = 8000
STRINGS = 240
Z90 = 1.645
VOICES = {
    "train": (("flite", "kal"), ("flite", "awb"), ("flite", "rms"), ("espeak-ng", "en-us+m3")),
    "test": (("flite", "kal16"), ("flite", "slt"), ("espeak-ng", "en-gb+f2")),
}
CHANNELS = {
    "G.711": Channel(-24.0, codings=(Coding(Codec.PCMU),)),
    "G.711, noise at 15 dB": Channel(
        -24.0, noises=(Noise("colour", 15.0, -3.0, 1),), codings=(Coding(Codec.PCMU),)
    ),
    "GSM": Channel(-24.0, codings=(Coding(Codec.GSM),)),
    "Opus 12 kbit/s": Channel(-24.0, codings=(Coding(Codec.OPUS, 12_000),)),
}


def speak(words: tuple[str, ...], system: str, voice: str) -> Waveform:
    """Return the words spoken by a synthetic voice, 8 kHz, with silence around them."""
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder) / "words.wav")
        text = ", ".join(words)
        command = (
            ["flite", "-voice", voice, "-t", text, "-o", target]
            if system == "flite"
            else ["espeak-ng", "-v", voice, "-s", "140", "-w", target, text]
        )
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - fixed words
        samples, rate = sf.read(target, dtype="float32")
    quiet = np.zeros(round(0.3 * RATE_HZ), dtype=np.float32)
    return np.concatenate([quiet, soxr.resample(samples, rate, RATE_HZ), quiet])


def other(words: tuple[str, ...], rng: random.Random, seed: int) -> dict[str, tuple[str, ...]]:
    """Return another challenge's words, and these words with one changed."""
    whole = draw_words(FakeRandom(seed + 1_000_000), ChallengeKind.DIGITS, ChallengeOptions())
    place = rng.randrange(len(words))
    near = list(words)
    near[place] = rng.choice([digit for digit in DIGITS if digit != words[place]])
    return {"other": whole, "one digit": tuple(near)}


def share(hits: int, count: int) -> dict[str, float]:
    """Return a rate with its 90 % Wilson interval."""
    if not count:
        return {"rate": math.nan, "low": 0.0, "high": 1.0, "count": 0}
    rate, weight = hits / count, Z90**2 / count
    middle = (rate + weight / 2) / (1 + weight)
    half = Z90 * math.sqrt(rate * (1 - rate) / count + weight / (4 * count)) / (1 + weight)
    return {"rate": rate, "low": middle - half, "high": middle + half, "count": count}


def run(plan: Plan) -> dict[str, Any]:
    """Measure each split and channel and print the rates."""
    recogniser, rng = PocketSphinxRecognizer(), random.Random(plan.seed)
    options = ChallengeOptions()
    found: dict[str, Any] = {"speech": "synthetic: flite and espeak-ng; channels simulated"}
    for split, voices in VOICES.items():
        for channel_name, channel in CHANNELS.items():
            accepted = dict.fromkeys(("asked", "other", "one digit"), 0)
            count = max(1, STRINGS // (10 if plan.quick else 1) // len(CHANNELS))
            for index in range(count):
                seed = seed_of(plan.seed, split, channel_name, index)
                words = draw_words(FakeRandom(seed), ChallengeKind.DIGITS, options)
                heard = apply(channel, speak(words, *voices[index % len(voices)]))
                for name, asked in {"asked": words, **other(words, rng, seed)}.items():
                    try:
                        llr = recogniser.recognise(heard, RATE_HZ, asked, HEARD_DIGITS).llr
                    except RecognitionError:
                        continue
                    accepted[name] += llr >= options.least_content_llr
            rates = {
                "right words refused": share(count - accepted["asked"], count),
                "another challenge's words accepted": share(accepted["other"], count),
                "one wrong digit accepted": share(accepted["one digit"], count),
            }
            found[f"{split}, {channel_name}"] = rates
            for name, one in rates.items():
                print(
                    f"{split:6}{channel_name:24}{name:38}"
                    f"{one['rate']:7.3f}  [{one['low']:.3f}, {one['high']:.3f}]"
                )
    return found


def seed_of(seed: int, split: str, channel: str, index: int) -> int:
    """Return a seed that is the same in every process."""
    place = list(VOICES).index(split) * len(CHANNELS) + list(CHANNELS).index(channel)
    return (seed * 1000 + place) * 10_000 + index
