# SPDX-License-Identifier: Apache-2.0
"""The calls of a load: real speech in 20-ms mu-law frames, and which frame an answer waits for."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voiceauth.cli.demo_callers import callers, script
from voiceauth.signal.g711 import encode_mulaw
from voiceauth.signal.net_speech import NetSpeech, SpeechOptions
from voiceauth.types import AudioFormat, Encoding

FRAME_BYTES = 160
FRAME_SECONDS = 0.02
RATE_HZ = 8000


@dataclass(frozen=True)
class Call:
    """One recording as a call.

    Attributes:
        claims: the subject.
        mulaw: file of its bytes.
        spans: of each counted span, the frame that completes it and the net speech until then, in
            seconds.
    """

    claims: str
    mulaw: str
    spans: list[tuple[int, float]]


@dataclass(frozen=True)
class Cast:
    """People to enrol, and their calls afterwards."""

    enrolments: list[Call]
    calls: list[Call]

    def write(self, path: Path) -> None:
        """Write it for another process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Cast":
        """Read what ``write`` wrote."""
        found = json.loads(path.read_text())
        return cls(*([Call(**one) for one in found[part]] for part in ("enrolments", "calls")))


def demo_cast(folder: Path, people: int, seed: int) -> Cast:
    """Make calls of the recordings that come with the package, over simulated lines."""
    made = script(callers()[:people], seed)
    named = [("enrol", made.enrolments), ("call", made.calls)]
    parts = [
        [_call(folder / f"{kind}-{n}.ul", one.claims, one.mulaw) for n, one in enumerate(calls)]
        for kind, calls in named
    ]
    # Genuine calls alone: failed ones would soon close the path to their subjects (lockout).
    honest = [one for one, call in zip(parts[1], made.calls, strict=True) if call.genuine]
    return Cast(parts[0], honest)


def pack_cast(folder: Path, pack: Path, seconds: float) -> Cast:
    """Make calls of a folder with a folder of recordings per person: half enrol, half call.

    Args:
        folder: for the mu-law files.
        pack: anything that libsndfile reads, one folder per person.
        seconds: recordings are joined until a call is so long.
    """
    enrolments, calls = [], []
    for person in sorted(one for one in pack.iterdir() if one.is_dir()):
        files = sorted(one for one in person.iterdir() if one.is_file())
        half = len(files) // 2
        enrolments.append(
            _call(folder / f"enrol-{person.name}.ul", person.name, _read(files[:half]))
        )
        for number, audio in enumerate(_pieces(_read(files[half:]), seconds)):
            calls.append(_call(folder / f"call-{person.name}-{number}.ul", person.name, audio))
    return Cast(enrolments, calls)


def _read(files: list[Path]) -> bytes:
    parts = []
    for file in files:
        audio, rate = soundfile.read(str(file), dtype="float32", always_2d=True)
        parts.append(soxr.resample(audio[:, 0], rate, RATE_HZ))
    pcm = np.clip(np.round(np.concatenate(parts) * 32767.0), -32768, 32767).astype(np.int16)
    return encode_mulaw(pcm).tobytes()


def _pieces(audio: bytes, seconds: float) -> Iterator[bytes]:
    size = round(seconds * RATE_HZ)
    for start in range(0, max(1, len(audio) - size // 2), size):
        yield audio[start : start + size]


def _call(path: Path, claims: str, mulaw: bytes) -> Call:
    path.write_bytes(mulaw)
    return Call(claims, str(path), completing_frames(mulaw))


def completing_frames(mulaw: bytes) -> list[tuple[int, float]]:
    """Find the frames that complete spans, with the signal room itself."""
    speech, found, net = NetSpeech(AudioFormat(Encoding.MULAW), SpeechOptions()), [], 0.0
    for number, start in enumerate(range(0, len(mulaw), FRAME_BYTES)):
        for span in speech.push(mulaw[start : start + FRAME_BYTES]):
            if span.counted:
                net += span.net_seconds
                found.append((number, round(net, 3)))
    return found
