# SPDX-License-Identifier: Apache-2.0
"""How a migration between two speaker models stands."""

from dataclasses import dataclass
from enum import StrEnum

from voiceauth.types.names import ModelHash


class MigrationAction(StrEnum):
    """What can be done about one."""

    STATUS = "status"
    FINISH = "finish"
    """Delete the voiceprints of the model before."""
    ROLL_BACK = "rollback"
    """Delete those of the new model, of everybody who still has the others."""


@dataclass(frozen=True, slots=True)
class ModelMigration:
    """How far it has come.

    Attributes:
        model: the new one.
        previous: the one before.
        moved: subjects with a voiceprint of the new model.
        waiting: subjects with voiceprints of the previous one only.
        begun: of these, how many have speech for the new one, and not enough yet.
    """

    model: ModelHash
    previous: ModelHash
    moved: int
    waiting: int
    begun: int
