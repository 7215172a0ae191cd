# SPDX-License-Identifier: Apache-2.0
"""A signed receipt of an erasure, and what is left of the person in an old backup.

The receipt is issued from what is there now, not from what was promised: the vault must not know
the subject any more, and the ledger, which is audited first, must hold the erasure.
"""

import base64
import binascii
import json
import shutil
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from voiceauth.errors import IntegrityError, KeyServiceError, NotFoundError, PolicyError
from voiceauth.keys.signing import check_signature
from voiceauth.ledger.body import canonical_json
from voiceauth.ledger.checkpoint import public_key, verifier
from voiceauth.ledger.pseudonym import commitment
from voiceauth.ports import Clock, KeyService, Random
from voiceauth.types import LedgerEntry, SubjectId, TenantId
from voiceauth.usecases.keep_checkpoints import CheckpointDesk, ledger_pages
from voiceauth.usecases.prove_ledger import check_proof, prove_inclusion
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

EVENT = "subject.erased"
ERASURE = "erasure"


class BackupState(StrEnum):
    """What a backup still holds of a subject."""

    READABLE = "readable"
    """It is from before the erasure, and the key of its time exists: destroy that key."""
    UNREADABLE = "unreadable"
    """Its rows are there, and nothing can open them any more."""
    ABSENT = "absent"


def issue_receipt(
    vault: SqliteVault,
    desk: CheckpointDesk,
    tenant: TenantId,
    subject: SubjectId,
    pseudonym: str,
    *,
    token: str = "",
) -> dict[str, object]:
    """Sign that a subject was erased, with a proof that the ledger says so.

    Args:
        vault: of the ledger; it is asked for the subject.
        desk: of the ledger.
        tenant: whose subject it was.
        subject: the person.
        pseudonym: of the subject in ledgers of earlier versions, which needed no token.
        token: that came with the erasure.

    Raises:
        PolicyError: the vault knows the subject: not erased, or enrolled again.
        NotFoundError: the ledger holds no erasure of it, or not one with this token.
        ChainBrokenError: the ledger does not hold.
    """
    with vault.read() as view:
        if view.subject(tenant, subject) is not None:
            raise PolicyError("The vault knows this subject; there is nothing to attest.")
    vault.verify_ledger()
    erased = [
        one
        for page in ledger_pages(vault, 0)
        for one in page
        if one.tenant == tenant and _is_of(one, pseudonym, commitment(token, tenant, subject))
    ]
    if not erased:
        raise NotFoundError("The ledger holds no erasure of this subject with this token.")
    entry = erased[-1]
    statement = canonical_json(
        {
            "tenant": tenant,
            "subject": subject,
            "record_id": entry.sequence,
            "erased_at": entry.at.isoformat(),
            "issued_at": desk.clock.now().isoformat(),
            "voiceprints": json.loads(entry.body)["voiceprints"],
        }
    )
    return {
        "kind": ERASURE,
        "statement": statement,
        "signature": base64.b64encode(desk.key.sign(_signed(statement))).decode(),
        "inclusion": prove_inclusion(desk, entry.sequence),
        "verifier": verifier(desk.key.public),
    }


def check_receipt(
    document: Mapping[str, object], trusted: str | None = None
) -> Mapping[str, object]:
    """Check a receipt; needs nothing but the document.

    Args:
        document: from ``issue_receipt``.
        trusted: verifier key, learnt another way; None believes the document's own.

    Returns:
        The statement.

    Raises:
        IntegrityError: anything in it was changed, or it was signed by another key.
    """
    try:
        key = trusted or str(document["verifier"])
        text, inclusion = str(document["statement"]), document["inclusion"]
        mark = base64.b64decode(str(document["signature"]), validate=True)
        check_signature(public_key(key), _signed(text), mark)
        if not isinstance(inclusion, Mapping):
            raise TypeError  # noqa: TRY301 - one answer for everything malformed
        check_proof(inclusion, key)
        statement, entry = json.loads(text), inclusion["entry"]
        said = (EVENT, statement["record_id"], statement["tenant"], statement["erased_at"])
        if said != (entry["event"], entry["sequence"], entry["tenant"], entry["at"]):
            raise IntegrityError("The ledger entry is not the one that the receipt names.")
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise IntegrityError("This is no receipt.", detail=type(error).__name__) from None
    return dict(statement)


def backup_state(
    backup: Path,
    keys: KeyService,
    tenant: TenantId,
    subject: SubjectId,
    *,
    clock: Clock,
    random: Random,
) -> BackupState:
    """Restore a copy of a backup beside the installation, and try to open a subject in it.

    Raises:
        NotFoundError: there is no such file.
        IntegrityError: it is no vault, or damaged.
        WrongKeyError: it is another installation's.
    """
    if not backup.is_file():
        raise NotFoundError(f"There is no backup {backup}.")
    with tempfile.TemporaryDirectory(prefix="voiceauth-restored-") as folder:
        copy = Path(folder) / backup.name
        shutil.copyfile(backup, copy)
        log = backup.with_name(f"{backup.name}-wal")
        if log.is_file():  # a directory that was copied while it was in use
            shutil.copyfile(log, copy.with_name(log.name))
        vault = open_vault(copy, keys, clock=clock, random=random, accept_ledger_head=True)
        try:
            with vault.read() as view:
                found = view.subject(tenant, subject)
        except KeyServiceError:
            return BackupState.UNREADABLE
        finally:
            vault.close()
    return BackupState.ABSENT if found is None else BackupState.READABLE


def _is_of(entry: LedgerEntry, pseudonym: str, committed: str) -> bool:
    if entry.event != EVENT:
        return False
    body = json.loads(entry.body)
    if "commitment" in body:
        return bool(body["commitment"] == committed)
    return bool(body.get("subject") == pseudonym)


def _signed(statement: str) -> bytes:
    return b"voiceauth-erasure/1\n" + statement.encode()
