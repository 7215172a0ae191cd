# SPDX-License-Identifier: Apache-2.0
"""The demo's callers and their simulated telephone lines. See ``voiceauth/_demo/README.md``.

The lines are drawn from a seeded generator, each call its own: a caller enrols over one line and
calls again over another. They are simulations; no real network carried this audio.
"""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceauth.cli.sound import SoundSource
from voiceauth.errors import SettingsError
from voiceauth.testing.channel import Channel, Severity, apply, draw_channel
from voiceauth.testing.codecs import Codec, Coding
from voiceauth.types import AudioFormat, Encoding, LivenessLayer
from voiceauth.units import Hertz

LINE_HZ: Hertz = 8000
FRAME_BYTES = 160
"""20 ms of mu-law."""
MOBILE_SHARE = 0.5
SYNTHETIC, STEPPING_UP = 1000, 1001
"""Apart from the places of the script: the seeds of two more lines."""
SYNTHETIC_CLAIMS = "caller-01"
SYNTHETIC_CLIP = "caller-01-synthetic.opus"
LINES = Severity(
    snr_db=(12.0, 32.0), noisy=0.0, reverberant=0.3, response_db=3.0, slow_codecs=0.0, lossy=0.25
)
"""Fixed lines and rooms of an ordinary day; recorded noise is left out, none is carried along."""


@dataclass(frozen=True, slots=True)
class DemoCaller:
    """One of the ten people.

    Attributes:
        name: made up.
        gender: ``f`` or ``m``, as the corpus states it.
        impersonates: another caller of the same gender.
    """

    name: str
    gender: str
    impersonates: str


@dataclass(frozen=True, slots=True, eq=False)
class DemoCall:
    """One call of the demo, ready to be sent.

    Attributes:
        caller: who speaks.
        claims: who the caller says to be.
        line: what the line is like, in a few words.
        mulaw: the audio as it leaves the line.
        attack: the liveness layer that has to notice it; None for a person.
    """

    caller: str
    claims: str
    line: str
    mulaw: bytes = field(repr=False)
    attack: LivenessLayer | None = None

    @property
    def genuine(self) -> bool:
        """True if the caller tells the truth."""
        return self.attack is None and self.caller == self.claims

    def sound(self) -> SoundSource:
        """Return the audio in frames of 20 ms."""

        def frames() -> Iterator[bytes]:
            for start in range(0, len(self.mulaw), FRAME_BYTES):
                yield self.mulaw[start : start + FRAME_BYTES]

        return SoundSource(AudioFormat(Encoding.MULAW, LINE_HZ), frames(), blocking=False)


@dataclass(frozen=True, slots=True)
class DemoScript:
    """All calls of the demo."""

    enrolments: tuple[DemoCall, ...]
    calls: tuple[DemoCall, ...]


def callers() -> tuple[DemoCaller, ...]:
    """List the ten callers.

    Raises:
        SettingsError: the installation lacks them.
    """
    try:
        text = _clips().joinpath("callers.json").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SettingsError("This installation carries no demo audio; install the wheel.") from (
            error
        )
    return tuple(
        DemoCaller(row["caller"], row["gender"], row["impersonates"])
        for row in json.loads(text)["callers"]
    )


def script(people: tuple[DemoCaller, ...], seed: int) -> DemoScript:
    """Send every clip through a line of its own.

    Args:
        people: who calls.
        seed: of the lines.
    """
    acts = [(one, kind) for kind in ("enrol", "genuine", "impostor") for one in people]

    def act(place: int) -> DemoCall:
        person, kind = acts[place]
        claims = person.impersonates if kind == "impostor" else person.name
        line = draw_line(np.random.default_rng((seed, place)), mobile=kind != "enrol")
        audio = apply(line, _clip(f"{person.name}-{kind}.opus"))
        return DemoCall(person.name, claims, describe(line), mulaw(audio))

    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(act, range(len(acts))))
    return DemoScript(tuple(made[: len(people)]), tuple(made[len(people) :]))


def attackers(accepted: DemoCall | None, seed: int) -> tuple[DemoCall, ...]:
    """Make the two attackers.

    Args:
        accepted: a call that was accepted, to be played again; None if there is none.
        seed: of the synthetic voice's line.
    """
    line = draw_line(np.random.default_rng((seed, SYNTHETIC)), mobile=False)
    audio = apply(line, _clip(SYNTHETIC_CLIP))
    layer = LivenessLayer.SYNTHETIC
    made = [DemoCall("a synthesiser", SYNTHETIC_CLAIMS, describe(line), mulaw(audio), layer)]
    if accepted is not None:
        replay = LivenessLayer.REPLAY
        made.append(replace(accepted, caller="a recording", attack=replay))
    return tuple(made)


def stepping_up(call: DemoCall, seed: int) -> DemoCall:
    """Let a caller call once more as themselves, with words that were not heard under their name.

    Args:
        call: a genuine one.
        seed: of the line.
    """
    line = draw_line(np.random.default_rng((seed, STEPPING_UP)), mobile=False)
    audio = apply(line, _clip(f"{call.caller}-impostor.opus"))
    return DemoCall(call.caller, call.caller, describe(line), mulaw(audio))


def draw_line(rng: np.random.Generator, *, mobile: bool) -> Channel:
    """Draw a fixed line; with ``mobile``, half of the calls pass GSM before it."""
    line = draw_channel(rng, severity=LINES)
    if mobile and rng.random() < MOBILE_SHARE:
        return replace(line, codings=(Coding(Codec.GSM), *line.codings))
    return line


def describe(line: Channel) -> str:
    """Say what a line is like: codecs, noise, room and loss."""
    parts = ["+".join(coding.codec.value for coding in line.codings)]
    parts += [f"{noise.snr_db:.0f} dB" for noise in line.noises]
    parts += ["room"] * (line.room is not None)
    parts += [f"{line.loss.rate:.0%} lost"] if line.loss is not None else []
    return ", ".join(parts)


def mulaw(audio: NDArray[np.float32]) -> bytes:
    """Code audio as G.711 mu-law.

    Args:
        audio: 8 kHz, shape (samples,).
    """
    coded = io.BytesIO()
    soundfile.write(coded, audio, LINE_HZ, format="RAW", subtype="ULAW")
    return coded.getvalue()


def _clip(name: str) -> NDArray[np.float32]:
    with _clips().joinpath(name).open("rb") as file:
        audio, rate = soundfile.read(file, dtype="float32")
    return np.asarray(soxr.resample(audio, rate, LINE_HZ), dtype=np.float32)


def _clips() -> Traversable:
    return files("voiceauth").joinpath("_demo")
