# SPDX-License-Identifier: Apache-2.0
"""Whether an entry is one that a rule is about, and what it is counted by."""

from collections.abc import Sequence

from voiceauth.alerts.reading import Observation, number, text, value
from voiceauth.alerts.table import Bounds, Condition

INSTALLATION = "installation"
TENANT = "tenant"
Key = tuple[str, str]
"""Tenant and pseudonym: the same stand-in in two tenants is not one person."""


def fits(observation: Observation, conditions: Sequence[Condition]) -> bool:
    """Say whether an entry fits any one of the conditions."""
    return any(_fits_all(observation, one) for one in conditions)


def key_of(observation: Observation, path: str) -> Key | None:
    """Return what an entry is counted by; None where it has no such thing."""
    if path == INSTALLATION:
        return "", ""
    if path == TENANT:
        return observation.tenant, ""
    found = text(observation, path)
    # One who acts in several tenants is one person still.
    return (("" if path == "by" else observation.tenant), found) if found else None


def _fits_all(observation: Observation, condition: Condition) -> bool:
    return all(_fits_one(observation, path, allowed) for path, allowed in condition.items())


def _fits_one(
    observation: Observation, path: str, allowed: tuple[str | bool | float, ...] | Bounds
) -> bool:
    if isinstance(allowed, Bounds):
        found = number(observation, path)
        return found is not None and allowed.least <= found <= allowed.most
    told = value(observation, path)
    if isinstance(told, list):
        return any(one in allowed for one in told if isinstance(one, str))
    return isinstance(told, str | bool | int | float) and told in allowed
