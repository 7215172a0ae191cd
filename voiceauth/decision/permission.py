# SPDX-License-Identifier: Apache-2.0
"""What a verdict may say about somebody whose permission has ended: STEP_UP, and why.

Rules:

* Somebody who withdrew, whose consent ran out or who opted out is asked for another factor, and is
  never rejected for it: declining voice biometrics must cost nobody anything.
* Nobody is accepted, nor told to match, who is not enrolled any more when the verdict is written.

Example:
    >>> from voiceauth.types import SubjectStanding
    >>> respected(Outcome(Decision.ACCEPT, (Reason.MATCH,)), SubjectStanding.CONSENT_ENDED).decision
    <Decision.STEP_UP: 'step_up'>
"""

from collections.abc import Mapping

from voiceauth.decision.verdict import Outcome
from voiceauth.types import Decision, Reason, SubjectStanding

REFUSALS: Mapping[SubjectStanding, Outcome] = {
    SubjectStanding.CONSENT_ENDED: Outcome(Decision.STEP_UP, (Reason.CONSENT_ENDED,)),
    SubjectStanding.OPTED_OUT: Outcome(Decision.STEP_UP, (Reason.OPTED_OUT,)),
}
"""The whole answer where the voice may not be looked at."""


def respected(outcome: Outcome, standing: SubjectStanding) -> Outcome:
    """Return the outcome that may be told.

    Args:
        outcome: of the evidence; its decision may still be None.
        standing: of the claimed subject when the verdict is written.
    """
    refusal = REFUSALS.get(standing)
    if refusal is not None:
        return refusal
    matched = outcome.decision is Decision.ACCEPT or Reason.MATCH in outcome.reasons
    if matched and standing is not SubjectStanding.ENROLLED:
        return Outcome(Decision.STEP_UP, (Reason.UNCERTAIN,))
    return outcome
