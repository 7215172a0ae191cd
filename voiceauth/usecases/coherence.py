# SPDX-License-Identifier: Apache-2.0
"""Do the segments of one enrolment sound like one person?

A stranger's segment in a voiceprint opens the account to the stranger, so each segment is held
against all others. The rule is an error rate: a segment is out when its true speaker would only
rarely sound that unlike the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from voiceauth.ports import Scorer
from voiceauth.scoring.combine import centroid
from voiceauth.types import Embedding, EnrolmentSegment, Reason, Score, Span, Voiceprint
from voiceauth.units import Rate, Seconds
from voiceauth.usecases.engine import Engine


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceVoice:
    """A voice that new segments are held against.

    Attributes:
        embedding: unit length, in the space of one model.
        net_seconds: speech behind it.
    """

    embedding: Embedding
    net_seconds: Seconds

    @classmethod
    def of(cls, parts: Sequence[EnrolmentSegment] | Sequence[Voiceprint]) -> Self:
        """Average segments or voiceprints by their speech."""
        mean = centroid([(one.embedding, one.net_seconds) for one in parts])
        return cls(mean, sum(one.net_seconds for one in parts))

    def mismatch(self, engine: Engine, span: Span, embedding: Embedding) -> Reason | None:
        """Say why a span cannot be counted as this voice's; None if it can.

        Args:
            engine: of the model that made both embeddings.
            span: counted.
            embedding: of it.
        """
        score = engine.scorer.score(
            embedding,
            self.embedding,
            net_seconds=span.net_seconds,
            bandwidth=span.quality.bandwidth,
            enrolled_seconds=self.net_seconds,
            snr_db=span.quality.snr_db,
        )
        if score.false_non_match_rate is None:
            return Reason.NO_CALIBRATION_SUPPORT  # too short to be judged is not strange
        limit = engine.enrolment.coherence_false_non_match_rate
        return None if fits(score, limit) else Reason.INCOHERENT


def fits(score: Score, false_non_match_rate: Rate) -> bool:
    """Say whether a score is compatible with one speaker.

    The tables state no rate below their floor, which may lie above the limit. There the ratio
    itself bounds the rate: the true speaker falls to a calibrated ratio of t with a chance of at
    most t. A score without calibration support does not fit: what cannot be judged is not counted.
    """
    if score.false_non_match_rate is None or score.llr is None:
        return False
    rate = min(score.false_non_match_rate, math.exp(min(score.llr, 0.0)))
    return rate > false_non_match_rate


def coherent(
    scorer: Scorer, segments: Sequence[EnrolmentSegment], false_non_match_rate: Rate
) -> tuple[EnrolmentSegment, ...]:
    """Keep the segments that agree with the centroid of the others that are kept.

    The least fitting segment goes first and the rest is judged anew without it: a stranger's
    second segment must not be excused by the first.

    Args:
        scorer: calibrated comparison.
        segments: at least one, in any order.
        false_non_match_rate: how rarely the true speaker may be thrown out per segment.

    Returns:
        The agreeing ones, in order; a single segment agrees with itself, and of two that disagree
        none is kept: nobody can say which is the stranger's.
    """
    kept = list(segments)
    while len(kept) >= 2:  # noqa: PLR2004 - one segment has no others
        scores = [_against_others(scorer, kept, place) for place in range(len(kept))]
        strange = [n for n, score in enumerate(scores) if not fits(score, false_non_match_rate)]
        if not strange:
            break
        if len(kept) == 2:  # noqa: PLR2004 - see above
            return ()
        kept.pop(min(strange, key=lambda place: _ratio(scores[place])))
    return tuple(kept)


def _against_others(scorer: Scorer, segments: Sequence[EnrolmentSegment], place: int) -> Score:
    segment = segments[place]
    others = [*segments[:place], *segments[place + 1 :]]
    return scorer.score(
        segment.embedding,
        centroid([(one.embedding, one.net_seconds) for one in others]),
        net_seconds=segment.net_seconds,
        bandwidth=segment.bandwidth,
        enrolled_seconds=sum(one.net_seconds for one in others),
        snr_db=segment.snr_db,
    )


def _ratio(score: Score) -> float:
    """Ratio to rank by; a score without calibration support is the first to go."""
    return -math.inf if score.llr is None else score.llr
