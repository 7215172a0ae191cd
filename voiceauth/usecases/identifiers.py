# SPDX-License-Identifier: Apache-2.0
"""Checks on the names that come from outside, so that nothing odd reaches a log or a key."""

import re
from collections.abc import Iterable

from voiceauth.errors import InputError
from voiceauth.types import (
    AlertId,
    ApprovalId,
    CallId,
    ChallengeId,
    GroupName,
    KeyId,
    SubjectId,
    TenantId,
)

_ALLOWED = re.compile(r"[A-Za-z0-9._:@+\-]{1,128}\Z")
MAX_GROUPS = 32
_NUMBER = re.compile(r"[0-9+*#(). /\-]{0,40}\Z")


def tenant_id(text: str) -> TenantId:
    """Check a tenant id. Raises InputError unless it is 1 to 128 of ``[A-Za-z0-9._:@+-]``."""
    return TenantId(_checked(text, "tenant_id"))


def subject_id(text: str) -> SubjectId:
    """Check a subject id. Raises InputError like ``tenant_id``."""
    return SubjectId(_checked(text, "subject_id"))


def call_id(text: str) -> CallId:
    """Check a call id. Raises InputError like ``tenant_id``."""
    return CallId(_checked(text, "call_id"))


def alert_id(text: str) -> AlertId:
    """Check an alert id. Raises InputError like ``tenant_id``."""
    return AlertId(_checked(text, "alert_id"))


def challenge_id(text: str) -> ChallengeId:
    """Check a challenge id. Raises InputError like ``tenant_id``."""
    return ChallengeId(_checked(text, "challenge_id"))


def calling_number(text: str) -> str:
    """Bring a calling number to one form, digits with a plus sign before them or none.

    Returns:
        Empty for a number that is withheld.

    Raises:
        InputError: it holds something that no telephone number does, or more than 40 characters.
    """
    if not _NUMBER.match(text):
        raise InputError("calling_number must be at most 40 characters of [0-9+*#(). /-].")
    digits = re.sub(r"[^0-9*#]", "", text)
    return f"+{digits}" if digits and text.lstrip(" (").startswith("+") else digits


def group_name(text: str) -> GroupName:
    """Check a group name. Raises InputError like ``tenant_id``."""
    return GroupName(_checked(text, "group"))


def approval_id(text: str) -> ApprovalId:
    """Check an approval's id; empty where none is named. Raises InputError like ``tenant_id``."""
    return ApprovalId(_checked(text, "approval_id") if text else "")


def key_id(text: str) -> KeyId:
    """Check a key's id. Raises InputError like ``tenant_id``."""
    return KeyId(_checked(text, "key_id"))


def group_names(names: Iterable[str]) -> frozenset[GroupName]:
    """Check a set of group names. Raises InputError for a bad one or more than 32."""
    checked = frozenset(group_name(name) for name in names)
    if len(checked) > MAX_GROUPS:
        raise InputError(f"A subject can be in at most {MAX_GROUPS} groups.")
    return checked


def _checked(text: str, field: str) -> str:
    if not _ALLOWED.match(text):
        raise InputError(f"{field} must be 1 to 128 characters of [A-Za-z0-9._:@+-].")
    return text
