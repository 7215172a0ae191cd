# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceauth.errors import BusyError, ChallengeLimitError
from voiceauth.liveness.challenge import (
    DIGITS,
    AnswerState,
    ChallengeOptions,
    client_recognition,
    draw_words,
    find_answer,
    held_back,
    judge_answer,
    slot_of,
    spoken_words,
    unheard,
)
from voiceauth.liveness.challenge_book import Asked, ChallengeBook, Refusal
from voiceauth.testing.fakes import EPOCH, FakeRandom
from voiceauth.types import (
    CallId,
    Challenge,
    ChallengeCause,
    ChallengeId,
    ChallengeKind,
    ChallengeOutcome,
    LivenessState,
    Reason,
    Recognition,
    RecognitionSource,
    Score,
    SubjectId,
    TenantId,
)

OPTIONS = ChallengeOptions()
WORDS = ("four", "one", "eight", "two", "seven", "three")
CHALLENGE = Challenge(ChallengeId("c1"), ChallengeKind.DIGITS, WORDS, EPOCH, 5.0, 1, 2)
ASKED = Asked(TenantId("bank"), CallId("call-1"), SubjectId("alice"))
SAME = Score(0.9, 9.0, 1e-4, 0.6)
OTHER = Score(0.1, -9.0, 0.9, 1e-4)
MARK = 200


def frames(*runs: tuple[float, float], seconds: float) -> NDArray[np.bool_]:
    """Return voice activity with speech between these seconds, the prompt ending at 2 s."""
    mask = np.zeros(round(seconds * 100), dtype=bool)
    for start, stop in runs:
        mask[round(start * 100) : round(stop * 100)] = True
    return mask


def test_digits_are_as_long_as_asked_and_neighbours_differ() -> None:
    """A repeated digit is easily heard once, so no two neighbours are alike."""
    drawn = [draw_words(FakeRandom(seed), ChallengeKind.DIGITS, OPTIONS) for seed in range(200)]

    assert {len(words) for words in drawn} == {6}
    assert all(a != b for words in drawn for a, b in itertools.pairwise(words))
    assert {word for words in drawn for word in words} == set(DIGITS)
    assert len(set(drawn)) == 200


def test_a_phrase_never_repeats_a_word() -> None:
    """The words of a phrase are all different."""
    drawn = [draw_words(FakeRandom(seed), ChallengeKind.PHRASE, OPTIONS) for seed in range(100)]

    assert all(len(set(words)) == 4 for words in drawn)


def test_an_answer_is_complete_after_its_silence_and_not_before() -> None:
    """Pauses between digits do not end an answer; a longer silence does."""
    mask = frames((3.0, 4.0), (4.8, 6.0), seconds=8.0)

    running = find_answer(mask[:650], MARK, OPTIONS)
    found = find_answer(mask, MARK, OPTIONS)

    assert running.state is AnswerState.SPEAKING
    assert found.state is AnswerState.COMPLETE
    assert (found.start, found.stop) == (300, 600)
    assert found.onset_seconds == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("runs", "seconds", "state"),
    [
        (((1.0, 4.0),), 6.0, AnswerState.TOO_EARLY),
        (((0.5, 2.2),), 6.0, AnswerState.WAITING),
        (((1.9, 4.0),), 6.0, AnswerState.COMPLETE),
        ((), 7.1, AnswerState.TOO_LATE),
        (((7.5, 9.0),), 11.0, AnswerState.TOO_LATE),
        (((3.0, 3.2),), 6.0, AnswerState.WAITING),
        (((3.0, 3.2),), 7.1, AnswerState.TOO_LATE),
        ((), 3.0, AnswerState.WAITING),
    ],
)
def test_the_time_window_is_kept(
    runs: tuple[tuple[float, float], ...], seconds: float, state: AnswerState
) -> None:
    """Prepared answers are too early, late ones too late; echoes and coughs are no answers."""
    assert find_answer(frames(*runs, seconds=seconds), MARK, OPTIONS).state is state


def judged(
    recognition: Recognition | ChallengeCause, voice: Score | None
) -> tuple[ChallengeOutcome, ChallengeCause]:
    """Judge an answer that was in time."""
    found = judge_answer(
        CHALLENGE,
        OPTIONS,
        onset_seconds=0.8,
        recognition=recognition,
        source=RecognitionSource.ENGINE,
        voice=voice,
    )
    return found.outcome, found.cause


@pytest.mark.parametrize(
    ("recognition", "voice", "outcome", "cause"),
    [
        (Recognition(WORDS, 6.0), SAME, ChallengeOutcome.PASSED, ChallengeCause.MATCH),
        (Recognition(WORDS, -3.0), SAME, ChallengeOutcome.FAILED, ChallengeCause.WRONG_CONTENT),
        (Recognition(WORDS, 6.0), OTHER, ChallengeOutcome.FAILED, ChallengeCause.WRONG_VOICE),
        (Recognition(WORDS, 6.0), None, ChallengeOutcome.ABSENT, ChallengeCause.VOICE_NOT_SCORED),
        (
            ChallengeCause.RECOGNISER_FAILED,
            SAME,
            ChallengeOutcome.ABSENT,
            ChallengeCause.RECOGNISER_FAILED,
        ),
        (
            ChallengeCause.RECOGNISER_FAILED,
            OTHER,
            ChallengeOutcome.FAILED,
            ChallengeCause.WRONG_VOICE,
        ),
    ],
)
def test_words_and_voice_must_both_be_right(
    recognition: Recognition | ChallengeCause,
    voice: Score | None,
    outcome: ChallengeOutcome,
    cause: ChallengeCause,
) -> None:
    """Only both together pass; what was not measured is absent, and a wrong one fails."""
    assert judged(recognition, voice) == (outcome, cause)


def test_only_a_passed_challenge_lets_a_call_through() -> None:
    """Failed, absent and unanswered challenges hold an acceptance back; none asked does not."""
    passed = judge_answer(
        CHALLENGE,
        OPTIONS,
        onset_seconds=0.8,
        recognition=Recognition(WORDS, 6.0),
        source=RecognitionSource.ENGINE,
        voice=SAME,
    )
    late = unheard(CHALLENGE, ChallengeCause.TOO_LATE)
    cut = unheard(CHALLENGE, ChallengeCause.CUT_SHORT)

    assert held_back(passed, asked=True) is None
    assert held_back(late, asked=True) is Reason.CHALLENGE_FAILED
    assert held_back(cut, asked=True) is Reason.CHALLENGE_UNANSWERED
    assert held_back(None, asked=True) is Reason.CHALLENGE_UNANSWERED
    assert held_back(None, asked=False) is None
    assert slot_of(passed).state is LivenessState.LIVE
    assert slot_of(late).state is LivenessState.SUSPECT
    assert slot_of(cut).state is LivenessState.NOT_MEASURED


@pytest.mark.parametrize(
    ("text", "confidence", "passes"),
    [
        ("418273", 0.9, True),
        ("Four, one. EIGHT two 7 three", 0.9, True),
        ("418273", 0.3, False),
        ("418274", 0.99, False),
        ("4182733", 0.99, False),
        ("", 0.01, False),
    ],
)
def test_a_clients_result_counts_only_if_every_word_is_right_and_sure(
    text: str, confidence: float, *, passes: bool
) -> None:
    """Another word, a missing one or little confidence is wrong content."""
    found = client_recognition(WORDS, text, confidence, OPTIONS)

    assert (found.llr >= OPTIONS.least_content_llr) is passes


def test_spoken_words_reads_digits_and_oh() -> None:
    """Digits, words and 'oh' come out as words."""
    assert spoken_words("40 Oh seven!") == ("four", "zero", "zero", "seven")


def book(**more: int) -> ChallengeBook:
    """Return an empty book."""
    return ChallengeBook(OPTIONS, FakeRandom(), **more)


def issued(pages: ChallengeBook, asked: Asked = ASKED, at: float = 0.0) -> ChallengeId:
    """Issue a digit challenge."""
    return pages.issue(asked, ChallengeKind.DIGITS, now=EPOCH, monotonic=at).challenge


def test_a_challenge_is_used_once() -> None:
    """The second redemption is refused as used."""
    pages = book()
    name = issued(pages)

    assert isinstance(pages.redeem(name, ASKED, 1.0), Challenge)
    assert pages.redeem(name, ASKED, 1.0) is Refusal.USED


def test_a_challenge_is_bound_to_tenant_call_and_subject() -> None:
    """A try from elsewhere is refused and does not spend the challenge."""
    pages = book()
    name = issued(pages)
    strangers = (
        Asked(TenantId("shop"), ASKED.call, ASKED.subject),
        Asked(ASKED.tenant, CallId("call-2"), ASKED.subject),
        Asked(ASKED.tenant, ASKED.call, SubjectId("mallory")),
    )

    assert {pages.redeem(name, one, 1.0) for one in strangers} == {Refusal.WRONG_CALL}
    assert isinstance(pages.redeem(name, ASKED, 1.0), Challenge)


def test_a_challenge_expires_and_is_swept_once() -> None:
    """After two minutes it is refused, reported once, and no longer open."""
    pages = book()
    name = issued(pages)

    assert pages.standing(ASKED, 119.0).open
    assert not pages.standing(ASKED, 120.0).open
    assert [challenge.challenge for _, challenge in pages.sweep(120.0)] == [name]
    assert pages.sweep(120.0) == []
    assert pages.redeem(name, ASKED, 120.0) is Refusal.EXPIRED


def test_attempts_are_counted_over_all_subjects_of_a_call() -> None:
    """The fourth challenge of a call is refused, whoever it is for; the last one replaces all."""
    pages = book()
    other = Asked(ASKED.tenant, ASKED.call, SubjectId("bob"))
    first = issued(pages)
    issued(pages, other)
    issued(pages)

    with pytest.raises(ChallengeLimitError):
        issued(pages, other)
    assert pages.redeem(first, ASKED, 1.0) is Refusal.USED


def test_a_full_book_refuses_and_forgets_after_an_hour() -> None:
    """Memory is bounded; calls long over make room."""
    pages = book(most_calls=1)
    other = Asked(ASKED.tenant, CallId("call-2"), ASKED.subject)
    name = issued(pages)

    with pytest.raises(BusyError):
        issued(pages, other, at=3599.0)
    issued(pages, other, at=3600.0)
    assert pages.redeem(name, ASKED, 3600.0) is Refusal.UNKNOWN
