# SPDX-License-Identifier: Apache-2.0
"""Trials for the replay layer: recordings of a person become calls, replays of them, and repeats.

A replay sends the recording of an earlier call, as received or as it was before the line, through
another simulated line. A repeat is an honest caller who says the same words again: where a person's
words are separated by pauses, each word of a call is replaced by the most similar other instance
of that person's, so that it is the hardest honest caller that the recordings can make.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voiceauth.liveness.fingerprint import Fingerprinter, Floats, band_powers, packed
from voiceauth.liveness.replay import Comparison, Memory, ReplayCalibration, memory_of
from voiceauth.liveness.timeline import Timeline
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.waveform import spans_of
from voiceauth.testing.channel import Channel, Noise, PacketLoss, Severity, apply, draw_channel
from voiceauth.testing.codecs import RATE_HZ, Codec, Coding
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import CallId, HeardRecording, Samples, Span
from voiceauth.units import Decibels, Seconds

CODINGS = {
    "G.711 mu-law": Coding(Codec.PCMU),
    "G.711 A-law": Coding(Codec.PCMA),
    "GSM": Coding(Codec.GSM),
    "Opus 12 kbit/s": Coding(Codec.OPUS, 12_000),
    "AMR 12.2 kbit/s": Coding(Codec.AMR, 12_200),
    "AMR 4.75 kbit/s": Coding(Codec.AMR, 4_750),
}
ACCEPTED_THROUGH = ("G.711 mu-law", "G.711 A-law", "GSM")
"""Codecs of the calls that are stored; the first two come twice as often as the last."""
QUIET = Severity(
    snr_db=(20.0, 35.0), noisy=0.0, reverberant=0.0, slow_codecs=0.0, lossy=0.0, second_line=0.5
)
HARD = Severity(snr_db=(10.0, 32.0), slow_codecs=0.0)
KEY = bytes(range(32))
_WORD_GATE_DB = 35.0
_WORD_PAUSE: Seconds = 0.2
_SHORTEST_WORD: Seconds = 0.25
_WORD_SHAPE = 12


@dataclass(frozen=True, slots=True)
class Condition:
    """How a recording is played again.

    Attributes:
        name: in tables.
        coding: codec of the second line.
        severity: what else the line may do.
        snr_db: noise added at this level; None for what the line draws.
        level_db: of the speech; None for what the line draws.
        speed: of playing.
        loss: share of packets lost.
    """

    name: str
    coding: str = "G.711 mu-law"
    severity: Severity = QUIET
    snr_db: Decibels | None = None
    level_db: Decibels | None = None
    speed: float = 1.0
    loss: float = 0.0


CONDITIONS = (
    *(Condition(name, name) for name in CODINGS),
    Condition("noise at 15 dB", snr_db=15.0),
    Condition("noise at 10 dB", snr_db=10.0),
    Condition("level -38 dBFS", level_db=-38.0),
    Condition("level -10 dBFS, clipped", level_db=-10.0),
    Condition("1 % faster", speed=1.01),
    Condition("3 % slower", speed=0.97),
    Condition("5 % faster", speed=1.05),
    Condition("packets lost, 5 %", loss=0.05),
    Condition("rooms, noise from 10 dB, losses", severity=HARD),
)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One simulated call.

    Attributes:
        spoken: what was said, before the line, 8 kHz.
        received: what came over the line, pauses included.
    """

    spoken: Samples
    received: Samples


def make_call(spoken: Samples, rng: np.random.Generator, severity: Severity = QUIET) -> Call:
    """Send speech over a random line that ends in one of ``ACCEPTED_THROUGH``."""
    coding = CODINGS[ACCEPTED_THROUGH[int(rng.integers(5)) // 2]]
    return Call(spoken, apply(_line(rng, severity, coding), spoken))


def played_again(call: Call, condition: Condition, rng: np.random.Generator) -> Samples:
    """Play the received or the spoken recording over another line, begun up to 1 s late."""
    source = call.received if rng.random() < 0.5 else call.spoken  # noqa: PLR2004 - a coin
    source = source[int(rng.integers(RATE_HZ)) :]
    places = np.arange(0.0, len(source) - 1, condition.speed)
    if condition.speed != 1.0:
        source = np.interp(places, np.arange(len(source)), source).astype(np.float32)
    line = _line(rng, condition.severity, CODINGS[condition.coding])
    if condition.snr_db is not None:
        line = replace(line, noises=(Noise("colour", condition.snr_db, -3.0, int(places.size)),))
    if condition.level_db is not None:
        line = replace(line, level_db=condition.level_db)
    if condition.loss:
        line = replace(line, loss=PacketLoss(condition.loss, 1.5, int(places.size)))
    return apply(line, source)


def _line(rng: np.random.Generator, severity: Severity, coding: Coding) -> Channel:
    return replace(draw_channel(rng, None, severity), codings=(coding,))


def counted_spans(received: Samples, most: Seconds = 60.0) -> list[Span]:
    """Return the spans of a call that the engine would count, up to some net speech."""
    spans, net = [], 0.0
    for span in spans_of(received, RATE_HZ, SpeechOptions(rate_hz=RATE_HZ)):
        if span.counted and net < most:
            spans.append(span)
            net += span.net_seconds
    return spans


def remembered(call: str, spans: Sequence[Span]) -> HeardRecording:
    """Make the recording that the engine would keep."""
    printer, timeline = Fingerprinter(KEY), Timeline()
    frames = [printer.push(*timeline.lay_out(span.samples, span.hops)) for span in spans]
    joined: Floats = np.concatenate([*frames, np.zeros((0, 32), dtype=np.float32)])
    return HeardRecording(CallId(call), EPOCH, packed(joined))


def memory(recordings: Sequence[HeardRecording]) -> Memory:
    """Lay out recordings for comparison, as long as they are."""
    length = sum(one.fingerprint.frames + 64 for one in recordings)
    return memory_of(recordings, length, b"")


@dataclass(frozen=True, slots=True)
class Compared:
    """What the layer said at one look.

    Attributes:
        agreement: as in the evidence; NaN before anything could be compared.
        call: that is repeated; None for live speech.
        net_seconds: speech counted until then.
        seconds: length compared.
    """

    agreement: float
    call: CallId | None
    net_seconds: Seconds
    seconds: Seconds


def looks(
    spans: Sequence[Span], against: Memory, calibration: ReplayCalibration | None = None
) -> list[Compared]:
    """Compare a call span by span, as the engine does; one result after each span."""
    comparison, timeline, net = Comparison(KEY, against, calibration), Timeline(), 0.0
    found = []
    for span in spans:
        comparison.push(*timeline.lay_out(span.samples, span.hops))
        net += span.net_seconds
        evidence = comparison.evidence()
        if evidence is None:
            found.append(Compared(float("nan"), None, net, 0.0))
        else:
            seconds = evidence.compared_seconds
            found.append(Compared(evidence.agreement, evidence.call, net, seconds))
    return found


def words_of(recording: Samples) -> list[Samples]:
    """Cut a recording at its pauses into words, each with half the pause around it."""
    hop = RATE_HZ // 100
    frames = recording[: len(recording) // hop * hop].reshape(-1, hop)
    level = 10.0 * np.log10(np.mean(np.square(frames), axis=1) + 1e-12)
    loud = np.flatnonzero(level > level.max() - _WORD_GATE_DB)
    if len(loud) == 0:
        return []
    breaks = np.flatnonzero(np.diff(loud) >= _WORD_PAUSE * 100)
    edges = [0, *((loud[breaks] + loud[breaks + 1]) // 2).tolist(), len(frames)]
    found = [recording[a * hop : b * hop] for a, b in itertools.pairwise(edges)]
    return [word for word in found if len(word) >= _SHORTEST_WORD * RATE_HZ]


def same_words_again(said: Sequence[Samples], others: Sequence[Samples]) -> Samples:
    """Replace each recording's words by the most similar ones of other recordings.

    Args:
        said: the recordings of one call.
        others: recordings of the same person that are not in it.

    Returns:
        The repeat as one waveform; empty when there are no words.
    """
    pool = [word for recording in others for word in words_of(recording)]
    words = [word for recording in said for word in words_of(recording)]
    if not pool or not words:
        return np.zeros(0, dtype=np.float32)
    shapes = np.stack([_shape(word) for word in pool])
    return np.concatenate([pool[int(np.argmax(shapes @ _shape(word)))] for word in words])


def _shape(word: Samples) -> NDArray[np.float64]:
    """The word's spectrum at evenly spread times, unit norm: alike for the same word."""
    powers = band_powers(np.pad(word, (RATE_HZ // 10, RATE_HZ // 10)))
    logs = np.log(powers + 1e-3 * float(powers.mean()) + 1e-12)
    places = np.linspace(0, len(logs) - 1, _WORD_SHAPE).round().astype(np.int64)
    flat = logs[places].astype(np.float64)
    flat = (flat - flat.mean()).reshape(-1)
    return np.asarray(flat / (np.linalg.norm(flat) + 1e-9))
