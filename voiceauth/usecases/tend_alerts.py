# SPDX-License-Identifier: Apache-2.0
"""What people do with alerts: list them, follow them, and say what they made of them.

Reading and answering are recorded in the ledger; entries about alerts raise no alerts.
"""

from collections.abc import Sequence
from dataclasses import replace

from voiceauth.errors import InputError, NotFoundError, PolicyError
from voiceauth.ledger.actor import actor
from voiceauth.types import Acknowledgement, Alert, AlertId, Assessment, SubjectId, TenantId
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.raise_alerts import AlertDesk

LARGEST_PAGE = 500


def list_alerts(
    engine: Engine,
    tenant: TenantId,
    *,
    limit: int,
    subject: SubjectId | None = None,
    unseen: bool = False,
) -> Sequence[Alert]:
    """Read a tenant's newest alerts; the reading is recorded.

    Args:
        engine: the engine.
        tenant: empty for the installation's own.
        limit: 1 to 500.
        subject: only those about this one.
        unseen: only those that nobody has acknowledged.

    Raises:
        InputError: ``limit`` is out of bounds.
        PolicyError: alerts are switched off.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise InputError(f"page_size must lie between 1 and {LARGEST_PAGE}.")
    with _desk(engine).vault.begin() as transaction:
        about = "" if subject is None else engine.subject_pseudonym(transaction, tenant, subject)
        found = transaction.alerts(tenant, limit=limit, pseudonym=about, newest=True, unseen=unseen)
        transaction.append(
            at=engine.clock.now(),
            tenant=tenant,
            event="alert.listed",
            body={"returned": len(found), "subject": about or None},
        )
    return found


def begin_watch(engine: Engine, tenant: TenantId, after: int | None) -> int:
    """Record that somebody begins to follow a tenant's alerts.

    Args:
        engine: the engine.
        tenant: empty for the installation's own.
        after: record of the last alert that is known; None for what comes from now on.

    Returns:
        Where to go on: what ``alerts_after`` takes.

    Raises:
        PolicyError: alerts are switched off.
    """
    with _desk(engine).vault.begin() as transaction:
        entry = transaction.append(
            at=engine.clock.now(), tenant=tenant, event="alert.watched", body={"after": after}
        )
    return entry.sequence if after is None else after


def alerts_after(engine: Engine, tenant: TenantId, after: int, limit: int) -> Sequence[Alert]:
    """Read the alerts that were recorded after an entry, oldest first. Raises PolicyError."""
    with _desk(engine).vault.read() as view:
        return view.alerts(tenant, after=after, limit=limit)


def acknowledge(engine: Engine, tenant: TenantId, alert: AlertId, assessment: Assessment) -> Alert:
    """Say what an alert was; a later word replaces it, and the ledger has both.

    Raises:
        NotFoundError: the tenant has no such alert.
        PolicyError: alerts are switched off.
    """
    with _desk(engine).vault.begin() as transaction:
        found = transaction.alert(alert)
        if found is None or found.tenant != tenant:
            raise NotFoundError("There is no such alert.")
        mark = Acknowledgement(engine.clock.now(), actor(), assessment)
        transaction.acknowledge_alert(alert, mark)
        transaction.append(
            at=mark.at,
            tenant=tenant,
            event="alert.acknowledged",
            body={"alert": alert, "rule": found.rule, "assessment": assessment.value},
        )
    return replace(found, acknowledged=mark)


def _desk(engine: Engine) -> AlertDesk:
    if engine.alerts is None:
        raise PolicyError("Alerts are switched off on this server.")
    return engine.alerts
