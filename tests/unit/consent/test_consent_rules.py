# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import timedelta

import pytest

from voiceauth.consent.rules import ALLOWED_SKEW, check_new_consent, in_force, objection
from voiceauth.errors import InputError
from voiceauth.testing.fakes import EPOCH
from voiceauth.testing.records import made_up_consent
from voiceauth.types import Subject, SubjectId, SubjectStanding, SubjectState, TenantId

NOW = EPOCH
GOOD = made_up_consent(NOW - timedelta(days=1))
SECOND = timedelta(seconds=1)


def test_no_consent_permits_nothing() -> None:
    """Absence is never permission."""
    assert not in_force(None, "authentication", NOW)


@pytest.mark.parametrize("purpose", ["training", "Authentication", "authentication ", ""])
def test_a_consent_permits_its_purpose_only(purpose: str) -> None:
    """A consent for one purpose says nothing about another."""
    assert not in_force(GOOD, purpose, NOW)


@pytest.mark.parametrize("withdrawn", [NOW - SECOND, NOW, NOW + timedelta(days=365)])
def test_a_withdrawn_consent_permits_nothing(withdrawn: object) -> None:
    """A withdrawal counts at once, whatever its date says."""
    assert not in_force(replace(GOOD, withdrawn_at=withdrawn), "authentication", NOW)  # type: ignore[arg-type]


def test_a_consent_ends_at_its_expiry() -> None:
    """The last permitted moment is the one before the expiry."""
    ends = replace(GOOD, expires_at=NOW)

    assert in_force(ends, "authentication", NOW - SECOND)
    assert not in_force(ends, "authentication", NOW)


def test_a_consent_from_the_future_permits_nothing() -> None:
    """A clock that was set back does not make a later consent valid earlier."""
    assert in_force(replace(GOOD, given_at=NOW + ALLOWED_SKEW), "authentication", NOW)
    assert not in_force(replace(GOOD, given_at=NOW + ALLOWED_SKEW + SECOND), "authentication", NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"text_sha256": ""},
        {"text_sha256": "c0" * 31},
        {"text_sha256": "c0" * 33},
        {"text_sha256": "C0" * 32},
        {"text_sha256": "g0" * 32},
        {"text_sha256": "c0" * 32 + "\n"},
        {"purpose": ""},
        {"purpose": "a" * 65},
        {"purpose": "line\nbreak"},
        {"purpose": "\ud800"},
        {"method": ""},
        {"method": "a" * 65},
        {"method": "key press"},
        {"locale": ""},
        {"locale": "d"},
        {"locale": "de_CH"},
        {"locale": "de-"},
        {"locale": "de" + "-abcdefgh" * 5},
        {"given_at": NOW.replace(tzinfo=None)},
        {"given_at": NOW + ALLOWED_SKEW + SECOND},
        {"expires_at": NOW},
        {"expires_at": NOW - SECOND},
        {"expires_at": NOW.replace(tzinfo=None)},
        {"given_at": NOW + SECOND, "expires_at": NOW + SECOND},
        {"withdrawn_at": NOW},
        {"channel": "a" * 65},
        {"channel": "by phone"},
        {"jurisdiction": "Illinois"},
        {"jurisdiction": "us-il"},
        {"jurisdiction": "US-"},
        {"jurisdiction": "US-IL\n"},
    ],
)
def test_a_malformed_or_impossible_consent_is_refused(change: dict[str, object]) -> None:
    """What cannot be what was agreed is not recorded."""
    with pytest.raises(InputError):
        check_new_consent(replace(GOOD, **change), NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"locale": "en"},
        {"locale": "zh-Hant-TW"},
        {"given_at": NOW + ALLOWED_SKEW},
        {"expires_at": NOW + SECOND},
        {"purpose": "a" * 64},
        {"channel": "branch"},
        {"jurisdiction": "DE"},
        {"jurisdiction": "US-IL"},
    ],
)
def test_a_proper_consent_is_accepted_and_in_force(change: dict[str, object]) -> None:
    """What passes the check permits its purpose from then on."""
    consent = replace(GOOD, **change)  # type: ignore[arg-type]

    check_new_consent(consent, NOW)

    assert in_force(consent, consent.purpose, NOW)


ALICE = Subject(TenantId("bank"), SubjectId("alice"), SubjectState.ACTIVE, NOW, consent=GOOD)


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        ({"state": SubjectState.OPTED_OUT}, SubjectStanding.OPTED_OUT),
        ({"state": SubjectState.OPTED_OUT, "consent": None}, SubjectStanding.OPTED_OUT),
        ({"consent": None}, SubjectStanding.NOT_ENROLLED),
        ({"consent": replace(GOOD, purpose="training")}, SubjectStanding.NOT_ENROLLED),
        ({"consent": replace(GOOD, withdrawn_at=NOW)}, SubjectStanding.CONSENT_ENDED),
        ({"consent": replace(GOOD, expires_at=NOW)}, SubjectStanding.CONSENT_ENDED),
        (
            {"consent": replace(GOOD, given_at=NOW + ALLOWED_SKEW + SECOND)},
            SubjectStanding.CONSENT_ENDED,
        ),
    ],
)
def test_every_reason_against_using_a_voice_has_its_name(
    change: dict[str, object], standing: SubjectStanding
) -> None:
    """Opted out, never permitted, and permitted once are three different things."""
    subject = replace(ALICE, **change)  # type: ignore[arg-type]

    assert objection(subject, "authentication", NOW) is standing


def test_nothing_speaks_against_a_consenting_subject() -> None:
    """A consent in force for the purpose is enough."""
    assert objection(ALICE, "authentication", NOW) is None
