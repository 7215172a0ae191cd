# SPDX-License-Identifier: Apache-2.0
"""The blocking client, for IVR code that has no event loop.

One background thread runs the asyncio client; every method waits for it. A ``SyncClient`` may be
used from several threads, a stream from one thread at a time.
"""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import grpc

from voiceauth.client.alerts import SyncAlerts
from voiceauth.client.approvals import SyncApprovals
from voiceauth.client.client import Client
from voiceauth.client.loop_thread import LoopThread, following
from voiceauth.client.maintenance import SyncMaintenance
from voiceauth.client.step_ups import SyncStepUps
from voiceauth.client.sync_streams import (
    SyncEnrolStream,
    SyncIdentifyStream,
    SyncStream,
    SyncVerifyStream,
    SyncWatchStream,
)
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
    Erasure,
    LockoutStanding,
    Subject,
    Sweep,
)
from voiceauth.units import Seconds

__all__ = [
    "LoopThread",
    "SyncClient",
    "SyncEnrolStream",
    "SyncIdentifyStream",
    "SyncStream",
    "SyncVerifyStream",
    "SyncWatchStream",
]


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
        while (one := self._thread.wait_for(following(subjects))) is not None:
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
        while (one := self._thread.wait_for(following(steps))) is not None:
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
