# SPDX-License-Identifier: Apache-2.0
"""The whole program in a process of its own: what calls leave on the disk, even after a crash."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from served import CONSENT, PCM, pieces, speech

from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.errors import EngineError

START = "from voiceauth.cli import main; main()"
MEMORY = (
    "from voiceauth.service.memory import is_dumpable, leave_no_core; "
    "import resource; leave_no_core(); "
    "print(is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE)[0])"
)
PHONE, CARD, NATIONAL, GROUP = (
    "+447700900123",
    "4111111111111111",
    "078-05-1120",
    "5500005555555559",
)
ENROLLED, CLAIMED = speech(6.0, seed=3), speech(3.0, seed=4)
_MARK_BYTES = 48


def marks(audio: bytes) -> Iterator[bytes]:
    """Yield stretches of the audio as it was sent, and as a program would hold it in memory."""
    floats = (np.frombuffer(audio, dtype="<i2") / 32768.0).astype("<f4").tobytes()
    for held in (audio, floats):
        for start in range(0, len(held) - _MARK_BYTES, max(4, len(held) // 40) & ~3):
            mark = held[start : start + _MARK_BYTES]
            if len(set(mark)) > _MARK_BYTES // 4:
                yield mark


def absolute() -> dict[str, str]:
    """Return the environment, with a search path that holds in any folder."""
    found = dict(os.environ)
    if found.get("PYTHONPATH"):
        paths = found["PYTHONPATH"].split(os.pathsep)
        found["PYTHONPATH"] = os.pathsep.join(str(Path(one).resolve()) for one in paths)
    return found


class Server:
    """``voiceauth serve`` in a folder of its own, most talkative."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        config = folder / "voiceauth.toml"
        config.write_text('[server]\nport = 0\n[log]\nlevel = "debug"\n')
        environment = {**absolute(), "VOICEAUTH_STORAGE__DATA_DIR": str(folder / "data")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", START, "--config", str(config), "serve"],
                cwd=folder,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def text(self) -> str:
        """Return what it has logged."""
        return self.log.read_text(encoding="utf-8")

    async def address(self) -> str:
        """Wait until it listens."""
        while '"listening"' not in self.text():
            if self.process.poll() is not None:
                pytest.fail(self.text())
            await asyncio.sleep(0.05)
        port = self.text().split('"port": ')[1].split(",")[0].rstrip("}")
        return f"127.0.0.1:{port}"

    def files(self) -> dict[str, bytes]:
        """Read every file of the folder."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a running server; it is gone afterwards."""
    started = Server(tmp_path)
    yield started
    if started.process.poll() is None:
        started.process.kill()
    started.process.wait()


async def call_with_secrets(address: str) -> None:
    """Enrol, verify, opt out, and make mistakes, with somebody's numbers in every field."""
    async with Client(address, timeout_seconds=30.0) as client:
        await client.create_subject("bank", PHONE, [GROUP])
        await client.record_consent("bank", PHONE, CONSENT)
        await client.set_groups("bank", PHONE, [GROUP, CARD])
        async with client.enrol(EnrolOptions(CARD, "bank", PHONE, PCM)) as enrolment:
            await enrolment.run(pieces(ENROLLED))
        async with client.verify(VerifyOptions(CARD, "bank", PHONE, PCM)) as verify:
            await verify.run(pieces(CLAIMED))
        with pytest.raises(EngineError):
            await client.get_subject("bank", NATIONAL)
        await client.opt_out("bank", NATIONAL)


async def test_a_running_server_leaves_nothing_readable_and_a_crash_no_core(
    server: Server,
) -> None:
    """While calls run, and after the process has died of a fault, no file holds a planted secret.

    Neither numbers nor group names nor a stretch of audio, as sent or as floating point; the crash
    leaves no file that was not there before.
    """
    address = await server.address()
    async with (
        Client(address) as client,
        client.verify(VerifyOptions("c", "bank", PHONE, PCM)) as stream,
    ):
        for one in pieces(CLAIMED):
            await stream.send(one)
        await call_with_secrets(address)
        running = server.files()
        server.process.send_signal(signal.SIGABRT)
        await asyncio.to_thread(server.process.wait)
    after = server.files()

    planted = [one.encode() for one in (PHONE, PHONE[1:], CARD, NATIONAL, GROUP)]
    planted += [*marks(ENROLLED), *marks(CLAIMED)]
    assert len(planted) > 80
    for name, content in [*running.items(), *after.items()]:
        assert [one for one in planted if one in content] == [], name
    assert server.process.returncode == -signal.SIGABRT
    assert len(running["data/vault.db"]) > 0
    new = {name for name in set(after) - set(running) if not name.startswith("data/vault.db")}
    assert new == set()


def test_the_search_finds_what_it_is_there_to_find() -> None:
    """Both forms of the audio give marks, and each is in its form."""
    assert len(list(marks(CLAIMED))) > 40
    assert sum(one in CLAIMED for one in marks(CLAIMED)) > 20


def test_a_server_process_cannot_be_dumped() -> None:
    """Neither a core file nor a collector that the kernel pipes cores into gets its memory."""
    told = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, env=absolute()
    )

    assert told.stdout.split() == ["False", "0"]
