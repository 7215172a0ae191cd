# SPDX-License-Identifier: Apache-2.0
"""Speech of the accuracy benchmark: who says what in the pack, and what a line makes of it.

Every sound is made once and heard by all systems. A narrowband line delivers 8 kHz, a wideband one
16 kHz; what a system does with the rate is its own business (``accuracy_systems``).

Rules:

* Test people, test noise and test rooms only; the cohort is made of train people, babble of dev
  people. Nothing here has met training or calibration.
* Pauses are cut to 0.3 s before any channel, for everybody, as the engine's signal room and the
  training do. Net-speech conditions go through the engine's own voice activity detector instead.
* Each file has its own generator, seeded by the benchmark's seed and its own name: a sound does not
  depend on which other sounds are made.
"""

import csv
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from voiceauth.errors import InputError
from voiceauth.evaluation.recordings import LINE_SEVERITY, read_recording
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.waveform import spans_of
from voiceauth.testing.channel import (
    Channel,
    Noise,
    Reverberation,
    Sounds,
    apply,
    draw_channel,
)
from voiceauth.testing.codecs import Codec, Coding, transcode, transcode_wideband
from voiceauth.training.pauses import limit_pauses
from voiceauth.types import Samples
from voiceauth.units import Decibels, Hertz, Seconds

SEED = 762_2026
WIDE_HZ: Hertz = 16000
LINE_HZ: Hertz = 8000
MOST_SECONDS: Seconds = 8.0
"""Of one utterance; few are longer, and long ones cost most."""
NET_SECONDS = (1, 2, 3, 5, 10)
LEVEL_DB: Decibels = -26.0
"""Before the codec, where a condition is about something else than level."""
SNR_BANDS = ((0, 5), (5, 10), (10, 15), (15, 20), (20, 30))
CODECS: dict[str, tuple[Coding, ...]] = {
    "G.711 mu-law": (Coding(Codec.PCMU),),
    "G.711 A-law": (Coding(Codec.PCMA),),
    "GSM": (Coding(Codec.GSM),),
    "AMR-NB 12.2": (Coding(Codec.AMR, 12200),),
    "AMR-NB 7.95": (Coding(Codec.AMR, 7950),),
    "AMR-NB 4.75": (Coding(Codec.AMR, 4750),),
    "AMR-NB 7.95 then G.711 A-law": (Coding(Codec.AMR, 7950), Coding(Codec.PCMA)),
    "Opus narrowband 12k": (Coding(Codec.OPUS, 12000),),
    "G.726 32k": (Coding(Codec.G726, 32000),),
    "Opus wideband 16k": (Coding(Codec.OPUS, 16000, wideband=True),),
    "G.722": (Coding(Codec.G722),),
}
WIDEBAND_CODECS = frozenset({"Opus wideband 16k", "G.722"})

COHORT_PIECE_SECONDS: Seconds = 5.0
_BABBLE_SECONDS: Seconds = 10.0
_BABBLE_TALKERS = 5
_BABBLE_MIXTURES = 12
_NET_MARGIN = 1.4
"""Speech per net second that is sent through a call, beside two seconds more."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """What a line delivers.

    Attributes:
        samples: float32, shape (samples,), full scale 1.
        rate_hz: 8000, or 16000 from a wideband line.
    """

    samples: Samples
    rate_hz: Hertz

    @property
    def seconds(self) -> Seconds:
        """How long it lasts."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True, slots=True)
class Person:
    """A speaker as the manifest describes them.

    Attributes:
        gender: ``m``, ``f`` or empty.
        age: years, NaN where unknown.
    """

    gender: str
    age: float


@dataclass(frozen=True, slots=True)
class Pack:
    """The rows of a speech pack that the benchmark uses.

    Attributes:
        root: folder that paths are relative to.
        speaker: labelled speech path to its speaker.
        people: speaker to description.
        speech: (set, split) to speaker to sorted paths.
        noises: paths of the test noise.
        rooms: paths of the test rooms.
    """

    root: Path
    speaker: Mapping[str, str]
    people: Mapping[str, Person]
    speech: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]]
    noises: tuple[str, ...]
    rooms: tuple[str, ...]


def read_pack(root: Path) -> Pack:
    """Read the manifest.

    Raises:
        InputError: there is none, or it lacks a column.
    """
    manifest = root / "manifest.csv"
    try:
        with manifest.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        speech = [row for row in rows if row["kind"] == "speech" and row["speaker"]]
        test = [row for row in rows if row["split"] == "test"]
        voices: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for row in speech:
            voices[row["set"], row["split"]][row["speaker"]].append(row["path"])
        return Pack(
            root=root,
            speaker={row["path"]: row["speaker"] for row in speech},
            people={
                row["speaker"]: Person(row["gender"], float(row["age"] or "nan")) for row in speech
            },
            speech={
                key: {name: tuple(sorted(paths)) for name, paths in sorted(mine.items())}
                for key, mine in voices.items()
            },
            noises=tuple(sorted(row["path"] for row in test if row["kind"] == "noise")),
            rooms=tuple(sorted(row["path"] for row in test if row["path"].startswith("ir/room/"))),
        )
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read {manifest}.", detail=str(error)) from error


class Studio:
    """Makes every sound of the benchmark.

    Args:
        pack: the speech.
        apart: enrolment recordings, which never lengthen a probe.
        short: probes that the net-speech conditions other than 3 s use too.
    """

    def __init__(self, pack: Pack, apart: frozenset[str], short: frozenset[str]) -> None:
        self._pack = pack
        self._apart = apart
        self._short = short
        self._sounds = _test_sounds(pack)

    def hear(self, view: str, name: str) -> dict[str, Sound]:
        """Make the sounds of one file under one treatment.

        Args:
            view: ``clean``, ``phone``, ``codec/NAME``, ``snr/LOW-HIGH``, ``room``, ``net`` or
                ``cohort``.
            name: path of the file; for the cohort the person.

        Returns:
            Label to sound: one under the view's own name, but ``net/SECONDS`` for each length that
            the call has enough speech for.
        """
        return self._net(name) if view == "net" else {view: self._one(view, name)}

    def _one(self, view: str, name: str) -> Sound:
        kind, _, what = view.partition("/")
        match kind:
            case "clean":
                return Sound(source(self._pack.root / name), WIDE_HZ)
            case "phone":
                return self._phone(name, narrow(source(self._pack.root / name)))
            case "codec":
                return self._codec(what, name)
            case "snr":
                low, high = (float(part) for part in what.split("-"))
                return self._noisy(view, name, low, high)
            case "room":
                return self._room(view, name)
            case "cohort":
                return self._cohort(view, name)
        raise InputError(f"There is no treatment {view}.")

    def _phone(self, name: str, speech: Samples) -> Sound:
        """Send through a call that is drawn for the file."""
        channel = draw_channel(_rng("phone", name), self._sounds, LINE_SEVERITY)
        return Sound(apply(channel, speech, self._sounds), LINE_HZ)

    def _codec(self, what: str, name: str) -> Sound:
        speech = source(self._pack.root / name)
        if what in WIDEBAND_CODECS:
            return Sound(transcode_wideband(_levelled(speech), CODECS[what][0]), WIDE_HZ)
        signal = _levelled(narrow(speech))
        for coding in CODECS[what]:
            signal = transcode(signal, coding)
        return Sound(signal, LINE_HZ)

    def _noisy(self, view: str, name: str, low: Decibels, high: Decibels) -> Sound:
        """Noise recordings and babble, one half of the files each, then G.711."""
        rng = _rng(view, name)
        kind = ("recorded", "babble")[int(rng.random() < 0.5)]
        noise = Noise(kind, float(rng.uniform(low, high)), 0.0, int(rng.integers(2**31)))
        channel = Channel(LEVEL_DB, noises=(noise,), codings=(Coding(Codec.PCMU),))
        return Sound(apply(channel, narrow(source(self._pack.root / name)), self._sounds), LINE_HZ)

    def _room(self, view: str, name: str) -> Sound:
        """Put the speaker into one of the recorded rooms, then G.711."""
        rng = _rng(view, name)
        room = Reverberation(
            decay=0.5,
            direct_db=float(rng.uniform(-2.0, 12.0)),
            recorded=int(rng.integers(len(self._sounds.rooms))),
            seed=0,
        )
        channel = Channel(LEVEL_DB, room=room, codings=(Coding(Codec.PCMU),))
        return Sound(apply(channel, narrow(source(self._pack.root / name)), self._sounds), LINE_HZ)

    def _net(self, name: str) -> dict[str, Sound]:
        """Cut the first seconds of net speech from one call, by the engine's own detector."""
        call = self._phone(name, narrow(self._lengthened(name)))
        options = SpeechOptions(span_seconds=1.0, first_span_seconds=1.0, least_span_seconds=1.0)
        spans = spans_of(call.samples, LINE_HZ, options)
        wanted = NET_SECONDS if name in self._short else (3,)
        return {
            f"net/{seconds}": Sound(
                np.concatenate([span.samples for span in spans[:seconds]]), LINE_HZ
            )
            for seconds in wanted
            if len(spans) >= seconds
        }

    def _lengthened(self, name: str) -> Samples:
        """Join a file with further ones of its speaker, in order of name, until it is enough."""
        person = self._pack.speaker[name]
        row = next(mine for mine in self._pack.speech.values() if person in mine)
        own = [path for path in row[person] if path not in self._apart]
        start = own.index(name)
        longest = max(NET_SECONDS) if name in self._short else 3
        parts: list[Samples] = []
        for path in own[start:] + own[:start]:
            parts.append(source(self._pack.root / path))
            if sum(map(len, parts)) >= WIDE_HZ * (longest * _NET_MARGIN + 2.0):
                break
        return np.concatenate(parts)

    def _cohort(self, view: str, name: str) -> Sound:
        """One random piece of a train speaker through one random call, without recorded sounds."""
        rng = _rng(view, name)
        own = next(mine[name] for mine in self._pack.speech.values() if name in mine)
        speech = source(self._pack.root / own[int(rng.integers(len(own)))])
        samples = round(COHORT_PIECE_SECONDS * WIDE_HZ)
        start = int(rng.integers(max(1, len(speech) - samples + 1)))
        channel = draw_channel(rng, None, LINE_SEVERITY)
        return Sound(apply(channel, narrow(speech[start : start + samples])), LINE_HZ)


@lru_cache(maxsize=64)
def source(path: Path) -> Samples:
    """Read a recording and cut its pauses to 0.3 s: float32, shape (samples,), 16 kHz.

    Of a recording longer than 8 s the first 8 are kept.

    Raises:
        InputError: another sampling rate.
        BadAudioError: not readable.
    """
    samples, rate = read_recording(path)
    if rate != WIDE_HZ:
        raise InputError(f"{path.name} has {rate} Hz, not {WIDE_HZ}.")
    return limit_pauses(samples, WIDE_HZ)[: round(MOST_SECONDS * WIDE_HZ)]


def narrow(samples: Samples) -> Samples:
    """Resample 16 kHz to 8 kHz."""
    return np.asarray(soxr.resample(samples, WIDE_HZ, LINE_HZ), dtype=np.float32)


def _levelled(samples: Samples) -> Samples:
    """Scale to the level before the codec; float32, shape (samples,)."""
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) + 1e-9
    gain = 10.0 ** (LEVEL_DB / 20.0) / level
    return np.asarray(np.clip(samples * gain, -1.0, 1.0), dtype=np.float32)


def _rng(view: str, name: str) -> np.random.Generator:
    return np.random.default_rng((SEED, zlib.crc32(f"{view} {name}".encode())))


def _test_sounds(pack: Pack) -> Sounds:
    """Noise and rooms of the test split, babble of people who are in no trial."""
    talkers = [path for mine in _babblers(pack).values() for path in mine]
    rng = _rng("babble", "")
    mixtures: list[Samples] = []
    for _ in range(_BABBLE_MIXTURES):
        picks = rng.choice(len(talkers), size=_BABBLE_TALKERS, replace=False)
        parts = [
            np.resize(
                _levelled(narrow(source(pack.root / talkers[pick]))),
                round(_BABBLE_SECONDS * LINE_HZ),
            )
            for pick in picks
        ]
        mixtures.append(np.stack(parts).sum(axis=0, dtype=np.float32))
    return Sounds(
        noises=tuple(_raw(pack.root / path) for path in pack.noises),
        babble=tuple(mixtures),
        rooms=tuple(_raw(pack.root / path) for path in pack.rooms),
    )


def _babblers(pack: Pack) -> Mapping[str, Sequence[str]]:
    people = pack.speech.get(("speechocean762", "dev"))
    if not people:
        raise InputError("The pack has no dev speech to mix babble from.")
    return people


def _raw(path: Path) -> Samples:
    samples, rate = read_recording(path)
    return np.asarray(soxr.resample(samples, rate, LINE_HZ), dtype=np.float32)
