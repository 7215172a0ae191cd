# SPDX-License-Identifier: Apache-2.0
import math

import pytest

from voiceauth.decision.fusion import combined_llr, spoof_false_accept_rate
from voiceauth.types import Liveness, LivenessSlot, LivenessState


def live(llr: float, rate: float | None = 0.01) -> LivenessSlot:
    """Return a slot with a ratio and a rate."""
    return LivenessSlot(LivenessState.LIVE, llr, rate, 0.5)


def test_a_perfect_voice_does_not_outvote_certain_synthesis() -> None:
    """However well a clone matches, its combined ratio stays as low as the synthesis evidence."""
    spoofed = Liveness(synthetic=live(-6.0))

    found = combined_llr(50.0, spoofed)

    assert found is not None
    assert found < -5.0


def test_one_attack_s_exclusion_does_not_buy_off_another() -> None:
    """A recording that is certainly no synthesis is still a recording."""
    replayed = Liveness(synthetic=live(30.0), replay=live(-8.0))

    found = combined_llr(20.0, replayed)

    assert found is not None
    assert found < -6.0


def test_without_layers_the_speaker_alone_speaks() -> None:
    """Nothing measured adds nothing and takes nothing."""
    assert combined_llr(3.5, Liveness()) == 3.5


def test_without_a_speaker_ratio_there_is_no_combined_one() -> None:
    """Liveness says nothing about who speaks."""
    assert combined_llr(None, Liveness(synthetic=live(9.0))) is None


def test_the_likelihoods_of_the_explanations_are_added() -> None:
    """Half of the other explanations is another person, the rest is split among the attacks."""
    found = combined_llr(1.0, Liveness(synthetic=live(2.0), replay=live(3.0)))

    wanted = -math.log(0.5 * math.exp(-1.0) + 0.25 * math.exp(-2.0) + 0.25 * math.exp(-3.0))
    assert found == pytest.approx(wanted)


def test_huge_ratios_neither_overflow_nor_vanish() -> None:
    """Ratios far beyond any table give a finite ratio."""
    found = combined_llr(-5000.0, Liveness(synthetic=live(5000.0)))

    assert found == pytest.approx(-5000.0 + math.log(2.0))


def test_the_worst_layer_gives_the_rate_of_accepted_attacks() -> None:
    """An attacker chooses the kind of attack that is caught least."""
    assert spoof_false_accept_rate(Liveness(live(1.0, 0.2), live(5.0, 0.003))) == 0.2


def test_without_rates_there_is_no_rate_of_accepted_attacks() -> None:
    """Absent is not zero."""
    assert spoof_false_accept_rate(Liveness(synthetic=live(1.0, None))) is None
