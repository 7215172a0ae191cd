# SPDX-License-Identifier: Apache-2.0
"""Keep the list of people, their groups and their consent; every change is in the ledger.

Each function is one transaction: the effect and its ledger entry are durable together, or neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from voiceauth.access.masking import masked_text
from voiceauth.consent.rules import check_new_consent, in_force
from voiceauth.errors import (
    ConsentMissingError,
    InputError,
    NotFoundError,
    OptedOutError,
    PolicyError,
)
from voiceauth.ports import Transaction
from voiceauth.types import Consent, GroupName, Subject, SubjectId, SubjectState, TenantId
from voiceauth.usecases.engine import Engine

LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Some subjects, and where the next page begins (None on the last)."""

    subjects: tuple[Subject, ...]
    after: SubjectId | None


def create_subject(
    engine: Engine, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
) -> Subject:
    """Create a subject. Raises SubjectExistsError."""
    with engine.vault.begin() as transaction:
        transaction.create_subject(tenant, subject, at=engine.clock.now(), groups=groups)
        _record(engine, transaction, tenant, subject, "subject.created", groups=len(groups))
        return _existing(transaction, tenant, subject)


def get_subject(engine: Engine, tenant: TenantId, subject: SubjectId) -> Subject:
    """Read one subject; the reading is recorded. Raises NotFoundError."""
    with engine.vault.begin() as transaction:
        found = _existing(transaction, tenant, subject)
        _record(engine, transaction, tenant, subject, "subject.read")
        return found


def list_subjects(engine: Engine, tenant: TenantId, *, after: SubjectId | None, limit: int) -> Page:
    """Read one page of subjects in a stable order; the reading is recorded.

    Raises:
        InputError: ``limit`` is not between 1 and 1000.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise InputError(f"page_size must lie between 1 and {LARGEST_PAGE}.")
    with engine.vault.begin() as transaction:
        found: Sequence[Subject] = transaction.subjects(tenant, after=after, limit=limit + 1)
        body = {"returned": min(len(found), limit)}
        transaction.append(at=engine.clock.now(), tenant=tenant, event="subject.listed", body=body)
    more = len(found) > limit
    page = tuple(found[:limit])
    return Page(page, page[-1].subject if more else None)


def set_groups(
    engine: Engine, tenant: TenantId, subject: SubjectId, groups: frozenset[GroupName]
) -> Subject:
    """Replace a subject's groups. Raises NotFoundError."""
    with engine.vault.begin() as transaction:
        transaction.set_groups(tenant, subject, groups)
        _record(
            engine,
            transaction,
            tenant,
            subject,
            "subject.groups",
            groups=[masked_text(one) for one in sorted(groups)],
        )
        changed = _existing(transaction, tenant, subject)
    engine.gallery.set_groups(tenant, subject, groups)
    return changed


def record_consent(
    engine: Engine, tenant: TenantId, subject: SubjectId, consent: Consent
) -> Subject:
    """Record a permission that was given.

    Raises:
        InputError: a field is malformed, or its times are impossible.
        NotFoundError: there is no such subject.
        OptedOutError: the person opted out; undo that first.
        PolicyError: a consent for another purpose is in force, which this one would end unseen.
    """
    check_new_consent(consent, engine.clock.now())
    with engine.vault.begin() as transaction:
        known = _existing(transaction, tenant, subject)
        if known.state is SubjectState.OPTED_OUT:
            raise OptedOutError
        before, now = known.consent, engine.clock.now()
        other = before is not None and before.purpose != consent.purpose
        if before is not None and other and in_force(before, before.purpose, now):
            raise PolicyError("A consent for another purpose is in force; withdraw it first.")
        transaction.put_consent(tenant, subject, consent)
        transaction.note_interaction(tenant, subject, engine.clock.now())
        _record(
            engine,
            transaction,
            tenant,
            subject,
            "consent.recorded",
            text_sha256=consent.text_sha256,
            purpose=masked_text(consent.purpose),
            method=masked_text(consent.method),
            locale=consent.locale,
            channel=masked_text(consent.channel),
            jurisdiction=consent.jurisdiction,
            given_at=consent.given_at.isoformat(),
            expires_at=None if consent.expires_at is None else consent.expires_at.isoformat(),
        )
        return _existing(transaction, tenant, subject)


def withdraw_consent(engine: Engine, tenant: TenantId, subject: SubjectId) -> Subject:
    """End the consent and delete what was collected under it.

    Raises:
        NotFoundError: there is no such subject.
        ConsentMissingError: there is no consent to withdraw.
    """
    now = engine.clock.now()
    with engine.vault.begin() as transaction:
        consent = _existing(transaction, tenant, subject).consent
        if consent is None or consent.withdrawn_at is not None:
            raise ConsentMissingError
        transaction.put_consent(tenant, subject, replace(consent, withdrawn_at=now))
        deleted = transaction.delete_voiceprints(tenant, subject)
        _record(
            engine, transaction, tenant, subject, "consent.withdrawn", voiceprints_deleted=deleted
        )
        changed = _existing(transaction, tenant, subject)
    engine.gallery.remove_subject(tenant, subject)
    return changed


def opt_out(engine: Engine, tenant: TenantId, subject: SubjectId) -> Subject:
    """Exclude a person from voice biometrics, whether or not the subject exists yet."""
    with engine.vault.begin() as transaction:
        if transaction.subject(tenant, subject) is None:
            now = engine.clock.now()
            transaction.create_subject(tenant, subject, at=now, groups=frozenset())
        deleted = transaction.delete_voiceprints(tenant, subject)
        transaction.set_state(tenant, subject, SubjectState.OPTED_OUT)
        _record(
            engine, transaction, tenant, subject, "subject.opted_out", voiceprints_deleted=deleted
        )
        changed = _existing(transaction, tenant, subject)
    engine.gallery.remove_subject(tenant, subject)
    return changed


def undo_opt_out(engine: Engine, tenant: TenantId, subject: SubjectId) -> Subject:
    """Take an opt-out back; what was deleted stays deleted. Raises NotFoundError."""
    with engine.vault.begin() as transaction:
        _existing(transaction, tenant, subject)
        transaction.set_state(tenant, subject, SubjectState.ACTIVE)
        _record(engine, transaction, tenant, subject, "subject.opt_out_undone")
        return _existing(transaction, tenant, subject)


def _existing(transaction: Transaction, tenant: TenantId, subject: SubjectId) -> Subject:
    found = transaction.subject(tenant, subject)
    if found is None:
        raise NotFoundError("There is no such subject.")
    return found


def _record(
    engine: Engine,
    transaction: Transaction,
    tenant: TenantId,
    subject: SubjectId,
    event: str,
    /,
    **body: object,
) -> None:
    transaction.append(
        at=engine.clock.now(),
        tenant=tenant,
        event=event,
        body={"subject": engine.subject_pseudonym(transaction, tenant, subject), **body},
    )
