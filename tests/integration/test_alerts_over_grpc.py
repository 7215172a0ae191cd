# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from noted import NotingSink
from secured import Secured, secured
from served import PCM, TENANT, Parts, Served, pieces, served, server_settings, speech

from voiceauth.alerts.table import rules
from voiceauth.client import Client, SyncClient, VerifyOptions
from voiceauth.errors import AccessError, InputError, NotFoundError, PolicyError, StorageError
from voiceauth.service import alerts as alert_service
from voiceauth.service.server import running_server
from voiceauth.types import Alert, Assessment, Decision, TenantId
from voiceauth.usecases.engine import Chore
from voiceauth.usecases.failed_voices import FailedVoices
from voiceauth.usecases.raise_alerts import AlertDesk, LedgerWatch, Outlet
from voiceauth.usecases.troubles import TroubleBook
from voiceauth.v1 import alerts_pb2, alerts_pb2_grpc


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for new alerts at once."""
    monkeypatch.setattr(alert_service, "POLL_SECONDS", 0.01)


def watching(parts: Parts) -> tuple[Parts, LedgerWatch]:
    """Give an engine alerts and a memory of rejected voices."""
    engine, vault = parts.engine, parts.vault
    troubles, outlet = TroubleBook(), Outlet(NotingSink())
    desk = AlertDesk(
        vault,  # type: ignore[arg-type]  # a stand-in in front of a real one
        engine.clock,
        engine.secret,
        rules(),
        troubles,
        {"sink": outlet},
    )
    watch = LedgerWatch(desk)
    watch.begin()
    voices = FailedVoices(engine.scorer, engine.clock, engine.random)
    alerting = replace(engine, alerts=desk, voices=voices, troubles=troubles)
    return replace(parts, engine=alerting), watch


@pytest.fixture
async def alerting(parts: Parts) -> AsyncIterator[tuple[Served, LedgerWatch]]:
    """A server with alerts, looked at when a test says so."""
    more, watch = watching(parts)
    async with served(more) as service:
        yield service, watch


async def rejected(service: Served, subject: str, voice: str, number: str = "") -> None:
    """Call as a subject with another voice."""
    service.parts.embedder.voice = voice
    call = VerifyOptions("call-1", TENANT, subject, PCM, calling_number=number)
    async with service.client.verify(call) as stream:
        verdict = await stream.run(pieces(speech(6.0)))
    assert verdict.decision is Decision.REJECT


async def test_one_voice_that_claims_three_people_is_told(
    alerting: tuple[Served, LedgerWatch],
) -> None:
    """From live calls to an alert: no embedding is in the ledger, and the voice is recognised."""
    service, watch = alerting
    for subject in ("anna", "ben", "cleo"):
        await rejected(service, subject, "mallory", "+44 7700 900123")
    watch.run()

    found = await service.client.alerts.list(TENANT)
    assert [one.rule for one in found] == ["voice-many-identities"]
    assert found[0].counts == (("different", 3.0),)
    ledger = "".join(one.body for one in service.parts.vault.ledger())
    assert "900123" not in ledger


async def test_failures_on_a_subject_are_found_by_its_id(
    alerting: tuple[Served, LedgerWatch],
) -> None:
    """An analyst asks by the id that only the analyst knows."""
    service, watch = alerting
    await service.enrolled("anna")
    for n in range(4):
        await rejected(service, "anna", f"stranger-{n}")
    watch.run()

    (alert,) = await service.client.alerts.list(TENANT, subject="anna")
    assert alert.rule == "failures-subject"
    assert await service.client.alerts.list(TENANT, subject="ben") == ()
    assert "anna" not in str(alert)


async def one_alert(service: Served, watch: LedgerWatch) -> Alert:
    """Raise one alert and return it."""
    for n in range(4):
        await rejected(service, "anna", f"stranger-{n}")
    watch.run()
    return (await service.client.alerts.list(TENANT))[0]


async def test_an_answer_is_kept_and_recorded(alerting: tuple[Served, LedgerWatch]) -> None:
    """Who answered what and when; a later answer replaces it, and the ledger has both."""
    service, watch = alerting
    alert = await one_alert(service, watch)
    await service.client.alerts.acknowledge(TENANT, alert.alert, Assessment.UNCLEAR)
    seen = await service.client.alerts.acknowledge(TENANT, alert.alert, Assessment.FALSE_ALARM)

    assert seen.acknowledged is not None
    assert seen.acknowledged.assessment is Assessment.FALSE_ALARM
    assert seen.acknowledged.by
    assert await service.client.alerts.list(TENANT) == (seen,)
    assert await service.client.alerts.list(TENANT, unseen=True) == ()
    answers = [
        json.loads(one.body)["assessment"]
        for one in service.parts.vault.ledger()
        if one.event == "alert.acknowledged"
    ]
    assert answers == ["unclear", "false_alarm"]


async def test_what_is_not_there_cannot_be_answered(
    alerting: tuple[Served, LedgerWatch],
) -> None:
    """Neither an unknown alert, nor another tenant's, nor without saying what it was."""
    service, watch = alerting
    alert = await one_alert(service, watch)
    for tenant, name in ((TENANT, "0" * 32), ("shop", alert.alert), ("", alert.alert)):
        with pytest.raises(NotFoundError):
            await service.client.alerts.acknowledge(tenant, name, Assessment.ATTACK)
    stub = service.client._stub(alerts_pb2_grpc.AlertServiceStub)
    request = alerts_pb2.AcknowledgeAlertRequest(tenant_id=TENANT, alert_id=alert.alert)
    with pytest.raises(InputError):
        await service.client._ask(stub.AcknowledgeAlert, request)


@pytest.mark.parametrize("size", [501, 2**31])
async def test_a_page_has_bounds(alerting: tuple[Served, LedgerWatch], size: int) -> None:
    """Nobody reads everything at once."""
    service, _ = alerting
    with pytest.raises(InputError):
        await service.client.alerts.list(TENANT, page_size=size)


async def test_a_server_without_alerts_says_so(service: Served) -> None:
    """Empty would look like quiet."""
    with pytest.raises(PolicyError, match="switched off"):
        await service.client.alerts.list(TENANT)
    with pytest.raises(PolicyError):
        await anext(service.client.alerts.watch(TENANT))
    with pytest.raises(PolicyError):
        await service.client.alerts.acknowledge(TENANT, "0" * 32, Assessment.ATTACK)


async def test_alerts_are_followed_without_a_gap(alerting: tuple[Served, LedgerWatch]) -> None:
    """What comes is sent; whoever names the last one that is known gets the next ones."""
    service, watch = alerting
    first = await one_alert(service, watch)
    following = service.client.alerts.watch(TENANT)
    coming = asyncio.ensure_future(anext(following))
    await begun(service.parts)
    for n in range(4):
        await rejected(service, "ben", f"other-{n}")
    watch.run()

    second = await asyncio.wait_for(coming, 10)
    assert second.pseudonym != first.pseudonym
    again = service.client.alerts.watch(TENANT, after=first.record_id)
    assert await asyncio.wait_for(anext(again), 10) == second
    whole = service.client.alerts.watch(TENANT, after=0)
    assert [await anext(whole), await anext(whole)] == [first, second]


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [alerts_pb2.WatchAlertsRequest()],
        [
            alerts_pb2.WatchAlertsRequest(
                open=alerts_pb2.WatchAlertsOpen(tenant_id=TENANT, after_record_id=-1)
            )
        ],
    ],
)
async def test_a_stream_that_is_not_opened_is_the_callers_mistake(
    alerting: tuple[Served, LedgerWatch], requests: list[Any]
) -> None:
    """Nothing, an empty message and an impossible place are no opening."""
    service, _ = alerting
    stub = service.client._stub(alerts_pb2_grpc.AlertServiceStub)
    call = stub.WatchAlerts(iter(requests))

    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_that_stays_silent_is_closed(parts: Parts) -> None:
    """A connection without an opening does not stay."""
    more, _ = watching(parts)
    async with served(more, idle_seconds=0.05) as service:
        stub = service.client._stub(alerts_pb2_grpc.AlertServiceStub)
        call = stub.WatchAlerts()

        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_server_that_goes_down_does_not_wait_for_who_follows(parts: Parts) -> None:
    """Following ends when the server drains, long before its patience does."""
    more, _ = watching(parts)
    server = running_server(more.engine, server_settings(drain_seconds=3600.0))
    listening = await server.__aenter__()
    async with Client(listening.target) as client:
        coming = asyncio.ensure_future(anext(client.alerts.watch(TENANT), None))
        await begun(parts)
        await asyncio.wait_for(server.__aexit__(None, None, None), 30)

        assert await asyncio.wait_for(coming, 10) is None


async def begun(parts: Parts) -> None:
    """Wait until somebody follows."""
    while "alert.watched" not in parts.events():  # noqa: ASYNC110 - the ledger has no event
        await asyncio.sleep(0.01)


async def test_the_blocking_client_has_the_same(alerting: tuple[Served, LedgerWatch]) -> None:
    """Same names, same arguments."""
    service, watch = alerting
    alert = await one_alert(service, watch)

    def work() -> None:
        with SyncClient(service.listening.target) as client:
            assert client.alerts.list(TENANT) == (alert,)
            assert next(client.alerts.watch(TENANT, after=0)) == alert
            seen = client.alerts.acknowledge(TENANT, alert.alert, Assessment.ATTACK)
            assert seen.acknowledged is not None

    await asyncio.to_thread(work)


async def test_roles_are_kept_to(parts: Parts, tmp_path: Path) -> None:
    """Agents and lines see no alerts; an auditor and an operator read, an analyst answers."""
    more, _ = watching(parts)
    async with secured(more, tmp_path) as house:
        for role in ("ivr", "agent", "enrolment", "administrator", "privacy-officer"):
            with pytest.raises(AccessError):
                await reading(house, role, TENANT)
        for role in ("fraud-analyst", "auditor", "operator"):
            assert await reading(house, role, TENANT) == ()
        for role in ("auditor", "operator"):
            with pytest.raises(AccessError):
                await answering(house, role)
        with pytest.raises(NotFoundError):
            await answering(house, "fraud-analyst")


async def test_another_tenants_alerts_and_the_installations_stay_shut(
    parts: Parts, tmp_path: Path
) -> None:
    """An analyst of one tenant sees that tenant's alone."""
    more, _ = watching(parts)
    async with secured(more, tmp_path) as house:
        with pytest.raises(AccessError):
            await reading(house, "fraud-analyst", "shop")
        with pytest.raises(InputError):
            await reading(house, "fraud-analyst", "")


async def reading(house: Secured, role: str, tenant: str) -> tuple[Alert, ...]:
    """List alerts as a role."""
    async with house.client(role) as client:
        return await client.alerts.list(tenant)


async def answering(house: Secured, role: str) -> Alert:
    """Answer an alert that is not there as a role."""
    async with house.client(role) as client:
        return await client.alerts.acknowledge(TENANT, "0" * 32, Assessment.ATTACK)


async def test_a_chore_that_fails_becomes_an_alert(parts: Parts) -> None:
    """What the server notices of itself reaches the installation's alerts."""
    more, watch = watching(parts)

    def broken() -> None:
        raise StorageError(detail="the second place is away")

    engine = replace(more.engine, chores=(Chore("checkpoint", 3600.0, broken),))
    async with served(replace(more, engine=engine)) as service:
        assert await service.client.healthy()  # every chore runs once at the end
    watch.run()

    with more.engine.vault.read() as view:
        found = view.alerts(TenantId(""))  # type: ignore[attr-defined]
    assert [one.rule for one in found] == ["storage-trouble"]


async def test_a_failing_vault_becomes_trouble(parts: Parts) -> None:
    """A call that a broken vault cost is counted for the alerts."""
    more, watch = watching(parts)
    async with served(more) as service:
        parts.vault.write_failure = StorageError()
        with pytest.raises(StorageError):
            await service.client.get_subject(TENANT, "anna")
        parts.vault.write_failure = None
        watch.run()

        assert [one.rule for one in await service.client.alerts.list("")] == ["storage-trouble"]
