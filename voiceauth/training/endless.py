# SPDX-License-Identifier: Apache-2.0
"""Crops of voices that are changed without end, each labelled by the teacher itself.

With stored labels a student learns a list of some ten thousand voices and stays behind on people
that are not in it. Here every utterance is changed anew, by speed and by a bent frequency axis (a
vocal tract that nobody has), the teacher hears the changed utterance, and the student hears some
crops of it, each by another call. What is learnt is the teacher's function, not a list.

Rules:

- The teacher hears the wideband, clean, changed utterance; the student a telephone crop of it.
- Unchanged recordings keep their class and a share of their speaker's centroid in the target.
- The teacher runs in the loader's processes, on one thread each.

Source:
    Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent".
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from voiceauth.testing.channel import apply, draw_channel
from voiceauth.training.corpus import RATE_HZ
from voiceauth.training.crops import (
    PHONE_HZ,
    UTTERANCE_SHARE,
    FloatArray,
    VoiceStream,
    draw_seconds,
    exactly,
    piece_of,
    unit,
)
from voiceauth.training.objective import UNLABELLED
from voiceauth.training.teacher import embed_alike, load_teacher
from voiceauth.training.voices import Bend, Variant, bend, vary
from voiceauth.units import Rate, Seconds

HEARD_SECONDS: Seconds = 3.5
"""What the teacher hears of an utterance; a shorter one repeats."""
UNCHANGED: Rate = 0.3
SPEED_SPREAD = 0.11
"""Standard deviation of the logarithm of the speed."""


@dataclass(frozen=True)
class Heard:
    """One changed utterance and where the teacher puts it.

    Args:
        speech: float32, shape (samples,), 16 kHz, ``HEARD_SECONDS`` long.
        clip: index into the corpus.
        changed: whether it is another voice than the recording's.
    """

    speech: FloatArray
    clip: int
    changed: bool


class EndlessStream(VoiceStream):
    """Endless batches in the form of ``CropStream``'s; ``plan.views`` crops share one utterance.

    The targets' centre is taken from the live embeddings too.
    """

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield ``waveform`` [batch, samples], ``target`` [batch, 192], ``label`` [batch]."""
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        place = worker.id if worker else 0
        lengths = np.random.default_rng((self.seed, place))
        rng = np.random.default_rng((self.seed, place, 1 + self.rank))
        teacher = load_teacher()
        half = torch.backends.cpu.get_cpu_capability() == "AVX512"
        while True:
            seconds = draw_seconds(lengths, self.plan)
            utterances = [self._utterance(rng) for _ in range(self.plan.batch // self.plan.views)]
            rows = embed_alike(teacher, [one.speech for one in utterances], half=half)
            yield self._batch(rng, seconds, utterances, unit(rows - self.targets.centre))

    def _batch(
        self,
        rng: np.random.Generator,
        seconds: Seconds,
        utterances: list[Heard],
        rows: FloatArray,
    ) -> dict[str, torch.Tensor]:
        crops, targets, labels = [], [], []
        for one, row in zip(utterances, rows, strict=True):
            label = UNLABELLED if one.changed else int(self.targets.own[one.clip])
            target = row
            if label != UNLABELLED:
                centroid = self.targets.centroid[label]
                target = unit(UTTERANCE_SHARE * row + (1.0 - UTTERANCE_SHARE) * centroid)
            narrow = vary(one.speech, Variant(), RATE_HZ, PHONE_HZ)
            for _ in range(self.plan.views):
                crops.append(self._call(rng, narrow, seconds))
                targets.append(target)
                labels.append(label)
        return {
            "waveform": torch.from_numpy(np.stack(crops)),
            "target": torch.from_numpy(np.stack(targets)),
            "label": torch.tensor(labels),
        }

    def _utterance(self, rng: np.random.Generator) -> Heard:
        _, clip = self.drawn(rng)
        samples = round(HEARD_SECONDS * RATE_HZ)
        if rng.random() < UNCHANGED:
            return Heard(piece_of(self.corpus, rng, clip, samples), clip, changed=False)
        speed = float(np.exp(np.clip(rng.normal(0.0, SPEED_SPREAD), -0.27, 0.27)))
        piece = piece_of(self.corpus, rng, clip, round(samples * speed) + 1)
        speech = vary(bend(piece, Bend.draw(rng), RATE_HZ), Variant(speed), RATE_HZ, RATE_HZ)
        return Heard(exactly(speech, samples), clip, changed=True)

    def _call(self, rng: np.random.Generator, narrow: FloatArray, seconds: Seconds) -> FloatArray:
        samples = min(round(seconds * PHONE_HZ), len(narrow))
        start = int(rng.integers(len(narrow) - samples + 1))
        speech = narrow[start : start + samples]
        if rng.random() < self.plan.clean:
            return speech * np.float32(10.0 ** rng.uniform(-0.6, 0.2))
        return apply(draw_channel(rng, self.sounds, self.plan.severity), speech, self.sounds)
