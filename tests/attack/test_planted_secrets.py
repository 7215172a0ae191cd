# SPDX-License-Identifier: Apache-2.0
"""Secrets are planted in everything that a client can send, and looked for in all that is left."""

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from served import CONSENT, PCM, Parts, pieces, server_settings, speech

from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import LogSettings
from voiceauth.errors import EngineError
from voiceauth.service import serve
from voiceauth.types import EnrolmentOutcome, Operation, Plan, SubjectId, TenantId
from voiceauth.wire.metadata import REQUEST_ID

PHONE, CARD, NATIONAL = "+447700900123", "4111111111111111", "078-05-1120"
ENROLLED, CLAIMED = speech(6.0, seed=1), speech(3.0, seed=2)
_MARK_BYTES = 48


def marks(audio: bytes) -> Iterator[bytes]:
    """Yield stretches of audio that could not be in a file by chance."""
    for start in range(0, len(audio) - _MARK_BYTES, len(audio) // 40):
        mark = audio[start : start + _MARK_BYTES]
        if len(set(mark)) > _MARK_BYTES // 4:
            yield mark


async def call_with_secrets(address: str) -> None:
    """Do all that a client can do, with somebody's numbers in every field; and some mistakes."""
    async with Client(address) as client:
        await client.create_subject("bank", PHONE)
        await client.record_consent("bank", PHONE, CONSENT)
        async with client.enrol(EnrolOptions(CARD, "bank", PHONE, PCM)) as stream:
            enrolled = await stream.run(pieces(ENROLLED))
        assert enrolled.outcome is EnrolmentOutcome.PARTIAL  # so that its speech has to be kept
        async with client.verify(VerifyOptions(CARD, "bank", PHONE, PCM)) as verify:
            await verify.run(pieces(CLAIMED))
        for wrong in (NATIONAL, f"{CARD} {PHONE}"):
            with pytest.raises(EngineError):
                await client.get_subject("bank", wrong)
        with pytest.raises(EngineError):
            async with client.verify(VerifyOptions(CARD, "bank", PHONE, PCM, CARD)) as verify:
                await verify.run(pieces(CLAIMED))
        await client.opt_out("bank", NATIONAL)
        plan = Plan(Operation.SUBJECT_EXPORT, TenantId("bank"), (SubjectId(PHONE),))
        with pytest.raises(EngineError):
            await client.approvals.request(plan)
        with pytest.raises(EngineError):
            await client.approvals.erase_subjects("bank", [PHONE, NATIONAL], CARD)
    async with grpc.aio.insecure_channel(address) as channel:
        ask: Any = channel.unary_unary(
            "/voiceauth.v1.InformationService/GetInformation", None, None
        )
        await ask(b"", metadata=grpc.aio.Metadata((REQUEST_ID, CARD)))


async def test_nothing_that_was_sent_is_left_readable(
    parts: Parts, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the data directory nor the log, at its most talkative, holds a planted secret.

    While the server runs and after it has ended, no file has a subject's number, a call's id or a
    stretch of audio in it, and the process leaves no core when it dies.
    """
    settings = server_settings().model_copy(update={"log": LogSettings(level="debug")})
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(parts.engine, settings, ready=port.set_result))
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        await call_with_secrets(f"127.0.0.1:{await port}")
        running = _files(tmp_path)
        core_bytes, _ = resource.getrlimit(resource.RLIMIT_CORE)
        os.kill(os.getpid(), signal.SIGTERM)
        await server
    finally:
        structlog.reset_defaults()
        resource.setrlimit(resource.RLIMIT_CORE, limits)
    log = capfd.readouterr().err

    planted = [one.encode() for one in (PHONE, PHONE[1:], CARD, NATIONAL)]
    planted += [*marks(ENROLLED), *marks(CLAIMED)]
    assert len(planted) > 40
    for name, content in {**running, **_files(tmp_path), "log": log.encode()}.items():
        assert [one for one in planted if one in content] == [], name
    assert len(running) > 1
    assert log.count("\n") > 8
    assert core_bytes == 0


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_planted_secret_would_be_found() -> None:
    """The search itself finds what it is there to find."""
    assert len(list(marks(CLAIMED))) > 20
    assert all(mark in CLAIMED for mark in marks(CLAIMED))
