# SPDX-License-Identifier: Apache-2.0
"""Two processes that serve on one port, from one vault, with the shipped model."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voiceauth.cli.demo_callers import mulaw
from voiceauth.client import Client, EnrolOptions, IdentifyOptions, VerifyOptions
from voiceauth.config import ServerSettings, Settings
from voiceauth.errors import SettingsError
from voiceauth.service.supervisor import reserved_port
from voiceauth.testing.records import made_up_consent
from voiceauth.types import AudioFormat, Encoding, EnrolmentOutcome

MULAW = AudioFormat(Encoding.MULAW)
COMMAND = "import sys; from voiceauth.cli import main; main()"
CONNECTIONS = 8
"""Enough that each of two workers has some."""


def clip(name: str) -> list[bytes]:
    """Return a demo recording as G.711 mu-law, in pieces."""
    with as_file(files("voiceauth").joinpath("_demo", f"{name}.opus")) as path:
        audio, rate = soundfile.read(path, dtype="float32")
    coded = mulaw(np.asarray(soxr.resample(audio, rate, 8000), dtype=np.float32))
    return [coded[at : at + 1600] for at in range(0, len(coded), 1600)]


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Serving:
    """A running ``voiceauth serve --workers 2``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        config = folder / "voiceauth.toml"
        config.write_text(
            f'[server]\nport = {self.port}\n[storage]\ndata_dir = "{folder / "vault"}"\n'
        )
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-c", COMMAND, "--config", config, "serve", "--workers", "2"],
                stderr=log,
            )

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"

    def workers(self) -> set[int]:
        """Return the processes that serve."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if int(parent) == self.process.pid and b"spawn_main" in line:
                    found.add(int(entry.name))
        return found

    async def both(self, but: int = 0) -> set[int]:
        """Wait until two workers run, leaving one aside that is gone or going."""
        await until(lambda: len(self.workers() - {but}) == 2)
        return self.workers() - {but}


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens in another process."""
    async with asyncio.timeout(120):
        while not true():  # noqa: ASYNC110 - nothing here could set an event
            await asyncio.sleep(0.1)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Start two workers, and end them."""
    running = Serving(tmp_path)
    yield running
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(60)


async def clients(stack: AsyncExitStack, target: str) -> list[Client]:
    """Open connections, each its own: the kernel shares them out among the workers."""
    found = [await stack.enter_async_context(Client(target)) for _ in range(CONNECTIONS)]
    for one in found:
        await one.wait_ready(60.0)
    return found


async def found_by(client: Client, call: str) -> list[str]:
    """Identify the first caller, and return whom the server finds."""
    async with client.identify(IdentifyOptions(call, "bank", None, MULAW)) as stream:
        ranking = await stream.run(clip("caller-01-genuine"))
    return [one.subject for one in ranking.candidates]


async def all_find(connected: list[Client], expected: list[str]) -> None:
    """Ask over every connection until all give the same answer."""
    async with asyncio.timeout(120):
        for number in range(100):
            calls = (found_by(one, f"c-{number}-{n}") for n, one in enumerate(connected))
            if await asyncio.gather(*calls) == [expected] * len(connected):
                return


async def enrolled(client: Client, subject: str, clip_name: str) -> None:
    """Enrol somebody."""
    await client.create_subject("bank", subject)
    await client.record_consent("bank", subject, made_up_consent())
    async with client.enrol(EnrolOptions(f"enrol-{subject}", "bank", subject, MULAW)) as stream:
        result = await stream.run(clip(clip_name))
    assert result.outcome is EnrolmentOutcome.ENROLLED


def test_a_port_that_is_taken_is_not_shared() -> None:
    """Two servers on one port would take each other's calls: the second one is told."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = Settings(server=ServerSettings(port=other.getsockname()[1]))
        with pytest.raises(SettingsError), reserved_port(settings):
            pass


async def test_workers_have_one_view_and_outlive_each_other(serving: Serving) -> None:
    """Enrolment and erasure come to every worker's gallery; a dead worker is replaced."""
    async with AsyncExitStack() as stack:
        connected = await clients(stack, serving.target)
        before = await serving.both()
        await enrolled(connected[0], "alice", "caller-01-enrol")
        await all_find(connected, ["alice"])

        await connected[-1].erase_subject("bank", "alice")
        await all_find(connected, [])

    os.kill(min(before), signal.SIGKILL)
    assert max(before) in await serving.both(but=min(before))

    async with AsyncExitStack() as stack:
        for number, one in enumerate(await clients(stack, serving.target)):
            claim = VerifyOptions(f"call-{number}", "bank", "nobody", MULAW)
            async with one.verify(claim) as stream:
                assert (await stream.run(clip("caller-02-genuine"))).record_id

    serving.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(serving.process.wait, 60) == 0
    assert not serving.workers()


async def test_workers_end_with_their_supervisor(serving: Serving) -> None:
    """A supervisor that is killed leaves no server behind."""
    async with AsyncExitStack() as stack:
        await clients(stack, serving.target)
        await serving.both()
    workers = serving.workers()
    serving.process.kill()
    await until(lambda: not any(Path(f"/proc/{one}").exists() for one in workers))
