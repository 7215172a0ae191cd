# SPDX-License-Identifier: Apache-2.0
"""The training run: resumable, bounded by the clock, evaluated and exported as it goes.

Rules:

- The schedule (warm-up, cosine to zero, margin ramp) follows the share of the time budget that has
  passed, so a run on a busy machine still ends with a settled model at the hour it was given.
- Everything that a restart needs is in ``last.pt``, replaced atomically every few minutes.
- Half precision is used only where a trial shows that it is faster: on processors without
  native bfloat16 it is several times slower.
"""

import copy
import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress as Bar
from rich.progress import TextColumn, TimeElapsedColumn

from voiceauth.errors import SettingsError
from voiceauth.training.checkpoint import Progress, load_student, resume, save
from voiceauth.training.corpus import load_corpus, load_voices
from voiceauth.training.crops import (
    CropPlan,
    CropStream,
    FloatArray,
    Targets,
    build_sounds,
    build_targets,
)
from voiceauth.training.endless import EndlessStream
from voiceauth.training.evaluation import ErrorRates, HeldOut, evaluate, prepare
from voiceauth.training.exchange import average, common, meet
from voiceauth.training.export import export
from voiceauth.training.objective import Objective, Terms, Weights
from voiceauth.training.optimiser import Both
from voiceauth.training.student import Student, StudentShape
from voiceauth.training.teacher import load_store
from voiceauth.units import Seconds

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class RunPlan:
    """What a run is.

    Args:
        data: the pack's root.
        cache: decoded audio and teacher stores.
        out: checkpoints, snapshots and the run's record.
        also: roots of further packs whose train speech is learnt from too.
        budget: seconds from the first start to the end of the schedule.
        rate: peak learning rate.
        decay: weight decay.
        warm_up: share of the budget.
        clip_norm: largest gradient norm.
        checkpoint_every: seconds.
        evaluate_every: seconds.
        threads: of torch, in each process.
        processes: that share every step, each with a batch of its own. On a machine that does
            other work too, two processes of one thread are about twice as fast as one of two
            threads: the latter meet at a barrier in every layer, the former once a step.
        workers: processes that make the crops, for each of them.
        device: of torch; the record of a run says which.
        seed: of everything random.
        init: weights to start from.
        development: set whose dev split is evaluated.
        crops: how batches are drawn.
        weights: of the objective.
        shape: of the network.
    """

    data: Path
    cache: Path
    out: Path
    budget: Seconds
    also: tuple[Path, ...] = ()
    rate: float = 2e-3
    decay: float = 0.05
    warm_up: float = 0.02
    clip_norm: float = 3.0
    checkpoint_every: Seconds = 180.0
    evaluate_every: Seconds = 1200.0
    threads: int = 2
    processes: int = 1
    workers: int = 1
    device: str = "cpu"
    seed: int = 1
    init: Path | None = None
    development: str = "speechocean762"
    crops: CropPlan = field(default_factory=CropPlan)
    weights: Weights = field(default_factory=Weights)
    shape: StudentShape = field(default_factory=StudentShape)


@dataclass
class _State:
    """The moving parts of a run."""

    student: Student
    objective: Objective
    optimiser: torch.optim.Optimizer
    progress: Progress
    half: bool = False


def learning_rate(plan: RunPlan, done: float) -> float:
    """Linear warm-up, then cosine to zero; ``done`` is the share of the budget, 0 to 1."""
    if done < plan.warm_up:
        return plan.rate * max(done / plan.warm_up, 0.01)
    place = (done - plan.warm_up) / (1.0 - plan.warm_up)
    return plan.rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, place)))


def train(plan: RunPlan) -> Path:
    """Run, or go on with, one training; returns the last checkpoint.

    Raises:
        SettingsError: the data or the teacher's embeddings are missing.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    if plan.processes == 1:
        _run(0, plan)
        return plan.out / "last.pt"
    meeting = plan.out / "meeting"
    meeting.unlink(missing_ok=True)
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_peer, args=(rank, plan, meeting), daemon=False)
        for rank in range(1, plan.processes)
    ]
    for other in others:
        other.start()
    meet(meeting, 0, plan.processes)
    _run(0, plan)
    for other in others:
        other.join()
    return plan.out / "last.pt"


def _peer(rank: int, plan: RunPlan, meeting: Path) -> None:
    meet(meeting, rank, plan.processes)
    _run(rank, plan)


def _run(rank: int, plan: RunPlan) -> None:
    """Train in one process; rank 0 also keeps the checkpoints and evaluates."""
    torch.set_num_threads(plan.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(plan.seed)
    corpus = load_voices(plan.data, plan.cache, *plan.also)
    stores = sorted(plan.cache.glob("teacher*.npz"))
    if not stores:
        raise SettingsError("There are no teacher embeddings; run `voiceauth train teacher`.")
    targets = build_targets(corpus, load_store(corpus, *stores))
    state = _start(plan, targets)
    noise = load_corpus(plan.data, plan.cache, "noise", "train")
    rooms = load_corpus(plan.data, plan.cache, "ir", "train")
    kind = EndlessStream if plan.crops.views else CropStream
    stream = kind(
        corpus,
        targets,
        build_sounds(noise, rooms, corpus, plan.seed),
        plan.crops,
        seed=plan.seed + 1000 * (state.progress.step + 1),
        rank=rank,
    )
    held_out = None
    if rank == 0:
        held_out = prepare(load_corpus(plan.data, plan.cache, "speech", "dev", plan.development))
        _record(plan, {"data": corpus.digest, "stores": [s.name for s in stores], "start": "run"})
    loader = torch.utils.data.DataLoader(
        stream, batch_size=None, num_workers=plan.workers, prefetch_factor=6
    )
    _loop(plan, state, iter(loader), held_out)


def elapsed(out: Path) -> Seconds:
    """Training seconds that the run in this folder has behind it; 0 for a new one."""
    last = out / "last.pt"
    if not last.exists():
        return 0.0
    return float(torch.load(last, map_location="cpu", weights_only=True)["progress"]["elapsed"])


def _start(plan: RunPlan, targets: Targets) -> _State:
    student = Student(plan.shape).to(plan.device)
    objective = Objective(torch.from_numpy(targets.centroid), plan.weights).to(plan.device)
    optimiser = Both(student, plan.rate, plan.decay)
    state = _State(student, objective, optimiser, Progress())
    last = plan.out / "last.pt"
    if last.exists():
        state.progress = resume(last, student, objective, optimiser)
    elif plan.init is not None:
        load_student(plan.init, student)
    state.half = plan.device != "cpu" or _half_is_faster(student)
    return state


def _half_is_faster(student: Student) -> bool:
    """Time a small forward and backward pass in both precisions, without touching the weights.

    Processor time counts: on a busy machine the clock on the wall would decide by chance.
    """
    waveform = 0.05 * torch.randn(8, 12000)
    seconds = []
    kept = {name: value.clone() for name, value in student.state_dict().items()}
    for half in (False, False, True, True):
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            student(waveform).sum().backward()
        seconds.append(time.process_time() - start)
    student.zero_grad()
    student.load_state_dict(kept)
    return seconds[3] < 0.8 * seconds[1]


def _loop(plan: RunPlan, state: _State, batches: Iterator[Batch], held_out: HeldOut | None) -> None:
    """Step until the budget is spent; the process that holds dev speech keeps the records."""
    progress = state.progress
    before, begin = progress.elapsed, time.monotonic()
    saved = evaluated = begin
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Bar(*columns, refresh_per_second=0.2) as bar:
        task = bar.add_task("starting", total=None)
        while progress.elapsed < plan.budget:
            done = progress.elapsed / plan.budget
            terms = _step(plan, state, next(batches), done)
            now = time.monotonic()
            progress.elapsed = before + common(now - begin, plan.processes)
            if held_out is None:
                continue
            if progress.step % 50 == 0:
                line = _line(terms, progress, done)
                bar.update(task, description=line)
                _log(plan, line)
            if now - saved > plan.checkpoint_every:
                save(
                    plan.out / "last.pt", state.student, state.objective, state.optimiser, progress
                )
                saved = now
            if now - evaluated > plan.evaluate_every:
                _snapshot(plan, state, held_out)
                evaluated = time.monotonic()
    if held_out is not None:
        save(plan.out / "last.pt", state.student, state.objective, state.optimiser, progress)
        _snapshot(plan, state, held_out)


def _step(plan: RunPlan, state: _State, batch: Batch, done: float) -> Terms:
    """One optimiser step; a batch with a non-finite loss or gradient is skipped."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(plan, done)
    batch = {name: value.to(plan.device) for name, value in batch.items()}
    with torch.autocast(plan.device, torch.bfloat16, enabled=state.half):
        embedding = state.student(batch["waveform"])
    terms: Terms = state.objective(embedding.float(), batch["target"], batch["label"], done)
    state.optimiser.zero_grad()
    terms.total.backward()  # type: ignore[no-untyped-call]
    parameters = list(state.student.parameters())
    if plan.processes > 1:
        average(parameters, plan.processes)
    norm = torch.nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
    if bool(torch.isfinite(norm)):
        state.optimiser.step()
    state.progress.step += 1
    state.progress.segments += len(embedding) * plan.processes
    return terms


def _line(terms: Terms, progress: Progress, done: float) -> str:
    rate = progress.segments / max(progress.elapsed, 1.0)
    return (
        f"{100 * done:5.1f} % step {progress.step} segments {progress.segments} "
        f"({rate:.1f}/s) loss {float(terms.total):.3f} distance {float(terms.distance):.3f} "
        f"geometry {float(terms.geometry):.4f} speakers {float(terms.speakers):.2f}"
    )


def _log(plan: RunPlan, line: str) -> None:
    with (plan.out / "train.log").open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")


def embedder(student: Student) -> Any:
    """A function from float32 (samples,) to float32 (192,), in evaluation mode."""
    device = next(student.parameters()).device

    def embed(waveform: FloatArray) -> FloatArray:
        student.eval()
        with torch.inference_mode():
            row = student(torch.from_numpy(np.ascontiguousarray(waveform))[None].to(device))[0]
        return np.asarray(row.cpu().numpy(), dtype=np.float32)

    return embed


def _snapshot(plan: RunPlan, state: _State, held_out: HeldOut) -> None:
    """Evaluate, export and record; the run goes on afterwards."""
    rates: ErrorRates = evaluate(embedder(state.student), held_out)
    export(copy.deepcopy(state.student).cpu(), plan.out / "snapshot.onnx")
    state.student.train()
    entry = {**vars(state.progress), "dev_eer": asdict(rates)}
    _log(plan, "evaluation " + json.dumps(entry))
    _record(plan, {"metrics": entry})


def _record(plan: RunPlan, news: dict[str, Any]) -> None:
    """Append to the run's record, which says what was run on which data and what came out."""
    path = plan.out / "run.json"
    record: dict[str, Any] = {"plan": json.loads(json.dumps(asdict(plan), default=_name))}
    if path.exists():
        record |= {k: v for k, v in json.loads(path.read_text()).items() if k != "plan"}
    metrics = [*record.get("metrics", []), *([news.pop("metrics")] if "metrics" in news else [])]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({**record, **news, "metrics": metrics}, indent=1))
    temporary.replace(path)


def _name(value: object) -> str:
    """Paths by their last part: a record must not tell how the machine is laid out."""
    return value.name if isinstance(value, Path) else str(value)
