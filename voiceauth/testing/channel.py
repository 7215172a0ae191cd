# SPDX-License-Identifier: Apache-2.0
"""Seeded telephone-channel simulator: room, handset, line, noise, codecs and packet loss.

A ``Channel`` is a frozen description that can be printed, stored and compared. ``draw_channel``
draws one from a generator, ``apply`` sends a waveform through it. The same channel, waveform and
sounds give the same output, always: every random part has its own seed inside the description.

The order is that of a call: room, noise beside the caller, handset response, level, first codec,
packet loss, line response, further codecs. What it does not do: echo cancellers, automatic gain
control over time and comfort noise.

Example:
    >>> import numpy as np
    >>> rng = np.random.default_rng(7)
    >>> tone = 0.1 * np.sin(np.arange(16000) * 0.3).astype(np.float32)
    >>> call = draw_channel(rng)
    >>> bool(np.array_equal(apply(call, tone), apply(call, tone)))
    True
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError
from voiceauth.testing import acoustics
from voiceauth.testing.codecs import AMR_RATES, Codec, Coding, transcode
from voiceauth.units import Decibels, Rate, Seconds

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Response:
    """Frequency response of a handset or a line.

    Args:
        gains_db: at ``acoustics.KNOTS_HZ``, shape (9,).
        low_hz: half-power corner of the high-pass; 0 leaves the bass alone.
        high_hz: half-power corner of the low-pass; 4000 leaves the treble alone.
        order: steepness of both, 6 dB per octave each.
    """

    gains_db: tuple[float, ...]
    low_hz: float
    high_hz: float
    order: int


@dataclass(frozen=True)
class Reverberation:
    """The room around the caller.

    Args:
        decay: seconds until the synthetic tail has lost 60 dB.
        direct_db: level of the direct sound over the whole tail, in decibels.
        recorded: position in ``Sounds.rooms``; -1 builds a synthetic tail.
        seed: of the synthetic tail.
    """

    decay: Seconds
    direct_db: Decibels
    recorded: int
    seed: int


@dataclass(frozen=True)
class Noise:
    """One layer of noise.

    Args:
        kind: ``colour``, ``recorded`` or ``babble``; the last two need ``Sounds``.
        snr_db: speech over noise, both measured over the whole waveform.
        tilt_db: spectral tilt of coloured noise per octave.
        seed: picks the piece of noise.
    """

    kind: str
    snr_db: Decibels
    tilt_db: Decibels
    seed: int


@dataclass(frozen=True)
class PacketLoss:
    """Lost 20-ms packets, concealed by repeating the last good one with decay.

    Args:
        rate: share of packets lost.
        burst: mean length of a loss, in packets, at least 1.
        seed: of the pattern.
    """

    rate: Rate
    burst: float
    seed: int


@dataclass(frozen=True)
class Channel:
    """One simulated call path; parts that are absent do nothing.

    Args:
        level_db: root-mean-square level of the speech before the first codec.
        room: reverberation beside the caller.
        noises: layers of noise beside the caller.
        handset: response of microphone and handset.
        line: response of the network after the first codec.
        codings: codecs in the order of the call.
        loss: packet loss after the first codec.
    """

    level_db: Decibels
    room: Reverberation | None = None
    noises: tuple[Noise, ...] = ()
    handset: Response | None = None
    line: Response | None = None
    codings: tuple[Coding, ...] = ()
    loss: PacketLoss | None = None


@dataclass(frozen=True)
class Sounds:
    """Recorded material for channels, all 8 kHz float32.

    Args:
        noises: recordings, each of shape (samples,).
        babble: mixtures of other people's speech, each of shape (samples,).
        rooms: impulse responses, direct sound first, each of shape (samples,).
    """

    noises: tuple[Waveform, ...] = ()
    babble: tuple[Waveform, ...] = ()
    rooms: tuple[Waveform, ...] = ()


@dataclass(frozen=True)
class Severity:
    """How hard ``draw_channel`` is on a call.

    Args:
        snr_db: range of the signal-to-noise ratio of each layer.
        noisy: share of calls with recorded noise or babble besides coloured noise.
        reverberant: share of calls with audible reverberation.
        response_db: standard deviation of the random response.
        slow_codecs: share of calls through GSM, AMR, Opus, G.722 or G.726.
        lossy: share of calls with packet loss.
        a_law: share of trunks that are A-law; the others are µ-law.
        mobile: share of the slow codecs that are GSM or AMR.
        trunk: share of the slow-codec calls that end on a G.711 trunk.
        second_line: share of calls with a response of the network as well.
        recorded_room: share of the reverberant calls in a recorded room, if there are any.
    """

    snr_db: tuple[Decibels, Decibels] = (6.0, 32.0)
    noisy: Rate = 0.55
    reverberant: Rate = 0.4
    response_db: Decibels = 4.0
    slow_codecs: Rate = 0.35
    lossy: Rate = 0.12
    a_law: Rate = 0.5
    mobile: Rate = 0.6
    trunk: Rate = 0.7
    second_line: Rate = 0.3
    recorded_room: Rate = 0.4


MOBILE = (
    *(Coding(Codec.AMR, bits) for bits in AMR_RATES),
    *(Coding(Codec.AMR, 12200),) * 4,
    *(Coding(Codec.GSM),) * 6,
)
INTERNET = (
    *(Coding(Codec.OPUS, bits) for bits in (6000, 8000, 12000, 16000, 24000)),
    *(Coding(Codec.OPUS, bits, wideband=True) for bits in (12000, 16000, 24000)),
    *(Coding(Codec.G722),) * 2,
    *(Coding(Codec.G726, bits) for bits in (16000, 24000, 32000)),
)


def draw_channel(
    rng: np.random.Generator, sounds: Sounds | None = None, severity: Severity | None = None
) -> Channel:
    """Draw a random call path.

    Args:
        rng: all randomness comes from here.
        sounds: recorded material that ``apply`` will be given too; none means synthetic only.
        severity: how hard; the default is that of training.
    """
    sounds, severity = sounds or Sounds(), severity or Severity()
    fixed = (Coding(Codec.PCMU), Coding(Codec.PCMA))[int(rng.random() < severity.a_law)]
    codings: tuple[Coding, ...] = (fixed,)
    if rng.random() < severity.slow_codecs:
        family = MOBILE if rng.random() < severity.mobile else INTERNET
        codings = (family[int(rng.integers(len(family)))],)
        if rng.random() < severity.trunk:
            codings = (*codings, fixed)
    room = _draw_room(rng, sounds, severity) if rng.random() < severity.reverberant else None
    lossy = rng.random() < severity.lossy
    return Channel(
        level_db=float(rng.uniform(-34.0, -16.0)),
        room=room,
        noises=_draw_noises(rng, sounds, severity),
        handset=_draw_response(rng, severity.response_db),
        line=_draw_line(rng, severity),
        codings=codings,
        loss=_draw_loss(rng) if lossy else None,
    )


def apply(channel: Channel, waveform: Waveform, sounds: Sounds | None = None) -> Waveform:
    """Send 8 kHz speech through a channel.

    Args:
        channel: the call path.
        waveform: float32, shape (samples,), 8 kHz, in [-1, 1].
        sounds: recorded material; the same that the channel was drawn with.

    Returns:
        float32, shape (samples,), in [-1, 1].

    Raises:
        BadAudioError: not one-dimensional, empty or not finite.
        MissingExtraError: a codec's package is not installed.
    """
    if waveform.ndim != 1 or waveform.size == 0 or not np.isfinite(waveform).all():
        raise BadAudioError(detail="a channel takes finite samples of shape (samples,)")
    sounds = sounds or Sounds()
    signal = waveform.astype(np.float32, copy=True)
    if channel.room is not None:
        signal = _reverberate(signal, channel.room, sounds)
    for noise in channel.noises:
        signal = signal + _noise(noise, signal, sounds)
    if channel.handset is not None:
        signal = _respond(signal, channel.handset)
    signal = acoustics.set_level(signal, channel.level_db)
    for place, coding in enumerate(channel.codings):
        signal = transcode(signal, coding)
        if place == 0 and channel.loss is not None:
            loss = channel.loss
            signal = acoustics.lose_packets(signal, loss.rate, loss.burst, loss.seed)
        if place == 0 and channel.line is not None:
            signal = _respond(signal, channel.line)
    return np.clip(signal, -1.0, 1.0).astype(np.float32, copy=False)


def _draw_room(rng: np.random.Generator, sounds: Sounds, severity: Severity) -> Reverberation:
    recorded = -1
    if sounds.rooms and rng.random() < severity.recorded_room:
        recorded = int(rng.integers(len(sounds.rooms)))
    return Reverberation(
        decay=float(rng.uniform(0.12, 0.7)),
        direct_db=float(rng.uniform(-2.0, 12.0)),
        recorded=recorded,
        seed=int(rng.integers(2**31)),
    )


def _draw_noises(rng: np.random.Generator, sounds: Sounds, severity: Severity) -> tuple[Noise, ...]:
    low, high = severity.snr_db

    def layer(kind: str, floor: float, ceiling: float) -> Noise:
        tilt, seed = float(rng.uniform(-7.0, 2.0)), int(rng.integers(2**31))
        return Noise(kind, float(rng.uniform(floor, ceiling)), tilt, seed)

    # Every line has some hiss.
    layers = [layer("colour", low + 4.0, high + 10.0)]
    if rng.random() < severity.noisy:
        kinds = [k for k, have in (("recorded", sounds.noises), ("babble", sounds.babble)) if have]
        layers.append(layer(kinds[int(rng.integers(len(kinds)))] if kinds else "colour", low, high))
    return tuple(layers)


def _draw_response(rng: np.random.Generator, deviation_db: Decibels) -> Response:
    return Response(
        gains_db=tuple(float(g) for g in rng.normal(0.0, deviation_db, len(acoustics.KNOTS_HZ))),
        low_hz=float(rng.uniform(0.0, 350.0)),
        high_hz=float(rng.uniform(3000.0, 4000.0)),
        order=int(rng.integers(1, 5)),
    )


def _draw_line(rng: np.random.Generator, severity: Severity) -> Response | None:
    """Draw the network's response: half as coloured as a handset's."""
    if rng.random() < severity.second_line:
        return _draw_response(rng, severity.response_db / 2)
    return None


def _draw_loss(rng: np.random.Generator) -> PacketLoss:
    return PacketLoss(
        rate=float(rng.uniform(0.005, 0.08)),
        burst=float(rng.uniform(1.0, 3.0)),
        seed=int(rng.integers(2**31)),
    )


def _respond(signal: Waveform, response: Response) -> Waveform:
    return acoustics.respond(
        signal, response.gains_db, response.low_hz, response.high_hz, response.order
    )


def _reverberate(signal: Waveform, room: Reverberation, sounds: Sounds) -> Waveform:
    if 0 <= room.recorded < len(sounds.rooms):
        tail = sounds.rooms[room.recorded]
    else:
        tail = acoustics.synthetic_tail(room.decay, room.seed)
    return acoustics.reverberate(signal, tail, room.direct_db)


def _noise(noise: Noise, signal: Waveform, sounds: Sounds) -> Waveform:
    """One layer at its level beside the signal; shape (samples,)."""
    rng = np.random.default_rng(noise.seed)
    bank = {"recorded": sounds.noises, "babble": sounds.babble}.get(noise.kind, ())
    if bank:
        piece = acoustics.random_piece(bank[int(rng.integers(len(bank)))], len(signal), rng)
    else:
        piece = acoustics.coloured(len(signal), noise.tilt_db, rng)
    power = float(np.mean(signal * signal)) / (float(np.mean(piece * piece)) + 1e-12)
    return piece * np.float32(np.sqrt(power) * 10.0 ** (-noise.snr_db / 20.0))
