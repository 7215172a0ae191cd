# SPDX-License-Identifier: Apache-2.0
"""Who acts, and who was refused: both stand in the ledger under pseudonyms."""

import hmac
from contextlib import AbstractContextManager

from voiceauth.errors import InputError
from voiceauth.ledger.actor import acting
from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.identifiers import subject_id, tenant_id

INSTALLATION = TenantId("")


def actor_pseudonym(engine: Engine, identity: str) -> str:
    """Return what stands for a principal, or for the address of a peer that is none."""
    return engine.pseudonym(INSTALLATION, identity)


def log_pseudonym(engine: Engine, text: str) -> str:
    """Return what stands for an identifier in the log, where its tenant is not known."""
    return f"~{engine.pseudonym(INSTALLATION, text)}"


def acting_as(pseudonym: str) -> AbstractContextManager[None]:
    """Have every ledger entry of the block say who caused it."""
    return acting(pseudonym)


def record_denial(
    engine: Engine, *, rpc: str, reason: str, tenant: str, subject: str, withheld: int
) -> None:
    """Record that somebody was refused.

    The entry is the installation's: a tenant's own auditors must not read from it what other
    tenants try, nor a principal what tenants there are.

    Args:
        engine: the engine.
        rpc: what was asked for.
        reason: a stable word.
        tenant: that was named in the request; empty if none.
        subject: likewise.
        withheld: how many refusals of the same principal were not recorded before this one.
    """
    body: dict[str, object] = {"rpc": rpc, "reason": reason}
    try:
        if tenant:
            body["tenant"] = engine.pseudonym(INSTALLATION, tenant_id(tenant))
            if subject:
                body["subject"] = engine.pseudonym(tenant_id(tenant), subject_id(subject))
    except InputError:
        body["malformed"] = True
    if withheld:
        body["withheld"] = withheld
    with engine.vault.begin() as transaction:
        transaction.append(
            at=engine.clock.now(), tenant=INSTALLATION, event="access.denied", body=body
        )


def nobody(engine: Engine, tenant: str, subject: str) -> SubjectId:
    """Return the name of a person whom nobody knows, the same one for the same request.

    It takes the place of a person of another tenant, so that a call on it runs its whole course.
    """
    message = f"{len(tenant)}:{tenant}{subject}".encode("utf-8", "surrogatepass")
    return SubjectId(hmac.digest(engine.secret("foreign-subject"), message, "sha256").hex())
