# SPDX-License-Identifier: Apache-2.0
"""Erase what the retention rules keep no longer, and record it.

The order of one sweep over one tenant; the numbers stand again at the code:

(1) Everybody's deadlines are computed from a view; what is over is listed.
(2) The clock is held against the last sweep. Where it is further on than is plausible, nothing is
    erased before a person confirms it: a wrong clock must not cost people their voiceprints. A
    clock that was set back erases too little, not too much, and is let pass.
(3) Each subject is looked at again in the transaction that erases it, so that whoever called
    meanwhile is kept.
(4) The sweep is recorded: always when somebody asked for it, else only when something was due.
"""

from datetime import datetime

from voiceauth.consent.retention import Deadline, Erases, due
from voiceauth.errors import PolicyError
from voiceauth.ports import Transaction
from voiceauth.types import RetentionDue, Subject, SubjectId, Sweep, TenantId
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subject import erase_within

MOST = 500
"""Subjects that one sweep erases."""
_PAGE = 500


def sweep(
    engine: Engine,
    tenant: TenantId,
    *,
    dry_run: bool = False,
    confirm_clock: bool = False,
    asked: bool = True,
) -> Sweep:
    """Sweep one tenant. Blocking.

    Args:
        engine: with its retention rules.
        tenant: whose subjects to look at.
        dry_run: tell what is due and erase nothing.
        confirm_clock: somebody has looked at the clock.
        asked: somebody asked for this sweep; it is recorded in any case.

    Raises:
        StorageError: what was erased so far stays erased.
        IntegrityError: a subject's row is damaged; nothing later in the list was erased.
    """
    now = engine.clock.now()
    found, more = _listed(engine, tenant, now)  # (1)
    held = "" if dry_run or confirm_clock else _hold(engine, tenant, now)  # (2)
    if not (dry_run or held):
        found = [one for one in found if _erased(engine, tenant, one, now)]  # (3)
    record_id = None
    with engine.vault.begin() as transaction:  # (4)
        if not (dry_run or held):
            transaction.note_sweep(tenant, now)
        if asked or found:
            body = {
                "subjects": sum(one.whole for one in found),
                "voices": sum(not one.whole for one in found),
                "dry_run": dry_run,
                "clock_confirmed": confirm_clock,
            }
            event = "retention.held" if held else "retention.swept"
            entry = transaction.append(at=now, tenant=tenant, event=event, body=body)
            record_id = entry.sequence
    return Sweep(tuple(found), more, held, record_id)


def sweep_everybody(engine: Engine) -> None:
    """Sweep all tenants, as a running server does. Blocking.

    Raises:
        PolicyError: nothing was erased of some tenant, because the clock is not to be trusted.
        StorageError, IntegrityError: as ``sweep``.
    """
    held = 0
    for tenant in engine.vault.tenants():
        while True:
            done = sweep(engine, tenant, asked=False)
            held += bool(done.held and done.due)
            if done.held or not done.more:
                break
    if held:
        raise PolicyError(
            "Retention is held: the clock has moved too far since the last sweep. Look at it, then "
            "run `voiceauth retention sweep --confirm-clock`.",
            detail=f"{held} tenant(s)",
        )


def _listed(engine: Engine, tenant: TenantId, now: datetime) -> tuple[list[RetentionDue], bool]:
    found: list[RetentionDue] = []
    after: SubjectId | None = None
    while True:
        with engine.vault.read() as view:
            page = view.subjects(tenant, after=after, limit=_PAGE)
            for subject in page:
                over = _over(engine, view, subject, now)
                if over is not None and len(found) == MOST:
                    return found, True
                if over is not None:
                    whole = over.erases is Erases.SUBJECT
                    found.append(RetentionDue(subject.subject, over.rule, over.at, whole))
        if not page:
            return found, False
        after = page[-1].subject


def _over(engine: Engine, view: Transaction, subject: Subject, now: datetime) -> Deadline | None:
    rules = engine.retention
    has_voice = (
        subject.voiceprints > 0
        or subject.pending_seconds > 0
        or bool(view.recordings(subject.tenant, subject.subject))
    )
    return due(subject, rules.rules, rules.jurisdiction, now, has_voice=has_voice)


def _hold(engine: Engine, tenant: TenantId, now: datetime) -> str:
    with engine.vault.read() as view:
        last = view.swept_at(tenant)
    if last is None or now - last <= engine.retention.largest_clock_step:
        return ""
    return f"The clock is {(now - last).days} days after the last sweep; is it right?"


def _erased(engine: Engine, tenant: TenantId, one: RetentionDue, now: datetime) -> bool:
    with engine.vault.begin() as transaction:
        subject = transaction.subject(tenant, one.subject)
        over = None if subject is None else _over(engine, transaction, subject, now)
        if subject is None or over is None:
            return False
        cause = {"rule": over.rule, "due_at": over.at.isoformat()}
        if over.erases is Erases.SUBJECT:
            erase_within(engine, transaction, tenant, one.subject, **cause)
        else:
            name = engine.subject_pseudonym(transaction, tenant, one.subject)
            deleted = transaction.delete_voiceprints(tenant, one.subject)
            transaction.append(
                at=engine.clock.now(),
                tenant=tenant,
                event="retention.voice_erased",
                body={"subject": name, "voiceprints": deleted, **cause},
            )
    engine.gallery.remove_subject(tenant, one.subject)
    return True
