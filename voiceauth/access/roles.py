# SPDX-License-Identifier: Apache-2.0
"""The roles, and what each may do and see: one table.

Rules:

* A permission is what a person would call one activity; several RPCs may need the same one.
* A role grants what its row lists and nothing else; several roles add up.
* Roles of machines are held by programs, all others by people. For people the settings may demand
  evidence of a second factor.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Stable names: they stand in settings and in tokens."""

    IVR = "ivr"
    ENROLMENT = "enrolment"
    AGENT = "agent"
    FRAUD_ANALYST = "fraud-analyst"
    PRIVACY_OFFICER = "privacy-officer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


class Permission(StrEnum):
    """One activity each."""

    VERIFY = "verify"
    IDENTIFY = "identify"
    ENROL = "enrol"
    CREATE_SUBJECT = "create-subject"
    READ_SUBJECT = "read-subject"
    LIST_SUBJECTS = "list-subjects"
    GROUP_SUBJECTS = "group-subjects"
    RECORD_CONSENT = "record-consent"
    WITHDRAW_CONSENT = "withdraw-consent"
    OPT_OUT = "opt-out"
    UNDO_OPT_OUT = "undo-opt-out"
    ERASE_SUBJECT = "erase-subject"
    READ_LOCKOUT = "read-lockout"
    UNLOCK = "unlock"
    SWEEP_RETENTION = "sweep-retention"
    ENROL_FACTOR = "enrol-factor"
    LIST_FACTORS = "list-factors"
    REMOVE_FACTOR = "remove-factor"
    STEP_UP = "step-up"
    READ_INFORMATION = "read-information"
    READ_ALERTS = "read-alerts"
    ACKNOWLEDGE_ALERTS = "acknowledge-alerts"
    EXPORT_SUBJECT = "export-subject"
    ERASE_SUBJECTS = "erase-subjects"
    DESTROY_KEY = "destroy-key"
    APPROVE_EXPORT = "approve-export"
    APPROVE_ERASURE = "approve-erasure"
    APPROVE_DESTRUCTION = "approve-destruction"
    ASK_APPROVAL = "ask-approval"
    DECIDE_APPROVAL = "decide-approval"
    LIST_APPROVALS = "list-approvals"
    MANAGE_BACKUPS = "manage-backups"
    DIAGNOSE = "diagnose"
    MIGRATE_MODELS = "migrate-models"
    REKEY_VOICEPRINTS = "rekey-voiceprints"


class View(StrEnum):
    """How identifiers of people look in replies, from least to most."""

    MASKED = "masked"
    OWN = "own"
    """Identifiers that the request itself named are shown, all others masked."""
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one role may do and see.

    Attributes:
        machine: held by a program; no second factor can be asked of it.
    """

    permissions: frozenset[Permission]
    view: View
    machine: bool = False


def _grant(view: View, *permissions: Permission, machine: bool = False) -> Grant:
    return Grant(frozenset({*permissions, Permission.READ_INFORMATION}), view, machine)


_P = Permission
GRANTS: Mapping[Role, Grant] = {
    # Leaving must be as easy as joining, so the line that a person calls can do it.
    Role.IVR: _grant(
        View.OWN, _P.VERIFY, _P.STEP_UP, _P.WITHDRAW_CONSENT, _P.OPT_OUT, machine=True
    ),
    Role.ENROLMENT: _grant(
        View.OWN,
        _P.ENROL,
        _P.CREATE_SUBJECT,
        _P.READ_SUBJECT,
        _P.RECORD_CONSENT,
        _P.WITHDRAW_CONSENT,
        _P.OPT_OUT,
        _P.UNDO_OPT_OUT,
        _P.ENROL_FACTOR,
        _P.LIST_FACTORS,
        _P.REMOVE_FACTOR,
        machine=True,
    ),
    Role.AGENT: _grant(
        View.MASKED,
        _P.VERIFY,
        _P.STEP_UP,
        _P.READ_SUBJECT,
        _P.WITHDRAW_CONSENT,
        _P.OPT_OUT,
        _P.READ_LOCKOUT,
    ),
    # Whoever unlocks gives an attacker further attempts: not for those whom a caller can talk to.
    Role.FRAUD_ANALYST: _grant(
        View.FULL,
        _P.IDENTIFY,
        _P.READ_SUBJECT,
        _P.LIST_SUBJECTS,
        _P.GROUP_SUBJECTS,
        _P.READ_LOCKOUT,
        _P.UNLOCK,
        _P.READ_ALERTS,
        _P.ACKNOWLEDGE_ALERTS,
        _P.LIST_FACTORS,
        _P.REMOVE_FACTOR,
    ),
    Role.PRIVACY_OFFICER: _grant(
        View.FULL,
        _P.READ_SUBJECT,
        _P.LIST_SUBJECTS,
        _P.WITHDRAW_CONSENT,
        _P.OPT_OUT,
        _P.UNDO_OPT_OUT,
        _P.ERASE_SUBJECT,
        _P.EXPORT_SUBJECT,
        _P.ERASE_SUBJECTS,
        _P.APPROVE_EXPORT,
        _P.APPROVE_ERASURE,
        _P.APPROVE_DESTRUCTION,
        _P.ASK_APPROVAL,
        _P.DECIDE_APPROVAL,
        _P.LIST_APPROVALS,
        _P.SWEEP_RETENTION,
    ),
    Role.AUDITOR: _grant(
        View.MASKED, _P.READ_SUBJECT, _P.LIST_APPROVALS, _P.READ_LOCKOUT, _P.READ_ALERTS
    ),
    # Runs the machines, and has no business with the people in them.
    Role.OPERATOR: _grant(
        View.MASKED,
        _P.REKEY_VOICEPRINTS,
        _P.DESTROY_KEY,
        _P.ASK_APPROVAL,
        _P.LIST_APPROVALS,
        _P.MANAGE_BACKUPS,
        _P.READ_ALERTS,
        _P.DIAGNOSE,
        _P.MIGRATE_MODELS,
    ),
    # The second person where there is no second officer; it asks for keys alone.
    Role.ADMINISTRATOR: _grant(
        View.MASKED,
        _P.CREATE_SUBJECT,
        _P.GROUP_SUBJECTS,
        _P.DESTROY_KEY,
        _P.APPROVE_EXPORT,
        _P.APPROVE_ERASURE,
        _P.APPROVE_DESTRUCTION,
        _P.ASK_APPROVAL,
        _P.DECIDE_APPROVAL,
        _P.LIST_APPROVALS,
        _P.MANAGE_BACKUPS,
        _P.DIAGNOSE,
        _P.MIGRATE_MODELS,
    ),
}

_ORDER = (View.MASKED, View.OWN, View.FULL)


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Return everything that one of the roles grants."""
    return frozenset().union(*(GRANTS[role].permissions for role in roles))


def view_of(roles: Iterable[Role], permission: Permission) -> View:
    """Return the widest view among the roles that grant the permission; masked if none does."""
    views = [GRANTS[one].view for one in roles if permission in GRANTS[one].permissions]
    return max(views, key=_ORDER.index, default=View.MASKED)


def machine_roles(roles: Iterable[Role]) -> frozenset[Role]:
    """Return those of the roles that programs hold."""
    return frozenset(role for role in roles if GRANTS[role].machine)
