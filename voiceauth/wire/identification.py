# SPDX-License-Identifier: Apache-2.0
"""Rankings on the wire."""

from voiceauth.types import Candidate, Ranking, SubjectId
from voiceauth.v1 import verification_pb2
from voiceauth.wire.evidence import (
    evidence_from_wire,
    evidence_to_wire,
    score_from_wire,
    score_to_wire,
)


def ranking_to_wire(ranking: Ranking) -> verification_pb2.IdentifyResponse:
    """Build the message of a ranking."""
    return verification_pb2.IdentifyResponse(
        candidates=[
            verification_pb2.Candidate(subject_id=one.subject, score=score_to_wire(one.score))
            for one in ranking.candidates
        ],
        evidence=evidence_to_wire(ranking.evidence),
        final=ranking.final,
        searched_subjects=ranking.searched,
        false_positive_identification_rate=ranking.false_positive_identification_rate,
    )


def ranking_from_wire(message: verification_pb2.IdentifyResponse) -> Ranking:
    """Read a ranking."""
    return Ranking(
        candidates=tuple(
            Candidate(SubjectId(one.subject_id), score_from_wire(one.score))
            for one in message.candidates
        ),
        evidence=evidence_from_wire(message.evidence),
        searched=message.searched_subjects,
        false_positive_identification_rate=message.false_positive_identification_rate
        if message.HasField("false_positive_identification_rate")
        else None,
        final=message.final,
    )
