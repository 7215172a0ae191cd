# SPDX-License-Identifier: Apache-2.0
"""The whole engine under attack: accepted attacks per species at the shipped policy, over gRPC.

Test people only. Each enrols over one simulated line, calls as themselves and as somebody else, and
is attacked: by copies of recordings that the engine never heard (vocoders), by neural voices of the
pack (other voices than the subject's), by a recording played over a loudspeaker in a room
(impulse responses of the pack: simulated), and by an accepted call that is played again. Every
presentation takes a line of its own. What is accepted is counted as accepted, whichever layer
failed; layers that are not installed are named in the result.

IAPAR: share of attacks that the full system accepts. SASV-EER: targets against non-targets and
attacks together, by the combined ratio. a-DCF: normalised cost with the stated priors, attacks of
every species alike, at its least and at the policy.
"""

import asyncio
import csv
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile
import soxr
from numpy.typing import NDArray

from liveness_sections import Plan
from liveness_sections.challenge import share
from liveness_sections.continuity import test_people
from liveness_sections.tandem import COSTS, PRIORS, Tally, costs
from voiceauth.cli.demo_callers import mulaw
from voiceauth.cli.reach import own_server
from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import ModelSettings, PolicySettings, Settings, StorageSettings
from voiceauth.evaluation.recordings import simulated_line
from voiceauth.testing.records import made_up_consent
from voiceauth.training import vocoders
from voiceauth.training.copying_programs import BY_PROGRAM, missing
from voiceauth.types import (
    AudioFormat,
    Decision,
    Encoding,
    EnrolmentOutcome,
    LivenessLayer,
    LivenessState,
    Verdict,
)

Audio = NDArray[np.float32]
WIDE_HZ, LINE_HZ = 16_000, 8000
ENROL, CALL = 10, 5
"""Recordings in an enrolment and in a call: the pack has 20 of a person, with 1.4 s of net speech
each on average. So calls have some 7 s, and enrolments less than the 20 s of an installation."""
ENROLLED_SECONDS = 10.0
COPIES: dict[str, Callable[[Audio, np.random.Generator], Audio]] = {
    "WORLD copy": vocoders.world,
    "Griffin-Lim copy": vocoders.griffin_lim,
    "mel copy, phases kept": vocoders.mel_kept_phase,
    "linear-prediction copy": vocoders.lpc,
    "smoothed copy": vocoders.smoothed,
    **{
        f"{title} copy (neural)": BY_PROGRAM[system]
        for system, title in (("fargan", "FARGAN"), ("hifigan", "HiFi-GAN"))
        if not missing(system)
    },
}
"""Neural vocoders where their weights are installed (``docs/liveness-synthetic.md``)."""
REPLAY, LOUDSPEAKER = "replay of an accepted call", "loudspeaker in a room (simulated)"
NEURAL = "neural voice, not the subject's"
TENANT = "bench"
AT_ONCE = 4


@dataclass(frozen=True)
class Person:
    """One test person's audio, 16 kHz.

    Attributes:
        enrol, call, fresh: joined recordings; no recording is in two of them.
    """

    name: str
    enrol: Audio
    call: Audio
    fresh: Audio


def run(plan: Plan) -> dict[str, Any]:
    """Enrol, call, attack, count."""
    people = _people(plan)
    with tempfile.TemporaryDirectory(prefix="voiceauth-system-") as folder:
        settings = Settings(
            storage=StorageSettings(data_dir=Path(folder)),
            models=ModelSettings(directory=plan.models),
        )
        # By default no voice alone is accepted: then nothing could be said about its attackers.
        alone = PolicySettings(accept_on_voice_alone=True)
        settings = settings.model_copy(
            update={
                "server": settings.server.model_copy(update={"port": 0}),
                "enrolment": settings.enrolment.model_copy(
                    update={"needed_seconds": ENROLLED_SECONDS}
                ),
                "policies": {**settings.policies, "voice alone at 1 %": alone},
                "default_policy": "voice alone at 1 %",
            }
        )
        bench = Bench(plan, people)
        asyncio.run(bench.run(settings))
    found = bench.result(settings)
    for name, row in found["species"].items():
        print(
            f"{name:36}{row['presentations']:5d}  accepted {100 * row['rate']:5.1f} % "
            f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]  {row['decisions']}"
        )
    for name in ("genuine refused", "sasv_eer", "a_dcf_least", "a_dcf_policy"):
        print(f"{name:36}{found[name]['value']:8.4f}")
    print("layers that measured:", found["layers"])
    _draw(plan, found)
    return found


class Bench:
    """Runs all presentations against one server.

    Args:
        plan: of the benchmark.
        people: to enrol.
    """

    def __init__(self, plan: Plan, people: list[Person]) -> None:
        self._plan = plan
        self._people = people
        self._enrolled: list[int] = []
        self._heard: dict[int, Audio] = {}
        self._tallies: dict[str, Tally] = {}
        self._layers: dict[str, set[str]] = {layer.value: set() for layer in LivenessLayer}
        self._busy = asyncio.Semaphore(AT_ONCE)

    async def run(self, settings: Settings) -> None:
        """Enrol everybody, then let the calls in, then the attacks."""
        async with own_server(settings) as client:
            numbers = range(len(self._people))
            done = await asyncio.gather(*(self._enrol(client, n) for n in numbers))
            self._enrolled = [n for n, enrolled in enumerate(done) if enrolled]
            await asyncio.gather(*(self._genuine(client, n) for n in self._enrolled))
            await asyncio.gather(*(self._attacks(client, n) for n in self._enrolled))

    async def _enrol(self, client: Client, number: int) -> bool:
        subject = f"person-{number}"
        await client.create_subject(TENANT, subject)
        await client.record_consent(TENANT, subject, made_up_consent())
        audio = await self._line(lambda: self._people[number].enrol, number, "enrol")
        opening = EnrolOptions(f"enrol-{number}", TENANT, subject, AudioFormat(Encoding.MULAW))
        async with self._busy, client.enrol(opening) as stream:
            result = await stream.run(_pieces(mulaw(audio)))
        return result.outcome is EnrolmentOutcome.ENROLLED

    async def _genuine(self, client: Client, number: int) -> None:
        person = self._people[number]
        audio = await self._line(lambda: person.call, number, "genuine")
        verdict = await self._present(client, "genuine", number, audio)
        if verdict.decision is Decision.ACCEPT:
            self._heard[number] = audio
        stranger = await self._line(lambda: person.fresh, number, "nontarget")
        await self._present(client, "another person", self._other(number), stranger)

    async def _attacks(self, client: Client, number: int) -> None:
        data, fresh = self._plan.data, self._people[number].fresh
        makers = {
            **{
                name: partial(copy, fresh, np.random.default_rng((self._plan.seed, number, place)))
                for place, (name, copy) in enumerate(COPIES.items())
            },
            LOUDSPEAKER: partial(_through_loudspeaker, data, fresh, number),
            NEURAL: partial(_neural_voice, data, number),
        }
        for name, make in makers.items():
            await self._present(client, name, number, await self._line(make, number, name))
        if number in self._heard:
            rng = np.random.default_rng((self._plan.seed, number))
            again = self._heard[number] * np.float32(10 ** (rng.uniform(-6, 6) / 20))
            await self._present(client, REPLAY, number, np.clip(again, -1, 1))

    def _other(self, number: int) -> int:
        place = self._enrolled.index(number)
        return self._enrolled[(place + 1) % len(self._enrolled)]

    async def _line(self, make: Callable[[], Audio], number: int, kind: str) -> Audio:
        """Make a sound and send it through its line, beside the event loop."""
        seed = (self._plan.seed, number, sum(kind.encode()))
        async with self._busy:
            return await asyncio.to_thread(lambda: simulated_line(make(), WIDE_HZ, seed))

    async def _present(self, client: Client, kind: str, claim: int, audio: Audio) -> Verdict:
        call = f"{kind.split(maxsplit=1)[0].strip(',')}-{claim}-{len(self._tally(kind).claims)}"
        opening = VerifyOptions(call, TENANT, f"person-{claim}", AudioFormat(Encoding.MULAW))
        async with self._busy, client.verify(opening) as stream:
            verdict = await stream.run(_pieces(mulaw(audio)))
        self._tally(kind).add(verdict, claim)
        for layer, seen in self._layers.items():
            state = getattr(verdict.evidence.liveness, layer).state
            if state is not LivenessState.NOT_MEASURED:
                seen.add(state.value)
        return verdict

    def _tally(self, kind: str) -> Tally:
        return self._tallies.setdefault(kind, Tally())

    def result(self, settings: Settings) -> dict[str, Any]:
        """Return all figures, with intervals."""
        genuine, others = self._tallies["genuine"], self._tallies["another person"]
        attacks = {k: t for k, t in self._tallies.items() if t not in (genuine, others)}
        policy = settings.policies[settings.default_policy]
        least, at_policy, equal = costs(genuine, others, attacks)
        refused = len(genuine.decisions) - genuine.accepted()
        return {
            "people": len(self._people),
            "enrolled": len(self._enrolled),
            "policy": policy.model_dump(mode="json"),
            "priors": PRIORS,
            "costs": COSTS,
            "layers": {
                name: sorted(seen) or ["not_measured"] for name, seen in self._layers.items()
            },
            "genuine refused": _named(share(refused, len(genuine.decisions))),
            "sasv_eer": equal,
            "a_dcf_least": least,
            "a_dcf_policy": at_policy,
            "species": {
                name: {
                    "presentations": len(tally.decisions),
                    **share(tally.accepted(), len(tally.decisions)),
                    "decisions": {
                        one.value: tally.decisions.count(one)
                        for one in Decision
                        if one in tally.decisions
                    },
                }
                for name, tally in {"another person": others, **attacks}.items()
            },
        }


def _named(rate: dict[str, float]) -> dict[str, float]:
    return {"value": rate["rate"], **rate}


def _people(plan: Plan) -> list[Person]:
    rng = np.random.default_rng(plan.seed)
    found = []
    for name, paths in sorted(test_people(plan.data).items()):
        if len(paths) < ENROL + 2 * CALL:
            continue
        order = [paths[place] for place in rng.permutation(len(paths))]
        parts = (order[:ENROL], order[ENROL : ENROL + CALL], order[ENROL + CALL :][:CALL])
        found.append(Person(name, *(_joined(part) for part in parts)))
    return found[:4] if plan.quick else found


def _joined(paths: list[Path]) -> Audio:
    return np.concatenate([_read(path) for path in paths])


def _read(path: Path) -> Audio:
    audio, rate = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(audio, rate, WIDE_HZ), dtype=np.float32)


def _rows(data: Path, **wanted: str) -> list[Path]:
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if all(row[k] == v for k, v in wanted.items())]
    return [data / row["path"] for row in rows]


def _through_loudspeaker(data: Path, audio: Audio, number: int) -> Audio:
    """Play a recording over a loudspeaker of the pack in a room of the pack, both test parts."""
    found = _rows(data, kind="ir", split="test")
    boxes = [path for path in found if "loudspeaker" in path.parts]
    rooms = [path for path in found if "room" in path.parts]
    for path in (boxes[number % len(boxes)], rooms[number % len(rooms)]):
        level = float(np.sqrt(np.mean(audio**2)))
        audio = scipy.signal.fftconvolve(audio, _read(path))[: len(audio)].astype(np.float32)
        audio *= np.float32(level / (float(np.sqrt(np.mean(audio**2))) + 1e-9))
    return audio


def _neural_voice(data: Path, number: int) -> Audio:
    clips = _rows(data, kind="spoof", split="test")
    return _read(clips[(number * 7) % len(clips)])[: 12 * WIDE_HZ]


def _pieces(data: bytes, size: int = 1600) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _draw(plan: Plan, found: dict[str, Any]) -> None:
    """Bars of accepted presentations per species, with their intervals."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of backend

    rows = found["species"]
    figure, axes = plt.subplots(figsize=(7, 4))
    rates = [100 * row["rate"] for row in rows.values()]
    below = [100 * max(0.0, row["rate"] - row["low"]) for row in rows.values()]
    above = [100 * max(0.0, row["high"] - row["rate"]) for row in rows.values()]
    axes.barh(list(rows), rates, xerr=[below, above])
    axes.axvline(7.0, color="grey", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("accepted where the voice alone decides, in per cent (simulated)")
    figure.tight_layout()
    figure.savefig(plan.plot, dpi=120)
