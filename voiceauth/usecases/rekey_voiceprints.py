# SPDX-License-Identifier: Apache-2.0
"""Give a tenant's voiceprints a new secret transform, so that the old ones are worth nothing.

After it, a stored vector that leaked before matches nothing that is stored or searched. Calls go on
all the while: rows move a few at a time, each can be read at every moment, and the gallery serves
its old space until the new one is complete.

Work is done in steps of about a second. A step that is lost, to a crash or a lost reply, is asked
for again; what broke off is gone on with, by the next request or by the server itself.
"""

import threading
from dataclasses import dataclass

from voiceauth.errors import EngineError, InputError, NotFoundError
from voiceauth.ports import Clock, StagedGallery
from voiceauth.types import ModelHash, SubjectId, TenantId
from voiceauth.units import Seconds
from voiceauth.vault.store import SqliteVault

STEP_SECONDS: Seconds = 1.0
CHORE_SECONDS: Seconds = 10.0
_CHORE_WORK_SECONDS: Seconds = 5.0
_BATCH = 50
"""Subjects per write transaction: a call that has to write waits for one batch at most."""


@dataclass(frozen=True, slots=True)
class Rekeying:
    """How far a re-keying has come.

    Attributes:
        generation: that the voiceprints are moved to.
        subjects: that were looked at.
        of: all subjects.
        finished: the older secrets are destroyed, and searches see the new space.
    """

    generation: int
    subjects: int
    of: int
    finished: bool


@dataclass(slots=True)
class _Run:
    """A re-keying that this process is at."""

    generation: int
    of: int
    after: bytes = b""
    subjects: int = 0
    in_vault: bool = True
    shown: SubjectId | None = None


class RekeyDesk:
    """Re-keys tenants, one step at a time. Safe from several threads: they take turns.

    Args:
        vault: the record.
        gallery: what searches of this process see.
        model: whose voiceprints are in the gallery.
        clock: dates records and bounds steps.
        batch: subjects per transaction.
    """

    def __init__(
        self,
        vault: SqliteVault,
        gallery: StagedGallery,
        model: ModelHash,
        clock: Clock,
        *,
        batch: int = _BATCH,
    ) -> None:
        self._vault = vault
        self._gallery = gallery
        self._model = model
        self._clock = clock
        self._batch = batch
        self._runs: dict[TenantId, _Run] = {}
        self._lock = threading.Lock()

    def step(self, tenant: TenantId, generation: int = 0) -> Rekeying:
        """Work on a tenant's re-keying for about a second.

        Args:
            tenant: whose voiceprints.
            generation: what an earlier step returned, to go on with it; 0 to begin. Where one is
                unfinished, beginning goes on with that one.

        Raises:
            NotFoundError: the tenant has no subjects.
            InputError: there never was such a generation.
            KeyServiceError: the key service is down; what was done stays done.
            TagMismatchError, TransformLostError: a row or a secret is not what was written.
            StorageError: the vault cannot be written; likewise.
        """
        with self._lock:
            run = self._runs.get(tenant)
            if run is None:
                run = self._begun(tenant, generation)
            if run is None:
                return self._standing(tenant)
            return self._worked(tenant, run)

    def run(self) -> None:
        """Go on with what broke off, in this process or another; bring old vaults forward.

        Bounded, because a server that stops waits for it. Errors as ``step``.
        """
        end = self._clock.monotonic() + _CHORE_WORK_SECONDS
        failure: EngineError | None = None
        for tenant in self._vault.tenants():
            try:
                while self._clock.monotonic() <= end and self._went_on(tenant):
                    pass
            except EngineError as error:  # one tenant's damage holds up no other
                failure = error
        if failure is not None:
            raise failure

    def _went_on(self, tenant: TenantId) -> bool:
        """Take one step where one is due. True: there is more to do."""
        with self._lock:
            run = self._runs.get(tenant)
            if run is None and (self._unfinished(tenant) or self._is_behind(tenant)):
                run = self._adopted(tenant)
            return run is not None and not self._worked(tenant, run).finished

    def _begun(self, tenant: TenantId, generation: int) -> _Run | None:
        newest = self._vault.voice_transform(tenant).generation if self._people(tenant) else 0
        if newest == 0:
            raise NotFoundError("This tenant has no subjects.")
        if generation > newest:
            raise InputError("This tenant has no such generation of voiceprints.")
        if self._unfinished(tenant) or (generation and self._is_behind(tenant)):
            return self._adopted(tenant)
        return None if generation else self._started(tenant)

    def _started(self, tenant: TenantId) -> _Run:
        with self._vault.begin() as transaction:
            rows = transaction.rekeying()
            new = rows.start(tenant)
            transaction.append(
                at=self._clock.now(),
                tenant=tenant,
                event="voiceprints.rekeying",
                body={"generation": new},
            )
            run = _Run(new, rows.subjects(tenant))
        self._runs[tenant] = run
        return run

    def _adopted(self, tenant: TenantId) -> _Run:
        """Take up what another process, or an older version, left."""
        newest = self._vault.voice_transform(tenant).generation
        run = _Run(newest, self._people(tenant), in_vault=self._unfinished(tenant))
        if not run.in_vault:
            self._stage(tenant, run)
        self._runs[tenant] = run
        return run

    def _worked(self, tenant: TenantId, run: _Run) -> Rekeying:
        end = self._clock.monotonic() + STEP_SECONDS
        working = True
        while working:
            part = self._move if run.in_vault else self._show
            working = part(tenant, run) and self._clock.monotonic() < end
        finished = tenant not in self._runs
        seen = run.of if finished or not run.in_vault else min(run.subjects, run.of)
        return Rekeying(run.generation, seen, run.of, finished)

    def _move(self, tenant: TenantId, run: _Run) -> bool:
        """Turn the rows of some subjects. True: there is more to do."""
        with self._vault.begin() as transaction:
            moved = transaction.rekeying().move(tenant, run.after, self._batch)
        run.subjects += moved.subjects
        run.after = moved.last or b""
        if moved.last is None:
            self._finish(tenant, run)
        return True

    def _finish(self, tenant: TenantId, run: _Run) -> None:
        with self._vault.begin() as transaction:
            if not transaction.rekeying().finish(tenant):
                return  # another process began the next one meanwhile: go round again
            transaction.append(
                at=self._clock.now(),
                tenant=tenant,
                event="voiceprints.rekeyed",
                body={"generation": run.generation, "subjects": run.of},
            )
        run.in_vault = False
        self._stage(tenant, run)

    def _stage(self, tenant: TenantId, run: _Run) -> None:
        transform = self._vault.voice_transform(tenant)
        run.generation = transform.generation
        self._gallery.stage(tenant, transform)

    def _show(self, tenant: TenantId, run: _Run) -> bool:
        """Put the voiceprints of some subjects into the new space. True: there is more to do.

        The vault is locked meanwhile, so that nobody is erased between reading and adding.
        """
        with self._vault.begin() as transaction:
            page = transaction.subjects(tenant, after=run.shown, limit=self._batch)
            for one in page:
                for print_ in transaction.voiceprints(tenant, one.subject, self._model):
                    self._gallery.add_staged(
                        tenant, one.subject, print_.voiceprint, print_.embedding, one.groups
                    )
        if page:
            run.shown = page[-1].subject
            return True
        self._gallery.promote(tenant)
        del self._runs[tenant]
        return False

    def _standing(self, tenant: TenantId) -> Rekeying:
        people = self._people(tenant)
        return Rekeying(self._vault.voice_transform(tenant).generation, people, people, True)

    def _people(self, tenant: TenantId) -> int:
        with self._vault.read() as view:
            return view.rekeying().subjects(tenant)

    def _unfinished(self, tenant: TenantId) -> bool:
        with self._vault.read() as view:
            return view.rekeying().due(tenant)

    def _is_behind(self, tenant: TenantId) -> bool:
        """Say whether searches of this process still see an older space."""
        served = self._gallery.generation_of(tenant)
        return served is not None and served != self._vault.voice_transform(tenant).generation
