# SPDX-License-Identifier: Apache-2.0
"""The score-normalisation cohort: one unit centroid per training speaker, heard by telephone.

Each centroid averages a few pieces of the speaker's speech, every piece through its own simulated
call. The file holds embeddings of people who agreed to research use of their recordings; it
carries no names and no order that leads back to them.
"""

import numpy as np
from numpy.typing import NDArray

from voiceauth.testing.channel import apply, draw_channel
from voiceauth.training.corpus import RATE_HZ, Corpus
from voiceauth.training.crops import phone_rate, unit
from voiceauth.training.evaluation import Embed
from voiceauth.units import Seconds

PIECES = 8
PIECE_SECONDS: tuple[Seconds, Seconds] = (2.0, 5.0)
"""Range of the lengths: cohort voices should vary as probes do (see docs/calibration.md)."""


def build_cohort(embed: Embed, corpus: Corpus, seed: int = 2024) -> NDArray[np.float32]:
    """Embed every labelled speaker of a corpus.

    Args:
        embed: the model.
        corpus: train speech; never dev or test, whose people must stay unknown to the cohort.
        seed: of pieces and calls.

    Returns:
        float32, shape (speakers, 192), unit rows in random order.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for name in corpus.speakers():
        clips = [i for i, clip in enumerate(corpus.clips) if clip.speaker == name]
        pieces = [_piece(rng, corpus, clips) for _ in range(PIECES)]
        rows.append(np.mean([embed(piece) for piece in pieces], axis=0))
    return unit(np.stack(rows).astype(np.float32))[rng.permutation(len(rows))]


def _piece(rng: np.random.Generator, corpus: Corpus, clips: list[int]) -> NDArray[np.float32]:
    """A few seconds of one speaker through one call, float32, shape (samples,), 8 kHz."""
    waveform = corpus.samples(clips[int(rng.integers(len(clips)))])
    samples = round(float(rng.uniform(*PIECE_SECONDS)) * RATE_HZ)
    start = int(rng.integers(max(1, len(waveform) - samples + 1)))
    return apply(draw_channel(rng), phone_rate(waveform[start : start + samples]))
