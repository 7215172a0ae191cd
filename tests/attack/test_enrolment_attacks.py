# SPDX-License-Identifier: Apache-2.0
"""Voices that must not become voiceprints, over gRPC."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from served import (
    CONSENT,
    PCM,
    SPOOF_LINE,
    TENANT,
    FakeSpoof,
    Parts,
    Served,
    fake_parts,
    pieces,
    served,
    speech,
)

from voiceauth.client import EnrolOptions
from voiceauth.errors import InternalError, ModelOutputError
from voiceauth.types import EnrolmentOutcome, EnrolmentResult, Reason, SubjectId
from voiceauth.usecases.engine import SpoofLayer


@pytest.fixture
def spoof() -> FakeSpoof:
    """Return the spoof model of the served engine."""
    return FakeSpoof()


@pytest.fixture
def parts(tmp_path: Path, spoof: FakeSpoof) -> Iterator[Parts]:
    """Return an engine with a spoof model and a watchlist."""
    with fake_parts(tmp_path) as made:
        rules = replace(made.engine.enrolment, watchlists=("fraud",))
        layer = SpoofLayer(spoof, SPOOF_LINE)
        yield replace(made, engine=replace(made.engine, spoof=layer, enrolment=rules))


@pytest.fixture
async def service(parts: Parts) -> AsyncIterator[Served]:
    """Serve the parts."""
    async with served(parts) as running:
        yield running


async def enrol(service: Served, subject: str, seconds: float = 14.0) -> EnrolmentResult:
    """Let whoever the embedder hears enrol as a new subject."""
    await service.client.create_subject(TENANT, subject)
    await service.client.record_consent(TENANT, subject, CONSENT)
    return await enrol_again(service, subject, seconds)


async def enrol_again(service: Served, subject: str, seconds: float = 14.0) -> EnrolmentResult:
    """Go on with an enrolment."""
    call = f"enrol-{subject}-{seconds}"
    async with service.client.enrol(EnrolOptions(call, TENANT, subject, PCM)) as stream:
        return await stream.run(pieces(speech(seconds)))


def body(service: Served) -> dict[str, object]:
    """Return the record of the last enrolment."""
    found: dict[str, object] = json.loads(service.parts.last("enrol.result").body)
    return found


async def test_a_living_voice_is_enrolled(service: Served) -> None:
    """The counterpart of all attacks here; the record says what the layer said."""
    result = await enrol(service, "alice")

    assert result.outcome is EnrolmentOutcome.ENROLLED
    assert result.reasons == ()
    assert body(service)["synthetic"]["state"] == "live"  # type: ignore[index]


async def test_a_synthetic_voice_is_not_enrolled(service: Served, spoof: FakeSpoof) -> None:
    """A synthesiser cannot leave its voice under somebody's name, and is told by the reason."""
    spoof.output = 3.0

    result = await enrol(service, "alice")

    assert result.outcome is EnrolmentOutcome.NOT_LIVE
    assert result.reasons == (Reason.SPOOF_SUSPECTED,)
    assert (result.voiceprint, result.voiceprints, result.net_seconds) == (None, 0, 0.0)
    assert body(service)["outcome"] == "not_live"
    assert body(service)["reasons"] == ["spoof_suspected"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [(-0.3, Reason.SYNTHETIC_NOT_EXCLUDED), (0.3, Reason.SPOOF_SUSPECTED)],
)
async def test_speech_that_does_not_exclude_synthesis_is_not_enrolled_where_it_has_to(
    parts: Parts, spoof: FakeSpoof, output: float, reason: Reason
) -> None:
    """With ``require_synthetic`` nothing is stored in doubt: a voiceprint lasts for years."""
    rules = replace(parts.engine.enrolment, require_synthetic=True)
    spoof.output = output

    async with served(replace(parts, engine=replace(parts.engine, enrolment=rules))) as service:
        result = await enrol(service, "alice")

        assert result.outcome is EnrolmentOutcome.NOT_LIVE
        assert result.reasons == (reason,)
        assert body(service)["max_spoof_false_accept"] == 0.05


@pytest.mark.parametrize(
    ("output", "outcome"),
    [(1.01, EnrolmentOutcome.NOT_LIVE), (0.98, EnrolmentOutcome.ENROLLED)],
)
async def test_the_lowest_share_of_the_living_is_not_enrolled(
    service: Served, spoof: FakeSpoof, output: float, outcome: EnrolmentOutcome
) -> None:
    """Without further words the lowest twentieth of living callers is not enrolled, and no more."""
    spoof.output = output

    result = await enrol(service, "alice")

    assert result.outcome is outcome
    assert body(service)["max_live_held"] == 0.05
    assert body(service)["max_spoof_false_accept"] is None


async def test_speech_that_the_model_could_not_hear_is_not_enrolled(
    service: Served, spoof: FakeSpoof
) -> None:
    """Spans too short for the spoof model are no way around it."""
    spoof.least_samples = 10**9

    result = await enrol(service, "alice")

    assert result.outcome is EnrolmentOutcome.NOT_LIVE
    assert result.reasons == (Reason.SYNTHETIC_NOT_MEASURED,)


async def test_a_synthetic_call_does_not_spoil_what_was_collected_before(
    service: Served, spoof: FakeSpoof
) -> None:
    """An attacker who calls in between neither adds to the enrolment nor wipes it."""
    first = await enrol(service, "alice", seconds=7.0)
    spoof.output = 3.0
    attack = await enrol_again(service, "alice", seconds=8.0)
    spoof.output = -3.0
    last = await enrol_again(service, "alice", seconds=9.0)

    assert first.outcome is EnrolmentOutcome.PARTIAL
    assert attack.outcome is EnrolmentOutcome.NOT_LIVE
    assert attack.net_seconds == pytest.approx(first.net_seconds)
    assert last.outcome is EnrolmentOutcome.ENROLLED


async def test_a_spoof_model_that_dies_enrols_nobody(service: Served, spoof: FakeSpoof) -> None:
    """A liveness stage that raises leaves no voiceprint behind."""
    spoof.failure = ModelOutputError()

    with pytest.raises(InternalError):
        await enrol(service, "alice")

    subject = await service.client.get_subject(TENANT, "alice")
    assert subject.voiceprints == 0
    assert subject.pending_seconds == 0.0


async def test_a_watchlisted_voice_is_not_enrolled(service: Served) -> None:
    """A known fraudster gets no account, and is not told whose voice was recognised."""
    service.parts.embedder.voice = "mallory"
    await enrol(service, "known-fraudster")
    await service.client.set_groups(TENANT, "known-fraudster", ["fraud"])

    result = await enrol(service, "innocent")

    assert result.outcome is EnrolmentOutcome.WATCHLISTED
    assert result.duplicate is None
    assert (result.voiceprint, result.net_seconds) == (None, 0.0)
    entry = service.parts.last("enrol.result")
    engine = service.parts.engine
    with engine.vault.begin() as view:
        watched = SubjectId("known-fraudster")
        pseudonym = engine.subject_pseudonym(view, engine.vault.tenants()[0], watched)
    assert json.loads(entry.body)["watchlisted"] == pseudonym
    assert "known-fraudster" not in entry.body


async def test_a_voice_that_is_on_no_watchlist_is_a_duplicate(service: Served) -> None:
    """Groups that are not watched change nothing about duplicates."""
    await enrol(service, "first")
    await service.client.set_groups(TENANT, "first", ["customers"])

    result = await enrol(service, "second")

    assert result.outcome is EnrolmentOutcome.DUPLICATE
    assert result.duplicate is not None
