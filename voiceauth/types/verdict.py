# SPDX-License-Identifier: Apache-2.0
"""Evidence about a call and the verdict on it."""

from dataclasses import dataclass, field
from typing import NoReturn

from voiceauth.types.challenge import ChallengeEvidence
from voiceauth.types.liveness import Liveness, ReplayEvidence
from voiceauth.types.names import ModelHash, SubjectId
from voiceauth.types.reasons import Decision, Progress, Reason
from voiceauth.types.speech import Quality, Score
from voiceauth.units import Llr, Rate, Seconds


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known so far about a claim; sent whenever it changes.

    Attributes:
        progress: whether a score exists and whether the verdict is due.
        heard_seconds: audio received.
        net_speech_seconds: speech that counted.
        net_speech_needed_seconds: further net speech before the next step (first score, or
            the policy's full length); 0 when none is needed.
        score: None below the net-speech floor.
        quality: of the speech so far; None before any speech.
        liveness: slots per layer.
        reasons: in order of weight.
        challenge: how the last challenge was met; None before one was.
        replay: comparison with earlier calls; None before there was one.
        combined_llr: of the claimed, living speaker against every other way to sound like this:
            see ``decision.fusion``; None without a calibrated speaker score.
        spoof_false_accept_rate: worst of the layers' rates; None when no layer has one.
    """

    progress: Progress
    heard_seconds: Seconds
    net_speech_seconds: Seconds
    net_speech_needed_seconds: Seconds
    score: Score | None = None
    quality: Quality | None = None
    liveness: Liveness = field(default_factory=Liveness)
    reasons: tuple[Reason, ...] = ()
    challenge: ChallengeEvidence | None = None
    replay: ReplayEvidence | None = None
    combined_llr: Llr | None = None
    spoof_false_accept_rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The final, recorded answer about a claim.

    Attributes:
        decision: one of four; compare it, never test it.
        evidence: what it rests on.
        policy: name of the policy that was applied.
        target_false_match_rate: of that policy.
        record_id: ledger sequence number of the decision record, None until written.
        model: hash of the speaker model.
        calibration: version of the calibration tables.
        max_spoof_false_accept: of that policy; None from a server that knows no such rate.
        spoof_model: hash of the model that looked for synthetic speech; None without one.
    """

    decision: Decision
    evidence: Evidence
    policy: str
    target_false_match_rate: Rate
    record_id: int | None
    model: ModelHash
    calibration: str
    max_spoof_false_accept: Rate | None = None
    spoof_model: ModelHash | None = None

    def __bool__(self) -> NoReturn:
        """Refuse truth testing: ``if verdict:`` would read a rejection as success."""
        raise TypeError("a Verdict has no truth value; compare verdict.decision")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row of an identification result: a lead to look at, never an acceptance."""

    subject: SubjectId
    score: Score


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates of an identification so far, best first.

    Attributes:
        searched: subjects that were searched.
        false_positive_identification_rate: chance that a search over other people reaches the best
            candidate's score; None without candidates or support.
        final: True in the last ranking of a call.
    """

    candidates: tuple[Candidate, ...]
    evidence: Evidence
    searched: int
    false_positive_identification_rate: Rate | None
    final: bool = False
