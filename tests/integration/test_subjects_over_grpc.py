# SPDX-License-Identifier: Apache-2.0
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
from served import CONSENT, MODEL, TENANT, Parts, Served, served

from voiceauth import __version__
from voiceauth.client import Client
from voiceauth.errors import (
    ConsentMissingError,
    DependencyError,
    InputError,
    NotFoundError,
    OptedOutError,
    SettingsError,
    SubjectExistsError,
)
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import SubjectState
from voiceauth.v1 import subjects_pb2, subjects_pb2_grpc
from voiceauth.wire.metadata import REQUEST_ID


async def test_the_life_of_a_subject(service: Served) -> None:
    """Created, permitted, grouped, opted out, back, erased: each step answers with the subject."""
    client = service.client

    created = await client.create_subject(TENANT, "alice", ["vip"])
    permitted = await client.record_consent(TENANT, "alice", CONSENT)
    grouped = await client.set_groups(TENANT, "alice", ["staff", "night"])
    withdrawn = await client.withdraw_consent(TENANT, "alice")
    out = await client.opt_out(TENANT, "alice")
    back = await client.undo_opt_out(TENANT, "alice")
    read = await client.get_subject(TENANT, "alice")

    assert created.groups == {"vip"}
    assert created.consent is None
    assert permitted.consent == CONSENT
    assert grouped.groups == {"staff", "night"}
    assert withdrawn.consent is not None
    assert withdrawn.consent.withdrawn_at == EPOCH
    assert out.state is SubjectState.OPTED_OUT
    assert back.state is SubjectState.ACTIVE
    assert read == back


async def test_an_erased_subject_is_gone(service: Served) -> None:
    """Erasing tells what was destroyed and where it stands; afterwards nobody is there."""
    await service.enrolled("alice")

    record_id, voiceprints = await service.client.erase_subject(TENANT, "alice")

    assert voiceprints == 1
    assert record_id == service.parts.last("subject.erased").sequence
    with pytest.raises(NotFoundError):
        await service.client.get_subject(TENANT, "alice")


async def test_all_subjects_are_listed_page_by_page(service: Served) -> None:
    """Pages join without a gap or a repetition, and tenants are apart."""
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await service.client.create_subject(TENANT, name)
    await service.client.create_subject("other", "stranger")

    listed = [one.subject async for one in service.client.list_subjects(TENANT, page_size=2)]

    assert sorted(listed) == names
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda client: client.create_subject(TENANT, "there"), SubjectExistsError),
        (lambda client: client.create_subject(TENANT, "a b"), InputError),
        (lambda client: client.create_subject("", "alice"), InputError),
        (
            lambda client: client.create_subject(TENANT, "x", [f"g{n}" for n in range(33)]),
            InputError,
        ),
        (lambda client: client.get_subject(TENANT, "nobody"), NotFoundError),
        (lambda client: client.set_groups(TENANT, "nobody", []), NotFoundError),
        (lambda client: client.record_consent(TENANT, "nobody", CONSENT), NotFoundError),
        (lambda client: client.record_consent(TENANT, "gone", CONSENT), OptedOutError),
        (
            lambda client: client.record_consent(
                TENANT, "there", replace(CONSENT, given_at=EPOCH + timedelta(days=1))
            ),
            InputError,
        ),
        (lambda client: client.withdraw_consent(TENANT, "there"), ConsentMissingError),
        (lambda client: client.undo_opt_out(TENANT, "nobody"), NotFoundError),
        (lambda client: client.erase_subject(TENANT, "nobody"), NotFoundError),
    ],
)
async def test_what_is_refused_is_refused_by_its_class(
    service: Served, call: Callable[[Client], Any], error: type[Exception]
) -> None:
    """Each refusal arrives as the error class that the use case raised."""
    await service.client.create_subject(TENANT, "there")
    await service.client.opt_out(TENANT, "gone")

    with pytest.raises(error):
        await call(service.client)


async def test_the_server_says_what_it_runs_with(service: Served) -> None:
    """Version, models, policies and limits are those of the engine and its settings."""
    information = await service.client.information()

    assert information.version == __version__
    assert [card.sha256 for card in information.models] == [MODEL]
    assert [one.name for one in information.policies] == ["long", "standard"]
    assert information.default_policy == "standard"
    assert information.max_chunk_bytes == 65_536
    assert information.enrolment_seconds == 10.0


async def test_a_request_that_takes_too_long_is_given_up(parts: Parts) -> None:
    """A unary request ends at the server's own deadline, whatever the client allows."""
    async with served(parts, request_seconds=0.2) as service:
        may_go_on = threading.Event()
        begin = parts.vault.begin

        def slow_begin() -> Any:
            may_go_on.wait(30)
            return begin()

        parts.vault.begin = slow_begin  # type: ignore[method-assign]
        with pytest.raises(DependencyError, match="too long"):
            await service.client.get_subject(TENANT, "alice")
        may_go_on.set()


@pytest.mark.parametrize(
    ("given", "kept"), [("ivr-7.call_1", True), ("x" * 65, False), ("a b", False)]
)
async def test_a_sane_request_id_comes_back(service: Served, given: str, kept: bool) -> None:
    """A caller's own request id is used if it is harmless in a log, and replaced if not."""
    async with grpc.aio.insecure_channel(service.listening.target) as channel:
        stub: Any = subjects_pb2_grpc.SubjectServiceStub(channel)  # type: ignore[no-untyped-call]
        request = subjects_pb2.GetSubjectRequest(tenant_id=TENANT, subject_id="alice")
        call = stub.GetSubject(request, metadata=((REQUEST_ID, given),))
        returned = dict(await call.trailing_metadata())[REQUEST_ID]

    assert (returned == given) is kept
    assert returned


async def test_the_port_is_not_shared(parts: Parts) -> None:
    """A second server on the same port is refused with a sentence on what to change."""
    async with served(parts) as service:
        with pytest.raises(SettingsError, match=r"server\.port"):
            async with served(parts, port=service.listening.port):
                pass


async def test_a_server_does_not_leave_loopback_by_accident(parts: Parts) -> None:
    """Beyond loopback nothing listens unless the operator asks for it."""
    with pytest.raises(SettingsError, match="mutual TLS"):
        async with served(parts, host="0.0.0.0"):  # noqa: S104 - refused
            pass


class Flaky(subjects_pb2_grpc.SubjectServiceServicer):
    """A server that is unavailable a number of times before it answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.attempts = 0

    async def GetSubject(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Fail or answer."""
        return await self._answer(request, context)

    async def CreateSubject(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Fail or answer."""
        return await self._answer(request, context)

    async def _answer(self, request: Any, context: Any) -> Any:
        self.attempts += 1
        if self.attempts <= self.failures:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return subjects_pb2.Subject(subject_id=request.subject_id)


@asynccontextmanager
async def flaky(failures: int, retries: int) -> AsyncIterator[tuple[Flaky, Client]]:
    """Serve a flaky server with a client of it."""
    servicer, server = Flaky(failures), grpc.aio.server()
    subjects_pb2_grpc.add_SubjectServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Client(f"127.0.0.1:{port}", retries=retries) as client:
        yield servicer, client
    await server.stop(None)


async def test_a_read_is_repeated_until_it_succeeds() -> None:
    """A harmless call that finds the server unavailable is tried again."""
    async with flaky(failures=2, retries=3) as (server, client):
        subject = await client.get_subject(TENANT, "alice")

    assert (subject.subject, server.attempts) == ("alice", 3)


async def test_a_read_is_not_repeated_for_ever() -> None:
    """After its retries a call fails, and says that a later one may succeed."""
    async with flaky(failures=9, retries=1) as (server, client):
        with pytest.raises(DependencyError) as caught:
            await client.get_subject(TENANT, "alice")

    assert (server.attempts, caught.value.retryable) == (2, True)


async def test_a_creation_is_never_repeated() -> None:
    """What would say something else the second time is tried once."""
    async with flaky(failures=1, retries=3) as (server, client):
        with pytest.raises(DependencyError):
            await client.create_subject(TENANT, "alice")

    assert server.attempts == 1


async def test_nobody_there_is_a_dependency_error() -> None:
    """Without a server the client says so, and is not healthy."""
    async with Client("127.0.0.1:1", timeout_seconds=0.5, retries=0) as client:
        assert not await client.healthy()
        with pytest.raises(DependencyError):
            await client.get_subject(TENANT, "alice")
        with pytest.raises(DependencyError, match="not ready"):
            await client.wait_ready(0.3)
