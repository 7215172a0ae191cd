# SPDX-License-Identifier: Apache-2.0
"""Telephone codecs for the channel simulator: encode and decode in one call.

Every codec takes 8 kHz audio and gives 8 kHz audio of the same length with the codec's delay
removed, so that a coded signal can be compared with its source sample by sample.

G.711 is arithmetic on arrays. GSM 06.10 runs through libsndfile; AMR-NB, Opus, G.722 and G.726
run through FFmpeg (PyAV), an optional package that is imported on first use.

Example:
    >>> import numpy as np
    >>> tone = np.sin(np.arange(8000) * 0.3).astype(np.float32) * 0.5
    >>> coded = transcode(tone, Coding(Codec.PCMU))
    >>> bool(np.abs(coded - tone).max() < 0.02)
    True
"""

import enum
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError, MissingExtraError, UnsupportedFormatError
from voiceauth.units import Hertz

RATE_HZ: Hertz = 8000
WIDEBAND_HZ: Hertz = 16000
AMR_RATES = (4750, 5150, 5900, 6700, 7400, 7950, 10200, 12200)
"""Bits per second of the eight AMR-NB modes."""

OPUS_RATES = range(6000, 64001)
"""Bits per second that make sense for one mono Opus stream."""

Waveform = NDArray[np.float32]


class Codec(enum.StrEnum):
    """Codecs that a telephone call may pass."""

    PCMU = "pcmu"
    PCMA = "pcma"
    GSM = "gsm"
    AMR = "amr"
    OPUS = "opus"
    G722 = "g722"
    G726 = "g726"


DEFAULT_BITS = {Codec.AMR: 12200, Codec.OPUS: 16000, Codec.G722: 64000, Codec.G726: 32000}


@dataclass(frozen=True)
class Coding:
    """One pass through a codec.

    Args:
        codec: which one.
        bits_per_second: for AMR (one of ``AMR_RATES``), Opus (6000 to 64000) and G.726
            (16000, 24000, 32000, 40000); 0 takes the usual rate.
        wideband: Opus only: code 16 kHz instead of 8 kHz.
    """

    codec: Codec
    bits_per_second: int = 0
    wideband: bool = False


def transcode(waveform: Waveform, coding: Coding) -> Waveform:
    """Encode and decode.

    Args:
        waveform: float32, shape (samples,), 8 kHz, in [-1, 1].
        coding: the codec and its rate.

    Returns:
        float32, shape (samples,), aligned with the input.

    Raises:
        BadAudioError: not one-dimensional, empty or not finite.
        UnsupportedFormatError: a bit rate that the codec does not have.
        MissingExtraError: PyAV is needed and not installed.
    """
    _check(waveform)
    match coding.codec:
        case Codec.PCMU:
            return mu_law(waveform)
        case Codec.PCMA:
            return a_law(waveform)
        case Codec.GSM:
            return _gsm(waveform)
        case _:
            return _ffmpeg(waveform, coding)


def transcode_wideband(waveform: Waveform, coding: Coding) -> Waveform:
    """Encode and decode by a wideband codec, without the way through 8 kHz.

    Args:
        waveform: float32, shape (samples,), 16 kHz, in [-1, 1].
        coding: G.722, or Opus with ``wideband``.

    Returns:
        float32, shape (samples,), 16 kHz, aligned with the input.

    Raises:
        BadAudioError: not one-dimensional, empty or not finite.
        UnsupportedFormatError: a narrowband codec, or a bit rate that the codec does not have.
        MissingExtraError: PyAV is needed and not installed.
    """
    _check(waveform)
    wide = coding.codec is Codec.G722 or (coding.codec is Codec.OPUS and coding.wideband)
    if not wide:
        raise UnsupportedFormatError(detail=f"{coding.codec} is no wideband codec")
    return _ffmpeg(waveform, coding, WIDEBAND_HZ)


def _check(waveform: Waveform) -> None:
    if waveform.ndim != 1 or waveform.size == 0 or not np.isfinite(waveform).all():
        raise BadAudioError(detail="transcode takes finite samples of shape (samples,)")


def mu_law(waveform: Waveform) -> Waveform:
    """G.711 µ-law, encoded and decoded; float32, shape (samples,)."""
    pcm = np.clip(np.round(waveform * 32768.0), -32768, 32767).astype(np.int32)
    decoded: Waveform = _MU_TABLE[pcm + 32768]
    return decoded


def a_law(waveform: Waveform) -> Waveform:
    """G.711 A-law, encoded and decoded; float32, shape (samples,)."""
    pcm = np.clip(np.round(waveform * 32768.0), -32768, 32767).astype(np.int32)
    decoded: Waveform = _A_TABLE[pcm + 32768]
    return decoded


def _mu_table() -> Waveform:
    """What µ-law makes of each 16-bit sample: 8 segments of 16 steps on a bias of 33 (14 bit)."""
    sample = np.arange(-32768, 32768, dtype=np.int64)
    # One's complement for negative values, as the recommendation's reference code does.
    magnitude = np.minimum(np.where(sample >= 0, sample, -sample - 1) >> 2, 8158) + 33
    segment = np.floor(np.log2(magnitude)).astype(np.int64) - 5
    step = (magnitude >> (segment + 1)) & 15
    decoded = (((step << 1) + 33) << segment) - 33
    signed = np.sign(sample + 0.5) * (decoded << 2) / 32768.0
    return np.asarray(signed, dtype=np.float32)


def _a_table() -> Waveform:
    """What A-law makes of each 16-bit sample: 13 bits, 8 segments of which two are linear."""
    sample = np.arange(-32768, 32768, dtype=np.int64)
    magnitude = np.where(sample >= 0, sample, -sample - 1) >> 4
    shift = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64) - 4, 0)
    decoded = ((magnitude >> shift) << (shift + 4)) + (8 << shift)
    signed = np.sign(sample + 0.5) * decoded / 32768.0
    return np.asarray(signed, dtype=np.float32)


_MU_TABLE = _mu_table()
_A_TABLE = _a_table()


def _gsm(waveform: Waveform) -> Waveform:
    """GSM 06.10 full rate in a WAV container held in memory."""
    container = io.BytesIO()
    # The codec works on blocks of 320 samples; the rest of the last one is silence.
    padded = np.pad(np.clip(waveform, -1.0, 1.0), (0, -len(waveform) % 320))
    soundfile.write(container, padded, RATE_HZ, format="WAV", subtype="GSM610")
    container.seek(0)
    decoded, _ = soundfile.read(container, dtype="float32")
    return np.asarray(_fit(decoded, len(waveform)), dtype=np.float32)


@dataclass(frozen=True)
class _Recipe:
    """How FFmpeg runs one codec; delay in samples at 8 kHz."""

    encoder: str
    decoder: str
    rate_hz: Hertz
    delay: int
    options: tuple[tuple[str, str], ...] = ()


def _recipe(coding: Coding) -> _Recipe:
    match coding.codec:
        case Codec.AMR if coding.bits_per_second in (0, *AMR_RATES):
            return _Recipe("libopencore_amrnb", "amrnb", 8000, 40)
        case Codec.OPUS if coding.bits_per_second in (0, *OPUS_RATES):
            rate = 16000 if coding.wideband else 8000
            # Full search effort is inaudible at these rates and costs twice the time.
            return _Recipe(
                "libopus", "opus", rate, 0, (("compression_level", "2"), ("application", "voip"))
            )
        case Codec.G722:
            return _Recipe("g722", "g722", 16000, 11)
        case Codec.G726 if coding.bits_per_second in (0, 16000, 24000, 32000, 40000):
            return _Recipe("g726", "g726", 8000, 0)
    raise UnsupportedFormatError(detail=f"{coding.codec} at {coding.bits_per_second} bit/s")


def _ffmpeg(waveform: Waveform, coding: Coding, rate_hz: Hertz = RATE_HZ) -> Waveform:
    recipe = _recipe(coding)
    bits = coding.bits_per_second or DEFAULT_BITS[coding.codec]
    source = _resample(waveform, rate_hz, recipe.rate_hz)
    # Silence after the end brings the delayed last samples out of the codec.
    source = np.pad(source, (0, recipe.rate_hz // 25))
    pcm = np.clip(np.round(source * 32768.0), -32768, 32767).astype(np.int16)
    decoded, rate = _round_trip(pcm, recipe, bits)
    delay = recipe.delay * rate_hz // RATE_HZ
    return _fit(_resample(decoded, rate, rate_hz)[delay:], len(waveform))


def _round_trip(pcm: NDArray[np.int16], recipe: _Recipe, bits: int) -> tuple[Waveform, Hertz]:
    """Through FFmpeg's encoder and decoder; returns samples and their rate."""
    try:
        import av  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError("av", "codecs") from error
    # Typed as Any: the stubs describe streams, while these contexts stand alone.
    encoder: Any = av.CodecContext.create(recipe.encoder, "w")
    encoder.sample_rate, encoder.layout, encoder.format = recipe.rate_hz, "mono", "s16"
    encoder.bit_rate = bits
    encoder.options = dict(recipe.options)
    frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
    frame.sample_rate = recipe.rate_hz
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    if recipe.decoder == "g726":
        decoded, rate = _g726_frames(b"".join(bytes(packet) for packet in packets), bits)
    else:
        decoder: Any = av.CodecContext.create(recipe.decoder, "r")
        decoder.sample_rate, decoder.layout = recipe.rate_hz, "mono"
        if recipe.decoder == "opus":
            decoder.extradata = encoder.extradata
        decoded = [f.to_ndarray() for packet in packets for f in decoder.decode(packet)]
        decoded += [f.to_ndarray() for f in decoder.decode(None)]
        rate = int(decoder.sample_rate)
    samples = np.concatenate(decoded, axis=1)[0]
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / np.float32(32768.0)
    return samples, rate


def _g726_frames(coded: bytes, bits: int) -> tuple[list[NDArray[np.int16]], Hertz]:
    """Decode raw G.726; only FFmpeg's demuxer can tell its decoder the word size."""
    import av  # noqa: PLC0415 - an optional extra

    source: Any = av.open(
        io.BytesIO(coded),
        format="g726",
        options={"code_size": str(bits // RATE_HZ), "sample_rate": str(RATE_HZ)},
    )
    with source:
        return [frame.to_ndarray() for frame in source.decode(audio=0)], RATE_HZ


def _resample(waveform: Waveform, from_hz: Hertz, to_hz: Hertz) -> Waveform:
    if from_hz == to_hz:
        return waveform
    return np.asarray(soxr.resample(waveform, from_hz, to_hz, quality="MQ"), dtype=np.float32)


def _fit(waveform: Waveform, samples: int) -> Waveform:
    """Cut or pad with zeros to the given length."""
    if len(waveform) >= samples:
        return waveform[:samples]
    return np.pad(waveform, (0, samples - len(waveform)))
