# SPDX-License-Identifier: Apache-2.0
"""The network as it is exported: every batch norm folded away, in exact arithmetic.

Every convolution of ECAPA-TDNN is followed by ReLU and then by a batch norm, that is by a scale and
a shift of each channel. ReLU commutes with a positive scale, so every scale goes into the rows of
the convolution *before* it. The shift goes into the bias of the convolution *after* it, wherever
that one sees the same shift in every frame. Where it does not, the shift stays, as one addition:

- The Res2Net convolutions look at three frames and pad with zeros, and at the borders a padded zero
  carries no shift. So the shift is added before them: once for all eight groups, with the shift of
  the group that is summed onto it, instead of eight batch norms.
- The squeeze-and-excitation gate multiplies the shift by a factor that differs between utterances.
- Between the batch norm and the hyperbolic tangent of the pooling no convolution lies.

Three more things go: the shift of the residual stream, which is constant, travels beside the tensor
into the biases of its readers; the bias of the attention, which the softmax over time cancels; and
the frequencies that no mel band hears. Nothing here is an approximation: the export's parity check
compares this network's graph with the student that was trained.

The convolutions are two-dimensional with a height of 1: ONNX Runtime has its faster, blocked
kernels for those only.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from voiceauth.training.student import AttentivePooling, FrontEnd, Student


def fold(student: Student) -> nn.Module:
    """Return the student's function, waveforms [batch, samples] to unit embeddings, without norms.

    Args:
        student: in evaluation mode; it is not changed.
    """
    return Folded(heard(student.front_end), student.network, getattr(student, "stem", None))


def heard(front_end: FrontEnd) -> FrontEnd:
    """Return the front end without the frequencies that no mel band hears."""
    trimmed = copy.deepcopy(front_end)
    used = torch.nonzero(front_end.mel.sum(dim=0) > 0)[:, 0]
    trimmed.dft = torch.cat([front_end.dft[used], front_end.dft[front_end.bins + used]])
    trimmed.mel = front_end.mel[:, used].contiguous()
    trimmed.bins = len(used)
    return trimmed


class Folded(nn.Module):
    """A front end and an ECAPA-TDNN without norms.

    Args:
        front_end: waveforms [batch, samples] to features [batch, bands, frames].
        network: speechbrain's ECAPA-TDNN in evaluation mode, its wrappers replaced by plain layers
            and its pooling by ``AttentivePooling``.
        stem: second view of the features, added before the first ReLU; None where there is none.
    """

    def __init__(self, front_end: nn.Module, network: Any, stem: Any = None) -> None:
        super().__init__()
        self.front_end = front_end
        self.stem = copy.deepcopy(stem)
        if self.stem is not None:
            # Its own norms follow convolutions directly: the exporter folds those by itself.
            scale, _ = _affine(network.blocks[0].norm)
            self.stem.out.weight.data.mul_(scale.abs()[:, None, None].float())
        self.first = _Rectified(network.blocks[0])
        shift = self.first.shift
        shifts, layers = [], []
        for block in network.blocks[1:]:
            layer = _Layer(block, shift)
            layers.append(layer)
            shift = layer.shift
            shifts.append(shift)
        self.layers = nn.ModuleList(layers)
        self.mfa = _Rectified(network.mfa, torch.cat(shifts))
        self.pooling = _Pooling(network.asp, self.mfa.shift)
        self.last = _last(network, self.mfa.shift)

    def forward(self, waveform: Tensor) -> Tensor:
        """Embed."""
        features = self.front_end(waveform)
        beside = None if self.stem is None else self.stem(features).unsqueeze(2)
        frames = self.first(features.unsqueeze(2), beside)
        outputs = []
        for layer in self.layers:
            frames = layer(frames)
            outputs.append(frames)
        pooled = self.pooling(self.mfa(torch.cat(outputs, dim=1)))
        return nn.functional.normalize(self.last(pooled).flatten(1), dim=1)


class _Rectified(nn.Module):
    """Convolution and ReLU of a TDNN block, with the scale of its norm; the caller adds ``shift``.

    Args:
        block: speechbrain's TDNNBlock of plain layers.
        arriving: shift that the input lacks, shape (channels in,); only before a kernel of 1.
    """

    signs: Tensor | None
    shift: Tensor

    def __init__(self, block: Any, arriving: Tensor | None = None) -> None:
        super().__init__()
        scale, shift = _affine(block.norm)
        self.conv = _copy(block.conv, rows=scale.abs(), arriving=arriving)
        self.register_buffer("signs", _signs(scale))
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, frames: Tensor, beside: Tensor | None = None) -> Tensor:
        """Give the block's output less its shift; ``beside`` is added before the ReLU."""
        response = self.conv(frames)
        rectified = torch.relu(response if beside is None else response + beside)
        # A negative scale turns what ReLU left; training hardly ever ends in one.
        return rectified if self.signs is None else rectified * self.signs


class _Layer(nn.Module):
    """One SE-Res2Net block.

    Args:
        block: speechbrain's SERes2NetBlock of plain layers.
        arriving: shift that its input lacks, shape (channels,).
    """

    inner_shift: Tensor
    outer_shift: Tensor
    shift: Tensor

    def __init__(self, block: Any, arriving: Tensor) -> None:
        super().__init__()
        self.shortcut: nn.Conv2d | None = None
        if block.shortcut is not None:
            self.shortcut = _copy(block.shortcut, arriving=arriving)
        self.narrow = _Rectified(block.tdnn1, arriving)
        self.groups = nn.ModuleList(_Rectified(one) for one in block.res2net_block.blocks)
        self.width = len(self.narrow.shift) // block.res2net_block.scale
        inner = list(torch.split(self.narrow.shift, self.width))
        after = [one.shift for one in self._rectified_groups()]
        # The first group is copied, not convolved: its shift can wait. Group i is summed with the
        # output of group i - 1, so its addition brings that one's shift too.
        added = [torch.zeros_like(inner[0]), inner[1]]
        added += [one + before for one, before in zip(inner[2:], after, strict=False)]
        self.register_buffer(
            "inner_shift", torch.cat(added)[:, None, None].float(), persistent=False
        )
        self.wide = _Rectified(block.tdnn2, torch.cat([inner[0], *after]))
        squeeze = block.se_block
        self.squeeze = _copy(squeeze.conv1, arriving=self.wide.shift)
        self.excite = _copy(squeeze.conv2)
        outer = self.wide.shift[:, None, None].float()
        self.register_buffer("outer_shift", outer, persistent=False)
        left = arriving if self.shortcut is None else torch.zeros_like(self.wide.shift)
        self.register_buffer("shift", left, persistent=False)

    def _rectified_groups(self) -> list[_Rectified]:
        return [one for one in self.groups if isinstance(one, _Rectified)]

    def forward(self, frames: Tensor) -> Tensor:
        """Give the block's output less ``shift``."""
        residual = frames if self.shortcut is None else self.shortcut(frames)
        inner = self.narrow(frames) + self.inner_shift
        parts = torch.split(inner, self.width, dim=1)
        outputs = [parts[0]]
        for i, group in enumerate(self.groups):
            arriving = parts[i + 1] if i == 0 else parts[i + 1] + outputs[-1]
            outputs.append(group(arriving))
        wide = self.wide(torch.cat(outputs, dim=1))
        gate = torch.relu(self.squeeze(wide.mean(dim=3, keepdim=True)))
        gate = torch.sigmoid(self.excite(gate))
        result: Tensor = gate * (wide + self.outer_shift) + residual
        return result


class _Pooling(nn.Module):
    """Attentive statistics of frames that lack a shift; so does the mean that comes out.

    Args:
        pooling: of the student, or one with an attribute ``exact``: its deviations are then taken
            around the mean, at the cost of one more pass, and down to a variance of 1e-12.
        arriving: shift that the frames lack, shape (channels,).
    """

    signs: Tensor | None
    shift: Tensor

    def __init__(self, pooling: AttentivePooling, arriving: Tensor) -> None:
        super().__init__()
        self.exact = bool(getattr(pooling, "exact", False))
        channels = pooling.channels
        scale, shift = _affine(pooling.tdnn.norm)
        first = pooling.tdnn.conv
        # The deviation knows no shift, the frames and their mean do.
        arriving = torch.cat([arriving, arriving, torch.zeros_like(arriving)])
        weight = first.weight.detach().double()
        bias = (first.bias.detach().double() + weight[:, :, 0] @ arriving) * scale.abs()
        weight = weight * scale.abs()[:, None, None]
        self.frames = _flat(first, weight[:, :channels], None)
        self.context = _flat(first, weight[:, channels:], bias)
        self.register_buffer("signs", _signs(scale))
        self.register_buffer("shift", shift[:, None, None].float(), persistent=False)
        # The softmax over time cancels whatever is the same in every frame.
        self.attention = _flat(pooling.conv, pooling.conv.weight.detach(), None)

    def forward(self, frames: Tensor) -> Tensor:
        """Pool [batch, channels, 1, frames] to [batch, 2 channels, 1, 1]."""
        mean = frames.mean(dim=3, keepdim=True)
        centred = frames - mean
        deviation = torch.sqrt((centred * centred).mean(dim=3, keepdim=True).clamp(min=1e-12))
        context = self.context(torch.cat([mean, deviation], dim=1))
        hidden = torch.relu(self.frames(frames) + context)
        if self.signs is not None:
            hidden = hidden * self.signs
        attention = torch.softmax(self.attention(torch.tanh(hidden + self.shift)), dim=3)
        weighted = attention * frames
        mean = weighted.sum(dim=3, keepdim=True)
        if self.exact:
            centred = frames - mean
            variance = (attention * centred * centred).sum(dim=3, keepdim=True)
            return torch.cat([mean, torch.sqrt(variance.clamp(min=1e-12))], dim=1)
        variance = (weighted * frames).sum(dim=3, keepdim=True) - mean * mean
        return torch.cat([mean, torch.sqrt(variance.clamp(min=1e-6))], dim=1)


def _last(network: Any, arriving: Tensor) -> nn.Conv2d:
    """Fold the norm of the pooled statistics and the shift of their means into the last layer."""
    scale, shift = _affine(network.asp_bn)
    lacking = torch.cat([arriving, torch.zeros_like(arriving)])
    return _copy(network.fc, columns=scale, arriving=scale * lacking + shift)


def _signs(scale: Tensor) -> Tensor | None:
    """Signs of scales to multiply with, shape (channels, 1, 1); None where all are positive."""
    return torch.sign(scale)[:, None, None].float() if bool((scale < 0).any()) else None


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift of a norm in evaluation mode, float64, shape (channels,) each."""
    stored = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    mean, variance, weight, bias = (one.detach().double() for one in stored)
    scale = weight / torch.sqrt(variance + norm.eps)
    return scale, bias - mean * scale


def _copy(
    conv: nn.Conv1d,
    *,
    rows: Tensor | None = None,
    columns: Tensor | None = None,
    arriving: Tensor | None = None,
) -> nn.Conv2d:
    """Copy a convolution as a flat two-dimensional one, with norms before and after it folded in.

    Args:
        conv: is not changed.
        rows: scale of each output, float64, shape (channels out,).
        columns: scale of each input, float64, shape (channels in,).
        arriving: constant input whose response joins the bias, before any scale of the columns,
            float64, shape (channels in,); kernels of 1 only.
    """
    weight = conv.weight.detach().double()
    bias = torch.zeros(len(weight)).double() if conv.bias is None else conv.bias.detach().double()
    if arriving is not None:
        bias = bias + weight[:, :, 0] @ arriving
    if columns is not None:
        weight = weight * columns[:, None]
    if rows is not None:
        weight, bias = weight * rows[:, None, None], bias * rows
    return _flat(conv, weight, bias)


def _flat(conv: nn.Conv1d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Make a convolution of height 1 with these weights, shape (out, in per group, kernel)."""
    flat = nn.Conv2d(
        weight.shape[1] * conv.groups,
        len(weight),
        (1, conv.kernel_size[0]),
        stride=(1, conv.stride[0]),
        padding=(0, int(conv.padding[0])),
        dilation=(1, conv.dilation[0]),
        groups=conv.groups,
        bias=bias is not None,
        padding_mode=conv.padding_mode,
    )
    flat.weight = nn.Parameter(weight.float().unsqueeze(2), requires_grad=False)
    if bias is not None:
        flat.bias = nn.Parameter(bias.float(), requires_grad=False)
    return flat
