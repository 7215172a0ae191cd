# SPDX-License-Identifier: Apache-2.0
"""Synthetic voices, and attacks on the layer that looks for them, over gRPC: none is accepted."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from served import SPOOF_LINE, FakeSpoof, Parts, Served, fake_parts, pieces, served, speech

from voiceauth.decision.policy import Policy
from voiceauth.errors import IntegrityError, ModelOutputError
from voiceauth.types import Decision, Evidence, LivenessLayer, LivenessState, Reason, Verdict
from voiceauth.usecases.engine import SpoofLayer


@pytest.fixture
def spoof() -> FakeSpoof:
    """Return the spoof model of the served engine."""
    return FakeSpoof()


@pytest.fixture
def parts(tmp_path: Path, spoof: FakeSpoof) -> Iterator[Parts]:
    """Return an engine with a spoof model, and a policy that cannot do without one."""
    with fake_parts(tmp_path) as made:
        needed = Policy(
            "needed",
            require_liveness=frozenset({LivenessLayer.SYNTHETIC}),
            accept_on_voice_alone=True,
            synthetic_seconds=0.0,
        )
        engine = replace(
            made.engine,
            spoof=SpoofLayer(spoof, SPOOF_LINE),
            policies={**made.engine.policies, "needed": needed},
        )
        yield replace(made, engine=engine)


@pytest.fixture
async def service(parts: Parts) -> AsyncIterator[Served]:
    """Serve the parts, with alice enrolled."""
    async with served(parts) as running:
        await running.enrolled("alice")
        yield running


async def call(service: Served, seconds: float = 14.0, policy: str = "") -> Verdict:
    """Let the enrolled voice call."""
    async with service.client.verify(service.claim(policy=policy)) as stream:
        return await stream.run(pieces(speech(seconds)))


async def test_a_living_voice_is_accepted(service: Served) -> None:
    """The counterpart of all attacks here: live and matching is ACCEPT, with the layer's word."""
    verdict = await call(service)

    assert verdict.decision is Decision.ACCEPT
    assert verdict.evidence.liveness.synthetic.state is LivenessState.LIVE
    assert verdict.evidence.spoof_false_accept_rate == pytest.approx(1.2e-4, rel=0.1)
    assert verdict.max_spoof_false_accept == 0.05
    assert verdict.spoof_model == FakeSpoof.model


async def test_a_perfect_clone_is_rejected(service: Served, spoof: FakeSpoof) -> None:
    """A synthetic voice that matches fully is REJECT, and the reason names the layer."""
    spoof.output = 3.0

    verdict = await call(service)

    assert verdict.decision is Decision.REJECT
    assert verdict.evidence.reasons[0] is Reason.SPOOF_SUSPECTED
    assert verdict.evidence.score is not None
    assert verdict.evidence.combined_llr is not None
    assert verdict.evidence.combined_llr < -8.0


@pytest.mark.parametrize(
    ("output", "reason"),
    [(0.1, Reason.SPOOF_SUSPECTED), (-0.3, Reason.SYNTHETIC_NOT_EXCLUDED)],
)
async def test_a_clone_in_doubt_steps_up_where_the_layer_is_required(
    service: Served, spoof: FakeSpoof, output: float, reason: Reason
) -> None:
    """Whatever the voice says, a required layer that excludes nothing lets nobody in."""
    spoof.output = output

    verdict = await call(service, policy="needed")

    assert verdict.decision is Decision.STEP_UP
    assert reason in verdict.evidence.reasons


async def test_a_clone_as_few_living_callers_sound_steps_up(
    service: Served, spoof: FakeSpoof
) -> None:
    """Where the layer is not required it still holds back the lowest twentieth of the living."""
    spoof.output = 1.01

    verdict = await call(service)

    assert verdict.evidence.liveness.synthetic.false_reject_rate == pytest.approx(0.048, abs=1e-3)
    assert verdict.decision is Decision.STEP_UP
    assert Reason.SPOOF_SUSPECTED in verdict.evidence.reasons


@pytest.mark.parametrize(
    "failure",
    [ModelOutputError(), IntegrityError(), ValueError("x"), MemoryError("x")],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_spoof_model_that_dies_is_step_up(
    service: Served, spoof: FakeSpoof, failure: Exception
) -> None:
    """A liveness stage that raises ends a genuine call in a recorded STEP_UP."""
    spoof.failure = failure

    verdict = await call(service)

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons[0] is Reason.ENGINE_FAULT


@pytest.mark.parametrize("output", [float("nan"), float("inf"), float("-inf")])
async def test_a_score_that_is_not_finite_is_step_up(
    service: Served, spoof: FakeSpoof, output: float
) -> None:
    """NaN is neither live nor synthetic, and never an acceptance."""
    spoof.output = output

    verdict = await call(service)

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons[0] is Reason.ENGINE_FAULT


async def test_speech_in_pieces_too_short_for_the_model_is_not_accepted(
    service: Served, parts: Parts, spoof: FakeSpoof
) -> None:
    """An attacker who declares gaps to keep every span short gets past no layer."""
    spoof.least_samples = 10**9

    verdict = await call(service)

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons[0] is Reason.SYNTHETIC_NOT_MEASURED
    assert verdict.evidence.liveness.synthetic.state is LivenessState.PENDING


async def test_a_policy_that_needs_the_layer_accepts_nobody_without_it(tmp_path: Path) -> None:
    """Where no model is installed the slot says so, and the policy decides what that means."""
    with fake_parts(tmp_path / "bare") as bare:
        needed = Policy(
            "needed",
            require_liveness=frozenset({LivenessLayer.SYNTHETIC}),
            accept_on_voice_alone=True,
            synthetic_seconds=0.0,
        )
        engine = replace(bare.engine, policies={**bare.engine.policies, "needed": needed})
        async with served(replace(bare, engine=engine)) as service:
            await service.enrolled("alice")
            plain, strict = await call(service), await call(service, policy="needed")

    assert plain.decision is Decision.ACCEPT
    assert plain.evidence.liveness.synthetic.state is LivenessState.NOT_MEASURED
    assert plain.spoof_model is None
    assert strict.decision is Decision.STEP_UP
    assert strict.evidence.reasons[0] is Reason.SYNTHETIC_NOT_MEASURED


async def test_the_layer_speaks_while_the_call_runs(service: Served, spoof: FakeSpoof) -> None:
    """Evidence carries the suspicion before the verdict does."""
    spoof.output = 1.2
    async with service.client.verify(service.claim()) as stream:
        for piece in pieces(speech(8.0)):
            await stream.send(piece)
        await stream.end()
        seen = [update async for update in stream if isinstance(update, Evidence)]

    suspected = [one for one in seen if one.liveness.synthetic.state is LivenessState.SUSPECT]
    assert suspected
    assert suspected[0].reasons[0] is Reason.SPOOF_SUSPECTED


async def test_the_record_says_what_the_layer_said(service: Served, spoof: FakeSpoof) -> None:
    """A decision can be explained later: layer, rates, policy and model stand in the ledger."""
    spoof.output = 3.0
    await call(service)

    body = json.loads(service.parts.engine.vault.ledger()[-1].body)

    assert body["decision"] == "reject"
    assert body["liveness"]["synthetic"]["state"] == "suspect"
    assert body["liveness"]["replay"]["state"] == "not_measured"
    assert body["spoof_model"] == FakeSpoof.model
    assert body["max_spoof_false_accept"] == 0.05
    assert body["require_liveness"] == []
