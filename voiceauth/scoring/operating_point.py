# SPDX-License-Identifier: Apache-2.0
"""Which log-likelihood ratio meets a target false-match rate: for people who plan a policy.

The decision itself compares rates, never ratios (see ``voiceauth.decision``); this is its inverse,
for tables and plots.
"""

from voiceauth.errors import SettingsError
from voiceauth.scoring.calibration import Calibration, between
from voiceauth.types import Bandwidth
from voiceauth.units import Llr, Rate, Seconds


def llr_for(
    calibration: Calibration, target: Rate, *, net_seconds: Seconds, bandwidth: Bandwidth
) -> Llr | None:
    """Return the smallest grid ratio whose false-match rate is at or below a target.

    Args:
        calibration: the tables.
        target: largest false-match rate wanted, in (0, 1].
        net_seconds: speech behind the probe.
        bandwidth: of the probe.

    Returns:
        None where the tables have no support, or cannot support a rate this small.

    Raises:
        SettingsError: the target is no rate.
    """
    if not 0.0 < target <= 1.0:
        raise SettingsError(f"A target false-match rate of {target} is not in (0, 1].")
    table = calibration.table(bandwidth)
    if table is None or net_seconds < table.least_seconds:
        return None
    low, high, share = between(table, net_seconds)
    scale = low.scale + share * (high.scale - low.scale)
    offset = low.offset + share * (high.offset - low.offset)
    for llr in calibration.grid:
        # A hair above the grid ratio, so that rounding cannot fall below it.
        raw = (float(llr) + 1e-9 - offset) / scale
        rate = calibration.score(raw, net_seconds, bandwidth).false_match_rate
        if rate is not None and rate <= target:
            return float(llr)
    return None


def smallest_supported(
    calibration: Calibration, *, net_seconds: Seconds, bandwidth: Bandwidth
) -> Rate | None:
    """Return the smallest false-match rate that the tables state there, None without support."""
    table = calibration.table(bandwidth)
    if table is None or net_seconds < table.least_seconds:
        return None
    low, high, share = between(table, net_seconds)
    return float(low.false_match_floor ** (1.0 - share) * high.false_match_floor**share)
