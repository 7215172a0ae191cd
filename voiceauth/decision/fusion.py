# SPDX-License-Identifier: Apache-2.0
"""One ratio out of all layers: the claimed, living speaker against every other explanation.

There are several ways to sound like this without being the claimed speaker, live: another person,
a synthesiser, a recording. Each layer's ratio compares the speaker with one of them, so what is
added is the likelihoods of the explanations:

    combined = -log( sum of share_k * exp(-llr_k) )

The plain sum of the ratios would be wrong: it is the ratio against an attack that is another person
and a synthesiser at once, and it lets a perfect voice outvote certain evidence of synthesis, which
is exactly what a good clone brings. Here the weakest exclusion rules, and none buys off another.

The speaker's ratio is not counted against attacks: a clone is taken to match perfectly, so that an
attacker's bad copy is never relied on. A layer that measured nothing adds no explanation: the ratio
then says nothing about that attack, and the evidence names the layer as not measured.
"""

import math
from collections.abc import Sequence

from voiceauth.types import Liveness, LivenessLayer, LivenessSlot
from voiceauth.units import Llr, Rate

RATED = (LivenessLayer.SYNTHETIC, LivenessLayer.REPLAY)
"""Layers that give a calibrated ratio with error rates; the others say yes or no."""
_STRANGER_SHARE = 0.5
"""Of the other explanations; attacks share the rest alike."""


def slot(liveness: Liveness, layer: LivenessLayer) -> LivenessSlot:
    """Return a layer's slot."""
    found: LivenessSlot = getattr(liveness, layer.value)
    return found


def combined_llr(speaker: Llr | None, liveness: Liveness) -> Llr | None:
    """Combine the speaker's ratio with those of the rated layers.

    Args:
        speaker: same over different speaker; None without calibration support.
        liveness: the layers' words.

    Returns:
        None without a speaker ratio. It exceeds no single ratio by more than minus the log of
        that explanation's share.
    """
    if speaker is None:
        return None
    ratios = [slot(liveness, layer).llr for layer in RATED]
    layers = [ratio for ratio in ratios if ratio is not None]
    if not layers:
        return speaker
    share = (1.0 - _STRANGER_SHARE) / len(layers)
    terms = [math.log(_STRANGER_SHARE) - speaker, *(math.log(share) - one for one in layers)]
    return -_log_sum(terms)


def spoof_false_accept_rate(liveness: Liveness) -> Rate | None:
    """Return the worst layer's rate: an attack of its kind would get this far; None without any."""
    rates = [slot(liveness, layer).false_accept_rate for layer in RATED]
    return max((rate for rate in rates if rate is not None), default=None)


def _log_sum(terms: Sequence[float]) -> float:
    top = max(terms)
    return top + math.log(math.fsum(math.exp(one - top) for one in terms))
