# SPDX-License-Identifier: Apache-2.0
"""Challenges of several processes, which share a vault."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from voiceauth.errors import ChallengeLimitError
from voiceauth.liveness.challenge import ChallengeOptions
from voiceauth.liveness.challenge_book import Asked, Refusal
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import CallId, Challenge, ChallengeKind, SubjectId, TenantId
from voiceauth.usecases.shared_challenges import SharedChallengeBook, forget_all_challenges
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

ASKED = Asked(TenantId("bank"), CallId("call-1"), SubjectId("alice"))
Books = tuple[SharedChallengeBook, SharedChallengeBook]


@pytest.fixture
def vaults(tmp_path: Path) -> Iterator[tuple[SqliteVault, SqliteVault]]:
    """Return one vault, as two processes have it open."""
    opened = [
        open_vault(tmp_path / "v.db", FakeKeyService(), clock=FakeClock(), random=FakeRandom(seed))
        for seed in (1, 2)
    ]
    yield opened[0], opened[1]
    for one in opened:
        one.close()


@pytest.fixture
def books(vaults: tuple[SqliteVault, SqliteVault]) -> Books:
    """Return the book of each process."""
    options = ChallengeOptions(attempts=2, expires_seconds=60.0)
    first, second = (
        SharedChallengeBook(options, FakeRandom(seed), vault) for seed, vault in enumerate(vaults)
    )
    return first, second


def issued(book: SharedChallengeBook, at: float = 100.0) -> Challenge:
    """Make a challenge."""
    return book.issue(ASKED, ChallengeKind.DIGITS, now=EPOCH, monotonic=at)


def test_a_challenge_is_used_once_whichever_process_is_asked(books: Books) -> None:
    """What one worker has spent, no other takes again."""
    challenge = issued(books[0])

    assert books[1].redeem(challenge.challenge, ASKED, 110.0) == challenge
    assert books[0].redeem(challenge.challenge, ASKED, 111.0) is Refusal.USED
    assert books[1].redeem(challenge.challenge, ASKED, 112.0) is Refusal.USED


def test_the_count_of_a_call_is_one_count(books: Books) -> None:
    """Asking another worker gives no further tries."""
    issued(books[0])
    issued(books[1])
    with pytest.raises(ChallengeLimitError):
        issued(books[0])


def test_a_later_challenge_replaces_one_of_another_process(books: Books) -> None:
    """An open challenge of the call cannot be used any more."""
    earlier = issued(books[0])
    issued(books[1])

    assert books[0].redeem(earlier.challenge, ASKED, 110.0) is Refusal.USED


def test_an_expired_challenge_is_refused_and_swept_once(books: Books) -> None:
    """Its end is the same for all, and recorded by one of them."""
    challenge = issued(books[0])

    assert books[1].redeem(challenge.challenge, ASKED, 161.0) is Refusal.EXPIRED
    issued(books[0], at=200.0)
    assert len(books[1].sweep(261.0)) == 1
    assert books[0].sweep(262.0) == []


def test_what_was_asked_is_known_to_all(books: Books) -> None:
    """No process accepts a call while a challenge of another one is open."""
    challenge = issued(books[0])
    standing = books[1].standing(ASKED, 110.0)
    assert (standing.asked, standing.open) == (True, True)

    books[0].redeem(challenge.challenge, ASKED, 111.0)
    assert books[1].standing(ASKED, 112.0).open is False


def test_another_calls_challenge_is_refused(books: Books) -> None:
    """A challenge belongs to its call, and is not spent by a try from elsewhere."""
    challenge = issued(books[0])
    other = Asked(ASKED.tenant, CallId("call-2"), ASKED.subject)

    assert isinstance(books[1].redeem(challenge.challenge, other, 110.0), Refusal)
    assert books[0].redeem(challenge.challenge, ASKED, 111.0) == challenge


def test_after_a_restart_every_challenge_is_unknown(
    books: Books, vaults: tuple[SqliteVault, SqliteVault]
) -> None:
    """What an earlier start gave out is refused."""
    challenge = issued(books[0])
    forget_all_challenges(vaults[1])

    assert books[0].redeem(challenge.challenge, ASKED, 110.0) is Refusal.UNKNOWN
    assert books[0].standing(ASKED, 110.0).asked is False
