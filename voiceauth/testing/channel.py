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
from functools import lru_cache

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError
from voiceauth.testing.codecs import AMR_RATES, RATE_HZ, Codec, Coding, transcode
from voiceauth.units import Decibels, Rate, Seconds

KNOTS_HZ = (0.0, 200.0, 400.0, 700.0, 1100.0, 1700.0, 2500.0, 3300.0, 4000.0)
"""Where a response's gains are given; between them it is interpolated smoothly."""

FRAME = 160
"""Samples of one 20-ms packet."""

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class Response:
    """Frequency response of a handset or a line.

    Args:
        gains_db: at ``KNOTS_HZ``, shape (9,).
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
    """

    snr_db: tuple[Decibels, Decibels] = (6.0, 32.0)
    noisy: Rate = 0.55
    reverberant: Rate = 0.4
    response_db: Decibels = 4.0
    slow_codecs: Rate = 0.35
    lossy: Rate = 0.12


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
    fixed = (Coding(Codec.PCMU), Coding(Codec.PCMA))[int(rng.random() < 0.5)]
    codings: tuple[Coding, ...] = (fixed,)
    if rng.random() < severity.slow_codecs:
        family = MOBILE if rng.random() < 0.6 else INTERNET
        codings = (family[int(rng.integers(len(family)))],)
        # A mobile or internet call usually ends on a G.711 trunk.
        if rng.random() < 0.7:
            codings = (*codings, fixed)
    room = _draw_room(rng, sounds) if rng.random() < severity.reverberant else None
    lossy = rng.random() < severity.lossy
    return Channel(
        level_db=float(rng.uniform(-34.0, -16.0)),
        room=room,
        noises=_draw_noises(rng, sounds, severity),
        handset=_draw_response(rng, severity.response_db),
        line=_draw_response(rng, severity.response_db / 2) if rng.random() < 0.3 else None,
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
        signal = _filter(signal, channel.handset)
    signal = _set_level(signal, channel.level_db)
    for place, coding in enumerate(channel.codings):
        signal = transcode(signal, coding)
        if place == 0 and channel.loss is not None:
            signal = lose_packets(signal, channel.loss)
        if place == 0 and channel.line is not None:
            signal = _filter(signal, channel.line)
    return np.clip(signal, -1.0, 1.0).astype(np.float32, copy=False)


def lose_packets(waveform: Waveform, loss: PacketLoss) -> Waveform:
    """Replace lost 20-ms packets by fading repeats of the last good one; shape (samples,)."""
    rng = np.random.default_rng(loss.seed)
    signal = waveform.copy()
    leave = 1.0 / max(loss.burst, 1.0)
    enter = min(1.0, loss.rate * leave / max(1.0 - loss.rate, 1e-6))
    lost, gain = False, 1.0
    for start in range(FRAME, len(signal), FRAME):
        lost = rng.random() < (1.0 - leave if lost else enter)
        gain = gain * 0.7 if lost else 1.0
        if lost:
            packet = signal[start : start + FRAME]
            packet[:] = signal[start - FRAME : start][: len(packet)] * np.float32(0.7)
            # After six packets there is nothing worth repeating: concealment mutes.
            if gain < 0.12:
                packet[:] = 0.0
    return signal


def _draw_room(rng: np.random.Generator, sounds: Sounds) -> Reverberation:
    recorded = -1
    if sounds.rooms and rng.random() < 0.4:
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
        gains_db=tuple(float(g) for g in rng.normal(0.0, deviation_db, len(KNOTS_HZ))),
        low_hz=float(rng.uniform(0.0, 350.0)),
        high_hz=float(rng.uniform(3000.0, 4000.0)),
        order=int(rng.integers(1, 5)),
    )


def _draw_loss(rng: np.random.Generator) -> PacketLoss:
    return PacketLoss(
        rate=float(rng.uniform(0.005, 0.08)),
        burst=float(rng.uniform(1.0, 3.0)),
        seed=int(rng.integers(2**31)),
    )


def _filter(signal: Waveform, response: Response) -> Waveform:
    """Zero-phase filtering in one transform; the ends wrap, which 1 ms of kernel does not show."""
    size = _fast_length(len(signal) + 64)
    grid, basis = _grid()
    gain = np.power(10.0, basis @ np.asarray(response.gains_db, np.float32) / 20.0)
    if response.low_hz > 0.0:
        ratio = np.power(response.low_hz / np.maximum(grid, 1.0), 2 * response.order)
        gain /= np.sqrt(1.0 + ratio)
    if response.high_hz < RATE_HZ / 2:
        gain /= np.sqrt(1.0 + np.power(grid / response.high_hz, 4 * response.order))
    spectrum = fft.rfft(signal, size) * np.interp(_bins(size), grid, gain).astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size)[: len(signal)], dtype=np.float32)


@lru_cache(maxsize=1)
def _fast_sizes() -> NDArray[np.int64]:
    """Even products of 2, 3 and 5, sorted: transforms of these sizes are fast."""
    powers = [2**a * 3**b * 5**c for a in range(1, 25) for b in range(8) for c in range(5)]
    return np.array(sorted(powers))


def _fast_length(samples: int) -> int:
    sizes = _fast_sizes()
    return int(sizes[np.searchsorted(sizes, samples)])


@lru_cache(maxsize=64)
def _bins(size: int) -> NDArray[np.float32]:
    return np.linspace(0.0, RATE_HZ / 2, size // 2 + 1, dtype=np.float32)


@lru_cache(maxsize=1)
def _grid() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A coarse frequency axis of 257 points and the interpolation from the knots to it.

    Gains are interpolated with raised cosines, which neither overshoot nor ring.
    """
    grid = np.linspace(0.0, RATE_HZ / 2, 257, dtype=np.float32)
    knots = np.asarray(KNOTS_HZ, np.float32)
    right = np.clip(np.searchsorted(knots, grid), 1, len(knots) - 1)
    place = (grid - knots[right - 1]) / (knots[right] - knots[right - 1])
    weight = (0.5 - 0.5 * np.cos(np.pi * place)).astype(np.float32)
    basis = np.zeros((len(grid), len(knots)), np.float32)
    rows = np.arange(len(grid))
    basis[rows, right - 1], basis[rows, right] = 1.0 - weight, weight
    return grid, basis


def _reverberate(signal: Waveform, room: Reverberation, sounds: Sounds) -> Waveform:
    if 0 <= room.recorded < len(sounds.rooms):
        tail = sounds.rooms[room.recorded][:8000]
    else:
        rng = np.random.default_rng(room.seed)
        time = np.arange(int(room.decay * RATE_HZ), dtype=np.float32) / RATE_HZ
        tail = rng.standard_normal(len(time), dtype=np.float32) * np.exp(
            np.float32(-6.91 / room.decay) * time
        )
    ratio = np.float32(10.0 ** (-room.direct_db / 20.0))
    tail = tail * (ratio / np.float32(np.sqrt(np.sum(tail * tail)) + 1e-9))
    size = _fast_length(len(signal) + len(tail))
    # The direct sound is the signal itself, so the output stays aligned with it.
    wet = fft.irfft(fft.rfft(signal, size) * fft.rfft(tail, size), size)[: len(signal)]
    return np.asarray(signal + wet, dtype=np.float32)


def _noise(noise: Noise, signal: Waveform, sounds: Sounds) -> Waveform:
    rng = np.random.default_rng(noise.seed)
    bank = {"recorded": sounds.noises, "babble": sounds.babble}.get(noise.kind, ())
    if bank:
        piece = _slice(bank[int(rng.integers(len(bank)))], len(signal), rng)
    else:
        piece = _coloured(len(signal), noise.tilt_db, rng)
    power = float(np.mean(signal * signal)) / (float(np.mean(piece * piece)) + 1e-12)
    return piece * np.float32(np.sqrt(power) * 10.0 ** (-noise.snr_db / 20.0))


def _slice(recording: Waveform, samples: int, rng: np.random.Generator) -> Waveform:
    """A random piece of a recording, repeated where it is too short; shape (samples,)."""
    if len(recording) < samples:
        recording = np.tile(recording, samples // max(1, len(recording)) + 1)
    start = int(rng.integers(len(recording) - samples + 1))
    return recording[start : start + samples]


def _coloured(samples: int, tilt_db: Decibels, rng: np.random.Generator) -> Waveform:
    """Noise with a straight tilt per octave above 60 Hz; shape (samples,)."""
    size = _fast_length(samples)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    octaves = np.log2(np.maximum(_bins(size), 60.0) / 60.0)
    spectrum *= np.power(10.0, np.float32(tilt_db / 20.0) * octaves).astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size)[:samples], dtype=np.float32)


def _set_level(signal: Waveform, level_db: Decibels) -> Waveform:
    power = float(np.mean(signal * signal))
    if power <= 1e-12:
        return signal
    return np.clip(signal * np.float32(10.0 ** (level_db / 20.0) / np.sqrt(power)), -1.0, 1.0)
