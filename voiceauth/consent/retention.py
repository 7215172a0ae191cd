# SPDX-License-Identifier: Apache-2.0
"""How long what is kept of a person may be kept: rules as data, the shortest wins. No I/O.

Rules about the rules:

* A rule binds a person whose consent is for one of its purposes and who is under one of its laws;
  ``US`` covers ``US-IL``. A rule that names no purpose, or no law, binds for all of them.
* Where a person's purpose or law is not known, every rule binds: nobody is kept longer because
  something about them was not written down.
* Of several rules that bind, each is kept to, so the shortest decides.
* Somebody who opted out is left alone: nothing of the voice is there, and the opt-out has to stand.

Example:
    >>> bipa = Rule("bipa", Since.LAST_INTERACTION, days=1095, jurisdictions=frozenset({"US-IL"}))
    >>> bipa.binds("authentication", "US-IL"), bipa.binds("authentication", "DE")
    (True, False)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from voiceauth.types import Subject, SubjectState


class Since(StrEnum):
    """From when a rule counts. Names are stable: they stand in settings and in the ledger."""

    LAST_INTERACTION = "last_interaction"
    """The person was last known to be there: a consent, an enrolment, a voice that matched."""
    CONSENT_GIVEN = "consent_given"
    CONSENT_ENDED = "consent_ended"
    """It was withdrawn, or its term is over."""
    CREATED = "created"


class Erases(StrEnum):
    """What goes when a rule's time is over."""

    VOICE = "voice"
    """Voiceprints, unfinished enrolments and remembered calls; the record of the consent stays."""
    SUBJECT = "subject"
    """Everything, with the data key."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        days: from ``since``; 0 for at once.
        purposes: of the consent; empty for every purpose.
        jurisdictions: ISO 3166 codes; empty for everywhere.
    """

    name: str
    since: Since
    days: float
    erases: Erases = Erases.SUBJECT
    purposes: frozenset[str] = frozenset()
    jurisdictions: frozenset[str] = frozenset()

    def binds(self, purpose: str, jurisdiction: str) -> bool:
        """Return whether a person of a purpose and a law, empty for unknown, is under the rule."""
        if self.purposes and purpose and purpose not in self.purposes:
            return False
        laws = {jurisdiction, jurisdiction.partition("-")[0]}
        return not self.jurisdictions or not jurisdiction or not laws.isdisjoint(self.jurisdictions)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When something of a person has to go, and by which rule."""

    at: datetime
    rule: str
    erases: Erases


def deadlines(
    subject: Subject, rules: Iterable[Rule], jurisdiction: str, now: datetime
) -> tuple[Deadline, ...]:
    """Return when what is kept of a person has to go, soonest first.

    Args:
        subject: as the vault has it.
        rules: all there are.
        jurisdiction: whose law counts where the consent does not say; empty if not known either.
        now: UTC, aware; decides only whether a consent has ended.
    """
    if subject.state is SubjectState.OPTED_OUT:
        return ()
    consent = subject.consent
    purpose = "" if consent is None else consent.purpose
    law = jurisdiction if consent is None else consent.jurisdiction or jurisdiction
    found = []
    for rule in rules:
        start = _start(subject, rule.since, now) if rule.binds(purpose, law) else None
        if start is not None:
            found.append(Deadline(start + timedelta(days=rule.days), rule.name, rule.erases))
    return tuple(sorted(found, key=lambda one: (one.at, one.erases is Erases.VOICE, one.rule)))


def due(
    subject: Subject, rules: Iterable[Rule], jurisdiction: str, now: datetime, *, has_voice: bool
) -> Deadline | None:
    """Return what has to go now: everything before the voice alone; None for nothing.

    Args:
        subject: as the vault has it.
        rules: all there are.
        jurisdiction: as in ``deadlines``.
        now: UTC, aware.
        has_voice: whether anything of the voice is kept at all.
    """
    over = [one for one in deadlines(subject, rules, jurisdiction, now) if one.at <= now]
    whole = [one for one in over if one.erases is Erases.SUBJECT]
    voice = over if has_voice else []
    return next(iter((*whole, *voice)), None)


def _start(subject: Subject, since: Since, now: datetime) -> datetime | None:
    consent = subject.consent
    if since is Since.CREATED:
        return subject.created_at
    if since is Since.LAST_INTERACTION:
        return subject.last_interaction_at or subject.created_at
    if consent is None:
        return None
    if since is Since.CONSENT_GIVEN:
        return consent.given_at
    over = consent.expires_at if consent.expires_at and consent.expires_at <= now else None
    ends = [one for one in (consent.withdrawn_at, over) if one is not None]
    return min(ends, default=None)
