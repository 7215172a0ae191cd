# SPDX-License-Identifier: Apache-2.0
"""When a consent permits something, and what a consent record must look like."""

import re
from datetime import datetime, timedelta

from voiceauth.errors import InputError
from voiceauth.types import Consent, Subject, SubjectStanding, SubjectState

ALLOWED_SKEW = timedelta(minutes=5)
"""How far the clock of the system that heard the consent may be ahead of ours."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[A-Za-z0-9._:+\-]{1,64}\Z")
_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}\Z")
_LONGEST_LOCALE = 35
_JURISDICTION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?\Z")


def in_force(consent: Consent | None, purpose: str, now: datetime) -> bool:
    """Return whether ``consent`` permits ``purpose`` at ``now``.

    Args:
        consent: the subject's record, or None if there is none.
        purpose: what is about to be done; must be the consented one, letter by letter.
        now: UTC, aware.
    """
    if consent is None or consent.withdrawn_at is not None or consent.purpose != purpose:
        return False
    if consent.given_at > now + ALLOWED_SKEW:
        return False
    return consent.expires_at is None or now < consent.expires_at


def objection(subject: Subject, purpose: str, now: datetime) -> SubjectStanding | None:
    """Return why a known subject's voice may not be used for ``purpose``; None if it may.

    Args:
        subject: as the vault has it.
        purpose: what is about to be done.
        now: UTC, aware.

    Returns:
        OPTED_OUT; NOT_ENROLLED where nothing was ever permitted for the purpose; CONSENT_ENDED
        where something was, and it is withdrawn, expired or not valid yet.
    """
    consent = subject.consent
    if subject.state is SubjectState.OPTED_OUT:
        return SubjectStanding.OPTED_OUT
    if consent is None or consent.purpose != purpose:
        return SubjectStanding.NOT_ENROLLED
    return None if in_force(consent, purpose, now) else SubjectStanding.CONSENT_ENDED


def check_new_consent(consent: Consent, now: datetime) -> None:
    """Refuse a consent that cannot be what was agreed.

    Raises:
        InputError: the text's hash is not 64 lower-case hex digits; purpose or method is not 1 to
            64 of ``[A-Za-z0-9._:+-]``, or the channel is neither that nor empty; the locale is no
            BCP 47 tag; the jurisdiction is neither empty nor an ISO 3166 code; a time has no zone;
            it is given in the future, already expired, ends before it begins, or is already
            withdrawn.
    """
    if not _SHA256.match(consent.text_sha256):
        raise InputError("text_sha256 must be 64 lower-case hexadecimal digits.")
    for field, value in (("purpose", consent.purpose), ("method", consent.method)):
        if not _NAME.match(value):
            raise InputError(f"{field} must be 1 to 64 characters of [A-Za-z0-9._:+-].")
    if len(consent.locale) > _LONGEST_LOCALE or not _LOCALE.match(consent.locale):
        raise InputError("locale must be a BCP 47 tag, such as de-CH.")
    if consent.channel and not _NAME.match(consent.channel):
        raise InputError("channel must be empty or 1 to 64 characters of [A-Za-z0-9._:+-].")
    if consent.jurisdiction and not _JURISDICTION.match(consent.jurisdiction):
        raise InputError("jurisdiction must be empty or an ISO 3166 code, such as DE or US-IL.")
    _check_times(consent, now)


def _check_times(consent: Consent, now: datetime) -> None:
    if consent.withdrawn_at is not None:
        raise InputError("A new consent cannot be withdrawn already.")
    if consent.given_at.tzinfo is None:
        raise InputError("given_at needs a time zone.")
    if consent.given_at > now + ALLOWED_SKEW:
        raise InputError("given_at lies in the future.")
    if consent.expires_at is None:
        return
    if consent.expires_at.tzinfo is None:
        raise InputError("expires_at needs a time zone.")
    if consent.expires_at <= max(now, consent.given_at):
        raise InputError("expires_at lies in the past, or before given_at.")
