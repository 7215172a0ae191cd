# SPDX-License-Identifier: Apache-2.0
"""How much of a call's audio is collected before it is heard.

Rules:

* What is no whole block cannot bring anything, and waits.
* Among many calls whole blocks wait as well, for most of a second and then for the next round of
  the ear, which all calls share: numpy's cost is per operation, and ten calls with four blocks each
  cost what ten single blocks do.
* What may complete a span never waits: an answer rests on it. So an answer comes as soon as if
  every block had been heard by itself.
"""

from typing import Protocol

from voiceauth.units import Seconds
from voiceauth.usecases.listening import HearingCall

COLLECT_SECONDS: Seconds = 0.8
"""Audio of one call that waits among many calls, if no span can be completed by it."""


class Rounds(Protocol):
    """When calls are heard together."""

    @property
    def many(self) -> bool:
        """True while so many calls speak that it is worth to wait for one another."""

    @property
    def number(self) -> int:
        """Number of the present round."""


class Collector:
    """Audio of one call that waits to be heard.

    Args:
        rounds: of the ear.
    """

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds
        self._waiting = bytearray()
        self._next_look = 0
        self._last_round: int | None = None

    def add(self, call: HearingCall, data: bytes) -> bool:
        """Keep bytes of the call; return True once what waits is to be heard."""
        self._waiting += data
        if self._last_round is not None and self._rounds.number != self._last_round:
            return True
        return len(self._waiting) >= self._next_look and self._due(call)

    def take(self) -> bytes:
        """Return what waits, and begin anew."""
        data = bytes(self._waiting)
        self._waiting.clear()
        self._next_look = 0
        self._last_round = None
        return data

    def _due(self, call: HearingCall) -> bool:
        """Say whether it is time; if not, note how many bytes there must be to ask again."""
        speech, size = call.speech, len(self._waiting)
        if size < speech.missing_bytes:
            self._next_look = speech.missing_bytes
            return False
        # In order of cost: a call asks the book of challenges whether it may be patient.
        if speech.may_complete(size) or not self._rounds.many or not call.patient:
            return True
        if speech.seconds_of(size) >= COLLECT_SECONDS and self._last_round is None:
            self._last_round = self._rounds.number
        self._next_look = size + speech.block_bytes
        return False
