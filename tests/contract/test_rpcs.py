# SPDX-License-Identifier: Apache-2.0
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from served import Parts, Served, served

from voiceauth.access.roles import GRANTS
from voiceauth.access.rpcs import ROWS, Size
from voiceauth.client.channel import REPEATABLE
from voiceauth.config import ServerSettings
from voiceauth.service.alerts import AlertServicer
from voiceauth.service.approvals import ApprovalServicer
from voiceauth.service.enrolment import EnrolmentServicer
from voiceauth.service.health import SERVICES
from voiceauth.service.information import InformationServicer
from voiceauth.service.interceptors import CONTRACT
from voiceauth.service.keys import KeyServicer
from voiceauth.service.limits import largest_request, longest_seconds
from voiceauth.service.lockout import LockoutServicer
from voiceauth.service.maintenance import MaintenanceServicer
from voiceauth.service.masks import FREE_TEXTS, HARMLESS, IDENTIFIERS
from voiceauth.service.retention import RetentionServicer
from voiceauth.service.step_up import StepUpServicer
from voiceauth.service.subjects import SubjectServicer
from voiceauth.service.verification import VerificationServicer
from voiceauth.v1 import (
    alerts_pb2,
    approvals_pb2,
    enrolment_pb2,
    information_pb2,
    keys_pb2,
    lockout_pb2,
    maintenance_pb2,
    retention_pb2,
    step_up_pb2,
    subjects_pb2,
    verification_pb2,
)
from voiceauth.wire.metadata import ERROR_CODE

SERVICERS: dict[str, type] = {
    "voiceauth.v1.VerificationService": VerificationServicer,
    "voiceauth.v1.EnrolmentService": EnrolmentServicer,
    "voiceauth.v1.SubjectService": SubjectServicer,
    "voiceauth.v1.AlertService": AlertServicer,
    "voiceauth.v1.ApprovalService": ApprovalServicer,
    "voiceauth.v1.StepUpService": StepUpServicer,
    "voiceauth.v1.LockoutService": LockoutServicer,
    "voiceauth.v1.RetentionService": RetentionServicer,
    "voiceauth.v1.InformationService": InformationServicer,
    "voiceauth.v1.MaintenanceService": MaintenanceServicer,
    "voiceauth.v1.KeyService": KeyServicer,
}
FILES: tuple[ModuleType, ...] = (
    alerts_pb2,
    verification_pb2,
    enrolment_pb2,
    subjects_pb2,
    approvals_pb2,
    step_up_pb2,
    lockout_pb2,
    retention_pb2,
    information_pb2,
    maintenance_pb2,
    keys_pb2,
)


NOTHING_READ = {"GetInformation", "ListBackups", "Diagnose"}
"""Read nothing about anybody, and change nothing."""


def methods() -> Iterator[Any]:
    """Yield the descriptor of every RPC of the contract."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from service.methods


def path(method: Any) -> str:
    """Return an RPC's name on the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


SOURCES = [
    path.read_text(encoding="utf-8")
    for path in (Path(__file__).resolve().parents[2] / "voiceauth" / "usecases").glob("*.py")
]
EVERY = pytest.mark.parametrize("method", list(methods()), ids=lambda method: str(method.name))


def test_every_service_of_the_contract_is_served() -> None:
    """The services of the proto files, the servicers and the health names are the same set."""
    named = {service for file in FILES for service in _services(file)}

    assert set(SERVICES) == set(SERVICERS) == named


def _services(file: ModuleType) -> list[str]:
    return [one.full_name for one in file.DESCRIPTOR.services_by_name.values()]


@EVERY
def test_every_rpc_is_implemented(method: Any) -> None:
    """A servicer defines each RPC itself: none is left to the generated 'unimplemented'."""
    servicer = SERVICERS[method.containing_service.full_name]

    assert inspect.iscoroutinefunction(vars(servicer)[method.name])


@EVERY
def test_every_rpc_has_limits(method: Any) -> None:
    """Each RPC has a row with a deadline and a size, and its kind is that of the contract."""
    row, limits = ROWS[path(method)], ServerSettings()

    assert row.stream == method.client_streaming == method.server_streaming
    assert 0 < longest_seconds(row, limits) <= limits.max_stream_seconds
    assert 0 < largest_request(row, limits) <= 2 * limits.max_message_bytes


def test_the_table_names_nothing_else() -> None:
    """A row without an RPC would be a rule that guards nothing."""
    assert set(ROWS) == {path(method) for method in methods()}


def test_only_harmless_rpcs_are_repeated() -> None:
    """No stream, no creation, no erasure and no withdrawal is ever repeated by the client."""
    ours = {name for service, name in REPEATABLE if service.startswith("voiceauth.")}
    streams = {method.name for method in methods() if method.client_streaming}

    assert not ours & streams
    assert not ours & {"CreateSubject", "EraseSubject", "WithdrawConsent"}
    assert not ours & {
        method.name
        for method in approvals_pb2.DESCRIPTOR.services_by_name["ApprovalService"].methods
    }
    assert ours <= {method.name for method in methods()}


@EVERY
async def test_garbage_is_the_callers_mistake_everywhere(service: Served, method: Any) -> None:
    """Bytes that are no message give INVALID_ARGUMENT on every RPC, and no words of a library."""
    async with grpc.aio.insecure_channel(service.listening.target) as channel:
        if method.client_streaming:
            streams: Any = channel.stream_stream(path(method), None, None)
            call = streams()
            await call.write(b"\xff\xff\xff")
        else:
            single: Any = channel.unary_unary(path(method), None, None)
            call = single(b"\xff\xff\xff")
        status, text = await call.code(), await call.details()

    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert text == "The request is not a message of this contract."


@pytest.mark.parametrize(
    "method",
    [method for method in methods() if ROWS[path(method)].size is Size.ENVELOPE],
    ids=lambda method: str(method.name),
)
async def test_a_bloated_request_is_refused(service: Served, method: Any) -> None:
    """No RPC of ids and names reads a request above its limit, although the transport lets it in.

    The others' limit is the transport's own.
    """
    field_of_16383_bytes = b"\x0a\xff\x7f" + b"x" * 16_383
    async with grpc.aio.insecure_channel(service.listening.target) as channel:
        single: Any = channel.unary_unary(path(method), None, None)
        call = single(field_of_16383_bytes)
        status, trailing = await call.code(), await call.trailing_metadata()

    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert dict(trailing)[ERROR_CODE] == "too_large"


async def test_an_unknown_rpc_is_unimplemented(service: Served) -> None:
    """What the contract does not name is not there."""
    async with grpc.aio.insecure_channel(service.listening.target) as channel:
        single: Any = channel.unary_unary(f"{CONTRACT}SubjectService/DumpSubjects", None, None)
        status = await single(b"").code()

    assert status is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("switched_on", [False, True])
async def test_reflection_is_off_unless_switched_on(parts: Parts, switched_on: bool) -> None:
    """The server tells its contract only where the operator wants it to."""
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: PLC0415

    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with (
        served(parts, reflection=switched_on) as service,
        grpc.aio.insecure_channel(service.listening.target) as channel,
    ):
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([request]))
        answers = [answer async for answer in call] if switched_on else []
        status = await call.code()

    assert len(answers) == switched_on
    assert status is (grpc.StatusCode.OK if switched_on else grpc.StatusCode.UNIMPLEMENTED)


@EVERY
def test_every_text_of_a_reply_is_masked_or_harmless(method: Any) -> None:
    """A new text field is not sent before somebody has said what it is."""
    assert set(_texts(method.output_type)) <= IDENTIFIERS | FREE_TEXTS | HARMLESS


def _texts(message: Any, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    for field in message.fields:
        if field.type == field.TYPE_STRING:
            yield field.name
        elif field.message_type is not None and field.message_type.full_name not in seen:
            yield from _texts(field.message_type, seen | {field.message_type.full_name})


@EVERY
def test_every_rpc_has_a_permission_that_somebody_holds_and_an_event(method: Any) -> None:
    """Each RPC is somebody's business, and leaves an entry in the ledger that a use case writes.

    Those without an entry read nothing about anybody.
    """
    row = ROWS[path(method)]

    assert any(row.permission in grant.permissions for grant in GRANTS.values())
    assert bool(row.events) == (method.name not in NOTHING_READ)
    for event in row.events:
        assert any(f'"{event}"' in source for source in SOURCES), event


@EVERY
def test_every_request_about_somebody_names_its_tenant(method: Any) -> None:
    """The guard finds the tenant where it looks: in the request, or in a stream's opening."""
    message = method.input_type
    if method.client_streaming:
        message = message.fields_by_name["open"].message_type

    of_the_installation = method.containing_service.name in {
        "InformationService",
        "MaintenanceService",
    }
    assert ("tenant_id" in message.fields_by_name) != of_the_installation
