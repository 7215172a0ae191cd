# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import os
import signal

import pytest
import structlog
from served import Parts, server_settings, speech

from voiceauth.client import Client, VerifyOptions
from voiceauth.config import LogSettings
from voiceauth.service import serve
from voiceauth.types import AudioFormat, Decision, Encoding

SUBJECT, CALL = "subject-4711", "call-0815"


@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_server_and_the_log_holds_no_names(
    parts: Parts, one: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a signal the running call gets its verdict, then the server ends.

    Its log is JSON, one line per RPC, and names the call by the ledger's pseudonym only.
    """
    settings = server_settings().model_copy(update={"log": LogSettings(level="debug")})
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(parts.engine, settings, ready=port.set_result))
    claim = VerifyOptions(CALL, "bank", SUBJECT, AudioFormat(Encoding.PCM16LE))
    try:
        async with (
            Client(f"127.0.0.1:{await port}") as client,
            client.verify(claim) as stream,
        ):
            await anext(stream)
            os.kill(os.getpid(), one)
            verdict = await stream.run([speech(1.0)])
        await server
    finally:
        structlog.reset_defaults()

    assert verdict.decision is Decision.INCONCLUSIVE
    text = capfd.readouterr().err
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    ends = [line for line in lines if line["event"] == "rpc" and line["rpc"].endswith("/Verify")]
    recorded = json.loads(parts.last("verify.verdict").body)["call"]
    assert [(end["status"], end["call"]) for end in ends] == [("OK", recorded)]
    assert SUBJECT not in text
    assert CALL not in text
    assert [line["event"] for line in lines][-1] == "stopped"
