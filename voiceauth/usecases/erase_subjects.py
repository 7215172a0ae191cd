# SPDX-License-Identifier: Apache-2.0
"""Forget many people at once, with a second person's approval: all of them, or nobody."""

from collections.abc import Sequence
from dataclasses import dataclass

from voiceauth.errors import NotFoundError
from voiceauth.types import ApprovalId, Party, SubjectId, TenantId
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subject import erase_within
from voiceauth.usecases.second_person import erasure_plan, use


@dataclass(frozen=True, slots=True)
class BulkErasure:
    """What was destroyed.

    Attributes:
        record_id: ledger sequence number of the last of the erasures, each of which has its own.
        subjects: persons that were erased.
        unknown: persons of the list who were not there any more.
    """

    record_id: int
    subjects: int
    voiceprints: int
    unknown: int


def erase_subjects(
    engine: Engine,
    tenant: TenantId,
    subjects: Sequence[SubjectId],
    approval: ApprovalId,
    by: Party | None,
) -> BulkErasure:
    """Erase the subjects of a list, in one transaction with the use of the approval.

    Raises:
        InputError: the list is empty, too long, or names somebody twice.
        SecondPersonMissingError: nobody has approved it.
        ApprovalInvalidError: the approval cannot be used for this list.
        NotFoundError: none of them is there; the approval is not used.
        StorageError: nobody was erased.
    """
    plan = erasure_plan(tenant, subjects)
    erased, voiceprints, last = [], 0, 0
    with engine.vault.begin() as transaction:
        told = use(engine.approval_desk, transaction, plan, approval, by)
        for one in plan.subjects:
            try:
                erasure = erase_within(engine, transaction, tenant, one, **told)
            except NotFoundError:
                continue
            erased.append(one)
            voiceprints, last = voiceprints + erasure.voiceprints, erasure.record_id
        if not erased:
            raise NotFoundError("None of these subjects is there.")
    for one in erased:
        engine.gallery.remove_subject(tenant, one)
    return BulkErasure(last, len(erased), voiceprints, len(plan.subjects) - len(erased))
