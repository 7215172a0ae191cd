# SPDX-License-Identifier: Apache-2.0
"""Approvals as rows, sealed under a secret of the installation, and what the ledger knows of them.

An approval holds nothing about the persons it is about, so it needs none of their keys and survives
every rotation. Sealing is against whoever can write the file and not the keys: a row that was
changed, or put under another id or tenant, does not open. A row that was put *back* does, so the
ledger is asked whether an approval was used.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.types import Approval, ApprovalId, ApprovalState, Operation, Party, TenantId
from voiceauth.vault.codec import from_microseconds, to_microseconds
from voiceauth.vault.faults import translated
from voiceauth.vault.sealing import Sealer, require_text

USED_EVENT = "approval.used"
RESTORED_EVENT = "backup.restored"
_KIND = "approval"


class ApprovalRows:
    """``ports.ApprovalStore`` within one transaction.

    Args:
        connection: in the transaction.
        sealer: of the vault.
        writable: False refuses changes.
    """

    def __init__(self, connection: sqlite3.Connection, sealer: Sealer, *, writable: bool) -> None:
        self._connection = connection
        self._sealer = sealer
        self._writable = writable

    def get(self, tenant: TenantId, approval: ApprovalId) -> Approval | None:
        """Read one approval of a tenant, or None. Raises TagMismatchError if it was changed."""
        require_text(tenant)
        require_text(approval)
        with translated():
            row = self._connection.execute(
                "SELECT sealed FROM approvals WHERE approval = ? AND tenant = ?", (approval, tenant)
            ).fetchone()
        return None if row is None else self._opened(approval, tenant, row[0])

    def all_of(self, tenant: TenantId) -> Sequence[Approval]:
        """Read a tenant's approvals, oldest first. Raises TagMismatchError if one was changed."""
        require_text(tenant)
        with translated():
            rows = self._connection.execute(
                "SELECT approval, sealed FROM approvals WHERE tenant = ?", (tenant,)
            ).fetchall()
        found = [self._opened(ApprovalId(name), tenant, sealed) for name, sealed in rows]
        return sorted(found, key=lambda one: one.sequence)

    def put(self, approval: Approval) -> None:
        """Store an approval, replacing its earlier state."""
        self._require_writable()
        payload = json.dumps(_plain(approval), sort_keys=True).encode()
        sealed = self._sealer.seal_own(payload, _KIND, _record(approval.approval, approval.tenant))
        with translated():
            self._connection.execute(
                "INSERT OR REPLACE INTO approvals (approval, tenant, sealed) VALUES (?,?,?)",
                (approval.approval, approval.tenant, sealed),
            )

    def delete(self, approval: ApprovalId) -> None:
        """Forget an approval; what happened stays in the ledger."""
        self._require_writable()
        with translated():
            self._connection.execute("DELETE FROM approvals WHERE approval = ?", (approval,))

    def latest_since(self, sequence: int) -> datetime | None:
        """Return the latest time in any ledger entry from ``sequence`` on, None without one."""
        with translated():
            row = self._connection.execute(
                "SELECT max(at_us) FROM ledger WHERE sequence >= ?", (sequence,)
            ).fetchone()
        return None if row[0] is None else from_microseconds(row[0])

    def used_since(self, approval: ApprovalId, sequence: int) -> bool:
        """Say whether the ledger holds a use of an approval behind ``sequence``.

        A restore counts as one: what was used after the backup, the restored ledger cannot tell.
        """
        with translated():
            rows = self._connection.execute(
                "SELECT event, body FROM ledger WHERE sequence > ? AND event IN (?, ?)",
                (sequence, USED_EVENT, RESTORED_EVENT),
            ).fetchall()
        return any(
            event == RESTORED_EVENT or json.loads(body).get("approval") == approval
            for event, body in rows
        )

    def _opened(self, approval: ApprovalId, tenant: TenantId, sealed: bytes) -> Approval:
        payload = self._sealer.open_own(sealed, _KIND, _record(approval, tenant))
        return _read(json.loads(payload))

    def _require_writable(self) -> None:
        if not self._writable:
            raise InternalError(detail="a read-only view cannot write")


def _record(approval: str, tenant: str) -> str:
    return f"{len(approval)}:{approval}{tenant}"


def _plain(approval: Approval) -> dict[str, Any]:
    """Return what JSON can hold of an approval."""
    told = asdict(approval)
    told["digest"] = approval.digest.hex()
    for name in ("requested_at", "expires_at", "decided_at"):
        told[name] = None if told[name] is None else to_microseconds(told[name])
    for name in ("requester", "decider"):
        if told[name] is not None:
            told[name]["names"] = sorted(told[name]["names"])
    return told


def _read(told: Mapping[str, Any]) -> Approval:
    """Read an approval. Raises IntegrityError for one that another version wrote."""
    try:
        decided = told["decided_at"]
        return Approval(
            approval=ApprovalId(told["approval"]),
            tenant=TenantId(told["tenant"]),
            operation=Operation(told["operation"]),
            digest=bytes.fromhex(told["digest"]),
            people=told["people"],
            requester=_party(told["requester"]),
            requested_at=from_microseconds(told["requested_at"]),
            expires_at=from_microseconds(told["expires_at"]),
            sequence=told["sequence"],
            state=ApprovalState(told["state"]),
            decider=None if told["decider"] is None else _party(told["decider"]),
            decided_at=None if decided is None else from_microseconds(decided),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(detail="a stored approval is malformed") from error


def _party(told: Mapping[str, Any]) -> Party:
    return Party(told["identity"], frozenset(told["names"]))
