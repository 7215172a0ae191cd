# SPDX-License-Identifier: Apache-2.0
"""A server under test in a process of its own, with an account of its processor time and memory."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from throughput_parts.calls import FRAME_BYTES, Cast
from voiceauth.client import Client, EnrolOptions
from voiceauth.testing.records import made_up_consent
from voiceauth.types import AudioFormat, Encoding

TENANT = "bench"
_TICKS = os.sysconf("SC_CLK_TCK")
_COMMAND = (
    "import sys; from voiceauth.cli import main; sys.argv = ['voiceauth', *sys.argv[1:]]; main()"
)

LOAD_SETTINGS = """
[lockout]
undecided_allowed = 1000

[liveness]
replay_retention_days = 1e-9

[policies.load]
accept_on_voice_alone = true
synthetic_seconds = 0.0
full_seconds = 30.0
target_false_match_rate = 0.001
target_false_non_match_rate = 1e-6
max_live_rejected = 1e-6
"""
"""What a server needs that hears the same few recordings all the time.

The replay layer would rightly refuse them: it analyses every call, but what it remembers is
forgotten at once. The policy rejects nobody: five spoiled recordings in a row would close the path
to a person.
"""


class ServerUnderTest:
    """Reads the accounts of a server's processes.

    Args:
        process: the one that was started.
        target: ``host:port``.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", target: str) -> None:
        self._process = process
        self.target = target

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        ticks = 0
        for process in self._family():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS

    def memory_bytes(self) -> int:
        """Private and shared memory of all its processes, shared pages by their share."""
        total = 0
        for process in self._family():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def _family(self) -> list[int]:
        """Find the processes of its session."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == self._process.pid:
                        found.append(int(entry.name))
        return found


@contextlib.asynccontextmanager
async def server_under_test(
    folder: Path, cores: list[int], workers: int, extra: str = ""
) -> AsyncIterator[ServerUnderTest]:
    """Start ``voiceauth serve`` on some cores and stop it behind the block.

    Args:
        folder: for its settings and vault.
        cores: numbers of the cores that it may use.
        workers: processes that serve.
        extra: further settings, TOML.
    """
    port = _free_port()
    settings = folder / "voiceauth.toml"
    settings.write_text(
        f"[server]\nport = {port}\nmax_concurrent_calls = 2000\nmax_concurrent_requests = 4000\n"
        f"inference_threads = {max(1, len(cores) // workers)}\n"
        f'[storage]\ndata_dir = "{folder / "vault"}"\n[log]\nlevel = "warning"\n'
        f"{LOAD_SETTINGS}{extra}"
    )
    several = ["--workers", str(workers)] if workers > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _COMMAND, "--config", str(settings), "serve", *several]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own command, and nothing waits
            command, env=environment, stderr=log, start_new_session=True
        )
    os.sched_setaffinity(process.pid, cores)  # before it starts a thread
    server = ServerUnderTest(process, f"127.0.0.1:{port}")
    try:
        async with Client(server.target) as client:
            await client.wait_ready(120.0)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait)


async def enrol(target: str, cast: Cast) -> None:
    """Enrol the people of a cast."""
    async with Client(target, timeout_seconds=30.0) as client:
        for one in cast.enrolments:
            await client.create_subject(TENANT, one.claims)
            await client.record_consent(TENANT, one.claims, made_up_consent())
            opening = EnrolOptions(
                f"enrol-{one.claims}", TENANT, one.claims, AudioFormat(Encoding.MULAW)
            )
            audio = Path(one.mulaw).read_bytes()  # noqa: ASYNC240 - nothing waits
            async with client.enrol(opening) as stream:
                await stream.run(
                    audio[at : at + 10 * FRAME_BYTES]
                    for at in range(0, len(audio), 10 * FRAME_BYTES)
                )


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
