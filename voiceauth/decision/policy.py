# SPDX-License-Identifier: Apache-2.0
"""What an operator asks of a verification, in error rates and seconds."""

from dataclasses import dataclass

from voiceauth.errors import SettingsError
from voiceauth.types import LivenessLayer, Route
from voiceauth.units import Rate, Seconds

RATES = (
    "target_false_match_rate",
    "target_false_non_match_rate",
    "max_spoof_false_accept",
    "max_live_rejected",
    "max_live_held",
)
"""The fields of a policy that are rates."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One named decision policy.

    Attributes:
        name: how a call asks for it.
        target_false_match_rate: largest chance, over the whole call, of accepting an impostor
            who makes no special effort.
        target_false_non_match_rate: largest chance, over the whole call, of rejecting the true
            speaker outright; between the two targets lies STEP_UP.
        floor_seconds: net speech below which no score exists.
        full_seconds: net speech after which waiting for more is pointless.
        step_seconds: net speech between two looks at the score.
        accept_on_voice_alone: whether a match is enough. Off unless the operator says so: a match
            is then STEP_UP, with the match as its reason.
        max_spoof_false_accept: largest chance, over the whole call, of accepting an attack of a
            kind that a measured liveness layer was calibrated on.
        max_live_rejected: largest chance, over the whole call, of rejecting a living caller
            outright because a liveness layer takes the voice for an attack.
        max_live_held: share of living callers that the layer against synthetic speech may hold
            back where ``require_liveness`` does not list it; see ``presentation``.
        synthetic_seconds: net speech before a voice alone is accepted, at most ``full_seconds``,
            where the layer against synthetic speech runs and ``require_liveness`` does not list it:
            of 3 s that layer misses half as many copies again as of 6. 0 asks for no more
            than the layer itself needs.
        require_liveness: layers without whose word nobody is accepted. Others may be absent; a
            layer that runs and has not heard enough holds back in any case.
        routes: ways to be accepted in a step-up, each of them enough; none means that the engine
            runs no step-up for this policy. One of them has to do without a voice.

    Raises:
        SettingsError: a rate outside (0, 0.5], seconds out of order, or no route without a voice.
    """

    name: str
    target_false_match_rate: Rate = 0.01
    target_false_non_match_rate: Rate = 0.02
    floor_seconds: Seconds = 2.0
    full_seconds: Seconds = 15.0
    step_seconds: Seconds = 3.0
    accept_on_voice_alone: bool = False
    max_spoof_false_accept: Rate = 0.05
    max_live_rejected: Rate = 0.005
    max_live_held: Rate = 0.05
    synthetic_seconds: Seconds = 6.0
    require_liveness: frozenset[LivenessLayer] = frozenset()
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a policy that cannot mean anything."""
        for field in RATES:
            if not 0.0 < getattr(self, field) <= 0.5:  # noqa: PLR2004 - a coin toss is the limit
                raise SettingsError(f"Policy {self.name}: {field} must lie in (0, 0.5].")
        if not 0.0 < self.floor_seconds <= self.full_seconds:
            raise SettingsError(f"Policy {self.name}: floor_seconds must lie in (0, full_seconds].")
        if self.step_seconds <= 0.0:
            raise SettingsError(f"Policy {self.name}: step_seconds must be positive.")
        if self.synthetic_seconds < 0.0:
            raise SettingsError(f"Policy {self.name}: synthetic_seconds must not be negative.")
        if any(not route.factors for route in self.routes):
            raise SettingsError(f"Policy {self.name}: a route without a factor is no step-up.")
        if any(not 0.0 < rate <= 0.5 for rate in self.voice_rates):  # noqa: PLR2004 - as above
            raise SettingsError(f"Policy {self.name}: a route's rate must lie in (0, 0.5].")
        if self.routes and all(one.voice_false_match_rate is not None for one in self.routes):
            raise SettingsError(f"Policy {self.name}: one route must do without a voice.")

    @property
    def voice_rates(self) -> tuple[Rate, ...]:
        """The rates that routes ask of a voice, strictest first."""
        rates = {one.voice_false_match_rate for one in self.routes}
        return tuple(sorted(rate for rate in rates if rate is not None))
