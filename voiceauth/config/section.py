# SPDX-License-Identifier: Apache-2.0
"""What every section of the settings has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PositiveSeconds = Annotated[float, Field(gt=0, le=86_400)]
ErrorRate = Annotated[float, Field(gt=0, le=0.5)]


class Section(BaseModel):
    """Base of every section: an unknown key is refused and nothing changes after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)
