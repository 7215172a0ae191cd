# SPDX-License-Identifier: Apache-2.0
"""Forget a person: destroy the data key, delete the rows, drop the vectors, and record it.

With the row goes the secret that keys the person's pseudonym: entries from before still name the
same stand-in, and nobody can say any more whose it is. The entry of the erasure does not name it,
because which entry is whose erasure can be counted off the vault's tombstones. What ties the entry
to the person for others is a token that only the one who asked gets.
"""

from dataclasses import replace

from voiceauth.errors import NotFoundError
from voiceauth.ledger.pseudonym import commitment
from voiceauth.ports import Transaction
from voiceauth.types import Erasure, SubjectId, TenantId
from voiceauth.usecases.engine import Engine

_TOKEN_BYTES = 16


def erase_subject(engine: Engine, tenant: TenantId, subject: SubjectId) -> Erasure:
    """Erase one subject.

    Raises:
        NotFoundError: there is no such subject.
        StorageError: nothing was erased.
    """
    with engine.vault.begin() as transaction:
        erasure = erase_within(engine, transaction, tenant, subject)
    return replace(erasure, vectors=engine.gallery.remove_subject(tenant, subject))


def erase_within(
    engine: Engine, transaction: Transaction, tenant: TenantId, subject: SubjectId, **body: object
) -> Erasure:
    """Erase one subject in a transaction of others; the gallery is left to the caller.

    Args:
        engine: the engine.
        transaction: of its vault.
        tenant: whose subject it is.
        subject: the person.
        **body: what the entry says besides; nothing that names somebody.

    Raises:
        NotFoundError: there is no such subject.
    """
    found = transaction.subject(tenant, subject)
    if found is None:
        raise NotFoundError("There is no such subject.")
    token = engine.random.token(_TOKEN_BYTES).hex()
    transaction.erase_subject(tenant, subject)
    entry = transaction.append(
        at=engine.clock.now(),
        tenant=tenant,
        event="subject.erased",
        body={
            "voiceprints": found.voiceprints,
            "commitment": commitment(token, tenant, subject),
            **body,
        },
    )
    return Erasure(entry.sequence, found.voiceprints, token)
