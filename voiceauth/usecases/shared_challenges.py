# SPDX-License-Identifier: Apache-2.0
"""The challenges of all calls, where several processes serve: one book, through the vault.

Every step takes the call's page out of the vault, lets the rules of ``ChallengeBook`` decide, and
puts it back in the same write transaction. So a challenge is used once, whichever process hears of
it first, and a call's count is one count. A challenge shown in another call than its own is unknown
here, where the book of one process says that it is another call's; both refuse it.
"""

from datetime import datetime

from voiceauth.errors import BusyError
from voiceauth.liveness.challenge import ChallengeOptions
from voiceauth.liveness.challenge_book import (
    FORGET_SECONDS,
    MOST_CALLS,
    Asked,
    ChallengeBook,
    Refusal,
    Standing,
)
from voiceauth.ports import Random
from voiceauth.types import Challenge, ChallengeId, ChallengeKind
from voiceauth.units import Seconds
from voiceauth.vault.store import SqliteVault
from voiceauth.vault.transaction import SqliteTransaction


class SharedChallengeBook:
    """As ``ChallengeBook``, for several processes. Blocking; safe from several threads.

    Args:
        options: of the challenges.
        random: unpredictable bytes.
        vault: that the processes share.
    """

    def __init__(self, options: ChallengeOptions, random: Random, vault: SqliteVault) -> None:
        self._options = options
        self._random = random
        self._vault = vault

    def issue(
        self, asked: Asked, kind: ChallengeKind, *, now: datetime, monotonic: Seconds
    ) -> Challenge:
        """Make a challenge. Arguments and errors as ``ChallengeBook.issue``, and StorageError."""
        with self._vault.begin() as transaction:
            transaction.forget_challenge_pages(monotonic - FORGET_SECONDS)
            book = self._book(transaction, asked)
            if transaction.challenge_pages() >= MOST_CALLS:
                raise BusyError
            challenge = book.issue(asked, kind, now=now, monotonic=monotonic)
            due = monotonic + self._options.expires_seconds
            _keep(transaction, book, asked, due=due, last=monotonic)
        return challenge

    def redeem(
        self, challenge: ChallengeId, asked: Asked, monotonic: Seconds
    ) -> Challenge | Refusal:
        """Spend a challenge, or say why it cannot be used. Raises StorageError."""
        with self._vault.begin() as transaction:
            book = self._book(transaction, asked)
            found = book.redeem(challenge, asked, monotonic)
            if isinstance(found, Challenge) or found is Refusal.EXPIRED:  # its line has changed
                _keep(transaction, book, asked, due=None, last=monotonic)
        return found

    def standing(self, asked: Asked, monotonic: Seconds) -> Standing:
        """Say what was asked of a subject in a call. A short read; raises StorageError."""
        with self._vault.read() as view:
            return self._book(view, asked).standing(asked, monotonic)

    def sweep(self, monotonic: Seconds) -> list[tuple[Asked, Challenge]]:
        """Return challenges whose time is over, each one once. Raises StorageError."""
        over: list[tuple[Asked, Challenge]] = []
        with self._vault.begin() as transaction:
            for page in transaction.due_challenge_pages(monotonic):
                book = ChallengeBook(self._options, self._random)
                tenant, call = book.restore(page)
                over += book.sweep(monotonic)
                kept = book.page(tenant, call) or page
                transaction.put_challenge_page(tenant, call, kept, due=None, last=monotonic)
        return over

    def _book(self, view: SqliteTransaction, asked: Asked) -> ChallengeBook:
        """Return a book with the page of one call."""
        book = ChallengeBook(self._options, self._random)
        page = view.challenge_page(asked.tenant, asked.call)
        if page is not None:
            book.restore(page)
        return book


def _keep(
    transaction: SqliteTransaction,
    book: ChallengeBook,
    asked: Asked,
    *,
    due: Seconds | None,
    last: Seconds,
) -> None:
    page = book.page(asked.tenant, asked.call)
    if page is not None:
        transaction.put_challenge_page(asked.tenant, asked.call, page, due=due, last=last)


def forget_all_challenges(vault: SqliteVault) -> None:
    """Forget every challenge: those of an earlier start are nobody's any more. Blocking."""
    with vault.begin() as transaction:
        transaction.forget_challenge_pages()
