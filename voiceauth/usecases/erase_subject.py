# SPDX-License-Identifier: Apache-2.0
"""Forget a person: destroy the data key, delete the rows, drop the vectors, and record it."""

from dataclasses import dataclass

from voiceauth.errors import NotFoundError
from voiceauth.ports import Transaction
from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.engine import Engine


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was destroyed, and the ledger entry that says so."""

    record_id: int
    voiceprints: int


def erase_subject(engine: Engine, tenant: TenantId, subject: SubjectId) -> Erasure:
    """Erase one subject.

    Raises:
        NotFoundError: there is no such subject.
        StorageError: nothing was erased.
    """
    with engine.vault.begin() as transaction:
        erasure = erase_within(engine, transaction, tenant, subject)
    engine.gallery.remove_subject(tenant, subject)
    return erasure


def erase_within(
    engine: Engine, transaction: Transaction, tenant: TenantId, subject: SubjectId, **body: object
) -> Erasure:
    """Erase one subject in a transaction of others; the gallery is left to the caller.

    Args:
        engine: the engine.
        transaction: of its vault.
        tenant: whose subject it is.
        subject: the person.
        **body: what the entry says besides.

    Raises:
        NotFoundError: there is no such subject.
    """
    found = transaction.subject(tenant, subject)
    if found is None:
        raise NotFoundError("There is no such subject.")
    transaction.erase_subject(tenant, subject)
    entry = transaction.append(
        at=engine.clock.now(),
        tenant=tenant,
        event="subject.erased",
        body={
            "subject": engine.pseudonym(tenant, subject),
            "voiceprints": found.voiceprints,
            **body,
        },
    )
    return Erasure(entry.sequence, found.voiceprints)
