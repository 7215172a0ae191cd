# SPDX-License-Identifier: Apache-2.0
"""Several processes that serve on one port, and one that looks after them.

(1) The port is taken for the supervisor, without listening, so that all workers get the same one
    and nobody else's server is on it.
(2) The first worker starts alone: it makes what a new installation needs. The others follow.
(3) A worker that dies is started again, after a pause that grows while it goes on dying at once.
(4) SIGTERM or SIGINT goes to all workers, which drain; who is not done in time is killed.
(5) A worker whose supervisor is gone drains and ends by itself: it holds the other end of a pipe.
"""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import structlog

from voiceauth.config import Settings
from voiceauth.errors import DependencyError, SettingsError
from voiceauth.service.logging import configure_logging
from voiceauth.units import Seconds

START_SECONDS: Seconds = 120.0
"""For a worker to say that it serves."""
FIRST_PAUSE_SECONDS: Seconds = 0.5
LONGEST_PAUSE_SECONDS: Seconds = 30.0
SHORT_LIFE_SECONDS: Seconds = 10.0
_LAST_SECONDS: Seconds = 10.0
"""Beyond ``drain_seconds``, for records and threads."""
_LOOK_SECONDS: Seconds = 0.5
Serve = Callable[[Settings, int, Connection], None]
"""What a worker does: settings, its number, and the pipe to its supervisor."""


@dataclass(slots=True)
class _Worker:
    number: int
    process: Any
    pipe: Connection
    started: Seconds
    pause: Seconds = FIRST_PAUSE_SECONDS
    due: Seconds | None = None


class Supervisor:
    """Keeps the workers of one server running. Only for the main thread.

    Args:
        settings: of which ``server`` and ``log`` matter here.
        serve: run in each worker; must be importable by name.
        monotonic: the time, in seconds.
        ready: called with the port once the first worker takes calls.
    """

    def __init__(
        self,
        settings: Settings,
        serve: Serve,
        monotonic: Callable[[], Seconds],
        ready: Callable[[int], None] | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._settings = settings
        self._serve = serve
        self._ready = ready
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._stop = threading.Event()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            SettingsError: the port is taken.
            DependencyError: the first worker did not come up; it has said why.
        """
        configure_logging(self._settings.log)
        with _signals(self._stop), reserved_port(self._settings) as port:  # (1)
            limits = self._settings.server.model_copy(update={"port": port})
            self._settings = self._settings.model_copy(update={"server": limits})
            try:
                self._begin(port)
                while not self._stop.is_set():
                    self._look()
            finally:
                self._end()

    def _begin(self, port: int) -> None:
        first = self._started(0)
        self._workers.append(first)
        if not self._came_up(first):  # (2)
            if self._stop.is_set():
                return
            raise DependencyError("The first worker did not come up; see its message above.")
        if self._ready is not None:
            self._ready(port)
        self._workers += [self._started(n) for n in range(1, self._settings.server.workers)]

    def _started(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=self._serve,
            args=(self._settings, number, theirs),
            name=f"voiceauth-worker-{number}",
        )
        process.start()
        theirs.close()
        return _Worker(number, process, ours, self._monotonic())

    def _came_up(self, worker: _Worker) -> bool:
        end = self._monotonic() + START_SECONDS
        while self._monotonic() < end and not self._stop.is_set():
            try:
                if worker.pipe.poll(_LOOK_SECONDS):
                    worker.pipe.recv()
                    return True
            except (EOFError, OSError):
                return False
        return False

    def _look(self) -> None:
        """Wait a moment, and start again whoever has died."""
        wait([one.process.sentinel for one in self._workers if one.due is None], _LOOK_SECONDS)
        now = self._monotonic()
        for place, worker in enumerate(self._workers):
            if self._stop.is_set():
                return
            if worker.due is None and not worker.process.is_alive():  # (3)
                lived = now - worker.started
                worker.pause = (
                    FIRST_PAUSE_SECONDS
                    if lived > SHORT_LIFE_SECONDS
                    else min(2 * worker.pause, LONGEST_PAUSE_SECONDS)
                )
                worker.due = now + worker.pause
                structlog.get_logger().error(
                    "a worker died", worker=worker.number, exit_code=worker.process.exitcode
                )
            if worker.due is not None and now >= worker.due:
                worker.pipe.close()
                self._workers[place] = self._started(worker.number)
                self._workers[place].pause = worker.pause

    def _end(self) -> None:
        for worker in self._workers:  # (4)
            if worker.process.is_alive():
                worker.process.terminate()
        end = self._monotonic() + self._settings.server.drain_seconds + _LAST_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, end - self._monotonic()))
            if worker.process.is_alive():
                structlog.get_logger().error("a worker was killed", worker=worker.number)
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()


def end_with(supervisor: Connection) -> None:
    """Have this process drain when its supervisor is gone. For workers."""

    def watch() -> None:  # (5)
        try:
            supervisor.recv()
        except (EOFError, OSError):
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="voiceauth-supervisor", daemon=True).start()


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    def note(number: int, frame: object) -> None:
        del number, frame
        stop.set()

    before = {one: signal.signal(one, note) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def reserved_port(settings: Settings) -> Iterator[int]:
    """Take the server's port, or a free one for port 0, for workers that share it.

    Raises:
        SettingsError: somebody is on it, or the address is not this machine's.
    """
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if port:
            with socket.socket(family, socket.SOCK_STREAM) as probe:  # alone on it?
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        held = socket.socket(family, socket.SOCK_STREAM)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind((host, port))
        except OSError:
            held.close()
            raise
    except OSError as error:
        text = f"Cannot listen on {host}:{port}: the port is taken or not this machine's"
        raise SettingsError(f"{text}; change server.host or server.port.") from error
    with held:
        yield int(held.getsockname()[1])
