# SPDX-License-Identifier: Apache-2.0
"""Identifiers of people in replies, as the role that asked may see them: one place for all RPCs.

Every text field of every reply stands in one of the sets below; a contract test sees to it, so a
new field is not sent before somebody has said what it is.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from voiceauth.access.masking import masked_identifier, masked_text
from voiceauth.access.roles import View

IDENTIFIERS = frozenset({"subject_id", "duplicate_subject_id"})
"""Name a person."""
FREE_TEXTS = frozenset({"groups", "purpose", "method", "channel", "call_id"})
"""An operator's own words, in which somebody may have put a number."""
HARMLESS = frozenset(
    {
        "about",
        "acknowledged_by",
        "alert_id",
        "approval_id",
        "calibration_version",
        "advice",
        "backup",
        "check",
        "challenge_id",
        "decided_by",
        "default_policy",
        "held",
        "jurisdiction",
        "engine_version",
        "licence",
        "lost_keys",
        "locale",
        "model_sha256",
        "name",
        "next_page_token",
        "provisioning_uri",
        "step_up_id",
        "policy",
        "previous_model_sha256",
        "requested_by",
        "required_liveness",
        "receipt_token",
        "role",
        "rule",
        "sha256",
        "spoof_model_sha256",
        "tenant_id",
        "text",
        "text_sha256",
        "version",
        "voiceprint_id",
        "words",
        "pseudonym",
        "runbook",
    }
)
"""The engine's own, or the tenant's. Page tokens name a person, but only roles that see everything
may list."""


def masked(reply: Any, view: View, named: str) -> Any:
    """Mask a reply in place and return it.

    Args:
        reply: the message, not sent yet.
        view: of the role that asked.
        named: the person that the request itself named; empty for nobody.
    """
    if view is not View.FULL:
        _walk(reply, named if view is View.OWN else "")
    return reply


def _walk(message: Message, shown: str) -> None:
    for field, value in message.ListFields():
        change: Callable[[str], str] | None = None
        if field.name in IDENTIFIERS:
            change = lambda text: text if text == shown else masked_identifier(text)  # noqa: E731
        elif field.name in FREE_TEXTS:
            change = masked_text
        if change is not None:
            _replace(message, field.name, value, change)
        elif field.type == field.TYPE_MESSAGE:
            for one in value if _is_list(value) else (value,):
                _walk(one, shown)


def _replace(message: Message, name: str, value: Any, change: Callable[[str], str]) -> None:
    if _is_list(value):
        value[:] = [change(one) for one in value]
    else:
        setattr(message, name, change(value))


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | Message)
