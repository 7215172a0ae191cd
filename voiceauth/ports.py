# SPDX-License-Identifier: Apache-2.0
"""The seams of the engine: protocols between the use cases and the rooms that touch the world.

Rules:

* Use cases speak to these protocols only; rooms implement them.
* Time and randomness enter through ``Clock`` and ``Random``, nowhere else.
* A ``Transaction`` groups an effect with its ledger entry: both are durable, or neither is.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from voiceauth.types import (
    Acknowledgement,
    Alert,
    AlertId,
    Approval,
    ApprovalId,
    Attempts,
    Bandwidth,
    CallId,
    CodeMessage,
    Consent,
    Counter,
    Delivery,
    Embedding,
    EnrolmentSegment,
    Factor,
    FactorKind,
    FailedVoice,
    GroupName,
    HeardRecording,
    KeyId,
    KeyInfo,
    LedgerEntry,
    ModelHash,
    Recognition,
    Samples,
    Score,
    StepUpRecord,
    StoredCheckpoint,
    StoredVoice,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.units import Cosine, Decibels, Hertz, Seconds


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return the current time, UTC, aware."""
        ...

    def monotonic(self) -> Seconds:
        """Return seconds from an arbitrary start that never goes back."""
        ...


class Random(Protocol):
    """Where unpredictable bytes come from."""

    def token(self, size: int) -> bytes:
        """Return ``size`` cryptographically random bytes."""
        ...


class SpeakerEmbedder(Protocol):
    """A loaded speaker model. Implementations are safe to call from several threads."""

    @property
    def model(self) -> ModelHash:
        """SHA-256 of the model file."""
        ...

    @property
    def rate_hz(self) -> Hertz:
        """Sampling rate that ``embed`` expects."""
        ...

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        ...

    def embed(self, samples: Samples) -> Embedding:
        """Embed one span.

        Raises:
            TooShortError: fewer samples than the model's minimum.
            ModelOutputError: NaN, infinity or a wrong shape came out.
        """
        ...


class SpoofDetector(Protocol):
    """A loaded spoof model. Implementations are safe to call from several threads."""

    @property
    def model(self) -> ModelHash:
        """SHA-256 of the model file."""
        ...

    @property
    def least_samples(self) -> int:
        """Fewest samples that ``score`` takes."""
        ...

    def score(self, waveform: Samples) -> float:
        """Return the raw score of one span; higher is more synthetic.

        Raises:
            TooShortError: fewer samples than the model's minimum.
            ModelOutputError: NaN, infinity or a wrong shape came out.
        """
        ...


class Scorer(Protocol):
    """Turns two embeddings into calibrated evidence. Pure and safe from several threads."""

    @property
    def version(self) -> str:
        """Version of the calibration tables."""
        ...

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        enrolled_seconds: Seconds | None = None,
        snr_db: Decibels | None = None,
    ) -> Score:
        """Compare a probe of ``net_seconds`` of speech with an enrolled voiceprint.

        What is not known (None) of the voiceprint's speech or of the probe's signal-to-noise ratio
        is taken at its worst.

        Returns:
            A score whose rates are None where the tables have no support.
        """
        ...


class Recognizer(Protocol):
    """Hears whether asked words were said. Implementations are safe for several threads."""

    @property
    def name(self) -> str:
        """What the ledger calls it, with its version."""
        ...

    def recognise(
        self, samples: Samples, rate_hz: Hertz, expected: Sequence[str], vocabulary: Sequence[str]
    ) -> Recognition:
        """Recognise one answer.

        Args:
            samples: the answer with some silence around it, shape (samples,).
            rate_hz: of the samples.
            expected: the words that were asked for.
            vocabulary: the words that could have been asked for.

        Raises:
            RecognitionError: it is down, failed, or does not know a word.
        """
        ...


class KeyService(Protocol):
    """Holds key-encryption keys and never hands them out. Each scope (tenant) has its own."""

    def current(self, scope: str = "") -> KeyId:
        """Return the key that new data keys of a scope are wrapped under, making the first one.

        Raises:
            KeyServiceError: no key is available, and none can be made.
        """
        ...

    def wrap(self, key: bytes, context: bytes, scope: str = "") -> tuple[KeyId, bytes]:
        """Wrap a data key under the scope's current key, bound to ``context`` (authenticated).

        Raises:
            KeyServiceError: the key service is down.
        """
        ...

    def unwrap(self, key_id: KeyId, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap a data key.

        Raises:
            KeyServiceError: the key service is down or does not know ``key_id``.
            TagMismatchError: the wrapped key or its context was changed.
        """
        ...

    def derive(self, purpose: str) -> bytes:
        """Return a 32-byte secret that depends on the installation and ``purpose`` only.

        It keys pseudonyms and decoys: it survives rotation, and is not a data key.
        """
        ...


class ManagedKeys(KeyService, Protocol):
    """A key service whose keys the engine makes, rotates and destroys."""

    def inventory(self) -> Sequence[KeyInfo]:
        """List all keys, oldest first."""
        ...

    def rotate(self, scope: str = "") -> KeyId:
        """Add a new current key to a scope; the old ones still unwrap.

        Raises:
            KeyServiceError: it cannot be made; the old key stays current.
        """
        ...

    def retire(self, key_id: KeyId) -> None:
        """Destroy an old key: what is still wrapped under it, in old backups too, is lost.

        Raises:
            PolicyError: it is a current key.
            KeyServiceError: there is no such key, or it cannot be destroyed.
        """
        ...


class ReplayStore(Protocol):
    """What was heard of each subject, as keyed fingerprints: part of every transaction."""

    def recordings(self, tenant: TenantId, subject: SubjectId) -> Sequence[HeardRecording]:
        """Read a subject's recordings, oldest first; none for an unknown subject.

        Raises:
            IntegrityError: what is stored was changed; it never reads as "nothing heard".
        """
        ...

    def put_recordings(
        self, tenant: TenantId, subject: SubjectId, recordings: Sequence[HeardRecording]
    ) -> None:
        """Replace a subject's recordings; an empty sequence removes them.

        Raises:
            NotFoundError: there is no such subject.
        """
        ...


class ApprovalStore(Protocol):
    """What two persons have agreed on: part of every transaction."""

    def get(self, tenant: TenantId, approval: ApprovalId) -> Approval | None:
        """Read one approval of a tenant, or None. Raises IntegrityError if it was changed."""
        ...

    def all_of(self, tenant: TenantId) -> Sequence[Approval]:
        """Read a tenant's approvals, oldest first. Raises IntegrityError if one was changed."""
        ...

    def put(self, approval: Approval) -> None:
        """Store an approval, replacing its earlier state."""
        ...

    def delete(self, approval: ApprovalId) -> None:
        """Forget an approval."""
        ...

    def latest_since(self, sequence: int) -> datetime | None:
        """Return the latest time in any ledger entry from ``sequence`` on, None without one."""
        ...

    def used_since(self, approval: ApprovalId, sequence: int) -> bool:
        """Say whether the ledger holds a use of an approval, or a restore, behind ``sequence``."""
        ...


class AttemptStore(Protocol):
    """Counters of attempts, known people's or not: part of every transaction."""

    def attempts(self, tenant: TenantId, counter: Counter, name: str) -> Attempts:
        """Read counters; all zero where nothing was counted.

        Raises:
            IntegrityError: what is stored was changed; it never reads as "nothing counted".
        """
        ...

    def put_attempts(
        self,
        tenant: TenantId,
        counter: Counter,
        name: str,
        attempts: Attempts,
        *,
        at: datetime,
        subject: SubjectId | None = None,
    ) -> None:
        """Replace counters; those about a subject go when the subject is erased."""
        ...

    def forget_attempts(self, counter: Counter, *, before: datetime) -> int:
        """Delete counters of a kind that were not changed since; return how many."""
        ...

    def failed_voices(self, tenant: TenantId, *, since: datetime) -> Sequence[FailedVoice]:
        """Read the voices of failed attempts, oldest first. Raises IntegrityError."""
        ...

    def add_failed_voice(self, tenant: TenantId, voice: FailedVoice, *, keep: int) -> None:
        """Store a voice, and delete the oldest of the tenant beyond ``keep``."""
        ...

    def forget_failed_voices(self, *, before: datetime) -> int:
        """Delete voices that were heard before; return how many."""
        ...


class StepUpStore(Protocol):
    """Factors of subjects, and step-ups of calls: part of every transaction."""

    def factors(self, tenant: TenantId, subject: SubjectId) -> Sequence[Factor]:
        """Read a subject's factors; none for an unknown subject. Raises IntegrityError."""
        ...

    def put_factor(self, tenant: TenantId, subject: SubjectId, factor: Factor) -> None:
        """Store a factor, replacing the one of its kind. Raises NotFoundError."""
        ...

    def delete_factor(self, tenant: TenantId, subject: SubjectId, kind: FactorKind) -> int:
        """Delete a factor; return how many there were. Raises NotFoundError without a subject."""
        ...

    def step_up(self, tenant: TenantId, call: CallId) -> StepUpRecord | None:
        """Read the step-up of a call, None if there is none. Raises IntegrityError."""
        ...

    def put_step_up(self, tenant: TenantId, record: StepUpRecord) -> None:
        """Store the step-up of a call, replacing the last one."""
        ...

    def forget_step_ups(self, *, before: datetime) -> int:
        """Delete step-ups whose time was over before; return how many."""
        ...


class CodeDelivery(Protocol):
    """Hands one-time codes to whoever sends them. Implementations are safe for several threads."""

    def deliver(self, message: CodeMessage) -> None:
        """Hand a code over.

        Raises:
            DeliveryError: it could not be handed over.
        """
        ...


class Transaction(ReplayStore, AttemptStore, StepUpStore, Protocol):
    """One atomic, durable change of the vault. Nothing in it is visible until it commits."""

    @property
    def approvals(self) -> ApprovalStore:
        """What two persons have agreed on."""
        ...

    def subject(self, tenant: TenantId, subject: SubjectId) -> Subject | None:
        """Read one subject, or None."""
        ...

    def subjects(
        self, tenant: TenantId, *, after: SubjectId | None, limit: int
    ) -> Sequence[Subject]:
        """Read up to ``limit`` subjects in a stable order, after ``after`` exclusively."""
        ...

    def create_subject(
        self, tenant: TenantId, subject: SubjectId, *, at: datetime, groups: frozenset[GroupName]
    ) -> None:
        """Create a subject with a fresh data key.

        Raises:
            SubjectExistsError: it is already there.
        """
        ...

    def set_state(self, tenant: TenantId, subject: SubjectId, state: SubjectState) -> None:
        """Change a subject's state. Raises NotFoundError if it is not there."""
        ...

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace a subject's groups. Raises NotFoundError if it is not there."""
        ...

    def note_interaction(self, tenant: TenantId, subject: SubjectId, at: datetime) -> None:
        """Note the day on which the person was there. Raises NotFoundError if it is not there."""
        ...

    def ledger_secret(self, tenant: TenantId, subject: SubjectId) -> bytes:
        """Return what keys a subject's pseudonym in the ledger; empty for an unknown subject."""
        ...

    def put_consent(self, tenant: TenantId, subject: SubjectId, consent: Consent) -> None:
        """Store the subject's consent, encrypted, replacing the last one."""
        ...

    def add_voiceprint(self, tenant: TenantId, voiceprint: Voiceprint) -> None:
        """Store a voiceprint, encrypted under its subject's data key."""
        ...

    def voiceprints(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash
    ) -> Sequence[Voiceprint]:
        """Read a subject's voiceprints of one model, oldest first."""
        ...

    def voice_page(self, model: ModelHash, *, after: int, limit: int) -> Sequence[StoredVoice]:
        """Read up to ``limit`` voiceprints of a model, of all tenants, behind a place."""
        ...

    def keep_latest_voiceprints(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash, keep: int
    ) -> int:
        """Delete all but the ``keep`` newest voiceprints of a model; return how many are left."""
        ...

    def delete_voiceprints(self, tenant: TenantId, subject: SubjectId) -> int:
        """Delete voiceprints, pending segments and recordings; return how many voiceprints."""
        ...

    def pending_segments(
        self, tenant: TenantId, subject: SubjectId, model: ModelHash
    ) -> Sequence[EnrolmentSegment]:
        """Read the segments of an unfinished enrolment, oldest first."""
        ...

    def put_pending_segments(
        self,
        tenant: TenantId,
        subject: SubjectId,
        model: ModelHash,
        segments: Sequence[EnrolmentSegment],
    ) -> None:
        """Replace the segments of an unfinished enrolment; an empty sequence removes them."""
        ...

    def erase_subject(self, tenant: TenantId, subject: SubjectId) -> None:
        """Destroy the subject's data key and delete every row of it. NotFoundError if absent."""
        ...

    def swept_at(self, tenant: TenantId) -> datetime | None:
        """Return the latest time at which retention was swept; None before the first sweep."""
        ...

    def note_sweep(self, tenant: TenantId, at: datetime) -> None:
        """Note that retention was swept; an earlier time than the latest changes nothing."""
        ...

    def append(
        self, *, at: datetime, tenant: TenantId, event: str, body: Mapping[str, object]
    ) -> LedgerEntry:
        """Append one entry to the ledger's chain."""
        ...


class Vault(Protocol):
    """The record: subjects, voiceprints, consent, and the ledger beside them."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """Open a write transaction: commit on leaving, roll back on an exception.

        Raises:
            StorageError: the vault cannot be written (full disk, I/O error, locked too long).
        """
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a consistent read-only view. Writing through it raises InternalError."""
        ...

    def tenants(self) -> Sequence[TenantId]:
        """List the tenants that have subjects."""
        ...

    def ledger(self, *, after: int = 0, limit: int = 1000) -> Sequence[LedgerEntry]:
        """Read ledger entries in order, ``sequence > after``."""
        ...

    def close(self) -> None:
        """Release the files. Safe to call twice."""
        ...


class LedgerStore(Protocol):
    """The ledger's entries, and the newest statement of how far it had come."""

    def ledger(self, *, after: int = 0, limit: int = 1000) -> Sequence[LedgerEntry]:
        """Read ledger entries in order, ``sequence > after``."""
        ...

    def checkpoint(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint, unchecked; None before the first."""
        ...

    def put_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Replace the newest checkpoint.

        Raises:
            StorageError: the vault cannot be written.
        """
        ...


class Gallery(Protocol):
    """1:N search over voiceprints: a cache rebuilt from the vault, never the record."""

    def add(
        self,
        tenant: TenantId,
        subject: SubjectId,
        voiceprint: VoiceprintId,
        embedding: Embedding,
        groups: frozenset[GroupName],
    ) -> None:
        """Add or replace one voiceprint."""
        ...

    def add_many(self, voices: Sequence[StoredVoice]) -> None:
        """Add or replace voiceprints; faster than one by one."""
        ...

    def remove_subject(self, tenant: TenantId, subject: SubjectId) -> int:
        """Remove all of a subject's voiceprints; return how many."""
        ...

    def set_groups(
        self, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
    ) -> None:
        """Replace the groups that a subject is found under."""
        ...

    def search(
        self, tenant: TenantId, probe: Embedding, *, group: GroupName | None, limit: int
    ) -> Sequence[tuple[SubjectId, Cosine]]:
        """Return the best voiceprint of each of the ``limit`` nearest subjects, best first."""
        ...

    def subjects(self, tenant: TenantId, group: GroupName | None) -> int:
        """Return how many subjects a search of this tenant and group covers.

        Raises:
            GalleryLoadingError: it is not filled yet; so does ``search``.
        """
        ...

    @property
    def ready(self) -> bool:
        """Whether it can be searched: it holds all that the vault holds."""
        ...

    def tend(self, stopped: Callable[[], bool]) -> int:
        """Bring indexes to the size of what they hold; return how many changed. Blocking.

        Args:
            stopped: asked between steps; True gives up.
        """
        ...

    def __len__(self) -> int:
        """Return the number of voiceprints held, over all tenants."""
        ...


class VoiceTransform(Protocol):
    """A tenant's secret rotation of embedding space: inner products stay, directions do not."""

    @property
    def generation(self) -> int:
        """Which of the tenant's secrets it is; 1 is the first."""
        ...

    def protect(self, vectors: Embedding) -> Embedding:
        """Turn vectors into this space, shape (dimension,) or (count, dimension)."""
        ...

    def reveal(self, vectors: Embedding) -> Embedding:
        """Turn vectors of this space back."""
        ...


class StagedGallery(Gallery, Protocol):
    """A gallery in secret spaces, which can move a tenant to the next one beside its searches."""

    def generation_of(self, tenant: TenantId) -> int | None:
        """Return the generation that a tenant is searched in, None for one that is not held."""
        ...

    def stage(self, tenant: TenantId, transform: VoiceTransform) -> None:
        """Begin to build a tenant anew in another space; drops what was staged before."""
        ...

    def add_staged(
        self,
        tenant: TenantId,
        subject: SubjectId,
        voiceprint: VoiceprintId,
        embedding: Embedding,
        groups: frozenset[GroupName],
    ) -> None:
        """Add one voiceprint to what is staged only."""
        ...

    def promote(self, tenant: TenantId) -> None:
        """Search what was staged from now on, and drop what was searched before."""
        ...


class AlertSink(Protocol):
    """Takes alerts out of the house."""

    def send(self, alert: Alert) -> None:
        """Hand one alert over. It may come twice, with the same id.

        Raises:
            SinkRefusedError: this one is not taken; others may be.
            SinkError: nothing can be handed over now.
        """
        ...


class AlertTransaction(Transaction, Protocol):
    """What the alerts keep in the vault: the alerts, what is to be delivered, what rules know."""

    def alert_memory(self) -> Mapping[str, str]:
        """Read what was put last, by name; empty before the first time."""
        ...

    def put_alert_memory(self, parts: Mapping[str, str], *, anew: bool = False) -> None:
        """Replace the named parts of the memory; leave the others, or begin anew without them."""
        ...

    def add_alert(self, alert: Alert) -> None:
        """Keep an alert. Its record is part of the same transaction."""
        ...

    def alert(self, alert: AlertId) -> Alert | None:
        """Read one alert, or None."""
        ...

    def alerts(
        self,
        tenant: TenantId,
        *,
        after: int = 0,
        limit: int = 100,
        pseudonym: str = "",
        newest: bool = False,
        unseen: bool = False,
    ) -> Sequence[Alert]:
        """Read a tenant's alerts.

        Args:
            tenant: empty for the installation's own.
            after: only those whose ``record_id`` is larger.
            limit: most alerts.
            pseudonym: only those about this one; empty for all.
            newest: begin with the newest instead of the oldest.
            unseen: only those that nobody has acknowledged.
        """
        ...

    def acknowledge_alert(self, alert: AlertId, acknowledgement: Acknowledgement) -> None:
        """Note that somebody has looked; the last word counts."""
        ...

    def queue_delivery(self, sink: str, alert: AlertId, due: datetime) -> None:
        """Put a delivery into the outbox."""
        ...

    def deliveries(
        self, sink: str, limit: int, *, until: datetime, beyond: datetime
    ) -> Sequence[Delivery]:
        """Read a sink's deliveries that are due, in the order in which they were queued.

        Args:
            sink: by name.
            limit: most deliveries.
            until: due at this time or before,
            beyond: or after this one, which is further ahead than any delay.
        """
        ...

    def postpone_delivery(self, delivery: int, attempts: int, due: datetime) -> None:
        """Note a failed attempt, and when to try again."""
        ...

    def finish_delivery(self, delivery: int) -> None:
        """Take a delivery out of the outbox."""
        ...


class AlertVault(Vault, Protocol):
    """A vault that keeps alerts, too."""

    def begin(self) -> AbstractContextManager[AlertTransaction]:
        """As of every vault."""
        ...

    def read(self) -> AbstractContextManager[AlertTransaction]:
        """As of every vault."""
        ...

    def ledger_head(self) -> int:
        """Return the sequence number of the newest entry, 0 for none."""
        ...


class VoiceMemory(Protocol):
    """Tells whether a voice that was rejected was rejected before, under whatever name."""

    def token(
        self,
        tenant: TenantId,
        voice: Embedding,
        *,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        snr_db: Decibels | None = None,
    ) -> str:
        """Return what stands for a voice in the ledger: the same for a voice that comes again.

        Args:
            tenant: voices are never compared across tenants.
            voice: embedding of the speech of one call, shape (dimension,).
            net_seconds: speech behind it.
            bandwidth: of that speech.
            snr_db: of that speech.

        Returns:
            26 characters of lower-case base32 that say nothing about the voice.
        """
        ...
