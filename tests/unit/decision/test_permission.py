# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.decision.permission import REFUSALS, respected
from voiceauth.decision.verdict import FAULTED, Outcome
from voiceauth.types import Decision, Reason, SubjectStanding

ACCEPTED = Outcome(Decision.ACCEPT, (Reason.MATCH,))
OTHER_FACTOR = Outcome(Decision.STEP_UP, (Reason.VOICE_NOT_ACCEPTABLE_ALONE, Reason.MATCH))
REJECTED = Outcome(Decision.REJECT, (Reason.MISMATCH,))
LISTENING = Outcome(None, ())


@pytest.mark.parametrize("found", [ACCEPTED, OTHER_FACTOR, REJECTED, FAULTED, LISTENING])
@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (SubjectStanding.CONSENT_ENDED, Reason.CONSENT_ENDED),
        (SubjectStanding.OPTED_OUT, Reason.OPTED_OUT),
    ],
)
def test_whoever_declines_is_stepped_up_whatever_was_heard(
    found: Outcome, standing: SubjectStanding, reason: Reason
) -> None:
    """Neither accepted by a voice that may not be used, nor rejected for declining."""
    assert respected(found, standing) == Outcome(Decision.STEP_UP, (reason,))


@pytest.mark.parametrize("standing", [SubjectStanding.UNKNOWN, SubjectStanding.NOT_ENROLLED])
def test_nobody_is_accepted_who_is_not_enrolled_at_the_end(standing: SubjectStanding) -> None:
    """A match of somebody who is gone becomes a step up, as if it had been uncertain."""
    uncertain = Outcome(Decision.STEP_UP, (Reason.UNCERTAIN,))
    assert respected(ACCEPTED, standing) == uncertain
    assert respected(OTHER_FACTOR, standing) == uncertain
    assert respected(Outcome(Decision.ACCEPT, ()), standing) == uncertain
    assert respected(REJECTED, standing) is REJECTED
    assert respected(LISTENING, standing) is LISTENING


@pytest.mark.parametrize("found", [ACCEPTED, OTHER_FACTOR, REJECTED, FAULTED])
def test_an_enrolled_subject_gets_what_was_found(found: Outcome) -> None:
    """A permission that holds changes nothing."""
    assert respected(found, SubjectStanding.ENROLLED) is found


def test_every_standing_is_thought_of() -> None:
    """Those that refuse outright are exactly the two in which a permission has ended."""
    assert set(REFUSALS) == {SubjectStanding.CONSENT_ENDED, SubjectStanding.OPTED_OUT}
    assert len(SubjectStanding) == 5
