# SPDX-License-Identifier: Apache-2.0
"""Forget a person: destroy the data key, delete the rows, drop the vectors, and record it."""

from dataclasses import dataclass

from voiceauth.errors import NotFoundError
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
            },
        )
    engine.gallery.remove_subject(tenant, subject)
    return Erasure(entry.sequence, found.voiceprints)
