# SPDX-License-Identifier: Apache-2.0
"""Recordings on disk, heard as the engine hears a call."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voiceauth.errors import BadAudioError
from voiceauth.ports import SpeakerEmbedder
from voiceauth.scoring.combine import centroid, mean_level
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.waveform import spans_of
from voiceauth.testing.channel import Severity, apply, draw_channel
from voiceauth.types import Bandwidth, Embedding, Samples
from voiceauth.units import Decibels, Hertz, Seconds

LINE_HZ: Hertz = 8000
LINE_SEVERITY = Severity(snr_db=(10.0, 32.0))
"""Of the simulated lines of evaluation and calibration: an ordinary mix of good and poor calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One counted span.

    Attributes:
        embedding: unit norm, shape (dimension,).
        net_seconds: speech in it.
        snr_db: as the signal room measured it; None if it could not.
    """

    embedding: Embedding
    net_seconds: Seconds
    snr_db: Decibels | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """What the engine heard in a recording.

    Attributes:
        pieces: the spans that count, in order; empty without enough usable speech.
        bandwidth: as it was known at the end; None without pieces.
    """

    pieces: tuple[Piece, ...]
    bandwidth: Bandwidth | None

    @property
    def net_seconds(self) -> Seconds:
        """Speech in all pieces."""
        return sum(piece.net_seconds for piece in self.pieces)

    @property
    def snr_db(self) -> Decibels | None:
        """Signal-to-noise ratio over all pieces; None if it was measured in none."""
        return mean_level((piece.snr_db, piece.net_seconds) for piece in self.pieces)

    def mean(self) -> Embedding:
        """Return the probe or voiceprint of all pieces. Raises InternalError without pieces."""
        return centroid((piece.embedding, piece.net_seconds) for piece in self.pieces)


def read_recording(path: Path) -> tuple[Samples, Hertz]:
    """Read an audio file, first channel.

    Args:
        path: anything that libsndfile opens: WAV, FLAC, Ogg Opus, MP3 and more.

    Returns:
        float32 of shape (samples,), and its sampling rate.

    Raises:
        BadAudioError: the file is missing, empty or not audio.
    """
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise BadAudioError(f"Cannot read the recording {path.name}.", detail=str(error)) from error
    if len(samples) == 0:
        raise BadAudioError(f"The recording {path.name} is empty.")
    return np.ascontiguousarray(samples[:, 0]), int(rate)


def listen(
    samples: Samples, rate_hz: Hertz, embedder: SpeakerEmbedder, options: SpeechOptions
) -> Voice:
    """Hear a recording by the engine's own path.

    Args:
        samples: shape (samples,), full scale 1.
        rate_hz: of the samples.
        embedder: the speaker model.
        options: of the signal room; the rate is set to the model's.

    Raises:
        BadAudioError, UnsupportedFormatError, TooShortError: audio that no call could carry.
        ModelOutputError: the model failed.
    """
    spans = spans_of(samples, rate_hz, replace(options, rate_hz=embedder.rate_hz))
    counted = [span for span in spans if span.counted]
    pieces = tuple(
        Piece(embedder.embed(span.samples), span.net_seconds, span.quality.snr_db)
        for span in counted
    )
    return Voice(pieces, counted[-1].quality.bandwidth if counted else None)


def simulated_line(
    samples: Samples, rate_hz: Hertz, seed: tuple[int, ...], severity: Severity = LINE_SEVERITY
) -> Samples:
    """Send a recording through a simulated telephone line.

    Args:
        samples: shape (samples,), full scale 1.
        rate_hz: of the samples.
        seed: the same one gives the same line.
        severity: how hard the line is.

    Returns:
        float32, shape (samples at 8 kHz,).
    """
    if rate_hz != LINE_HZ:
        samples = soxr.resample(samples, rate_hz, LINE_HZ).astype(np.float32)
    channel = draw_channel(np.random.default_rng(seed), None, severity)
    return apply(channel, samples)


def line_seed(seed: int, name: str) -> tuple[int, int]:
    """Return the seed of a named call: stable over runs and machines."""
    return seed, zlib.crc32(name.encode())
