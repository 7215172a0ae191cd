# SPDX-License-Identifier: Apache-2.0
"""The student: a waveform-in, embedding-out ECAPA-TDNN for 8 kHz telephone speech.

The front end is part of the network, so that training and serving cannot drift apart, and every
step of it is a plain matrix product or convolution that any ONNX runtime executes.

What differs from the published ECAPA-TDNN, and why:

- The first convolution has stride 2, as in CAM++: the rest of the network sees one frame per
  20 ms and costs half, in training and in every call.
- Padding is with zeros inside the convolutions: no Pad nodes, no frozen lengths.
- The pooling's global context (mean and deviation of the utterance) goes through its own columns
  of the attention's first layer once per utterance instead of once per frame: same arithmetic,
  a third of the work.

Source:
    Desplanques et al. 2020, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and
    Aggregation in TDNN Based Speaker Verification".
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from torch import Tensor, nn

from voiceauth.units import Hertz

RATE_HZ: Hertz = 8000
DIMENSION = 192
HIDDEN_BANDS = 10
HIDDEN_FRAMES = 0.12
"""Most bands, and largest share of the frames, that training hides from a row."""


@dataclass(frozen=True)
class StudentShape:
    """Sizes of the network.

    Args:
        mel_bands: triangular bands of the front end.
        low_hz: lower edge of the first band.
        high_hz: upper edge of the last band.
        window: samples of one frame (25 ms).
        hop: samples between frames (10 ms).
        channels: width of the four TDNN blocks; the last layer has three times as many.
        attention: width of the attentive pooling.
        stride: frames per step of the first convolution.
        stem: channels of the two-dimensional convolutions beside it; 0 for none.
    """

    mel_bands: int = 64
    low_hz: float = 60.0
    high_hz: float = 3800.0
    window: int = 200
    hop: int = 80
    channels: int = 256
    attention: int = 64
    stride: int = 2
    stem: int = 0


class FrontEnd(nn.Module):
    """Log-mel frames with their mean over the utterance removed, no trained parameters."""

    dft: Tensor
    mel: Tensor

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        self.hop = shape.hop
        self.bins = 129
        self.register_buffer("dft", torch.from_numpy(_dft_kernels(shape.window)), persistent=False)
        self.register_buffer("mel", torch.from_numpy(_mel_bank(shape)), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Turn waveforms [batch, samples] into features [batch, mel_bands, frames]."""
        spectrum = nn.functional.conv1d(waveform.unsqueeze(1), self.dft, stride=self.hop)
        real, imaginary = spectrum[:, : self.bins], spectrum[:, self.bins :]
        power = torch.matmul(self.mel, real * real + imaginary * imaginary)
        # The floor lies 45 dB under speech of -34 dBFS, so digital silence does not rule the mean.
        logarithm = torch.log(power + 1e-6)
        return logarithm - logarithm.mean(dim=2, keepdim=True)


class AttentivePooling(nn.Module):
    """Attentive statistics pooling over all frames, [batch, channels, frames] to [.., 2 ch, 1].

    Takes over the layers of speechbrain's pooling, so that its initialisation and names hold.
    """

    def __init__(self, original: Any, channels: int) -> None:
        super().__init__()
        self.tdnn = original.tdnn
        self.conv = original.conv
        self.channels = channels

    def forward(self, frames: Tensor) -> Tensor:
        """Pool; mean and deviation are weighted by the attention of each channel."""
        mean = frames.mean(dim=2, keepdim=True)
        deviation = torch.sqrt((frames - mean).pow(2).mean(dim=2, keepdim=True).clamp(min=1e-12))
        first = self.tdnn.conv
        context = nn.functional.conv1d(
            torch.cat([mean, deviation], dim=1), first.weight[:, self.channels :], first.bias
        )
        hidden = nn.functional.conv1d(frames, first.weight[:, : self.channels]) + context
        hidden = torch.tanh(self.tdnn.norm(self.tdnn.activation(hidden)))
        attention = torch.softmax(self.conv(hidden), dim=2)
        mean = (attention * frames).sum(dim=2)
        variance = (attention * frames * frames).sum(dim=2) - mean * mean
        # A variance this small is rounding: its root must not reach the gradient.
        return torch.cat([mean, torch.sqrt(variance.clamp(min=1e-6))], dim=1).unsqueeze(2)


class Stem(nn.Module):
    """A second view of the bands for the first layer: [batch, bands, frames] to [.., frames / 2].

    A voice that is shifted a little along the frequency axis looks the same to two-dimensional
    convolutions, and like an unknown voice to a network that treats bands as channels. Their view
    is added to that of the first convolution; its weights start small, so that a network that was
    trained without them can go on with them.

    Source:
        Thienpondt et al. 2021, "Integrating Frequency Translational Invariance in TDNNs and
        Frequency Positional Information in 2D ResNets".
    """

    def __init__(self, shape: StudentShape, beside: nn.Conv1d) -> None:
        super().__init__()
        thin, wide = shape.stem, shape.stem * 3 // 2
        self.first = nn.Sequential(*_layers(1, thin, (2, shape.stride)))
        self.second = nn.Sequential(*_layers(thin, thin), *_layers(thin, thin)[:-1])
        self.third = nn.Sequential(*_layers(thin, wide, (2, 1)))
        self.fourth = nn.Sequential(*_layers(wide, wide)[:-1])
        self.out = nn.Conv1d(wide * (shape.mel_bands // 4), beside.out_channels, 1, bias=False)
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def forward(self, frames: Tensor) -> Tensor:
        """Filter over bands and frames, stack channels and bands, mix them."""
        plane = self.first(frames.unsqueeze(1))
        plane = nn.functional.relu(plane + self.second(plane))
        plane = self.third(plane)
        plane = nn.functional.relu(plane + self.fourth(plane))
        view: Tensor = self.out(plane.flatten(1, 2))
        return view


def _layers(before: int, after: int, stride: tuple[int, int] = (1, 1)) -> list[nn.Module]:
    """Convolution, norm, rectifier over bands and frames."""
    return [
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


class Student(nn.Module):
    """8 kHz waveforms [batch, samples] in [-1, 1] to unit embeddings [batch, 192]."""

    def __init__(self, shape: StudentShape | None = None) -> None:
        super().__init__()
        self.shape = shape or StudentShape()
        self.front_end = FrontEnd(self.shape)
        width = self.shape.channels
        self.network: Any = ECAPA_TDNN(
            self.shape.mel_bands,
            lin_neurons=DIMENSION,
            channels=[width] * 4 + [3 * width],
            attention_channels=self.shape.attention,
        )
        _unwrap(self.network)
        self.network.blocks[0].conv.stride = (self.shape.stride,)
        self.network.asp = AttentivePooling(self.network.asp, 3 * width)
        self.stem = Stem(self.shape, self.network.blocks[0].conv) if self.shape.stem else None

    def forward(self, waveform: Tensor) -> Tensor:
        """Embed; needs at least 0.3 s of samples."""
        frames: Tensor = self.front_end(waveform)
        if self.training:
            frames = hide_patches(frames)
        if self.stem is None:
            frames = self.network.blocks[0](frames)
        else:
            first = self.network.blocks[0]
            frames = first.norm(first.activation(first.conv(frames) + self.stem(frames)))
        layers = [frames]
        for block in self.network.blocks[1:]:
            frames = block(frames)
            layers.append(frames)
        frames = self.network.mfa(torch.cat(layers[1:], dim=1))
        pooled = self.network.asp_bn(self.network.asp(frames))
        embedding: Tensor = self.network.fc(pooled).squeeze(2)
        return nn.functional.normalize(embedding, dim=1)


def hide_patches(frames: Tensor) -> Tensor:
    """Set a random stretch of bands and one of frames to the mean, in half of the rows each.

    A network that hears a few hundred people otherwise leans on single bands.

    Args:
        frames: [batch, mel_bands, frames], mean removed.

    Source:
        Park et al. 2019, "SpecAugment".
    """
    batch, bands, length = frames.shape
    hidden = _stretches(batch, bands, HIDDEN_BANDS)[:, :, None]
    hidden = hidden | _stretches(batch, length, round(HIDDEN_FRAMES * length))[:, None, :]
    return frames.masked_fill(hidden, 0.0)


def _stretches(batch: int, length: int, longest: int) -> Tensor:
    """Mark one random stretch in about half of the rows, bool [batch, length]."""
    size = torch.randint(0, longest + 1, (batch, 1)) * (torch.rand(batch, 1) < 0.5)
    start = (torch.rand(batch, 1) * (length - size)).long()
    place = torch.arange(length)[None]
    return (place >= start) & (place < start + size)


def _unwrap(module: nn.Module) -> None:
    """Replace speechbrain's wrappers by the plain layers inside them, padding with zeros."""
    for name, child in module.named_children():
        inner: Any = child
        if type(child).__name__ == "Conv1d" and hasattr(child, "conv"):
            plain = inner.conv
            plain.padding = (plain.dilation[0] * (plain.kernel_size[0] - 1) // 2,)
            setattr(module, name, plain)
        elif type(child).__name__ == "BatchNorm1d" and hasattr(child, "norm"):
            setattr(module, name, inner.norm)
        else:
            _unwrap(child)


def _dft_kernels(window: int) -> NDArray[np.float32]:
    """Hamming-windowed 256-point DFT as convolution kernels, shape (2 * 129, 1, window)."""
    time = np.arange(window)
    angle = 2.0 * np.pi * np.outer(np.arange(129), time) / 256.0
    kernels = np.concatenate([np.cos(angle), -np.sin(angle)]) * np.hamming(window)
    return kernels[:, None, :].astype(np.float32)


def _mel_bank(shape: StudentShape) -> NDArray[np.float32]:
    """Triangular bands, equally spaced on the mel scale, shape (mel_bands, 129)."""
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (shape.low_hz, shape.high_hz))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, shape.mel_bands + 2) / 2595.0) - 1.0)
    bins = np.arange(129)[None] * RATE_HZ / 256.0
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    # Narrow low bands can fall between two bins: give them their nearest one.
    empty = bank.sum(axis=1) < 0.1
    bank[empty, np.round(centre[empty, 0] * 256.0 / RATE_HZ).astype(int)] = 0.5
    return bank.astype(np.float32)
