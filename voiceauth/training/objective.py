# SPDX-License-Identifier: Apache-2.0
"""What the student is asked to do: imitate the teacher, keep its geometry, tell speakers apart.

Three terms, weighted 2, 5 and 0.15:

- ``1 - cos`` between the student's embedding of a telephone crop and the target;
- mean squared difference between the batch's similarity matrices of student and targets;
- additive-angular-margin softmax over pseudo-speakers (speaker and variant are one class), whose
  class directions are the teacher's centroids and stay so.

The directions are not trained on purpose: with two thousand classes, each heard a few dozen times,
trained directions drift away from the targets faster than the student can follow, and the two
terms pull it apart.

Targets are rows of centred teacher embeddings: mostly the utterance's own for recordings, the
centroid for changed voices. Unlabelled audio has the class ``UNLABELLED`` and is only distilled.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

UNLABELLED = -1


@dataclass(frozen=True)
class Weights:
    """Weights of the terms and the softmax's constants.

    Args:
        distance: of ``1 - cos``.
        geometry: of the similarity matrices.
        speakers: of the margin softmax.
        scale: of the softmax's cosines.
        margin: in radians, at the end of its ramp.
        ramp: share of the run over which the margin grows from 0.
    """

    distance: float = 2.0
    geometry: float = 5.0
    speakers: float = 0.15
    scale: float = 30.0
    margin: float = 0.1
    ramp: float = 0.3


@dataclass(frozen=True)
class Terms:
    """The loss and its unweighted parts, scalars."""

    total: Tensor
    distance: Tensor
    geometry: Tensor
    speakers: Tensor


class Objective(nn.Module):
    """The loss.

    Args:
        directions: [classes, 192]; centroids of the pseudo-speakers in the teacher's space. Zero
            rows are classes that never occur.
        weights: of the terms.
    """

    directions: Tensor

    def __init__(self, directions: Tensor, weights: Weights | None = None) -> None:
        super().__init__()
        self.weights = weights or Weights()
        self.register_buffer("directions", nn.functional.normalize(directions, dim=1))

    def forward(self, embedding: Tensor, target: Tensor, label: Tensor, done: float) -> Terms:
        """Compute the loss of one batch.

        Args:
            embedding: [batch, 192], unit length.
            target: [batch, 192], unit length.
            label: [batch], class or ``UNLABELLED``.
            done: share of the run that has passed, 0 to 1.
        """
        w = self.weights
        distance = (1.0 - (embedding * target).sum(dim=1)).mean()
        geometry = (embedding @ embedding.T - target @ target.T).pow(2).mean()
        speakers = self._speakers(embedding, label, w.margin * min(1.0, done / w.ramp))
        total = w.distance * distance + w.geometry * geometry + w.speakers * speakers
        return Terms(total, distance, geometry, speakers)

    def _speakers(self, embedding: Tensor, label: Tensor, margin: float) -> Tensor:
        known = label != UNLABELLED
        if not bool(known.any()):
            return embedding.sum() * 0.0
        label = label[known]
        cosine = embedding[known] @ self.directions.T
        own = cosine.gather(1, label[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        sine = torch.sqrt(1.0 - own * own)
        shifted = own * math.cos(margin) - sine * math.sin(margin)
        # Beyond pi - margin the shifted cosine would rise again; go on linearly there.
        shifted = torch.where(own > -math.cos(margin), shifted, own - math.sin(margin) * margin)
        logits = cosine.scatter(1, label[:, None], shifted)
        return nn.functional.cross_entropy(self.weights.scale * logits, label)
