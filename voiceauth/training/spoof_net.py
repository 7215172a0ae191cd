# SPDX-License-Identifier: Apache-2.0
"""The spoof detector: an 8 kHz waveform in, one logit out; positive means synthetic.

The front end is part of the network. It shows the network the spectrum from 94 to 3,560 Hz in
steps of 31 Hz as five maps: the log power, with its mean over the span taken away (what a line or a
microphone adds is the same in every frame and disappears, what a synthesiser leaves in the fine
structure stays), and how the phase turns from bin to bin and from frame to frame, each as cosine
and sine: a synthesiser has to make phases up. The edges of the telephone band are left out, since
codecs differ there and voices do not.

The body is a small residual network over time and frequency and a pooling that looks at mean and
deviation; beside it, mean and deviation of the maps themselves, which are learnt in few steps.
There is no recurrence and no attention over time: cost grows with new speech only.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voiceauth.units import Hertz

RATE_HZ: Hertz = 8000
HIDDEN_BINS = 18
HIDDEN_FRAMES = 0.12
"""Most bins, and largest share of the frames, that training hides from a row."""


@dataclass(frozen=True)
class SpoofShape:
    """Sizes of the network.

    Args:
        window: samples of one frame (32 ms).
        hop: samples between frames (10 ms).
        first_bin: lowest bin in use; bins are rate / window apart.
        bins: how many; divisible by 16.
        widths: channels of the four stages.
        hidden: width of the frames that are pooled.
        plain: width of what is made of the maps' own mean and deviation.
        floor: power of a bin below which nothing is told apart; the span has unit power.
        phase: whether the maps of the phase are used beside the log power.
    """

    window: int = 256
    hop: int = 80
    first_bin: int = 3
    bins: int = 112
    widths: tuple[int, int, int, int] = (16, 32, 48, 48)
    hidden: int = 96
    plain: int = 48
    floor: float = 1e-2
    phase: bool = True


class SpectrumFrontEnd(nn.Module):
    """Log spectra without their mean over a level-normalised span, and turns of the phase."""

    dft: Tensor
    turn: Tensor

    def __init__(self, shape: SpoofShape) -> None:
        super().__init__()
        self.hop, self.bins, self.floor = shape.hop, shape.bins, shape.floor
        self.phase = shape.phase
        self.register_buffer("dft", torch.from_numpy(_kernels(shape)), persistent=False)
        self.register_buffer("turn", torch.from_numpy(_turns(shape)), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn waveforms [batch, samples] into features [batch, 1 or 5, bins, frames]."""
        centred = waveform - waveform.mean(dim=1, keepdim=True)
        power = centred.pow(2).mean(dim=1, keepdim=True)
        level = centred * torch.rsqrt(power + 1e-9)
        parts = nn.functional.conv1d(level.unsqueeze(1), self.dft, stride=self.hop)
        real, imaginary = parts[:, : self.bins], parts[:, self.bins :]
        energy = real * real + imaginary * imaginary
        logarithm = torch.log(energy + self.floor)
        logarithm = (logarithm - logarithm.mean(dim=2, keepdim=True)) * 0.4
        if not self.phase:
            return logarithm.unsqueeze(1)
        # Faint bins have phases of the noise: the floor fades them out.
        scale = torch.rsqrt(energy + self.floor)
        real, imaginary = real * scale, imaginary * scale
        across = _product(real[:, 1:], imaginary[:, 1:], real[:, :-1], imaginary[:, :-1])
        along = _product(real[:, :, 1:], imaginary[:, :, 1:], real[:, :, :-1], imaginary[:, :, :-1])
        cosine, sine = self.turn[0], self.turn[1]
        maps = [
            logarithm,
            *(nn.functional.pad(part, (0, 0, 0, 1)) for part in across),
            nn.functional.pad(along[0] * cosine + along[1] * sine, (1, 0)),
            nn.functional.pad(along[1] * cosine - along[0] * sine, (1, 0)),
        ]
        return torch.stack(maps, dim=1)


def _product(real: Tensor, imaginary: Tensor, by: Tensor, by_imaginary: Tensor) -> list[Tensor]:
    """Real and imaginary part of a complex number times the conjugate of another."""
    return [real * by + imaginary * by_imaginary, imaginary * by - real * by_imaginary]


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(width, width, (1, 1)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Keep the shape [batch, width, bins, frames]."""
        return torch.relu(maps + self.body(maps))


class SpoofNet(nn.Module):
    """8 kHz waveforms [batch, samples] in [-1, 1] to logits [batch]; positive is synthetic."""

    def __init__(self, shape: SpoofShape | None = None) -> None:
        super().__init__()
        self.shape = shape or SpoofShape()
        first, second, third, fourth = self.shape.widths
        self.front_end = SpectrumFrontEnd(self.shape)
        self.maps = nn.Sequential(
            nn.Conv2d(5 if self.shape.phase else 1, first, 5, stride=(2, 2), padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            *convolution(first, second, (2, 2)),
            Residual(second),
            *convolution(second, third, (2, 1)),
            *convolution(third, fourth, (2, 1)),
        )
        self.squeeze = nn.Sequential(
            nn.Conv1d(fourth * self.shape.bins // 16, self.shape.hidden, 1, bias=False),
            nn.BatchNorm1d(self.shape.hidden),
            nn.ReLU(),
            nn.Conv1d(self.shape.hidden, self.shape.hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(self.shape.hidden),
            nn.ReLU(),
        )
        # Trains faster on a processor; the exported graph knows nothing of it.
        self.layout = torch.channels_last
        inputs = (5 if self.shape.phase else 1) * self.shape.bins
        self.plain = nn.Sequential(
            nn.BatchNorm1d(2 * inputs),
            nn.Dropout(0.2),
            nn.Linear(2 * inputs, self.shape.plain),
            nn.ReLU(),
        )
        self.drop = nn.Dropout(0.3)
        self.answer = nn.Linear(2 * self.shape.hidden + self.shape.plain, 1)

    def forward(self, waveform: Tensor) -> Tensor:
        """Judge; needs at least 0.3 s of samples."""
        frames: Tensor = self.front_end(waveform)
        if self.training:
            frames = hide(frames).contiguous(memory_format=self.layout)
        seen = self.squeeze(self.maps(frames).flatten(1, 2))
        both = torch.cat([pool(seen), self.plain(pool(frames.flatten(1, 2)))], dim=1)
        logits: Tensor = self.answer(self.drop(both)).squeeze(1)
        return logits


def pool(frames: Tensor) -> Tensor:
    """Mean and deviation over time: [batch, rows, frames] to [batch, 2 * rows]."""
    mean = frames.mean(dim=2)
    variance = (frames - mean.unsqueeze(2)).pow(2).mean(dim=2)
    return torch.cat([mean, torch.sqrt(variance + 1e-4)], dim=1)


def convolution(width: int, to: int, stride: tuple[int, int]) -> tuple[nn.Module, ...]:
    """A 3 x 3 convolution with its norm and rectifier."""
    return (
        nn.Conv2d(width, to, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(to),
        nn.ReLU(),
    )


def hide(frames: Tensor) -> Tensor:
    """Set a stretch of bins and one of frames to the mean, in half of the rows each.

    Args:
        frames: [batch, maps, bins, frames], mean removed.

    Source:
        Park et al. 2019, "SpecAugment".
    """
    batch, _, bins, length = frames.shape
    hidden = _stretches(frames, batch, bins, HIDDEN_BINS)[:, None, :, None]
    time = _stretches(frames, batch, length, round(HIDDEN_FRAMES * length))[:, None, None, :]
    return frames.masked_fill(hidden | time, 0.0)


def _stretches(like: Tensor, batch: int, length: int, longest: int) -> Tensor:
    """Mark one random stretch in about half of the rows, bool [batch, length]."""
    where = like.device
    size = torch.randint(0, longest + 1, (batch, 1), device=where)
    size = size * (torch.rand(batch, 1, device=where) < 0.5)
    start = (torch.rand(batch, 1, device=where) * (length - size)).long()
    place = torch.arange(length, device=where)[None]
    return (place >= start) & (place < start + size)


def _turns(shape: SpoofShape) -> NDArray[np.float32]:
    """Cosine and sine of what a tone at a bin's centre turns in one hop, shape (2, bins, 1)."""
    bins = np.arange(shape.first_bin, shape.first_bin + shape.bins)
    angle = 2.0 * np.pi * bins * shape.hop / shape.window
    return np.stack([np.cos(angle), np.sin(angle)])[:, :, None].astype(np.float32)


def _kernels(shape: SpoofShape) -> NDArray[np.float32]:
    """Hamming-windowed DFT of the bins in use, as kernels of shape (2 * bins, 1, window)."""
    time = np.arange(shape.window)
    bins = np.arange(shape.first_bin, shape.first_bin + shape.bins)
    angle = 2.0 * np.pi * np.outer(bins, time) / shape.window
    kernels = np.concatenate([np.cos(angle), -np.sin(angle)]) * np.hamming(shape.window)
    # Unit-power white noise then has a power of one in every bin.
    kernels /= np.sqrt(np.sum(np.hamming(shape.window) ** 2))
    return kernels[:, None, :].astype(np.float32)
