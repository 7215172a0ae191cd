# SPDX-License-Identifier: Apache-2.0
"""Every RPC of the contract, with all that surrounds it: one table.

An RPC that has no row is not served. A contract test walks the service descriptors and holds them
against this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from voiceauth.access.roles import Permission


class Deadline(StrEnum):
    """The setting under ``[server]`` that bounds an RPC's duration."""

    STREAM = "max_stream_seconds"
    REQUEST = "request_seconds"


class Size(StrEnum):
    """What bounds an RPC's request messages."""

    AUDIO = "max_message_bytes"
    """For audio and for lists of people: the setting of that name under ``[server]``, and the
    envelope besides."""
    ENVELOPE = "envelope"
    """Ids and names only."""


class Foreign(StrEnum):
    """What a principal of another tenant is answered.

    It must not learn whether a person of that tenant is known, so the answer is the one that an
    unknown person gives wherever there is such an answer.
    """

    AS_UNKNOWN = "as-unknown"
    """The call runs as one on a person whom nobody knows, and ends as such a call does."""
    NOT_FOUND = "not-found"
    DENIED = "denied"
    """Known and unknown persons give the same here, so a plain refusal tells nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """What surrounds one RPC.

    Attributes:
        events: names of the ledger entries that a served request leaves, one of them; none only
            where nothing about anybody is read.
        stream: True for a call with audio.
    """

    permission: Permission
    deadline: Deadline
    size: Size
    foreign: Foreign
    events: tuple[str, ...]
    stream: bool = False


def _call(permission: Permission, foreign: Foreign, *events: str) -> Row:
    return Row(permission, Deadline.STREAM, Size.AUDIO, foreign, events, stream=True)


def _request(permission: Permission, foreign: Foreign, *events: str) -> Row:
    return Row(permission, Deadline.REQUEST, Size.ENVELOPE, foreign, events)


def _list(permission: Permission, *events: str) -> Row:
    return Row(permission, Deadline.REQUEST, Size.AUDIO, Foreign.DENIED, events)


def _work(permission: Permission, *events: str) -> Row:
    """Work on the installation that takes its time; nobody of any tenant is named."""
    return Row(permission, Deadline.STREAM, Size.ENVELOPE, Foreign.DENIED, events)


_P = Permission
_APPROVALS = "/voiceauth.v1.ApprovalService/"
_ALERTS = "/voiceauth.v1.AlertService/"
_VERIFICATION = "/voiceauth.v1.VerificationService/"
_SUBJECTS = "/voiceauth.v1.SubjectService/"
_MAINTENANCE = "/voiceauth.v1.MaintenanceService/"
_STEP_UP = "/voiceauth.v1.StepUpService/"
_LOCKOUT = "/voiceauth.v1.LockoutService/"

ROWS: Mapping[str, Row] = {
    _VERIFICATION + "Verify": _call(
        _P.VERIFY, Foreign.AS_UNKNOWN, "verify.verdict", "verify.abandoned"
    ),
    _VERIFICATION + "CreateChallenge": _request(_P.VERIFY, Foreign.AS_UNKNOWN, "challenge.created"),
    _VERIFICATION + "Identify": _call(_P.IDENTIFY, Foreign.DENIED, "identify.ranking"),
    "/voiceauth.v1.EnrolmentService/Enrol": _call(_P.ENROL, Foreign.NOT_FOUND, "enrol.result"),
    _SUBJECTS + "CreateSubject": _request(_P.CREATE_SUBJECT, Foreign.DENIED, "subject.created"),
    _SUBJECTS + "GetSubject": _request(_P.READ_SUBJECT, Foreign.NOT_FOUND, "subject.read"),
    _SUBJECTS + "ListSubjects": _request(_P.LIST_SUBJECTS, Foreign.DENIED, "subject.listed"),
    _SUBJECTS + "SetSubjectGroups": _request(
        _P.GROUP_SUBJECTS, Foreign.NOT_FOUND, "subject.groups"
    ),
    _SUBJECTS + "RecordConsent": _request(_P.RECORD_CONSENT, Foreign.NOT_FOUND, "consent.recorded"),
    _SUBJECTS + "WithdrawConsent": _request(
        _P.WITHDRAW_CONSENT, Foreign.NOT_FOUND, "consent.withdrawn"
    ),
    _SUBJECTS + "OptOut": _request(_P.OPT_OUT, Foreign.DENIED, "subject.opted_out"),
    _SUBJECTS + "UndoOptOut": _request(
        _P.UNDO_OPT_OUT, Foreign.NOT_FOUND, "subject.opt_out_undone"
    ),
    _SUBJECTS + "EraseSubject": _request(_P.ERASE_SUBJECT, Foreign.NOT_FOUND, "subject.erased"),
    # What a principal of another tenant asks for is refused before it is said who is known there.
    _APPROVALS + "RequestApproval": _list(_P.ASK_APPROVAL, "approval.requested"),
    _APPROVALS + "ListApprovals": _request(_P.LIST_APPROVALS, Foreign.DENIED, "approval.listed"),
    _APPROVALS + "Approve": _list(_P.DECIDE_APPROVAL, "approval.approved"),
    _APPROVALS + "Refuse": _request(_P.DECIDE_APPROVAL, Foreign.DENIED, "approval.refused"),
    _APPROVALS + "ExportSubject": _request(_P.EXPORT_SUBJECT, Foreign.DENIED, "subject.exported"),
    _APPROVALS + "EraseSubjects": _list(_P.ERASE_SUBJECTS, "subject.erased"),
    _APPROVALS + "DestroyKey": _request(_P.DESTROY_KEY, Foreign.DENIED, "keys.destroyed"),
    _STEP_UP + "EnrolFactor": _request(_P.ENROL_FACTOR, Foreign.NOT_FOUND, "factor.enrolled"),
    _STEP_UP + "ListFactors": _request(_P.LIST_FACTORS, Foreign.NOT_FOUND, "factor.listed"),
    _STEP_UP + "RemoveFactor": _request(_P.REMOVE_FACTOR, Foreign.NOT_FOUND, "factor.removed"),
    _STEP_UP + "BeginStepUp": _request(_P.STEP_UP, Foreign.DENIED, "step_up.begun", "step_up.read"),
    _STEP_UP + "SendCode": _request(
        _P.STEP_UP, Foreign.DENIED, "step_up.code_sent", "step_up.read"
    ),
    _STEP_UP + "AnswerStepUp": _request(
        _P.STEP_UP, Foreign.DENIED, "step_up.answered", "step_up.read"
    ),
    _STEP_UP + "GetStepUp": _request(_P.STEP_UP, Foreign.DENIED, "step_up.read"),
    _LOCKOUT + "GetLockout": _request(_P.READ_LOCKOUT, Foreign.DENIED, "lockout.read"),
    _LOCKOUT + "Unlock": _request(_P.UNLOCK, Foreign.DENIED, "lockout.unlocked"),
    "/voiceauth.v1.RetentionService/SweepRetention": _request(
        _P.SWEEP_RETENTION, Foreign.DENIED, "retention.swept", "retention.held"
    ),
    _ALERTS + "ListAlerts": _request(_P.READ_ALERTS, Foreign.DENIED, "alert.listed"),
    _ALERTS + "WatchAlerts": _call(_P.READ_ALERTS, Foreign.DENIED, "alert.watched"),
    _ALERTS + "AcknowledgeAlert": _request(
        _P.ACKNOWLEDGE_ALERTS, Foreign.DENIED, "alert.acknowledged"
    ),
    "/voiceauth.v1.InformationService/GetInformation": _request(
        _P.READ_INFORMATION, Foreign.DENIED
    ),
    _MAINTENANCE + "CreateBackup": _work(_P.MANAGE_BACKUPS, "backup.created"),
    _MAINTENANCE + "ListBackups": _work(_P.MANAGE_BACKUPS),
    _MAINTENANCE + "VerifyBackup": _work(_P.MANAGE_BACKUPS, "backup.verified"),
    _MAINTENANCE + "DrillBackup": _work(_P.MANAGE_BACKUPS, "backup.drilled"),
    _MAINTENANCE + "Diagnose": _work(_P.DIAGNOSE),
    _MAINTENANCE + "MigrateModels": _work(_P.MIGRATE_MODELS, "models.migration"),
    "/voiceauth.v1.KeyService/RekeyVoiceprints": _request(
        _P.REKEY_VOICEPRINTS, Foreign.DENIED, "voiceprints.rekeying", "voiceprints.rekeyed"
    ),
}
