# SPDX-License-Identifier: Apache-2.0
"""The blocking client, for IVR code that has no event loop.

One background thread runs the asyncio client; every method waits for it. A ``SyncClient`` may be
used from several threads, a stream from one thread at a time.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc

from voiceauth.client.alerts import SyncAlerts
from voiceauth.client.approvals import SyncApprovals
from voiceauth.client.client import Client
from voiceauth.client.errors import ClientError
from voiceauth.client.maintenance import SyncMaintenance
from voiceauth.client.step_ups import SyncStepUps
from voiceauth.client.streams import AnsweringStream, CallStream
from voiceauth.client.types import (
    EnrolOptions,
    IdentifyOptions,
    Information,
    Rekeying,
    VerifyOptions,
)
from voiceauth.types import (
    Challenge,
    ChallengeKind,
    Consent,
    Continuity,
    EnrolmentProgress,
    EnrolmentResult,
    Erasure,
    Evidence,
    LockoutStanding,
    Ranking,
    Subject,
    Sweep,
    Verdict,
)
from voiceauth.units import Seconds

_T = TypeVar("_T")
Update = TypeVar("Update")
Final = TypeVar("Final")


class LoopThread:
    """An event loop in a daemon thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="voiceauth-client", daemon=True
        )
        self._thread.start()

    def wait_for(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine there and return what it returns or raise what it raises."""
        if self._loop.is_closed():
            work.close()
            raise ClientError("The client is closed.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupt of the waiting thread ends the call, too
            raise

    def call(self, make: Callable[[], _T]) -> _T:
        """Call a function there: what belongs to the loop has to be made there."""

        async def made() -> _T:
            return make()

        return self.wait_for(made())

    @property
    def closed(self) -> bool:
        """True after ``stop``."""
        return self._loop.is_closed()

    def stop(self) -> None:
        """End the thread. Safe to call twice."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncStream(Generic[Update, Final]):
    """A stream of the asyncio client, each method waiting for its result. Errors are the same."""

    def __init__(self, stream: CallStream[Update, Final], thread: LoopThread) -> None:
        self._stream = stream
        self._thread = thread

    def __enter__(self) -> Self:
        """Open the call."""
        self._thread.wait_for(self._stream.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up, unless the final answer is here."""
        self._thread.wait_for(self._stream.__aexit__(kind, error, trace))

    def send(self, data: bytes) -> None:
        """Send audio bytes of any length."""
        self._thread.wait_for(self._stream.send(data))

    def dtmf(self, digit: str, seconds: Seconds = 0.0) -> None:
        """Report a key press."""
        self._thread.wait_for(self._stream.dtmf(digit, seconds))

    def gap(self, seconds: Seconds) -> None:
        """Report lost audio."""
        self._thread.wait_for(self._stream.gap(seconds))

    def end(self) -> None:
        """Say that no more audio comes."""
        self._thread.wait_for(self._stream.end())

    @property
    def finished(self) -> bool:
        """True once no more audio is needed."""
        return self._stream.finished

    def __iter__(self) -> Iterator[Update | Final]:
        """Iterate over the updates; the last item is the final answer."""
        return self

    def __next__(self) -> Update | Final:
        """Return the next update."""
        updates = self._thread.wait_for(_step(self._stream))
        if not updates:
            raise StopIteration
        return updates[0]

    def run(self, chunks: Iterable[bytes]) -> Final:
        """Send all chunks, as far as the server wants them, and return the final answer."""
        for chunk in chunks:
            if self.finished:
                break
            self.send(chunk)
        return self._thread.wait_for(self._stream.run(()))


class SyncAnsweringStream(SyncStream[Update, Final]):
    """What the streams of a verification share: the marks of a challenge."""

    def __init__(self, stream: AnsweringStream[Update, Final], thread: LoopThread) -> None:
        super().__init__(stream, thread)
        self._answering = stream

    def prompted(self, challenge: str) -> None:
        """Say that the prompt of a challenge ended here in the audio."""
        self._thread.wait_for(self._answering.prompted(challenge))

    def recognised(self, challenge: str, text: str, confidence: float) -> None:
        """Pass on what a recogniser of one's own heard in the answer."""
        self._thread.wait_for(self._answering.recognised(challenge, text, confidence))


class SyncVerifyStream(SyncAnsweringStream[Evidence, Verdict]):
    """Yields Evidence, and one Verdict last."""

    def verdict(self) -> Verdict:
        """Wait for the verdict and return it."""
        return self._thread.wait_for(self._stream.final())


class SyncWatchStream(SyncAnsweringStream[Evidence | Verdict | Continuity, Continuity]):
    """Yields Evidence, one Verdict, and then Continuity; the last one has ``final=True``."""


class SyncEnrolStream(SyncStream[EnrolmentProgress, EnrolmentResult]):
    """Yields EnrolmentProgress, and one EnrolmentResult last."""

    def result(self) -> EnrolmentResult:
        """Wait for the result and return it."""
        return self._thread.wait_for(self._stream.final())


class SyncIdentifyStream(SyncStream[Ranking, Ranking]):
    """Yields Rankings; the last one has ``final=True``."""

    def ranking(self) -> Ranking:
        """Wait for the final ranking and return it."""
        return self._thread.wait_for(self._stream.final())


class SyncClient:
    """The blocking twin of ``Client``: same names, same arguments, same errors."""

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        timeout_seconds: Seconds = 5.0,
        retries: int = 3,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._client = Client(
            target, timeout_seconds=timeout_seconds, retries=retries, credentials=credentials
        )
        self._thread = LoopThread()

    def __enter__(self) -> Self:
        """Prepare the connection; nothing is sent yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection; running calls are lost."""
        self.close()

    def close(self) -> None:
        """Close the connection and end the thread. Safe to call twice."""
        if not self._thread.closed:
            self._thread.wait_for(self._client.close())
        self._thread.stop()

    def wait_ready(self, seconds: Seconds) -> None:
        """Wait until the server says that it serves. Raises DependencyError."""
        self._thread.wait_for(self._client.wait_ready(seconds))

    def healthy(self) -> bool:
        """Say whether the server can be reached and serves."""
        return self._thread.wait_for(self._client.healthy())

    def information(self) -> Information:
        """Return what the server runs with."""
        return self._thread.wait_for(self._client.information())

    def verify(self, call: VerifyOptions) -> SyncVerifyStream:
        """Verify a claim; use it in a ``with`` block."""
        stream = self._thread.call(lambda: self._client.verify(call))
        return SyncVerifyStream(stream, self._thread)

    def watch(self, call: VerifyOptions) -> SyncWatchStream:
        """Verify a claim and go on listening for another person after the verdict."""
        stream = self._thread.call(lambda: self._client.watch(call))
        return SyncWatchStream(stream, self._thread)

    def create_challenge(
        self, call_id: str, tenant: str, subject: str, kind: ChallengeKind = ChallengeKind.DIGITS
    ) -> Challenge:
        """Get words that the caller has to say in this call. Raises ChallengeLimitError."""
        return self._thread.wait_for(self._client.create_challenge(call_id, tenant, subject, kind))

    def identify(self, call: IdentifyOptions) -> SyncIdentifyStream:
        """Rank the members of a group by likeness; use it in a ``with`` block."""
        return SyncIdentifyStream(
            self._thread.call(lambda: self._client.identify(call)), self._thread
        )

    def enrol(self, call: EnrolOptions) -> SyncEnrolStream:
        """Collect a consenting subject's voice; use it in a ``with`` block."""
        stream = self._thread.call(lambda: self._client.enrol(call))
        return SyncEnrolStream(stream, self._thread)

    def create_subject(self, tenant: str, subject: str, groups: Iterable[str] = ()) -> Subject:
        """Create a subject. Raises SubjectExistsError. Never repeated."""
        return self._thread.wait_for(self._client.create_subject(tenant, subject, groups))

    def get_subject(self, tenant: str, subject: str) -> Subject:
        """Read one subject. Raises NotFoundError."""
        return self._thread.wait_for(self._client.get_subject(tenant, subject))

    def list_subjects(self, tenant: str, page_size: int = 100) -> Iterator[Subject]:
        """Read all subjects of a tenant, page by page."""
        subjects = self._client.list_subjects(tenant, page_size)
        while (one := self._thread.wait_for(_following(subjects))) is not None:
            yield one

    def set_groups(self, tenant: str, subject: str, groups: Iterable[str]) -> Subject:
        """Replace a subject's groups. Raises NotFoundError."""
        return self._thread.wait_for(self._client.set_groups(tenant, subject, groups))

    def record_consent(self, tenant: str, subject: str, consent: Consent) -> Subject:
        """Record a permission that the subject gave. Raises NotFoundError, OptedOutError."""
        return self._thread.wait_for(self._client.record_consent(tenant, subject, consent))

    def withdraw_consent(self, tenant: str, subject: str) -> Subject:
        """End the consent and delete the voiceprints. Raises ConsentMissingError."""
        return self._thread.wait_for(self._client.withdraw_consent(tenant, subject))

    def opt_out(self, tenant: str, subject: str) -> Subject:
        """Exclude a person from voice biometrics, known or not."""
        return self._thread.wait_for(self._client.opt_out(tenant, subject))

    def undo_opt_out(self, tenant: str, subject: str) -> Subject:
        """Take an opt-out back. Raises NotFoundError."""
        return self._thread.wait_for(self._client.undo_opt_out(tenant, subject))

    def erase_subject(self, tenant: str, subject: str) -> tuple[int, int]:
        """Erase a subject; return the record's number and how many voiceprints were destroyed."""
        return self._thread.wait_for(self._client.erase_subject(tenant, subject))

    @property
    def alerts(self) -> SyncAlerts:
        """What the rules over the ledger have found."""
        return SyncAlerts(self._client.alerts, self._thread.wait_for)

    @property
    def approvals(self) -> SyncApprovals:
        """What takes two persons."""
        return SyncApprovals(self._client.approvals, self._thread.wait_for)

    @property
    def maintenance(self) -> SyncMaintenance:
        """What an operator asks of a running server."""
        return SyncMaintenance(self._client.maintenance, self._thread.wait_for)

    def rekey_voiceprints(self, tenant: str) -> Iterator[Rekeying]:
        """Give a tenant's voiceprints a new secret; yields until it is finished."""
        steps = self._client.rekey_voiceprints(tenant)
        while (one := self._thread.wait_for(_following(steps))) is not None:
            yield one

    @property
    def step_ups(self) -> SyncStepUps:
        """Factors, and what a STEP_UP asks for."""
        return SyncStepUps(self._client.step_ups, self._thread.wait_for)

    def get_lockout(self, tenant: str, subject: str, number: str = "") -> LockoutStanding:
        """Read how often a subject's voice, and a calling number, were tried without success."""
        return self._thread.wait_for(self._client.get_lockout(tenant, subject, number))

    def unlock(self, tenant: str, subject: str, number: str = "") -> LockoutStanding:
        """Open a subject's voice path, and give a named number its budget back. Not repeated."""
        return self._thread.wait_for(self._client.unlock(tenant, subject, number))

    def erase(self, tenant: str, subject: str) -> Erasure:
        """Erase a subject; see ``Client.erase``."""
        return self._thread.wait_for(self._client.erase(tenant, subject))

    def sweep_retention(
        self, tenant: str, *, dry_run: bool = False, confirm_clock: bool = False
    ) -> Sweep:
        """Erase what the retention rules keep no longer; see ``Client.sweep_retention``."""
        return self._thread.wait_for(
            self._client.sweep_retention(tenant, dry_run=dry_run, confirm_clock=confirm_clock)
        )


async def _step(stream: AsyncIterator[_T]) -> list[_T]:
    """Return the next update, or nothing at the end."""
    try:
        return [await anext(stream)]
    except StopAsyncIteration:
        return []


async def _following(items: AsyncIterator[_T]) -> _T | None:
    return await anext(items, None)
