# SPDX-License-Identifier: Apache-2.0
"""Text-to-speech programs of the operating system, as attackers: espeak-ng, flite, festival.

Each is a command that may be missing; what is missing is left out and named by ``missing``. On
Debian: ``apt install espeak-ng flite festival festvox-kallpc16k festvox-kdlpc16k
festvox-us-slt-hts codec2``. Codec2 is here as well: a speech coder of 700 to 3,200 bit/s builds
speech from pitch and envelope, as vocoders do.
"""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceauth.errors import DependencyError
from voiceauth.training.corpus import FULL_SCALE, RATE_HZ
from voiceauth.units import Seconds

FloatArray = NDArray[np.float32]
_PATIENCE: Seconds = 120.0
_CODEC2_HZ = 8000

SENTENCES = (
    "Good morning, I would like to check the balance of my account, please.",
    "My password is my voice, and you know that it has always been that way.",
    "I moved house last week and need to change the address on my contract.",
    "Could you tell me when the next payment is due and how much it will be?",
    "Yes, that is correct, my date of birth is the fourteenth of March.",
    "The number on the card is four seven one nine, two zero six eight.",
    "I have been waiting for a letter from you since the end of September.",
    "Please transfer two hundred and fifty pounds to the savings account.",
    "No, I did not order anything from that shop, somebody else must have.",
    "Thank you for your help, that was all that I wanted to know today.",
    "It rained all night, so the children stayed at home and played chess.",
    "We usually take the early train because the later one is always full.",
    "Zero, three, eight, five, one, nine, six, two, four, seven.",
    "Would you please repeat the last two digits of the reference number?",
    "He opened the window, looked at the harbour and said nothing at all.",
    "A quick walk before breakfast does more good than a long talk after it.",
    "My wife and I share this policy, but the telephone is in my name.",
    "The engineer came on Tuesday, yet the line still drops every evening.",
    "I lost my purse on the bus and want to block every card in it.",
    "Six months ago you promised that the fee would be taken off the bill.",
    "They sell fresh bread, cheese, olives and a few kinds of dark honey.",
    "Seven, two, two, nine, zero, four, eight, one, three, six.",
    "Can I speak with someone who knows about mortgages for older houses?",
    "She laughed so loudly that everyone in the small theatre turned around.",
)
"""What the voices read; written for this project."""


@dataclass(frozen=True)
class ReadingVoice:
    """One voice of one program.

    Args:
        system: program, by which figures are told apart.
        name: of the voice.
    """

    system: str
    name: str


VOICES = (
    *(
        ReadingVoice("espeak-ng", name)
        for name in (
            *("en-us", "en-gb", "en-us+f2", "en-us+f4", "en-us+m3", "en-us+m7", "en-gb-scotland"),
            *("en-029", "de", "it+f3", "es", "fr-fr", "hi+f2", "ru+m2", "sw", "pl+f1"),
        )
    ),
    *(ReadingVoice("flite", name) for name in ("kal16", "rms", "awb", "slt")),
    ReadingVoice("festival-diphone", "kal_diphone"),
    ReadingVoice("festival-diphone", "ked_diphone"),
    ReadingVoice("festival-hts", "cmu_us_slt_arctic_hts"),
)
CODEC2_MODES = ("3200", "2400", "1300", "700C")
_PROGRAMS = {
    "espeak-ng": ("espeak-ng",),
    "flite": ("flite",),
    "festival-diphone": ("text2wave",),
    "festival-hts": ("text2wave",),
    "codec2": ("c2enc", "c2dec"),
    "fargan": ("fargan_demo",),
    "fargan-changed": ("fargan_demo",),
}


def missing(system: str) -> bool:
    """Whether a program of this system is not installed."""
    return any(shutil.which(program) is None for program in _PROGRAMS[system])


def read_aloud(voice: ReadingVoice, text: str, rng: np.random.Generator) -> FloatArray:
    """Let a voice read a text; float32, shape (samples,), 16 kHz.

    Raises:
        DependencyError: the program fails or writes no audio.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.wav"
        script = Path(folder) / "in.txt"
        script.write_text(text, encoding="utf-8")
        run_program(_command(voice, script, target, rng))
        try:
            waveform, rate = soundfile.read(str(target), dtype="float32")
        except (OSError, soundfile.LibsndfileError) as error:
            raise DependencyError(detail=f"{voice.system} wrote no audio: {error}") from error
    return np.asarray(soxr.resample(waveform, rate, RATE_HZ), dtype=np.float32)


def through_codec2(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Codec2 at one of its rates, on 16 kHz speech of which it keeps 4 kHz; same length.

    Raises:
        DependencyError: the program fails.
    """
    mode = CODEC2_MODES[int(rng.integers(len(CODEC2_MODES)))]
    narrow = soxr.resample(waveform, RATE_HZ, _CODEC2_HZ)
    pcm = np.round(np.clip(narrow, -1.0, 1.0) * FULL_SCALE).astype("<i2")
    with tempfile.TemporaryDirectory() as folder:
        raw, coded, back = (str(Path(folder) / name) for name in ("in", "coded", "out"))
        Path(raw).write_bytes(pcm.tobytes())
        run_program(["c2enc", mode, raw, coded])
        run_program(["c2dec", mode, coded, back])
        decoded = np.frombuffer(Path(back).read_bytes(), "<i2").astype(np.float32)
    wide = soxr.resample(decoded / np.float32(FULL_SCALE), _CODEC2_HZ, RATE_HZ)
    return np.pad(wide, (0, max(0, len(waveform) - len(wide))))[: len(waveform)].astype(np.float32)


def _command(
    voice: ReadingVoice, script: Path, target: Path, rng: np.random.Generator
) -> list[str]:
    if voice.system == "espeak-ng":
        speed, pitch = int(rng.integers(120, 191)), int(rng.integers(30, 71))
        options = ["-v", voice.name, "-s", str(speed), "-p", str(pitch)]
        return ["espeak-ng", *options, "-w", str(target), "-f", str(script)]
    if voice.system == "flite":
        stretch = f"duration_stretch={rng.uniform(0.85, 1.2):.2f}"
        options = ["-voice", voice.name, "--setf", stretch]
        return ["flite", *options, "-f", str(script), "-o", str(target)]
    return ["text2wave", "-eval", f"(voice_{voice.name})", "-o", str(target), str(script)]


def run_program(command: list[str]) -> None:
    """Run a program of fixed name without a shell; its output is of no interest.

    Raises:
        DependencyError: it is not there, fails, or takes too long.
    """
    try:
        subprocess.run(  # noqa: S603 - names from the tables above, arguments as a list
            command, check=True, capture_output=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DependencyError(f"{command[0]} did not work.", detail=str(error)) from error
