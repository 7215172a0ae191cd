# SPDX-License-Identifier: Apache-2.0
"""Rules of the challenge: what is asked, when an answer counts, and what it proves.

A challenge shows that the caller can say something that nobody could have recorded before. It does
not show that no machine speaks: a synthesiser that is quick enough answers as well.

Rules:

* Only what is said after the prompt counts. Speech that began clearly before its end and goes on
  over it is an answer prepared before.
* An answer passes if the words, the voice and the time are right; any of them alone can fail it.
* What could not be measured is absent, with a reason, and is never a pass.
* Pure: time comes in as frame counts, chance as ``ports.Random``.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voiceauth.ports import Random
from voiceauth.types import (
    Challenge,
    ChallengeCause,
    ChallengeEvidence,
    ChallengeKind,
    ChallengeOutcome,
    LivenessSlot,
    LivenessState,
    Reason,
    Recognition,
    RecognitionSource,
    Score,
)
from voiceauth.units import Llr, Rate, Seconds

FRAME_SECONDS: Final[Seconds] = 0.01
DIGITS: Final = ("one", "two", "three", "four", "six", "seven", "eight", "nine")
"""Zero has two names in English, and five is taken for nine on the telephone: neither is asked."""
HEARD_DIGITS: Final = ("zero", *DIGITS, "five")
"""All that a caller may say when asked for digits: what was not asked must be heard as such."""
PHRASE_WORDS: Final = (
    *("apple", "autumn", "basket", "bottle", "button", "candle", "captain", "carpet"),
    *("coffee", "copper", "dinner", "doctor", "engine", "family", "finger", "garden"),
    *("holiday", "january", "kitchen", "ladder", "market", "mountain", "music", "orange"),
    *("paper", "picture", "rabbit", "river", "saturday", "silver", "village", "window"),
)
"""Common words of two or three syllables without near rhymes."""
_BYTE: Final = 256


@dataclass(frozen=True, slots=True)
class ChallengeOptions:
    """How a challenge is made and judged.

    Attributes:
        digits: length of a digit string, neighbours always differ.
        phrase_words: words of a phrase, all different.
        expires_seconds: from making it to the end of its prompt.
        start_within_seconds: from the end of the prompt to the answer.
        early_seconds: an answer may begin this much before the end of the prompt: eagerness, and
            the gateway's clock.
        tail_seconds: older sound, such as an echo of the prompt, may last this long after it.
        word_gap_seconds: sound on both sides of a shorter gap began together.
        end_silence_seconds: an answer is over after so much silence.
        least_speech_seconds: less speech than this is a cough, not an answer.
        most_answer_seconds: longer answers are judged by their beginning.
        attempts: challenges per call.
        least_content_llr: an answer with less is wrong in content.
        least_client_confidence: same, for a result that the client sends.
        voice_false_non_match_rate: an answer that the subject's own voice would score as low as
            this rarely is wrong in voice.
        client_wait_seconds: audio after the answer in which the client's result may come.
        recogniser_seconds: longest time that the recogniser may take.
    """

    digits: int = 6
    phrase_words: int = 4
    expires_seconds: Seconds = 120.0
    start_within_seconds: Seconds = 5.0
    early_seconds: Seconds = 0.25
    tail_seconds: Seconds = 0.5
    word_gap_seconds: Seconds = 0.15
    end_silence_seconds: Seconds = 1.2
    least_speech_seconds: Seconds = 0.6
    most_answer_seconds: Seconds = 12.0
    attempts: int = 3
    least_content_llr: Llr = 0.0
    least_client_confidence: float = 0.5
    voice_false_non_match_rate: Rate = 0.02
    client_wait_seconds: Seconds = 3.0
    recogniser_seconds: Seconds = 8.0


def vocabulary(kind: ChallengeKind) -> tuple[str, ...]:
    """Return the words that an answer is told apart from."""
    return HEARD_DIGITS if kind is ChallengeKind.DIGITS else PHRASE_WORDS


def draw_words(random: Random, kind: ChallengeKind, options: ChallengeOptions) -> tuple[str, ...]:
    """Draw the words of a challenge, each choice equally likely.

    Digits never repeat next to each other, since a repeated one is easily heard once; the words of
    a phrase never repeat at all.
    """
    digits = kind is ChallengeKind.DIGITS
    length = options.digits if digits else options.phrase_words
    words: list[str] = []
    while len(words) < length:
        barred = set(words[-1:] if digits else words)
        source = DIGITS if digits else PHRASE_WORDS
        choices = [word for word in source if word not in barred]
        words.append(choices[_below(random, len(choices))])
    return tuple(words)


def _below(random: Random, limit: int) -> int:
    """Draw a number below ``limit``, without the bias of a plain remainder."""
    usable = _BYTE - _BYTE % limit
    while True:
        drawn = random.token(1)[0]
        if drawn < usable:
            return drawn % limit


class AnswerState(Enum):
    """How far an answer has come."""

    WAITING = "waiting"
    SPEAKING = "speaking"
    COMPLETE = "complete"
    TOO_EARLY = "too_early"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True)
class AnswerTiming:
    """Where an answer lies.

    Attributes:
        start: first frame of it, SPEAKING and COMPLETE only.
        stop: just after its last frame.
        onset_seconds: from the end of the prompt; below 0 for an eager answer.
    """

    state: AnswerState
    start: int = 0
    stop: int = 0
    onset_seconds: Seconds | None = None


def find_answer(
    speech: NDArray[np.bool_], mark: int, options: ChallengeOptions, *, ended: bool = False
) -> AnswerTiming:
    """Find the answer in the frames heard so far.

    Args:
        speech: voice activity per 10 ms, shape (frames,), beginning before the mark.
        mark: frame at which the prompt ended.
        options: of the challenge.
        ended: no more frames will come.
    """
    runs = _runs(speech)
    early = mark - _frames(options.early_seconds)
    for start, stop in _joined(runs, _frames(options.word_gap_seconds)):
        if start < early and stop > mark + _frames(options.tail_seconds):
            return AnswerTiming(AnswerState.TOO_EARLY, start, stop, (start - mark) * FRAME_SECONDS)
    heard = len(speech)
    silence, least = _frames(options.end_silence_seconds), _frames(options.least_speech_seconds)
    latest = mark + _frames(options.start_within_seconds)
    for start, stop in _joined([run for run in runs if run[0] >= early], silence):
        onset = (start - mark) * FRAME_SECONDS
        if start > latest:
            return AnswerTiming(AnswerState.TOO_LATE, start, stop, onset)
        over = ended or heard - stop >= silence
        enough = int(speech[start:stop].sum()) >= least
        most = start + _frames(options.most_answer_seconds)
        if enough and (over or stop > most):
            return AnswerTiming(AnswerState.COMPLETE, start, min(stop, most), onset)
        if not over:
            return AnswerTiming(AnswerState.SPEAKING, start, stop, onset)
    state = AnswerState.TOO_LATE if heard > latest else AnswerState.WAITING
    return AnswerTiming(state)


def _frames(seconds: Seconds) -> int:
    return round(seconds / FRAME_SECONDS)


def _runs(speech: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and stop of each run of speech."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _joined(runs: list[tuple[int, int]], silence: int) -> list[tuple[int, int]]:
    """Join runs that less than ``silence`` frames lie between."""
    groups: list[tuple[int, int]] = []
    for start, stop in runs:
        if groups and start - groups[-1][1] < silence:
            groups[-1] = (groups[-1][0], stop)
        else:
            groups.append((start, stop))
    return groups


def judge_answer(
    challenge: Challenge,
    options: ChallengeOptions,
    *,
    onset_seconds: Seconds | None,
    recognition: Recognition | ChallengeCause,
    source: RecognitionSource | None,
    voice: Score | None,
) -> ChallengeEvidence:
    """Judge a complete answer.

    Args:
        challenge: what was asked.
        options: the limits.
        onset_seconds: from the end of the prompt to the answer.
        recognition: what was heard, or why nothing was.
        source: who heard it.
        voice: the answer's span against the voiceprint; None if it could not be embedded.
    """
    missing = recognition if isinstance(recognition, ChallengeCause) else None
    content = recognition.llr if isinstance(recognition, Recognition) else None
    voice_llr = None if voice is None else voice.llr
    if content is not None and content < options.least_content_llr:
        outcome, cause = ChallengeOutcome.FAILED, ChallengeCause.WRONG_CONTENT
    elif _wrong(voice, options.voice_false_non_match_rate):
        outcome, cause = ChallengeOutcome.FAILED, ChallengeCause.WRONG_VOICE
    elif missing is not None:
        outcome, cause = ChallengeOutcome.ABSENT, missing
    elif voice_llr is None:
        outcome, cause = ChallengeOutcome.ABSENT, ChallengeCause.VOICE_NOT_SCORED
    else:
        outcome, cause = ChallengeOutcome.PASSED, ChallengeCause.MATCH
    return ChallengeEvidence(
        challenge=challenge.challenge,
        outcome=outcome,
        cause=cause,
        attempt=challenge.attempt,
        content_llr=content,
        voice_llr=voice_llr,
        onset_seconds=onset_seconds,
        source=source,
    )


def _wrong(voice: Score | None, rate: Rate) -> bool:
    rarity = None if voice is None else voice.false_non_match_rate
    return rarity is not None and rarity <= rate


def unheard(
    challenge: Challenge, cause: ChallengeCause, onset_seconds: Seconds | None = None
) -> ChallengeEvidence:
    """Return the evidence of a challenge whose answer was not judged by its words."""
    failed = cause in {ChallengeCause.TOO_EARLY, ChallengeCause.TOO_LATE}
    outcome = ChallengeOutcome.FAILED if failed else ChallengeOutcome.ABSENT
    return ChallengeEvidence(
        challenge.challenge, outcome, cause, challenge.attempt, onset_seconds=onset_seconds
    )


def client_recognition(
    expected: tuple[str, ...], text: str, confidence: float, options: ChallengeOptions
) -> Recognition:
    """Turn a client's own result into a recognition.

    Args:
        expected: the words that were asked for.
        text: words or digits as the client's recogniser wrote them.
        confidence: that the text was said, above 0 and below 1.
        options: the least confidence.

    Returns:
        A recognition whose LLR is the log odds of the confidence: with its sign for other words,
        and at most just below the limit for too little confidence.
    """
    tokens = spoken_words(text)
    odds = float(np.log(confidence / (1.0 - confidence)))
    if tokens != expected:
        return Recognition(tokens, min(-abs(odds), options.least_content_llr - 1.0))
    if confidence < options.least_client_confidence:
        return Recognition(tokens, min(odds, options.least_content_llr - 1.0))
    return Recognition(tokens, max(odds, options.least_content_llr))


_DIGIT_WORDS: Final = dict(
    zip(
        "0123456789",
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        strict=True,
    )
)


def spoken_words(text: str) -> tuple[str, ...]:
    """Return the words of a recognised text: lower case, digits as words, no punctuation."""
    spaced = "".join(f" {_DIGIT_WORDS[one]} " if one in _DIGIT_WORDS else one for one in text)
    kept = "".join(one if one.isalpha() or one == "'" else " " for one in spaced.lower())
    return tuple("zero" if word == "oh" else word for word in kept.split())


def slot_of(evidence: ChallengeEvidence | None) -> LivenessSlot:
    """Return the challenge's word among the liveness layers."""
    if evidence is None or evidence.outcome is ChallengeOutcome.ABSENT:
        return LivenessSlot()
    passed = evidence.outcome is ChallengeOutcome.PASSED
    told = passed or evidence.cause is ChallengeCause.WRONG_CONTENT
    state = LivenessState.LIVE if passed else LivenessState.SUSPECT
    return LivenessSlot(state, evidence.content_llr if told else None)


def held_back(evidence: ChallengeEvidence | None, *, asked: bool) -> Reason | None:
    """Say why a call in which a challenge was asked may not be accepted; None if it may."""
    if not asked:
        return None
    if evidence is None or evidence.outcome is ChallengeOutcome.ABSENT:
        return Reason.CHALLENGE_UNANSWERED
    failed = evidence.outcome is ChallengeOutcome.FAILED
    return Reason.CHALLENGE_FAILED if failed else None
