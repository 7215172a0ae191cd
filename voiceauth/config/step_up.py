# SPDX-License-Identifier: Apache-2.0
"""How a step-up runs, and where one-time codes go."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from voiceauth.config.section import Section


class StepUpSettings(Section):
    """What a STEP_UP asks for. The ways themselves stand in each policy's `routes`."""

    open_seconds: float = Field(
        600.0, ge=30, le=3600, description="From the verdict to the last answer of a step-up."
    )
    answers: int = Field(
        5, ge=1, le=10, description="Wrong answers of one step-up, over all factors."
    )
    codes: int = Field(3, ge=1, le=5, description="One-time codes sent in one step-up.")
    code_seconds: float = Field(
        600.0, ge=30, le=600, description="How long a one-time code is taken."
    )
    totp_window: int = Field(
        1, ge=0, le=2, description="Steps of 30 s that an authenticator's clock may be off."
    )
    pin_digits: int = Field(6, ge=6, le=12, description="Fewest digits of a PIN.")
    issuer: str = Field(
        "voiceauth", min_length=1, max_length=64, description="Name that authenticators show."
    )
    delivery: Literal["off", "file", "webhook"] = Field(
        "off", description="Who takes one-time codes; off sends none."
    )
    delivery_file: Path | None = Field(
        None, description="File that codes are appended to, mode 0600, with `file`."
    )
    webhook_url: str | None = Field(
        None, description="Address that codes are posted to, https, with `webhook`."
    )
    webhook_key_file: Path | None = Field(
        None, description="File, mode 0600, whose first line signs what is posted."
    )

    @model_validator(mode="after")
    def _has_a_place(self) -> "StepUpSettings":
        if self.delivery == "file" and self.delivery_file is None:
            message = "delivery 'file' needs delivery_file"
            raise ValueError(message)
        if self.delivery == "webhook" and None in (self.webhook_url, self.webhook_key_file):
            message = "delivery 'webhook' needs webhook_url and webhook_key_file"
            raise ValueError(message)
        return self
