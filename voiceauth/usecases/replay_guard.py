# SPDX-License-Identifier: Apache-2.0
"""Remember how accepted calls sounded, and notice one that is played again.

It keeps keyed fingerprints, never audio, and only of calls that were accepted or enrolled.

Rules:

* Each subject has a fingerprint key of its own, derived from a secret of the installation that
  rotation of the wrapping keys does not change.
* What is older than the retention time is never used, and goes with the next thing remembered,
  with ``forget_expired`` at the latest.
* A subject that is not there is compared with a stand-in, at the same cost.
"""

import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from voiceauth.liveness.fingerprint import BITS, FRAME_SECONDS, RATE_HZ, Fingerprinter, packed
from voiceauth.liveness.replay import BLOCK, Memory, memory_of, stand_in
from voiceauth.liveness.timeline import Timeline
from voiceauth.ports import Clock, ReplayStore, Vault
from voiceauth.signal.resample import resampled
from voiceauth.types import (
    CallId,
    Fingerprint,
    HeardRecording,
    Samples,
    Span,
    SubjectId,
    TenantId,
)
from voiceauth.units import Hertz, Seconds

_PAGE = 500
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """How much is remembered, and how long.

    Attributes:
        retention_seconds: after that a recording is forgotten, and its replay not found.
        most_recordings: per subject; the oldest go first.
        longest_seconds: of one recording, from its first speech.
    """

    retention_seconds: Seconds = 180 * 86_400.0
    most_recordings: int = 12
    longest_seconds: Seconds = 30.0

    @property
    def frames(self) -> int:
        """Frames of one recording at most."""
        return round(self.longest_seconds / FRAME_SECONDS)


class ReplayGuard:
    """One installation's memory of calls. Safe from several threads.

    Args:
        secret: derives an installation secret for a purpose.
        clock: dates recordings.
        rules: how much is kept, and how long.
    """

    def __init__(
        self, secret: Callable[[str], bytes], clock: Clock, rules: ReplayRules | None = None
    ) -> None:
        self._secret = secret
        self._clock = clock
        self.rules = rules or ReplayRules()

    def key(self, tenant: TenantId, subject: SubjectId) -> bytes:
        """Return the subject's fingerprint key: no two subjects' fingerprints can be compared."""
        return self._derived("replay", tenant, subject)

    def load(
        self, store: ReplayStore, tenant: TenantId, subject: SubjectId, call: CallId
    ) -> Memory:
        """Read what is remembered of other calls, within the retention time. Blocking.

        Args:
            store: a view of the vault.
            tenant: of the claim.
            subject: of the claim.
            call: this one; a stream that was opened again does not repeat itself.

        Raises:
            IntegrityError: what is stored was changed; nothing may be decided from it.
        """
        heard = [one for one in self._fresh(store.recordings(tenant, subject)) if one.call != call]
        return memory_of(heard, self._length, self._filling(tenant, subject))

    def stand_in(self, tenant: TenantId, subject: SubjectId) -> Memory:
        """Return what a claim on somebody who is not there is compared with."""
        return stand_in(self._length, self._filling(tenant, subject))

    def recording(
        self, tenant: TenantId, subject: SubjectId, spans: Sequence[Span], rate_hz: Hertz
    ) -> Fingerprint:
        """Compute the fingerprint of spans of one call, in order; some milliseconds a second."""
        printer, timeline = Fingerprinter(self.key(tenant, subject)), Timeline()
        frames = [np.zeros((0, BITS), dtype=np.float32)]
        for span in spans:
            audio = at_fingerprint_rate(span.samples, rate_hz)
            frames.append(printer.push(*timeline.lay_out(audio, span.hops)))
        return packed(np.concatenate(frames)[: self.rules.frames])

    def remember(
        self,
        store: ReplayStore,
        tenant: TenantId,
        subject: SubjectId,
        call: CallId,
        fingerprint: Fingerprint,
    ) -> None:
        """Add a call to what is remembered, and forget what is too old or too much. Blocking.

        Must run inside the write transaction of what it belongs to.

        Raises:
            IntegrityError: what is stored was changed.
            NotFoundError: there is no such subject.
        """
        stored = store.recordings(tenant, subject)
        kept = list(self._fresh(stored))
        if fingerprint.frames >= BLOCK:
            kept.append(HeardRecording(call, self._clock.now(), fingerprint))
        kept = kept[-self.rules.most_recordings :]
        if kept != list(stored):
            store.put_recordings(tenant, subject, kept)

    def forget(
        self, store: ReplayStore, tenant: TenantId, subject: SubjectId, calls: Collection[CallId]
    ) -> int:
        """Forget the recordings of some calls, and what is too old; return how many. Blocking.

        Raises:
            IntegrityError: what is stored was changed.
            NotFoundError: there is no such subject.
        """
        stored = store.recordings(tenant, subject)
        kept = [one for one in self._fresh(stored) if one.call not in calls]
        if len(kept) < len(stored):
            store.put_recordings(tenant, subject, kept)
        return len(stored) - len(kept)

    def stale(self, store: ReplayStore, tenant: TenantId, subject: SubjectId) -> bool:
        """Whether something is stored that is too old. Raises IntegrityError."""
        stored = store.recordings(tenant, subject)
        return len(self._fresh(stored)) < len(stored)

    @property
    def _length(self) -> int:
        return self.rules.most_recordings * (self.rules.frames + BLOCK)

    def _fresh(self, recordings: Sequence[HeardRecording]) -> tuple[HeardRecording, ...]:
        oldest = self._clock.now() - timedelta(seconds=self.rules.retention_seconds)
        return tuple(one for one in recordings if one.heard_at >= oldest)

    def _filling(self, tenant: TenantId, subject: SubjectId) -> bytes:
        return self._derived("replay-filling", tenant, subject)

    def _derived(self, purpose: str, tenant: TenantId, subject: SubjectId) -> bytes:
        name = f"{tenant}\0{subject}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret(purpose), name, "sha256")


class CallTape:
    """The counted spans of an enrolment call, until it is known whether they are kept.

    Args:
        guard: None where nothing is remembered.
        tenant: of the enrolment.
        subject: of the enrolment.
        call: this one.
        rate_hz: of the spans.
    """

    def __init__(
        self,
        guard: ReplayGuard | None,
        tenant: TenantId,
        subject: SubjectId,
        call: CallId,
        rate_hz: Hertz,
    ) -> None:
        self._guard = guard
        self._who = (tenant, subject)
        self._call = call
        self._rate_hz = rate_hz
        self._spans: list[Span] = []

    def add(self, span: Span) -> None:
        """Note a counted span."""
        if self._guard is not None:
            self._spans.append(span)

    def fingerprint(self) -> Fingerprint | None:
        """Compute what would be remembered; None where nothing is. Blocking."""
        if self._guard is None:
            return None
        return self._guard.recording(*self._who, self._spans, self._rate_hz)

    def settle(
        self,
        transaction: ReplayStore,
        heard: Fingerprint | None,
        *,
        kept: bool,
        waiting: Collection[CallId],
    ) -> None:
        """Remember the call, or forget those that it was to be completed with. Blocking.

        Args:
            transaction: of the enrolment's record.
            heard: from ``fingerprint``.
            kept: whether the segments of the enrolment are stored.
            waiting: calls whose segments were stored before; without ``kept`` they go.

        Raises:
            IntegrityError: what is stored was changed.
        """
        if self._guard is None or heard is None:
            return
        if kept:
            self._guard.remember(transaction, *self._who, self._call, heard)
        else:
            self._guard.forget(transaction, *self._who, waiting)


def at_fingerprint_rate(samples: Samples, rate_hz: Hertz) -> Samples:
    """Bring a span to the 8 kHz of the fingerprint."""
    if rate_hz == RATE_HZ:
        return samples
    return resampled(samples, rate_hz, RATE_HZ)


def forget_expired(guard: ReplayGuard, vault: Vault) -> None:
    """Forget every recording that is older than the retention time. Blocking.

    Raises:
        StorageError: the vault cannot be read or written.
        IntegrityError: what is stored was changed.
    """
    for tenant in vault.tenants():
        after: SubjectId | None = None
        while True:
            with vault.read() as view:
                page = view.subjects(tenant, after=after, limit=_PAGE)
                stale = [one.subject for one in page if guard.stale(view, tenant, one.subject)]
            for subject in stale:
                with vault.begin() as transaction:
                    if transaction.subject(tenant, subject) is not None:
                        guard.forget(transaction, tenant, subject, ())
            if not page:
                break
            after = page[-1].subject
