# SPDX-License-Identifier: Apache-2.0
"""How long what is kept of people may be kept."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from voiceauth.config.section import Section

_Code = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]


class RetentionRuleSettings(Section):
    """One rule. Of all that bind a person the shortest wins; `docs/retention.md` has sources."""

    since: Literal["last_interaction", "consent_given", "consent_ended", "created"] = Field(
        description="From when it counts."
    )
    days: float = Field(
        ge=0, le=36_500, description="After so many days what is kept is erased; 0 is at once."
    )
    erases: Literal["subject", "voice"] = Field(
        "subject",
        description="Everything with the data key, or the voice alone: then the record of the "
        "consent stays.",
    )
    purposes: tuple[str, ...] = Field(
        (), description="Consent purposes that it binds for; none means all."
    )
    jurisdictions: tuple[_Code, ...] = Field(
        (),
        description="ISO 3166 codes that it binds for, `US` with all its states; none means "
        "everywhere.",
    )


def built_in_rules() -> dict[str, RetentionRuleSettings]:
    """Return the rules that are there without any settings."""
    rule = RetentionRuleSettings
    return {
        "consent-ended": rule(since="consent_ended", days=0, erases="voice"),
        "inactive": rule(since="last_interaction", days=1095),
        "bipa": rule(since="last_interaction", days=1095, jurisdictions=("US-IL",)),
        "texas": rule(since="consent_ended", days=365, jurisdictions=("US-TX",)),
        "colorado": rule(since="last_interaction", days=730, jurisdictions=("US-CO",)),
    }


class RetentionSettings(Section):
    """How long what is kept of people may be kept. `docs/retention.md` explains the rules."""

    sweep_seconds: float = Field(
        3600.0,
        ge=10,
        le=86_400,
        description="Time between two sweeps of a running server: what is due is erased then.",
    )
    jurisdiction: _Code | Literal[""] = Field(
        "",
        description="Law of people whose consent does not name one, for example `US-IL` or `DE`. "
        "Where it is empty, too, every rule binds them.",
    )
    largest_clock_step_days: float = Field(
        14.0,
        gt=0,
        le=366,
        description="Further than that the clock may not have moved since the last sweep, or "
        "nothing is erased before somebody confirms it.",
    )
    rules: dict[str, RetentionRuleSettings] = Field(
        default_factory=dict,
        validate_default=True,
        description="Rules by name, beside the built-in ones; see `[retention.rules.NAME]`.",
    )

    @field_validator("rules")
    @classmethod
    def _keep_built_in(
        cls, given: dict[str, RetentionRuleSettings]
    ) -> dict[str, RetentionRuleSettings]:
        return {**built_in_rules(), **given}
