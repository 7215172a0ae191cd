# SPDX-License-Identifier: Apache-2.0
"""Which log-likelihood ratio meets a target false-match rate: for people who plan a policy.

The decision itself compares rates, never ratios (see ``voiceauth.decision``); this is its inverse,
for tables and plots.
"""

from voiceauth.errors import SettingsError
from voiceauth.scoring.calibration import Calibration, Node
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
    nodes = _nodes(calibration, net_seconds, bandwidth)
    for place, llr in enumerate(calibration.grid):
        if nodes and max(float(node.false_match[place]) for node in nodes) <= target:
            return float(llr)
    return None


def smallest_supported(
    calibration: Calibration, *, net_seconds: Seconds, bandwidth: Bandwidth
) -> Rate | None:
    """Return the smallest false-match rate that the tables state there, None without support."""
    nodes = _nodes(calibration, net_seconds, bandwidth)
    return max((node.false_match_floor for node in nodes), default=None)


def _nodes(
    calibration: Calibration, net_seconds: Seconds, bandwidth: Bandwidth
) -> tuple[Node, ...]:
    table = calibration.table(bandwidth)
    if table is None or not net_seconds >= table.support.net_seconds.least:
        return ()
    return table.around(net_seconds)
