# SPDX-License-Identifier: Apache-2.0
"""When the audio of a call is heard, and when it may wait for more."""

from served import PCM, silence, speech

from voiceauth.service.collecting import Collector
from voiceauth.signal.options import SpeechOptions
from voiceauth.usecases.listening import HearingCall, Listener

FRAME = silence(0.02)


class _Rounds:
    """Rounds that a test begins."""

    def __init__(self, *, many: bool = True) -> None:
        self.many = many
        self.number = 0


class _Impatient(HearingCall):
    @property
    def patient(self) -> bool:
        return False


def _call(span_seconds: float = 3.0, kind: type[HearingCall] = HearingCall) -> HearingCall:
    options = SpeechOptions(span_seconds=span_seconds, first_span_seconds=span_seconds)
    return kind(Listener(PCM, options, 600.0))


def _frames_until_due(collector: Collector, call: HearingCall) -> int:
    for number in range(1, 1000):
        if collector.add(call, FRAME):
            return number
    return 0


def test_among_few_calls_every_block_is_heard() -> None:
    """Ten frames of 20 ms make a block; nothing waits longer where there is time enough."""
    collector, call = Collector(_Rounds(many=False)), _call()

    assert _frames_until_due(collector, call) == 10
    assert collector.take() == FRAME * 10
    assert _frames_until_due(collector, call) == 10


def test_among_many_calls_audio_is_collected_until_a_round_begins() -> None:
    """What cannot complete a span waits for 0.8 s and then for the round that all calls share."""
    rounds = _Rounds()
    collector, call = Collector(rounds), _call()

    assert not any(collector.add(call, FRAME) for _ in range(39))
    rounds.number += 1  # too early: there is not enough yet
    assert not any(collector.add(call, FRAME) for _ in range(5))
    rounds.number += 1
    assert collector.add(call, FRAME)
    assert collector.take() == FRAME * 45


def test_what_may_complete_a_span_does_not_wait() -> None:
    """Three more blocks may complete the span here: they are heard when the third is whole."""
    collector, call = Collector(_Rounds()), _call(span_seconds=0.6)

    assert _frames_until_due(collector, call) == 30


def test_a_span_is_completed_at_the_same_frame_whoever_else_calls() -> None:
    """Collecting delays no answer: the frame at which spans come out is that of single blocks."""
    sounds = speech(8.0)
    completed = []
    for many in (False, True):
        rounds = _Rounds(many=many)
        collector, call = Collector(rounds), _call(span_seconds=1.5)
        found = []
        for at in range(0, len(sounds), len(FRAME)):
            rounds.number = at // (5 * len(FRAME))
            if collector.add(call, sounds[at : at + len(FRAME)]):
                found += [at for _ in call.hear(collector.take())]
        completed.append(found)

    assert len(completed[0]) >= 3
    assert completed[0] == completed[1]


def test_a_call_that_listens_for_more_than_spans_does_not_wait() -> None:
    """The answer to a challenge is no span: its blocks are heard as they come."""
    collector, call = Collector(_Rounds()), _call(kind=_Impatient)

    assert _frames_until_due(collector, call) == 10
