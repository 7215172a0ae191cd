# SPDX-License-Identifier: Apache-2.0
"""What is known of a call that is verified, at one moment, in the words of the contract."""

from dataclasses import dataclass

from voiceauth.decision.fusion import combined_llr, spoof_false_accept_rate
from voiceauth.decision.policy import Policy
from voiceauth.decision.presentation import suspicions
from voiceauth.decision.verdict import Outcome
from voiceauth.types import (
    ChallengeEvidence,
    Evidence,
    Liveness,
    Progress,
    Quality,
    Reason,
    ReplayEvidence,
    Score,
)
from voiceauth.units import Seconds
from voiceauth.usecases.listening import Listener


@dataclass(frozen=True, slots=True)
class Known:
    """The state of a call from which its evidence is told.

    Attributes:
        policy: that decides.
        score: at the last look; None before the first.
        outcome: None until something is decided.
        probed_seconds: net speech that the score rests on.
        liveness: the layers' words so far.
        challenge: None where none was made.
        replay: None where nothing was compared yet.
    """

    policy: Policy
    score: Score | None
    outcome: Outcome | None
    probed_seconds: Seconds
    liveness: Liveness
    challenge: ChallengeEvidence | None
    replay: ReplayEvidence | None


def evidence_now(known: Known, listener: Listener) -> Evidence:
    """Tell what is known now.

    Args:
        known: of the call.
        listener: for what was heard of it, and how well.
    """
    net = known.probed_seconds if known.score else listener.net_seconds
    if known.outcome is not None:
        progress, needed = Progress.DECIDED, 0.0
    elif known.score is None:
        progress, needed = Progress.LISTENING, known.policy.floor_seconds - net
    else:
        progress, needed = Progress.UNDECIDED, known.policy.full_seconds - net
    quality = listener.quality()
    return Evidence(
        progress=progress,
        heard_seconds=listener.heard_seconds,
        net_speech_seconds=max(net, listener.net_seconds),
        net_speech_needed_seconds=max(0.0, needed),
        score=known.score,
        quality=quality,
        liveness=known.liveness,
        reasons=_reasons(known, quality),
        challenge=known.challenge,
        replay=known.replay,
        combined_llr=combined_llr(known.score.llr, known.liveness) if known.score else None,
        spoof_false_accept_rate=spoof_false_accept_rate(known.liveness),
    )


def _reasons(known: Known, quality: Quality | None) -> tuple[Reason, ...]:
    issues = quality.issues if quality else ()
    if known.outcome is not None:
        return (*known.outcome.reasons, *issues)
    if known.score is None:
        state = Reason.NOT_ENOUGH_SPEECH
    elif known.score.llr is None:
        state = Reason.NO_CALIBRATION_SUPPORT
    else:
        state = Reason.UNCERTAIN
    return (*suspicions(known.liveness), state, *issues)
