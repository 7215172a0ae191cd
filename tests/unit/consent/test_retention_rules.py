# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from voiceauth.consent.retention import Deadline, Erases, Rule, Since, deadlines, due
from voiceauth.testing.fakes import EPOCH
from voiceauth.testing.records import made_up_consent
from voiceauth.types import Subject, SubjectId, SubjectState, TenantId

DAY = timedelta(days=1)
NOW = EPOCH
GIVEN, SEEN = NOW - 100 * DAY, NOW - 10 * DAY
CONSENT = replace(made_up_consent(GIVEN), jurisdiction="US-IL")
ALICE = Subject(
    TenantId("bank"),
    SubjectId("alice"),
    SubjectState.ACTIVE,
    NOW - 200 * DAY,
    consent=CONSENT,
    last_interaction_at=SEEN,
)
ENDED = Rule("ended", Since.CONSENT_ENDED, 0, Erases.VOICE)


def rule(days: float = 30, **more: object) -> Rule:
    """Return a rule that counts from the last interaction."""
    return Rule("r", Since.LAST_INTERACTION, days, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("purposes", "jurisdictions", "purpose", "law", "binds"),
    [
        ((), (), "authentication", "DE", True),
        ((), (), "", "", True),
        (("training",), (), "authentication", "DE", False),
        (("training",), (), "training", "DE", True),
        (("training",), (), "", "DE", True),
        ((), ("US-IL",), "a", "US-IL", True),
        ((), ("US-IL",), "a", "US-TX", False),
        ((), ("US-IL",), "a", "US", False),
        ((), ("US-IL",), "a", "", True),
        ((), ("US",), "a", "US-TX", True),
        ((), ("US",), "a", "DE", False),
        (("training",), ("US",), "training", "DE", False),
        (("training",), ("US",), "authentication", "US", False),
    ],
)
def test_a_rule_binds_its_purposes_and_laws_and_whoever_is_not_known(
    purposes: tuple[str, ...],
    jurisdictions: tuple[str, ...],
    purpose: str,
    law: str,
    binds: bool,
) -> None:
    """A country covers its parts, not the other way; what is not known falls under every rule."""
    one = rule(purposes=frozenset(purposes), jurisdictions=frozenset(jurisdictions))

    assert one.binds(purpose, law) is binds


@pytest.mark.parametrize(
    ("since", "change", "start"),
    [
        (Since.CREATED, {}, ALICE.created_at),
        (Since.LAST_INTERACTION, {}, SEEN),
        (Since.LAST_INTERACTION, {"last_interaction_at": None}, ALICE.created_at),
        (Since.CONSENT_GIVEN, {}, GIVEN),
        (Since.CONSENT_GIVEN, {"consent": None}, None),
        (Since.CONSENT_ENDED, {"consent": None}, None),
        (Since.CONSENT_ENDED, {}, None),
        (Since.CONSENT_ENDED, {"consent": replace(CONSENT, withdrawn_at=SEEN)}, SEEN),
        (Since.CONSENT_ENDED, {"consent": replace(CONSENT, expires_at=NOW)}, NOW),
        (Since.CONSENT_ENDED, {"consent": replace(CONSENT, expires_at=NOW + DAY)}, None),
        (
            Since.CONSENT_ENDED,
            {"consent": replace(CONSENT, expires_at=NOW, withdrawn_at=SEEN)},
            SEEN,
        ),
    ],
)
def test_a_rule_counts_from_where_it_says(
    since: Since, change: dict[str, object], start: datetime | None
) -> None:
    """Where that has not happened the rule sets no end."""
    subject = replace(ALICE, **change)  # type: ignore[arg-type]
    found = deadlines(subject, [Rule("r", since, 7)], "", NOW)

    expected = () if start is None else (Deadline(start + 7 * DAY, "r", Erases.SUBJECT),)
    assert found == expected


def test_the_shortest_rule_wins() -> None:
    """Of all that bind, the soonest comes first, whatever their order in the settings."""
    rules = [replace(rule(30), name="long"), replace(rule(20), name="short")]

    assert [one.rule for one in deadlines(ALICE, rules, "", NOW)] == ["short", "long"]
    found = due(ALICE, rules, "", SEEN + 20 * DAY, has_voice=True)
    assert found is not None
    assert found.rule == "short"


def test_nothing_goes_a_moment_early_or_late() -> None:
    """It is due from its deadline on, to the microsecond."""
    end = SEEN + 30 * DAY

    assert due(ALICE, [rule()], "", end - timedelta(microseconds=1), has_voice=True) is None
    assert due(ALICE, [rule()], "", end, has_voice=True) is not None


def test_everything_goes_before_the_voice_alone() -> None:
    """Where both are over the whole is erased; a voice that is not there is not erased again."""
    ended = replace(ALICE, consent=replace(CONSENT, withdrawn_at=GIVEN))
    whole = due(ended, [ENDED, rule(1)], "", NOW, has_voice=True)

    assert whole is not None
    assert whole.erases is Erases.SUBJECT
    voice = due(ended, [ENDED], "", NOW, has_voice=True)
    assert voice is not None
    assert voice.erases is Erases.VOICE
    assert due(ended, [ENDED], "", NOW, has_voice=False) is None


def test_the_law_of_the_settings_counts_where_the_consent_names_none() -> None:
    """The person's own jurisdiction comes first; the settings' stands in for it."""
    here = rule(0, jurisdictions=frozenset({"DE"}))
    unnamed = replace(ALICE, consent=replace(CONSENT, jurisdiction=""))
    without = replace(ALICE, consent=None)

    assert deadlines(ALICE, [here], "DE", NOW) == ()
    for subject in (unnamed, without):
        assert len(deadlines(subject, [here], "DE", NOW)) == 1
        assert deadlines(subject, [here], "FR", NOW) == ()
        assert len(deadlines(subject, [here], "", NOW)) == 1


def test_an_opt_out_has_to_stand() -> None:
    """Nothing of the voice is there, and what says so is not erased."""
    out = replace(ALICE, state=SubjectState.OPTED_OUT)

    assert deadlines(out, [rule(0), ENDED], "", NOW) == ()
    assert due(out, [rule(0), ENDED], "", NOW, has_voice=True) is None
