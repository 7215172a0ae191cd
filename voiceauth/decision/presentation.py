# SPDX-License-Identifier: Apache-2.0
"""What the liveness layers allow at one look, under a policy that is written in rates.

Rules:

* An attack is of one kind and has to pass the layer of its kind. So each layer alone must imply a
  false-accept rate within the look's share of ``max_spoof_false_accept``; rates of different
  layers are not added. The shares of all looks are, see ``spending``.
* A layer whose ratio is negative suspects an attack, whatever its rates are.
* The layer against synthetic speech is the exception to both, unless the policy requires it:
  no model that is known excludes every synthesiser at a few per cent. It then holds back a match
  whose ratio living callers would bring so low with a chance of at most ``max_live_held``. That
  chance is not shared among the looks: a call that is held goes on, and only its last look ends it.
  Where a voice alone is accepted, it has to have heard the policy's ``synthetic_seconds`` first.
* A layer that living callers would only bring so low within the share of ``max_live_rejected``
  is grounds for REJECT. Any layer may err on a living caller, so that share is split among them.
* A layer that runs and has not heard enough, and an absent one that the policy requires, hold
  back. An absent layer that the policy does not require is named in its slot and allows nothing.
* The challenge and continuity have no rates: their suspicion is final, and never an ACCEPT.
"""

from dataclasses import dataclass

from voiceauth.decision.fusion import RATED, slot
from voiceauth.decision.policy import Policy
from voiceauth.decision.spending import Spending
from voiceauth.types import Liveness, LivenessLayer, LivenessSlot, LivenessState, Reason
from voiceauth.units import Rate, Seconds

_SUSPECT = {
    LivenessLayer.SYNTHETIC: Reason.SPOOF_SUSPECTED,
    LivenessLayer.REPLAY: Reason.REPLAY_SUSPECTED,
    LivenessLayer.CHALLENGE: Reason.CHALLENGE_FAILED,
    LivenessLayer.CONTINUITY: Reason.SPEAKER_CHANGED,
}
_OPEN = {
    LivenessLayer.SYNTHETIC: Reason.SYNTHETIC_NOT_EXCLUDED,
    LivenessLayer.REPLAY: Reason.REPLAY_NOT_EXCLUDED,
}
_ABSENT = {
    LivenessLayer.SYNTHETIC: Reason.SYNTHETIC_NOT_MEASURED,
    LivenessLayer.REPLAY: Reason.REPLAY_NOT_MEASURED,
    LivenessLayer.CHALLENGE: Reason.CHALLENGE_UNANSWERED,
    LivenessLayer.CONTINUITY: Reason.CONTINUITY_NOT_MEASURED,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the layers say at one look.

    Attributes:
        rejecting: layers that are sure enough of an attack to reject.
        suspecting: layers without rates that suspect one; they end a matching call.
        holding: why a match may not be accepted yet; more speech may still change it.
    """

    rejecting: tuple[Reason, ...]
    suspecting: tuple[Reason, ...]
    holding: tuple[Reason, ...]


class Presentation:
    """Judges the layers of one call, look by look.

    Args:
        policy: what the operator asks for.
        looks: planned number of looks.
    """

    def __init__(self, policy: Policy, looks: int) -> None:
        self._required = policy.require_liveness
        self._held = policy.max_live_held
        alone = min(policy.synthetic_seconds, policy.full_seconds)
        self._least_seconds = alone if policy.accept_on_voice_alone else 0.0
        self._attacks = Spending(policy.max_spoof_false_accept, looks)
        self._living = Spending(policy.max_live_rejected / len(RATED), looks)

    def look(self, liveness: Liveness, *, net_seconds: Seconds, final: bool) -> Finding:
        """Judge all layers and book this look's shares.

        Args:
            liveness: the layers' words so far.
            net_seconds: speech that they rest on.
            final: no further look will follow.
        """
        accept = self._attacks.next_target(final=final)
        reject = self._living.next_target(final=final)
        rejecting: list[Reason] = []
        suspecting: list[Reason] = []
        holding: list[Reason] = []
        for layer in LivenessLayer:
            one = slot(liveness, layer)
            soon = self._lenient(layer) and net_seconds < self._least_seconds
            if one.state is LivenessState.SUSPECT:
                rated = one.false_accept_rate is not None
                if not rated:
                    suspecting.append(_SUSPECT[layer])
                elif not self._lenient(layer) or soon or self._low(one):
                    holding.append(_SUSPECT[layer])
                if one.false_reject_rate is not None and one.false_reject_rate <= reject:
                    rejecting.append(_SUSPECT[layer])
            elif one.state is LivenessState.LIVE:
                holding += (_OPEN[layer],) if soon else self._open(layer, one, accept)
            elif one.state is LivenessState.PENDING or layer in self._required:
                holding.append(_ABSENT[layer])
        return Finding(tuple(rejecting), tuple(suspecting), tuple(holding))

    def _lenient(self, layer: LivenessLayer) -> bool:
        """Whether a layer holds back by how rarely the living sound so."""
        return layer is LivenessLayer.SYNTHETIC and layer not in self._required

    def _low(self, one: LivenessSlot) -> bool:
        """Whether only the policy's share of living callers comes out so low, or nobody knows."""
        return one.false_reject_rate is None or one.false_reject_rate <= self._held

    def _open(self, layer: LivenessLayer, one: LivenessSlot, share: Rate) -> tuple[Reason, ...]:
        """Say whether a rated layer does not clear its attack; a layer without rates does."""
        if layer not in _OPEN:
            return ()
        if self._lenient(layer):
            return (_OPEN[layer],) if self._low(one) else ()
        rate = one.false_accept_rate
        return () if rate is not None and rate <= share else (_OPEN[layer],)


def suspicions(liveness: Liveness) -> tuple[Reason, ...]:
    """Name the layers that suspect an attack, gravest first."""
    return tuple(
        _SUSPECT[layer]
        for layer in LivenessLayer
        if slot(liveness, layer).state is LivenessState.SUSPECT
    )
