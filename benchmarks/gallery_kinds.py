# SPDX-License-Identifier: Apache-2.0
"""Every kind of FAISS index that could search a large tenant, on the same vectors and probes.

Candidates of coded kinds are compared again with the exact vectors, as the gallery does.
"""

import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
PROPOSALS = 64
KINDS: dict[str, tuple[str, dict[str, int]]] = {
    "flat": ("Flat", {}),
    "flat, 8 bits": ("SQ8", {}),
    "graph (HNSW32), 8 bits": ("HNSW32_SQ8", {"efSearch": 128}),
    "lists": ("IVF{lists},Flat", {"nprobe": 64}),
    "lists, 16 bits": ("IVF{lists},SQfp16", {"nprobe": 64}),
    "lists, 8 bits, 16 probed": ("IVF{lists},SQ8", {"nprobe": 16}),
    "lists, 8 bits, 32 probed": ("IVF{lists},SQ8", {"nprobe": 32}),
    "lists, 8 bits, 64 probed": ("IVF{lists},SQ8", {"nprobe": 64}),
    "lists, 8 bits, 128 probed": ("IVF{lists},SQ8", {"nprobe": 128}),
    "lists, 8 bits, 512 probed": ("IVF{lists},SQ8", {"nprobe": 512}),
    "lists, 48 bytes (PQ)": ("IVF{lists},PQ48", {"nprobe": 64}),
    "lists, 96 x 4 bits (PQ)": ("IVF{lists},PQ96x4fsr", {"nprobe": 64}),
}


def compare_kinds(vectors: Array, probes: Array) -> dict[str, Any]:
    """Build, search and shrink each kind; probes are of people 0, 1, 2 and so on."""
    faiss.omp_set_num_threads(1)
    lists = 2 ** int(np.ceil(np.log2(2.8 * np.sqrt(len(vectors)))))
    truth = (probes @ vectors.T).argmax(axis=1)
    found: dict[str, Any] = {}
    built: dict[str, tuple[Any, float]] = {}
    for name, (factory, settings) in KINDS.items():
        if factory not in built:
            built.clear()
            built[factory] = _built(factory.format(lists=lists), vectors)
        index, seconds = built[factory]
        for setting, value in settings.items():
            faiss.ParameterSpace().set_index_parameter(index, setting, value)
        found[name] = {
            "build_seconds": round(seconds, 1),
            "bytes_per_voiceprint": round(faiss.serialize_index(index).nbytes / len(vectors)),
            **_searched(index, vectors, probes, truth),
            "removes": _removes(index) if name != "flat" else True,
        }
        print(name, found[name], flush=True)
    return found


def _built(factory: str, vectors: Array) -> tuple[Any, float]:
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    began = time.process_time()
    if not index.is_trained:
        chosen = np.random.default_rng(5).choice(len(vectors), min(len(vectors), 160_000), False)
        index.train(vectors[np.sort(chosen)])
    index.add(vectors)
    return index, time.process_time() - began


def _searched(
    index: Any, vectors: Array, probes: Array, truth: NDArray[np.int64]
) -> dict[str, Any]:
    times, raw, exact = [], 0, 0
    for probe, nearest in zip(probes, truth, strict=True):
        began = time.thread_time()
        near = index.search(probe[None], PROPOSALS)[1][0]
        near = near[near >= 0]
        best = near[np.argmax(vectors[near] @ probe)]
        times.append(time.thread_time() - began)
        raw += int(near[0] == nearest)
        exact += int(best == nearest)
    middle, high = 1000.0 * np.quantile(times, [0.5, 0.99])
    return {
        "recall_by_code": round(raw / len(probes), 4),
        "recall": round(exact / len(probes), 4),
        "p50_ms": round(float(middle), 3),
        "p99_ms": round(float(high), 3),
    }


def _removes(index: Any) -> bool:
    """Whether a vector can be taken out at all."""
    remove: Callable[..., Any] = index.remove_ids
    try:
        return bool(remove(np.array([0], dtype=np.int64)) == 1)
    except RuntimeError:
        return False


def render_kinds(size: int, found: dict[str, Any]) -> str:
    """Write the comparison as a table."""
    lines = [
        f"{size:,} voiceprints",
        (
            f"{'kind':28} {'build s':>8} {'bytes':>6} {'recall':>8} {'by code':>8} "
            f"{'p50 ms':>8} {'p99 ms':>8}  removal"
        ),
    ]
    lines += [
        f"{name:28} {one['build_seconds']:8.1f} {one['bytes_per_voiceprint']:6d} "
        f"{one['recall']:8.4f} {one['recall_by_code']:8.4f} {one['p50_ms']:8.3f} "
        f"{one['p99_ms']:8.3f}  {'yes' if one['removes'] else 'no'}"
        for name, one in found.items()
    ]
    return "\n".join(lines)
