# SPDX-License-Identifier: Apache-2.0
"""How many attempts there are."""

from pydantic import Field, model_validator

from voiceauth.config.section import ErrorRate, PositiveSeconds, Section


class LockoutSettings(Section):
    """How often a voice may be tried. Only the voice path closes, never the other factors."""

    free_failures: int = Field(
        5, ge=1, le=10, description="Failed attempts in a row before the first delay."
    )
    first_delay_seconds: float = Field(
        30.0,
        ge=30,
        le=3600,
        description="Delay after the last of them; it doubles with each further failure.",
    )
    longest_delay_seconds: PositiveSeconds = Field(
        3600.0, description="At which the doubling ends."
    )
    most_failures: int = Field(
        50,
        ge=5,
        le=100,
        description="Failed attempts in a row at which the voice path is closed until staff open "
        "it (`voiceauth lockout unlock`).",
    )
    undecided_allowed: int = Field(
        10,
        ge=0,
        le=1000,
        description="Undecided attempts in a row; each further one counts as failed.",
    )
    number_failures: int = Field(
        20,
        ge=5,
        description="Failed attempts from one calling number at which it is over its budget.",
    )
    number_halving_seconds: PositiveSeconds = Field(
        86_400.0, description="Time in which half of a number's failures are forgiven."
    )
    failed_voice_hours: float = Field(
        0.0,
        ge=0,
        le=720,
        description="How long the voices of failed attempts are remembered, encrypted and without "
        "a name, to notice one that claims many. They are biometric data of people who agreed to "
        "nothing: 0 remembers none.",
    )
    failed_voice_failures: int = Field(
        5, ge=2, description="Failed attempts of one voice at which it is over its budget."
    )
    same_voice_false_match_rate: ErrorRate = Field(
        0.001,
        description="Two voices are taken for one when another person would get as close this "
        "rarely.",
    )

    @model_validator(mode="after")
    def _is_in_order(self) -> "LockoutSettings":
        if self.longest_delay_seconds < self.first_delay_seconds:
            message = "longest_delay_seconds is shorter than first_delay_seconds"
            raise ValueError(message)
        if self.most_failures < self.free_failures:
            message = "most_failures is below free_failures"
            raise ValueError(message)
        return self
