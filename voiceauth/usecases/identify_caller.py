# SPDX-License-Identifier: Apache-2.0
"""Rank the members of a group by likeness to the caller: leads to look at, never an acceptance.

Driven like ``verify_call``: ``hear`` → embed → ``weigh`` → ``conclude``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from voiceauth.access.masking import masked_text
from voiceauth.consent.rules import in_force
from voiceauth.errors import InputError
from voiceauth.ports import Transaction
from voiceauth.scoring.combine import centroid
from voiceauth.types import (
    AudioFormat,
    CallId,
    Candidate,
    Embedding,
    Evidence,
    GroupName,
    Progress,
    Ranking,
    Reason,
    Span,
    SubjectId,
    SubjectState,
    TenantId,
)
from voiceauth.usecases.duplicates import search_rate
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.listening import HearingCall, Listener
from voiceauth.usecases.probe import Probe
from voiceauth.usecases.records import evidence_body

MOST_CANDIDATES = 50
DEFAULT_CANDIDATES = 5
PROPOSALS_PER_CANDIDATE = 3


@dataclass(frozen=True, slots=True)
class IdentificationRequest:
    """Where to search, and how the call sounds on the wire."""

    call: CallId
    tenant: TenantId
    group: GroupName | None
    audio_format: AudioFormat
    max_candidates: int = DEFAULT_CANDIDATES


class IdentifyCall(HearingCall):
    """One identification. Not thread-safe: one caller, one driver.

    Raises:
        InputError: more than 50 or fewer than 1 candidates asked for.
        UnsupportedFormatError: the audio format is impossible.
        GalleryLoadingError: the gallery is not filled yet.
    """

    def __init__(self, engine: Engine, request: IdentificationRequest) -> None:
        if not 1 <= request.max_candidates <= MOST_CANDIDATES:
            raise InputError(f"max_candidates must lie between 1 and {MOST_CANDIDATES}.")
        super().__init__(Listener(request.audio_format, engine.speech, engine.max_audio_seconds))
        engine.gallery.subjects(request.tenant, request.group)  # refuses while it is filled
        self._engine = engine
        self._request = request
        self._floor = engine.policy("").floor_seconds
        self._probe = Probe()
        self._ranking: tuple[Candidate, ...] = ()

    def weigh(self, span: Span, embedding: Embedding) -> Ranking:
        """Add one embedded span and rank again. Blocking: it reads the vault.

        Raises:
            StorageError, IntegrityError: a candidate could not be read.
        """
        self._probe.add(span, embedding)
        if self._probe.net_seconds >= self._floor:
            self._ranking = self._rank()
        return self.ranking()

    def ranking(self, *, final: bool = False) -> Ranking:
        """Return the ranking now."""
        searched = self._engine.gallery.subjects(self._request.tenant, self._request.group)
        best = self._ranking[0].score if self._ranking else None
        return Ranking(
            candidates=self._ranking,
            evidence=self._evidence(final=final),
            searched=searched,
            false_positive_identification_rate=None
            if best is None
            else search_rate(best, searched),
            final=final,
        )

    def conclude(self) -> Ranking:
        """Record the identification and return the final ranking. Blocking."""
        ranking = self.ranking(final=True)
        engine, tenant = self._engine, self._request.tenant
        body = {
            **evidence_body(ranking.evidence),
            "call": engine.pseudonym(tenant, self._request.call),
            "group": masked_text(self._request.group or ""),
            "watchlist": self._request.group in self._engine.enrolment.watchlists,
            "false_positive_identification_rate": ranking.false_positive_identification_rate,
            "searched": ranking.searched,
            "model": engine.embedder.model,
            "calibration": engine.scorer.version,
        }
        with engine.vault.begin() as transaction:
            body["candidates"] = [
                {
                    "subject": engine.subject_pseudonym(transaction, tenant, one.subject),
                    "llr": one.score.llr,
                }
                for one in ranking.candidates
            ]
            transaction.append(
                at=engine.clock.now(), tenant=tenant, event="identify.ranking", body=body
            )
        return ranking

    def _rank(self) -> tuple[Candidate, ...]:
        probe = self._probe.mean()
        proposals = self._engine.gallery.search(
            self._request.tenant,
            probe,
            group=self._request.group,
            limit=self._request.max_candidates * PROPOSALS_PER_CANDIDATE,
        )
        with self._engine.vault.read() as view:
            scored = [self._score(view, subject, probe) for subject, _ in proposals]
        found = [one for one in scored if one is not None]
        return tuple(sorted(found, key=_likeness, reverse=True)[: self._request.max_candidates])

    def _score(self, view: Transaction, subject: SubjectId, probe: Embedding) -> Candidate | None:
        engine, tenant = self._engine, self._request.tenant
        found = view.subject(tenant, subject)
        if found is None or found.state is not SubjectState.ACTIVE:
            return None
        if not in_force(found.consent, engine.enrolment.purpose, engine.clock.now()):
            return None
        prints = view.voiceprints(tenant, subject, engine.embedder.model)
        if not prints:
            return None
        score = engine.scorer.score(
            probe,
            centroid([(one.embedding, one.net_seconds) for one in prints]),
            net_seconds=self._probe.net_seconds,
            bandwidth=self._probe.bandwidth,
            enrolled_seconds=sum(one.net_seconds for one in prints),
            snr_db=self._probe.snr_db,
        )
        return Candidate(subject, score)

    def _evidence(self, *, final: bool) -> Evidence:
        net = self._listener.net_seconds
        quality = self._listener.quality()
        issues: Sequence[Reason] = quality.issues if quality else ()
        below = self._probe.net_seconds < self._floor
        reasons = (Reason.NOT_ENOUGH_SPEECH, *issues) if below else tuple(issues)
        running = Progress.LISTENING if below else Progress.UNDECIDED
        return Evidence(
            progress=Progress.DECIDED if final else running,
            heard_seconds=self._listener.heard_seconds,
            net_speech_seconds=net,
            net_speech_needed_seconds=max(0.0, self._floor - net),
            quality=quality,
            reasons=reasons,
        )


def _likeness(candidate: Candidate) -> float:
    return candidate.score.raw
