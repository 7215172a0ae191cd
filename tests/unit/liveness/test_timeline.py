# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from voiceauth.errors import BadAudioError
from voiceauth.liveness.timeline import HOP, MOST_PAUSE, Timeline
from voiceauth.types import Samples


def hops_of(samples: Samples) -> list[float]:
    """Return the first sample of each hop."""
    return [float(one) for one in samples[::HOP]]


def numbered(*numbers: int) -> Samples:
    """Return a hop of each number."""
    return np.repeat(np.array(numbers, dtype=np.float32), HOP)


def test_a_pause_comes_back_as_silence() -> None:
    """Words keep their distance although the pause between them was cut out."""
    audio, speech = Timeline().lay_out(numbered(1, 2, 3), np.array([10, 11, 14]))

    assert hops_of(audio) == [1, 2, 0, 0, 3]
    assert speech[::HOP].tolist() == [True, True, False, False, True]


def test_spans_follow_on_at_their_places() -> None:
    """What lies between two spans is kept as well, and an overlap is laid out once."""
    line = Timeline()
    line.lay_out(numbered(1, 2), np.array([0, 1]))

    assert hops_of(line.lay_out(numbered(3, 4), np.array([3, 4]))[0]) == [0, 3, 4]
    assert hops_of(line.lay_out(numbered(4, 5), np.array([4, 5]))[0]) == [5]
    assert hops_of(line.lay_out(numbered(5), np.array([5]))[0]) == []


def test_a_long_pause_is_shortened() -> None:
    """Ten minutes of silence cost no more than a second of it."""
    audio, _ = Timeline().lay_out(numbered(1, 2), np.array([0, 60_000]))

    assert len(audio) == (MOST_PAUSE + 2) * HOP


def test_spans_without_places_follow_on() -> None:
    """A span that does not know its places is taken as it is."""
    line = Timeline()
    nowhere = np.zeros(0, dtype=np.int64)
    line.lay_out(numbered(1), nowhere)

    assert hops_of(line.lay_out(numbered(2, 3), nowhere)[0]) == [2, 3]


def test_places_that_do_not_fit_are_refused() -> None:
    """Samples without a place would shift everything behind them."""
    with pytest.raises(BadAudioError):
        Timeline().lay_out(numbered(1, 2), np.array([0]))
