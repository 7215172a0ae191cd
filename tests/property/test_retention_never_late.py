# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from voiceauth.consent.retention import Erases, Rule, Since, deadlines, due
from voiceauth.testing.fakes import EPOCH
from voiceauth.testing.records import made_up_consent
from voiceauth.types import Subject, SubjectId, SubjectState, TenantId

DAY = timedelta(days=1)
BIPA = Rule("bipa", Since.LAST_INTERACTION, 1095, jurisdictions=frozenset({"US-IL"}))
laws = st.sampled_from(["", "DE", "US", "US-IL", "US-TX"])
rules = st.lists(
    st.builds(
        Rule,
        name=st.sampled_from(["a", "b", "c"]),
        since=st.sampled_from(Since),
        days=st.integers(0, 4000),
        erases=st.sampled_from(Erases),
        purposes=st.frozensets(st.sampled_from(["authentication", "training"])),
        jurisdictions=st.frozensets(st.sampled_from(["DE", "US", "US-IL"])),
    ),
    max_size=6,
)


@given(rules, laws, st.lists(st.integers(0, 900), max_size=20), st.integers(0, 9000))
def test_whoever_is_kept_is_within_every_rule_that_binds(
    others: list[Rule], law: str, gaps: list[int], later: int
) -> None:
    """After any history of interactions nothing outlives 3 years under BIPA, or any other rule.

    More rules never keep anything longer, and an interaction never shortens what others allow.
    """
    seen = EPOCH
    for gap in gaps:
        seen += gap * DAY
    consent = replace(made_up_consent(EPOCH), jurisdiction=law)
    subject = Subject(
        TenantId("bank"),
        SubjectId("alice"),
        SubjectState.ACTIVE,
        EPOCH,
        consent=consent,
        last_interaction_at=seen,
    )
    now = seen + later * DAY
    kept = due(subject, [*others, BIPA], "", now, has_voice=True) is None

    if kept and law in ("", "US-IL"):
        assert now < seen + 1095 * DAY
    if kept:
        assert due(subject, others, "", now, has_voice=True) is None
        assert all(one.at > now for one in deadlines(subject, others, "", now))
