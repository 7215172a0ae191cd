# SPDX-License-Identifier: Apache-2.0
"""Streams of the blocking client: those of ``streams``, each method waiting for its result."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, Self

from voiceauth.client.loop_thread import LoopThread, following
from voiceauth.client.streams import AnsweringStream, CallStream, Final, Update
from voiceauth.types import (
    Continuity,
    EnrolmentProgress,
    EnrolmentResult,
    Evidence,
    Ranking,
    Verdict,
)
from voiceauth.units import Seconds


class SyncStream(Generic[Update, Final]):
    """A stream of the asyncio client, each method waiting for its result. Errors are the same."""

    def __init__(self, stream: CallStream[Update, Final], thread: LoopThread) -> None:
        self._stream = stream
        self._thread = thread

    def __enter__(self) -> Self:
        """Open the call."""
        self._thread.wait_for(self._stream.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up, unless the final answer is here."""
        self._thread.wait_for(self._stream.__aexit__(kind, error, trace))

    def send(self, data: bytes) -> None:
        """Send audio bytes of any length."""
        self._thread.wait_for(self._stream.send(data))

    def dtmf(self, digit: str, seconds: Seconds = 0.0) -> None:
        """Report a key press."""
        self._thread.wait_for(self._stream.dtmf(digit, seconds))

    def gap(self, seconds: Seconds) -> None:
        """Report lost audio."""
        self._thread.wait_for(self._stream.gap(seconds))

    def end(self) -> None:
        """Say that no more audio comes."""
        self._thread.wait_for(self._stream.end())

    @property
    def finished(self) -> bool:
        """True once no more audio is needed."""
        return self._stream.finished

    def __iter__(self) -> Iterator[Update | Final]:
        """Iterate over the updates; the last item is the final answer."""
        return self

    def __next__(self) -> Update | Final:
        """Return the next update."""
        update = self._thread.wait_for(following(self._stream))
        if update is None:
            raise StopIteration
        return update

    def run(self, chunks: Iterable[bytes]) -> Final:
        """Send all chunks, as far as the server wants them, and return the final answer."""
        for chunk in chunks:
            if self.finished:
                break
            self.send(chunk)
        return self._thread.wait_for(self._stream.run(()))


class SyncAnsweringStream(SyncStream[Update, Final]):
    """What the streams of a verification share: the marks of a challenge."""

    def __init__(self, stream: AnsweringStream[Update, Final], thread: LoopThread) -> None:
        super().__init__(stream, thread)
        self._answering = stream

    def prompted(self, challenge: str) -> None:
        """Say that the prompt of a challenge ended here in the audio."""
        self._thread.wait_for(self._answering.prompted(challenge))

    def recognised(self, challenge: str, text: str, confidence: float) -> None:
        """Pass on what a recogniser of one's own heard in the answer."""
        self._thread.wait_for(self._answering.recognised(challenge, text, confidence))


class SyncVerifyStream(SyncAnsweringStream[Evidence, Verdict]):
    """Yields Evidence, and one Verdict last."""

    def verdict(self) -> Verdict:
        """Wait for the verdict and return it."""
        return self._thread.wait_for(self._stream.final())


class SyncWatchStream(SyncAnsweringStream[Evidence | Verdict | Continuity, Continuity]):
    """Yields Evidence, one Verdict, and then Continuity; the last one has ``final=True``."""


class SyncEnrolStream(SyncStream[EnrolmentProgress, EnrolmentResult]):
    """Yields EnrolmentProgress, and one EnrolmentResult last."""

    def result(self) -> EnrolmentResult:
        """Wait for the result and return it."""
        return self._thread.wait_for(self._stream.final())


class SyncIdentifyStream(SyncStream[Ranking, Ranking]):
    """Yields Rankings; the last one has ``final=True``."""

    def ranking(self) -> Ranking:
        """Wait for the final ranking and return it."""
        return self._thread.wait_for(self._stream.final())
