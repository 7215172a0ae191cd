# SPDX-License-Identifier: Apache-2.0
"""Is this voice already enrolled under another subject of the tenant, or on a watchlist?

The gallery only proposes; each proposal is scored 1:1 from the vault. Because every enrolled
subject is a chance for a false alarm, the rate that counts is that of the whole search.
"""

import math
from dataclasses import dataclass

from voiceauth.consent.rules import objection
from voiceauth.ports import Transaction
from voiceauth.scoring.combine import centroid
from voiceauth.types import Bandwidth, Embedding, GroupName, Score, Subject, SubjectId
from voiceauth.units import Decibels, Rate, Seconds
from voiceauth.usecases.engine import Engine

PROPOSALS = 5


@dataclass(frozen=True, slots=True)
class OtherSubject:
    """Another subject with the same voice; ``watchlisted`` if it is in a group that is watched."""

    subject: SubjectId
    watchlisted: bool


def other_subject_with_this_voice(
    engine: Engine,
    view: Transaction,
    subject: Subject,
    voice: Embedding,
    *,
    net_seconds: Seconds,
    bandwidth: Bandwidth,
    snr_db: Decibels | None = None,
) -> OtherSubject | None:
    """Return the best other subject below the duplicate limit, watchlists first; else None.

    A watchlist is searched by itself: the fewer people are searched, the surer the search.
    """
    heard = _Heard(subject, voice, net_seconds, bandwidth, snr_db)
    watchlists = [GroupName(name) for name in engine.enrolment.watchlists]
    for group in (*watchlists, None):
        found = _in_group(engine, view, heard, group)
        if found is not None:
            return OtherSubject(found, watchlisted=group is not None)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """A subject's voice and the speech behind it."""

    subject: Subject
    voice: Embedding
    net_seconds: Seconds
    bandwidth: Bandwidth
    snr_db: Decibels | None


def _in_group(
    engine: Engine, view: Transaction, heard: _Heard, group: GroupName | None
) -> SubjectId | None:
    subject, voice = heard.subject, heard.voice
    others = engine.gallery.subjects(subject.tenant, group)
    proposals = engine.gallery.search(subject.tenant, voice, group=group, limit=PROPOSALS)
    for candidate, _ in proposals:
        if candidate == subject.subject:
            continue
        known = view.subject(subject.tenant, candidate)
        if known is None or objection(known, engine.enrolment.purpose, engine.clock.now()):
            continue  # whose permission ended is not compared any more
        prints = view.voiceprints(subject.tenant, candidate, engine.embedder.model)
        if not prints:
            continue
        score = engine.scorer.score(
            voice,
            centroid([(one.embedding, one.net_seconds) for one in prints]),
            net_seconds=heard.net_seconds,
            bandwidth=heard.bandwidth,
            enrolled_seconds=sum(one.net_seconds for one in prints),
            snr_db=heard.snr_db,
        )
        rate = search_rate(score, others)
        if rate is not None and rate <= engine.enrolment.duplicate_false_match_rate:
            return candidate
    return None


def search_rate(score: Score, subjects: int) -> Rate | None:
    """Return the chance that a search over other people reaches this score at least once.

    Within the tables this is 1 - (1 - FMR)^N. At their floor the false-match rate is only known to
    be small, so the Markov bound of the likelihood ratio takes over: among impostors a calibrated
    ratio exceeds t with probability at most 1/t, hence at most N * exp(-LLR) over N of them.

    Args:
        score: of the best candidate.
        subjects: how many were searched.

    Returns:
        A rate, or None where the score has no support.
    """
    count = max(subjects, 1)
    if score.false_match_rate is None or score.llr is None:
        return None
    within = 1.0 - (1.0 - score.false_match_rate) ** count
    if not score.floor_reached:
        return within
    return min(within, count * math.exp(-score.llr))
