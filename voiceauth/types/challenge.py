# SPDX-License-Identifier: Apache-2.0
"""Questions put to a caller, and how the answers were understood."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from voiceauth.types.names import ChallengeId
from voiceauth.units import Llr, Seconds


class ChallengeKind(StrEnum):
    """What a caller is asked to say."""

    DIGITS = "digits"
    PHRASE = "phrase"


class ChallengeOutcome(StrEnum):
    """How a challenge ended; absent is not the same as passed."""

    PASSED = "passed"
    FAILED = "failed"
    ABSENT = "absent"
    """Nothing can be said: ``ChallengeCause`` says why."""


class ChallengeCause(StrEnum):
    """Why a challenge ended as it did. Names are stable."""

    MATCH = "match"
    """The right words, in the claimed voice, in time."""
    WRONG_CONTENT = "wrong_content"
    WRONG_VOICE = "wrong_voice"
    """The span of the answer is not the claimed subject's voice."""
    TOO_EARLY = "too_early"
    """The answer had begun before the prompt ended."""
    TOO_LATE = "too_late"
    """No answer began within the time window."""
    RECOGNISER_MISSING = "recogniser_missing"
    """The server has no recogniser, and the client sent no result of its own."""
    RECOGNISER_FAILED = "recogniser_failed"
    """The recogniser raised an error or took too long."""
    VOICE_NOT_SCORED = "voice_not_scored"
    """The answer is too short or too poor to be compared with the voiceprint."""
    CUT_SHORT = "cut_short"
    """The call ended, or audio was lost, before the answer was complete."""


class RecognitionSource(StrEnum):
    """Who recognised the words of an answer."""

    ENGINE = "engine"
    CLIENT = "client"
    """The IVR sent the result of a recogniser of its own; the engine did not check it."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a recogniser heard in an answer.

    Attributes:
        tokens: the words, in order, as in the vocabulary.
        llr: that the expected words were said, over that other words of the vocabulary were.
    """

    tokens: tuple[str, ...]
    llr: Llr


@dataclass(frozen=True, slots=True)
class Challenge:
    """Words that a caller has to say, once, in one call.

    Attributes:
        words: to be said, in order.
        expires_at: UTC; the prompt must have ended before.
        start_within_seconds: the answer must begin this soon after the prompt.
        attempt: 1 for the first challenge of the call.
        attempts_left: further challenges that this call may get.
    """

    challenge: ChallengeId
    kind: ChallengeKind
    words: tuple[str, ...]
    expires_at: datetime
    start_within_seconds: Seconds
    attempt: int
    attempts_left: int


@dataclass(frozen=True, slots=True)
class ChallengeEvidence:
    """How the last challenge of a call was met.

    Attributes:
        content_llr: that the asked words were said; None when nothing was recognised.
        voice_llr: of the answer's span against the voiceprint; None when not scored.
        onset_seconds: from the end of the prompt to the answer; None without an answer.
        source: who recognised the words; None when nobody did.
        attempt: as in ``Challenge``.
    """

    challenge: ChallengeId
    outcome: ChallengeOutcome
    cause: ChallengeCause
    attempt: int
    content_llr: Llr | None = None
    voice_llr: Llr | None = None
    onset_seconds: Seconds | None = None
    source: RecognitionSource | None = None
