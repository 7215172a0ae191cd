# SPDX-License-Identifier: Apache-2.0
"""From the last checkpoint to the files that ship: graphs, cohort, weights, figures and card.

The figures are those of the exported graph, run by the engine's own loader, not of the torch model.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voiceauth.errors import ModelOutputError
from voiceauth.models.bundle import write_cohort
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.training.card import write_card
from voiceauth.training.checkpoint import load_student, save_weights
from voiceauth.training.cohort import build_cohort
from voiceauth.training.corpus import Corpus, has_rows, load_corpus
from voiceauth.training.evaluation import evaluate, prepare
from voiceauth.training.export import export
from voiceauth.training.quantise import quantise
from voiceauth.training.student import Student, StudentShape
from voiceauth.training.trials import figures
from voiceauth.training.voices import VARIANTS

LICENCE = "Apache-2.0"
SET = "speechocean762"
"""The set whose dev and test speakers give the figures."""


def name_of(shape: StudentShape) -> str:
    """Name of a model of this shape, and of its files."""
    return f"voiceauth-ecapa{shape.channels}-8k"


NAME = name_of(StudentShape())
"""Name of a model of the usual width."""


@dataclass(frozen=True)
class Places:
    """Where things lie.

    Args:
        data: the pack's root.
        cache: decoded audio.
        run: folder of the run (``last.pt``, ``run.json``).
        models: folder of the shipped models.
    """

    data: Path
    cache: Path
    run: Path
    models: Path


def publish(places: Places) -> dict[str, Any]:
    """Export, measure and document the run's last checkpoint.

    Returns:
        The record that the card was written from; also ``NAME.json`` beside the model.

    Raises:
        ModelOutputError: the exported graph does not reproduce the student.
    """
    run = json.loads((places.run / "run.json").read_text())
    student = Student(shape_of(run))
    name = name_of(student.shape)
    load_student(places.run / "last.pt", student)
    places.models.mkdir(parents=True, exist_ok=True)
    graph = places.models / f"{name}.onnx"
    cosine = export(student, graph, {"licence": LICENCE, "name": name})
    save_weights(places.models / "training" / f"{name}.npz", student)
    speaker = OnnxSpeaker.of_file(graph)
    train = load_corpus(places.data, places.cache, "speech", "train")
    cohort = build_cohort(speaker.embed, train)
    write_cohort(places.models / f"{name}-cohort.npz", cohort, speaker.model)
    record = {
        "name": name,
        "channels": student.shape.channels,
        "weights": sum(one.numel() for one in student.parameters()),
        "sha256": str(speaker.model),
        "cohort_sha256": _digest(places.models / f"{name}-cohort.npz"),
        "parity_cosine": cosine,
        "people": len(train.speakers()),
        "synthetic_voices": _synthetic(places),
        "variants": len(VARIANTS),
        "run": run,
        "int8": _int8(graph, places, train),
        **measure(speaker, places),
    }
    (places.models / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    write_card(places.models / f"{name}.md", record)
    return record


def _synthetic(places: Places) -> int:
    """Number of synthetic voices that the run learnt from as well."""
    if not has_rows(places.data, "spoof"):
        return 0
    return len(load_corpus(places.data, places.cache, "spoof", "train").speakers())


def shape_of(run: dict[str, Any]) -> StudentShape:
    """Shape of a run's network, from its record; the usual one where the record has none."""
    return StudentShape(**run.get("plan", {}).get("shape", {}))


def _int8(graph: Path, places: Places, train: Corpus) -> dict[str, Any]:
    """Write ``NAME-int8.onnx``; without a form that agrees there is none, and an old one goes."""
    target = graph.with_name(f"{graph.stem}-int8.onnx")
    target.unlink(missing_ok=True)
    development = load_corpus(places.data, places.cache, "speech", "dev", SET)
    try:
        return asdict(quantise(graph, target, train, prepare(development)))
    except ModelOutputError as error:
        return {"refused": str(error)}


def measure(speaker: OnnxSpeaker, places: Places) -> dict[str, Any]:
    """Dev error rates and the test list's figures of any model file."""
    development = load_corpus(places.data, places.cache, "speech", "dev", SET)
    test = load_corpus(places.data, places.cache, "speech", "test", SET)
    trials = places.data / "trials" / f"{SET}-test.csv"
    return {
        "dev_eer": asdict(evaluate(speaker.embed, prepare(development))),
        "test": [asdict(one) for one in figures(speaker.embed, places.data, trials, test)],
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
