# SPDX-License-Identifier: Apache-2.0
"""How often the meter of a stream's format is looked at, and what it says then."""

from voiceauth.signal.bandwidth import FormatMeter
from voiceauth.types import AudioFormat, Encoding, Reason


def _meter() -> FormatMeter:
    return FormatMeter(AudioFormat(Encoding.MULAW))


def _hear(meter: FormatMeter, blocks: int, *, active: bool = True, suspect: bool = False) -> int:
    looked = 0
    for _ in range(blocks):
        due = bool(meter.may_be_due(1))
        looked += due
        meter.pass_by((active, suspect) if due else None)
    return looked


def test_every_block_is_looked_at_until_five_seconds_were_active() -> None:
    """Silence settles nothing: what counts is audio that says something."""
    meter = _meter()
    assert _hear(meter, 100, active=False) == 100
    assert _hear(meter, 25) == 25
    assert _hear(meter, 100) == 25


def test_a_wrong_format_behind_music_is_still_found() -> None:
    """Half a minute in another encoding outweighs five seconds that looked right."""
    meter = _meter()
    _hear(meter, 25)
    _hear(meter, 150, suspect=True)
    assert meter.issues == (Reason.FORMAT_SUSPECT,)


def test_what_was_suspected_stays_so() -> None:
    """A call that was wrong from its beginning is not cleared by being looked at less often."""
    meter = _meter()
    _hear(meter, 200, suspect=True)
    assert meter.issues == (Reason.FORMAT_SUSPECT,)


def test_what_is_looked_at_does_not_depend_on_how_many_blocks_come_together() -> None:
    """A run of blocks that begins before the five seconds are full ends as if they came singly."""
    one, run = _meter(), _meter()
    _hear(one, 20)
    _hear(run, 20)
    _hear(one, 30, suspect=True)
    asked = run.may_be_due(30)
    for block in range(30):
        run.pass_by((True, True) if block in asked else None)
    _hear(one, 21)
    _hear(run, 21)
    assert vars(run) == vars(one)
