# SPDX-License-Identifier: Apache-2.0
"""The training run of the spoof detector: resumable, bounded by the clock.

The schedule follows the share of the time budget that has passed, as in the speaker's run, so a
busy machine still ends with a settled model. ``last.pt`` holds all that a restart needs.
"""

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voiceauth.errors import SettingsError
from voiceauth.training.attacks import COPIED, RECORDED
from voiceauth.training.corpus import Corpus, load_corpus
from voiceauth.training.crops import build_sounds
from voiceauth.training.spoof_crops import (
    GROUP,
    LABELS,
    Pool,
    SpoofCropPlan,
    SpoofStream,
    build_sources,
    systems_of,
)
from voiceauth.training.spoof_net import SpoofNet, SpoofShape
from voiceauth.units import Seconds

WARM_UP = 0.02
COOL_DOWN = 0.35
"""Shares of the budget: the learning rate rises, is held, and falls in a line to nothing."""
AVERAGED = 0.998
"""Of the averaged weights, what stays at a step: some five hundred steps are averaged."""
LONGEST_STEP: Seconds = 5.0
"""A step that took longer counts this much: the machine slept, or the run was stopped and woken."""
SOFTENED = 0.03
"""How far the wanted answers lie from 0 and 1: no single crop is worth certainty."""


@dataclass(frozen=True)
class SpoofRunPlan:
    """What a run is.

    Args:
        data: the recorded pack's root.
        attacks: root of the pack that ``attacks.make`` made.
        cache: decoded audio of the recorded pack; that of the attacks lies in a folder of it.
        out: checkpoint and record.
        budget: seconds from the first start to the end of the schedule.
        leave_out: systems that the network never hears.
        fill: groups simulated before the first step; the pool grows while training runs.
        order: weight of the order between a recording and its copy.
        rate: peak learning rate.
        decay: weight decay.
        checkpoint_every: seconds.
        workers: processes that simulate calls.
        device: of torch.
        seed: of everything random.
        crops: how batches are drawn.
        shape: of the network.
    """

    data: Path
    attacks: Path
    cache: Path
    out: Path
    budget: Seconds
    leave_out: tuple[str, ...] = ()
    fill: int = 20
    order: float = 0.5
    rate: float = 2e-3
    decay: float = 0.02
    checkpoint_every: Seconds = 60.0
    workers: int = 1
    device: str = "cpu"
    seed: int = 1
    crops: SpoofCropPlan = field(default_factory=SpoofCropPlan)
    shape: SpoofShape = field(default_factory=SpoofShape)


@dataclass
class SpoofState:
    """The moving parts of a run.

    Args:
        network: in training.
        average: its weights, averaged over the latest steps: what is published. Between two
            steps the answers on systems that were never heard differ by more than the classes do.
        optimiser: its own.
        step: batches seen.
        elapsed: seconds of training over all starts.
    """

    network: SpoofNet
    average: SpoofNet
    optimiser: torch.optim.Optimizer
    step: int = 0
    elapsed: Seconds = 0.0


def train_spoof(plan: SpoofRunPlan) -> Path:
    """Run, or go on with, one training; returns the last checkpoint.

    Raises:
        SettingsError: a pack is missing or has nothing to learn from.
    """
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    plan.out.mkdir(parents=True, exist_ok=True)
    state = _start(plan)
    speech = load_corpus(plan.data, plan.cache, "speech", "train")
    neural = load_corpus(plan.data, plan.cache, "spoof", "train")
    systems = systems_of(plan.attacks)
    copies = load_corpus(plan.attacks, plan.cache / "attacks", COPIED, "train")
    read = _readers(plan)
    originals = load_corpus(plan.attacks, plan.cache / "attacks", RECORDED, "train")
    sources = build_sources(
        speech,
        (neural, systems_of(plan.data)),
        originals,
        (copies, systems),
        (read, systems) if read else None,
        plan.crops,
        plan.leave_out,
    )
    noise = load_corpus(plan.data, plan.cache, "noise", "train")
    rooms = load_corpus(plan.data, plan.cache, "ir", "train")
    sounds = build_sounds(noise, rooms, speech, plan.seed)
    stream = SpoofStream(sources, sounds, plan.crops, plan.seed + 1000 * (state.step + 1))
    ahead = 32 if plan.workers else None
    loader = torch.utils.data.DataLoader(
        stream, batch_size=None, num_workers=plan.workers, prefetch_factor=ahead
    )
    _record(plan, (speech.digest, neural.digest, copies.digest))
    _loop(plan, state, iter(loader))
    return plan.out / "last.pt"


def _readers(plan: SpoofRunPlan) -> Corpus | None:
    """The attack pack's reading voices, if their programs were installed when it was made."""
    try:
        return load_corpus(plan.attacks, plan.cache / "attacks", "spoof", "train")
    except SettingsError:
        return None


def load_network(path: Path) -> tuple[SpoofNet, int]:
    """The network of a checkpoint, in evaluation mode, and the batches it has seen."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    shape: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in stored["shape"].items()
    }
    network = SpoofNet(SpoofShape(**shape))
    network.load_state_dict(stored["average"])
    return network.eval(), stored["step"]


def _start(plan: SpoofRunPlan) -> SpoofState:
    network = SpoofNet(plan.shape).to(plan.device)
    network.maps.to(memory_format=network.layout)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    state = SpoofState(network, copy.deepcopy(network), optimiser)
    last = plan.out / "last.pt"
    if last.exists():
        stored = torch.load(last, map_location=plan.device, weights_only=True)
        network.load_state_dict(stored["network"])
        state.average.load_state_dict(stored["average"])
        optimiser.load_state_dict(stored["optimiser"])
        state.step, state.elapsed = stored["step"], stored["elapsed"]
    return state


def _loop(plan: SpoofRunPlan, state: SpoofState, fresh: Iterator[torch.Tensor]) -> None:
    pool = Pool(plan.crops, np.random.default_rng((plan.seed, state.step)), plan.out / "pool.s16")
    state.network.train()
    groups = plan.crops.batch // GROUP
    while len(pool) < min(plan.crops.pool, max(plan.fill, 2 * groups)):
        pool.add(next(fresh))
    before = saved = time.monotonic()
    losses: list[tuple[float, float]] = []
    due = 0.0
    while state.elapsed < plan.budget:
        due += groups / plan.crops.reuse
        while due >= 1.0:
            pool.add(next(fresh))
            due -= 1.0
        losses.append(_step(plan, state, pool.draw()))
        now = time.monotonic()
        state.elapsed, before = state.elapsed + min(now - before, LONGEST_STEP), now
        if now - saved > plan.checkpoint_every or state.elapsed >= plan.budget:
            _save(plan, state)
            entropy, order = np.mean(losses, axis=0)
            line = f"step {state.step} {state.elapsed:.0f} s loss {entropy:.4f} order {order:.4f}"
            with (plan.out / "train.log").open("a", encoding="utf-8") as handle:
                handle.write(line + "\n")
            losses, saved = [], now


def _step(plan: SpoofRunPlan, state: SpoofState, groups: torch.Tensor) -> tuple[float, float]:
    """One optimiser step; returns both losses. A non-finite gradient changes nothing.

    Beside the entropy, a recording must score lower than its own copy: the one comparison in
    which voice, words, room and line are no help.
    """
    done = min(1.0, state.elapsed / plan.budget)
    ramp = min(1.0, done / WARM_UP, (1.0 - done) / COOL_DOWN)
    for group in state.optimiser.param_groups:
        group["lr"] = plan.rate * max(ramp, 0.005)
    waves = groups.flatten(0, 1).to(plan.device)
    # Half precision halves the time of a step on processors that have it.
    with torch.autocast(plan.device, torch.bfloat16):
        logits = state.network(waves).float()
    wanted = torch.tensor(LABELS, device=logits.device).repeat(len(groups))
    softened = wanted * (1.0 - 2.0 * SOFTENED) + SOFTENED
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, softened)
    by_group = logits.view(-1, GROUP)
    order = torch.nn.functional.softplus(by_group[:, 0] - by_group[:, 1]).mean()
    state.optimiser.zero_grad()
    (entropy + plan.order * order).backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), 3.0)
    if bool(torch.isfinite(norm)):
        state.optimiser.step()
        _follow(state)
    state.step += 1
    return float(entropy.detach()), float(order.detach())


@torch.no_grad()
def _follow(state: SpoofState) -> None:
    """Move the average towards the network; at the start it follows more closely."""
    share = max(1.0 - AVERAGED, 1.0 / (state.step + 1.0))
    both = zip(
        state.average.state_dict().values(), state.network.state_dict().values(), strict=True
    )
    for mean, value in both:
        if mean.is_floating_point():
            mean.lerp_(value, share)
        else:
            mean.copy_(value)


def _save(plan: SpoofRunPlan, state: SpoofState) -> None:
    temporary = plan.out / "last.tmp"
    torch.save(
        {
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "step": state.step,
            "elapsed": state.elapsed,
            "shape": asdict(state.network.shape),
        },
        temporary,
    )
    temporary.replace(plan.out / "last.pt")


def _record(plan: SpoofRunPlan, digests: tuple[str, str, str]) -> None:
    """What was run on which data; paths by their last part, which tells nothing of the machine."""
    settings = json.loads(json.dumps(asdict(plan), default=lambda path: path.name))
    record = {
        "plan": settings,
        "data": dict(zip(("speech", "neural", "copies"), digests, strict=True)),
    }
    (plan.out / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
