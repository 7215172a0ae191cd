# SPDX-License-Identifier: Apache-2.0
"""Which challenges are open, for which call, and how many a call has had.

Rules:

* A challenge is used once: from the moment its prompt is marked it is spent, whatever comes of it.
* It is bound to tenant, call and subject. A try from elsewhere is refused and does not spend it.
* A new challenge of a call replaces the last one; the count goes over all subjects of the call.
* It lives in this process: after a restart every open challenge is unknown, and so refused. Where
  several processes serve, ``usecases.shared_challenges`` takes pages from one book to the next.
* Memory is bounded. When the book is full of live calls, no further one gets a challenge.
"""

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from voiceauth.errors import BusyError, ChallengeLimitError
from voiceauth.liveness.challenge import ChallengeOptions, draw_words
from voiceauth.ports import Random
from voiceauth.types import CallId, Challenge, ChallengeId, ChallengeKind, SubjectId, TenantId
from voiceauth.units import Seconds

MOST_CALLS: Final = 50_000
_ID_BYTES: Final = 16
FORGET_SECONDS: Final[Seconds] = 3600.0
"""After the last challenge of a call; longer than any stream, so that the count holds."""


class Refusal(StrEnum):
    """Why a challenge cannot be used."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"
    WRONG_CALL = "wrong_call"


@dataclass(frozen=True, slots=True)
class Asked:
    """In which call, and of whom, something is asked."""

    tenant: TenantId
    call: CallId
    subject: SubjectId


@dataclass(frozen=True, slots=True)
class Standing:
    """What was asked of a subject in a call.

    Attributes:
        asked: a challenge was made.
        open: one of them can still be used.
    """

    asked: bool
    open: bool


@dataclass(slots=True)
class _Page:
    """The challenges of one call; guarded by the book's lock."""

    issued: int = 0
    last: Seconds = 0.0
    challenges: dict[ChallengeId, "_Line"] = field(default_factory=dict)


@dataclass(slots=True)
class _Line:
    challenge: Challenge
    asked: Asked
    deadline: Seconds
    refusal: Refusal | None = None


class ChallengeBook:
    """Open and spent challenges of all calls. Safe from several threads.

    Args:
        options: of the challenges.
        random: unpredictable bytes.
        most_calls: calls that are remembered at once.
    """

    def __init__(
        self, options: ChallengeOptions, random: Random, most_calls: int = MOST_CALLS
    ) -> None:
        self._options = options
        self._random = random
        self._most_calls = most_calls
        self._lock = threading.Lock()
        self._pages: dict[tuple[TenantId, CallId], _Page] = {}
        self._owners: dict[ChallengeId, tuple[TenantId, CallId]] = {}
        self._open: deque[_Line] = deque()

    def issue(
        self, asked: Asked, kind: ChallengeKind, *, now: datetime, monotonic: Seconds
    ) -> Challenge:
        """Make a challenge; an open one of the same call cannot be used any more.

        Args:
            asked: what it is bound to.
            kind: digits or a phrase.
            now: UTC, for the stated end.
            monotonic: the time that decides.

        Raises:
            ChallengeLimitError: the call has had all its challenges.
            BusyError: the book is full.
        """
        with self._lock:
            self._forget(monotonic)
            page = self._page(asked)
            if page.issued >= self._options.attempts:
                raise ChallengeLimitError
            for earlier in page.challenges.values():
                earlier.refusal = earlier.refusal or Refusal.USED
            page.issued += 1
            page.last = monotonic
            challenge = self._make(kind, now, page.issued)
            deadline = monotonic + self._options.expires_seconds
            line = _Line(challenge, asked, deadline)
            page.challenges[challenge.challenge] = line
            self._open.append(line)  # in order of deadlines, since all live equally long
            self._owners[challenge.challenge] = (asked.tenant, asked.call)
            return challenge

    def redeem(
        self, challenge: ChallengeId, asked: Asked, monotonic: Seconds
    ) -> Challenge | Refusal:
        """Spend a challenge, or say why it cannot be used."""
        with self._lock:
            owner = self._owners.get(challenge)
            if owner is None:
                return Refusal.UNKNOWN
            line = self._pages[owner].challenges[challenge]
            if line.asked != asked:
                return Refusal.WRONG_CALL
            if line.refusal is not None:
                return line.refusal
            if monotonic >= line.deadline:
                line.refusal = Refusal.EXPIRED
                return Refusal.EXPIRED
            line.refusal = Refusal.USED
            return line.challenge

    def standing(self, asked: Asked, monotonic: Seconds) -> Standing:
        """Say what was asked of a subject in a call."""
        with self._lock:
            page = self._pages.get((asked.tenant, asked.call))
            lines = [] if page is None else [*page.challenges.values()]
            ours = [line for line in lines if line.asked == asked]
            unused = [one for one in ours if one.refusal is None and monotonic < one.deadline]
            return Standing(asked=bool(ours), open=bool(unused))

    def sweep(self, monotonic: Seconds) -> list[tuple[Asked, Challenge]]:
        """Mark the challenges whose time is over as expired, and return them, each one once."""
        with self._lock:
            over: list[tuple[Asked, Challenge]] = []
            while self._open and monotonic >= self._open[0].deadline:
                line = self._open.popleft()
                if line.refusal is None:
                    line.refusal = Refusal.EXPIRED
                    over.append((line.asked, line.challenge))
            return over

    def page(self, tenant: TenantId, call: CallId) -> bytes | None:
        """Return all that is known of a call's challenges, for another process's book."""
        with self._lock:
            page = self._pages.get((tenant, call))
            if page is None:
                return None
            lines = [_told(line) for line in page.challenges.values()]
        told = {"tenant": tenant, "call": call, "issued": page.issued, "last": page.last}
        return json.dumps({**told, "lines": lines}).encode()

    def restore(self, page: bytes) -> tuple[TenantId, CallId]:
        """Take over what ``page`` of another book returned; return whose it is."""
        told = json.loads(page)
        key = (TenantId(told["tenant"]), CallId(told["call"]))
        lines = [_read(*key, line) for line in told["lines"]]
        with self._lock:
            self._pages[key] = _Page(
                told["issued"], told["last"], {one.challenge.challenge: one for one in lines}
            )
            self._open.extend(line for line in lines if line.refusal is None)
            self._owners.update((line.challenge.challenge, key) for line in lines)
        return key

    def _page(self, asked: Asked) -> _Page:
        key = (asked.tenant, asked.call)
        page = self._pages.pop(key, None)
        if page is None:
            if len(self._pages) >= self._most_calls:
                raise BusyError
            page = _Page()
        self._pages[key] = page  # at the end: the pages stand in order of their last challenge
        return page

    def _forget(self, monotonic: Seconds) -> None:
        """Drop the calls that are long over."""
        while self._pages:
            key = next(iter(self._pages))
            if monotonic - self._pages[key].last < FORGET_SECONDS:
                return
            for challenge in self._pages.pop(key).challenges:
                del self._owners[challenge]

    def _make(self, kind: ChallengeKind, now: datetime, attempt: int) -> Challenge:
        return Challenge(
            challenge=ChallengeId(self._random.token(_ID_BYTES).hex()),
            kind=kind,
            words=draw_words(self._random, kind, self._options),
            expires_at=now + timedelta(seconds=self._options.expires_seconds),
            start_within_seconds=self._options.start_within_seconds,
            attempt=attempt,
            attempts_left=self._options.attempts - attempt,
        )


def _told(line: _Line) -> dict[str, Any]:
    one = line.challenge
    return {
        "challenge": one.challenge,
        "kind": one.kind.value,
        "words": one.words,
        "expires_at": one.expires_at.isoformat(),
        "start_within_seconds": one.start_within_seconds,
        "attempt": one.attempt,
        "attempts_left": one.attempts_left,
        "subject": line.asked.subject,
        "deadline": line.deadline,
        "refusal": None if line.refusal is None else line.refusal.value,
    }


def _read(tenant: TenantId, call: CallId, told: dict[str, Any]) -> _Line:
    challenge = Challenge(
        challenge=ChallengeId(told["challenge"]),
        kind=ChallengeKind(told["kind"]),
        words=tuple(told["words"]),
        expires_at=datetime.fromisoformat(told["expires_at"]),
        start_within_seconds=told["start_within_seconds"],
        attempt=told["attempt"],
        attempts_left=told["attempts_left"],
    )
    refusal = None if told["refusal"] is None else Refusal(told["refusal"])
    asked = Asked(tenant, call, SubjectId(told["subject"]))
    return _Line(challenge, asked, told["deadline"], refusal)
