# SPDX-License-Identifier: Apache-2.0
"""Enrol, list and remove a subject's factors; every change is in the ledger.

Enrolling is for whoever has proved the person by other means: it replaces what was there, and gives
the factor its attempts back.
"""

import re

from voiceauth.decision.lockout import unlocked
from voiceauth.errors import InputError, NotFoundError, PolicyError
from voiceauth.factors.pin import check_pin
from voiceauth.factors.totp import new_secret, provisioning_uri
from voiceauth.ports import Transaction
from voiceauth.types import (
    EnrolledFactor,
    Factor,
    FactorInformation,
    FactorKind,
    NewFactor,
    SubjectId,
    TenantId,
)
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.step_up_desk import COUNTERS, StepUpDesk
from voiceauth.usecases.step_up_records import owner_of

_DESTINATION = re.compile(r"[\x21-\x7e]{3,254}\Z")
_LABEL = re.compile(r"[A-Za-z0-9 ._@+\-]{1,64}\Z")


def enrol_factor(
    engine: Engine, tenant: TenantId, subject: SubjectId, new: NewFactor
) -> EnrolledFactor:
    """Enrol a factor, in place of the one of its kind.

    Raises:
        NotFoundError: there is no such subject.
        WeakPinError: the PIN is too easily guessed.
        InputError: the destination or the label is malformed.
        StorageError: nothing was enrolled.
    """
    desk = _desk(engine)
    secret, uri = _secret(engine, desk, tenant, subject, new)
    factor = Factor(new.kind, secret, engine.clock.now())
    with engine.vault.begin() as transaction:
        transaction.put_factor(tenant, subject, factor)
        counter = COUNTERS[new.kind]
        fresh = unlocked(transaction.attempts(tenant, counter, subject))
        transaction.put_attempts(tenant, counter, subject, fresh, at=desk.steady(), subject=subject)
        _record(engine, transaction, tenant, subject, "factor.enrolled", factor=new.kind.value)
    return EnrolledFactor(FactorInformation(factor.kind, factor.enrolled_at), uri)


def list_factors(
    engine: Engine, tenant: TenantId, subject: SubjectId
) -> tuple[FactorInformation, ...]:
    """List a subject's factors, without what they are checked against; the reading is recorded.

    Raises:
        NotFoundError: there is no such subject.
    """
    _desk(engine)
    with engine.vault.begin() as transaction:
        if transaction.subject(tenant, subject) is None:
            raise NotFoundError("There is no such subject.")
        found = transaction.factors(tenant, subject)
        _record(engine, transaction, tenant, subject, "factor.listed", factors=len(found))
    return tuple(FactorInformation(one.kind, one.enrolled_at) for one in found)


def remove_factor(
    engine: Engine, tenant: TenantId, subject: SubjectId, kind: FactorKind
) -> tuple[FactorInformation, ...]:
    """Remove a factor; return what is left.

    Raises:
        NotFoundError: there is no such subject, or it has no such factor.
        StorageError: nothing was removed.
    """
    _desk(engine)
    with engine.vault.begin() as transaction:
        if not transaction.delete_factor(tenant, subject, kind):
            raise NotFoundError("There is no such factor.")
        left = transaction.factors(tenant, subject)
        _record(engine, transaction, tenant, subject, "factor.removed", factor=kind.value)
    return tuple(FactorInformation(one.kind, one.enrolled_at) for one in left)


def _secret(
    engine: Engine, desk: StepUpDesk, tenant: TenantId, subject: SubjectId, new: NewFactor
) -> tuple[str, str]:
    """Return what a factor is checked against, and the address for an authenticator."""
    if new.kind is FactorKind.TOTP:
        if not _LABEL.match(new.label):
            raise InputError("label must be 1 to 64 characters of [A-Za-z0-9 ._@+-].")
        secret = new_secret(engine.random)
        issuer = desk.rules.issuer
        return secret, provisioning_uri(secret, label=new.label, issuer=issuer)
    if new.kind is FactorKind.CODE:
        if not _DESTINATION.match(new.destination):
            raise InputError("destination must be 3 to 254 printable characters without spaces.")
        return new.destination, ""
    check_pin(new.pin, least_digits=desk.rules.pin_digits, known=(subject,))
    return desk.pins.hash(owner_of(tenant, subject), new.pin), ""


def _desk(engine: Engine) -> StepUpDesk:
    if engine.step_up is None:
        raise PolicyError("No step-ups are run here.")
    return engine.step_up


def _record(
    engine: Engine,
    transaction: Transaction,
    tenant: TenantId,
    subject: SubjectId,
    event: str,
    /,
    **more: object,
) -> None:
    transaction.append(
        at=engine.clock.now(),
        tenant=tenant,
        event=event,
        body={"subject": engine.subject_pseudonym(transaction, tenant, subject), **more},
    )
