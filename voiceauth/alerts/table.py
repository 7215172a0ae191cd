# SPDX-License-Identifier: Apache-2.0
"""The table of rules: typed, checked, the shipped one with an operator's file laid over it.

A rule of the operator with the name of a shipped one changes what it names and leaves the rest; one
with another name is a rule more. ``enabled = false`` switches one off.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from voiceauth.errors import SettingsError
from voiceauth.types import Severity

_Span = Annotated[float, Field(gt=0, le=31_622_400)]
_Scalar = str | bool | int | float


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bounds(_Row):
    """A number within bounds, both included."""

    least: float = float("-inf")
    most: float = float("inf")


Condition = Mapping[str, tuple[_Scalar, ...] | Bounds]
"""Path -> allowed values, or bounds. All paths have to fit; a list fits by any of its members."""


class Rule(_Row):
    """What every rule has.

    Attributes:
        where: entries it counts: those that fit any one of the conditions.
        key: what is counted by: a path, ``tenant``, or ``installation`` for everything together.
        window_seconds: how far back it looks.
        cooldown_seconds: how long it says nothing more of the same key.
        runbook: file in ``docs/runbooks``.
        epoch: change it to make the rule forget what it has learnt.
    """

    kind: str
    summary: str = Field(min_length=1)
    severity: Severity
    runbook: str = Field(pattern=r"^[a-z0-9-]+\.md$")
    where: tuple[Condition, ...] = Field(min_length=1)
    key: str = Field(min_length=1)
    window_seconds: _Span
    cooldown_seconds: _Span
    enabled: bool = True
    epoch: int = 0

    @field_validator("where")
    @classmethod
    def _names_events(cls, given: tuple[Condition, ...]) -> tuple[Condition, ...]:
        return _with_events(given)

    @property
    def events(self) -> frozenset[str]:
        """Names of the ledger's events that it has to see."""
        return events_of(self.where)


class CountRule(Rule):
    """So many entries of one key within the window."""

    kind: Literal["count"]
    threshold: int = Field(ge=1)


class DistinctRule(Rule):
    """So many different values of a field under one key within the window."""

    kind: Literal["distinct"]
    of: str = Field(min_length=1)
    threshold: int = Field(ge=2)


class SequenceRule(Rule):
    """An entry that fits ``then``, after so many that fit ``where``, all of one key."""

    kind: Literal["sequence"]
    then: tuple[Condition, ...] = Field(min_length=1)
    threshold: int = Field(ge=1)

    @field_validator("then")
    @classmethod
    def _then_names_events(cls, given: tuple[Condition, ...]) -> tuple[Condition, ...]:
        return _with_events(given)

    @property
    def events(self) -> frozenset[str]:
        """As of every rule, and those of ``then``."""
        return events_of(self.where) | events_of(self.then)


class ShareRule(Rule):
    """More entries among others than honest traffic brings, in error rates.

    Attributes:
        among: entries of which ``where`` picks some.
        expected: the share that honest traffic brings, 0 to 1.
        surprise: chance of so many under that share, below which it is an alert.
        least: never with fewer than so many.
    """

    kind: Literal["share"]
    among: tuple[Condition, ...] = Field(min_length=1)
    expected: float = Field(gt=0, lt=1)
    surprise: float = Field(gt=0, lt=1)
    least: int = Field(ge=1)

    @field_validator("among")
    @classmethod
    def _among_names_events(cls, given: tuple[Condition, ...]) -> tuple[Condition, ...]:
        return _with_events(given)

    @property
    def events(self) -> frozenset[str]:
        """Those of ``among``; ``where`` picks from them."""
        return events_of(self.among)


class _Staff(Rule):
    """What rules about people at work have.

    Attributes:
        timezone: IANA name of the zone that days and hours are counted in.
        history_days: active days that are remembered of each principal.
        least_days: active days before its own history counts.
    """

    timezone: str = "UTC"
    history_days: int = Field(28, ge=2, le=366)
    least_days: int = Field(5, ge=1)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, given: str) -> str:
        if given != "UTC":
            try:
                ZoneInfo(given)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                message = f"there is no time zone {given!r} on this machine"
                raise ValueError(message) from None
        return given


class VolumeRule(_Staff):
    """More on one day than a principal's days before allow for.

    Attributes:
        weight: path of a number that an entry counts for; at least 1 each.
        deviations: above the median, in robust standard deviations.
        variation: least standard deviation, as a share of the median.
        over_busiest: and so many times the busiest of its days.
        least: never with fewer on the day.
        newcomer: most of a principal without history, where nobody else has any either.
    """

    kind: Literal["volume"]
    weight: str = ""
    deviations: float = Field(gt=0)
    variation: float = Field(0.3, ge=0)
    over_busiest: float = Field(ge=1)
    least: int = Field(ge=1)
    newcomer: int = Field(ge=1)


class HoursRule(_Staff):
    """So many entries within the window at hours at which a principal is not at work.

    Attributes:
        threshold: entries.
        own_share: an hour is unusual if at most this share of its days had work at it.
        peer_share: and at most this share of everybody's days; 1 leaves the others out of it.
    """

    kind: Literal["hours"]
    threshold: int = Field(ge=1)
    own_share: float = Field(ge=0, le=1)
    peer_share: float = Field(ge=0, le=1)


class DriftRule(Rule):
    """A number whose distribution has moved away from that of a reference window.

    Attributes:
        value: path of the number.
        within: path of a name whose change begins a new reference, such as the calibration's.
        low: lower end of the histogram; what lies beyond counts at the end.
        high: upper end.
        bins: of the histogram.
        reference_values: how many make the reference: the first ones.
        batch_values: how many are compared with it at a time.
        psi: least population stability index over the reference's tenths.
        ks: least Kolmogorov-Smirnov distance; either one is enough.
    """

    kind: Literal["drift"]
    value: str = Field(min_length=1)
    within: str = ""
    low: float
    high: float
    bins: int = Field(ge=2, le=1000)
    reference_values: int = Field(ge=100)
    batch_values: int = Field(ge=50)
    psi: float = Field(gt=0)
    ks: float = Field(gt=0)


AnyRule = Annotated[
    CountRule | DistinctRule | SequenceRule | ShareRule | VolumeRule | HoursRule | DriftRule,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[AnyRule] = TypeAdapter(AnyRule)


def rules(override: Path | None = None) -> Mapping[str, Rule]:
    """Return the rules in force by name, the disabled ones left out.

    Args:
        override: an operator's file; None for the shipped rules alone.

    Raises:
        SettingsError: the file cannot be read, or a rule is not one; the message names it.
    """
    content = files("voiceauth.alerts").joinpath("rules.toml").read_text(encoding="utf-8")
    table = _rows(content, "rules.toml")
    if override is not None:
        try:
            theirs = override.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"The file of alert rules {override} cannot be read.") from None
        for name, row in _rows(theirs, override.name).items():
            table[name] = {**table.get(name, {}), **row}
    found = {name: _rule(name, row) for name, row in table.items()}
    return {name: rule for name, rule in found.items() if rule.enabled}


def events_of(conditions: Sequence[Condition]) -> frozenset[str]:
    """Return the names of events that conditions ask for."""
    found: set[str] = set()
    for one in conditions:
        allowed = one["event"]
        found |= set() if isinstance(allowed, Bounds) else {str(name) for name in allowed}
    return frozenset(found)


def _with_events(given: tuple[Condition, ...]) -> tuple[Condition, ...]:
    for one in given:
        named = isinstance(one.get("event"), tuple)
        if not named:
            message = "every condition names the events it is about"
            raise ValueError(message)
    return given


def _rows(content: str, name: str) -> dict[str, dict[str, Any]]:
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"Alert rules {name}: {error}.") from error
    if not all(isinstance(row, dict) for row in table.values()):
        raise SettingsError(f"Alert rules {name}: every top-level key is a rule, as in [name].")
    return table


def _rule(name: str, row: Mapping[str, Any]) -> Rule:
    try:
        return _ADAPTER.validate_python(row)
    except ValidationError as error:
        problem = dict(error.errors()[0])
        loc = problem["loc"]
        place = ".".join(str(part) for part in loc) if isinstance(loc, tuple) else ""
        raise SettingsError(f"Alert rule {name}: {place}: {problem['msg']}.") from error
