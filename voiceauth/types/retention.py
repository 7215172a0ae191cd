# SPDX-License-Identifier: Apache-2.0
"""What an erasure and a sweep of the retention rules did."""

from dataclasses import dataclass, field
from datetime import datetime

from voiceauth.types.names import SubjectId


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was destroyed of one person, and the ledger entry that says so.

    Attributes:
        token: with it a receipt can be had later; the engine keeps no copy.
        vectors: removed from the search index of the server that erased.
    """

    record_id: int
    voiceprints: int
    token: str = field(repr=False)
    vectors: int = 0


@dataclass(frozen=True, slots=True)
class RetentionDue:
    """Something of one person that a rule keeps no longer.

    Attributes:
        rule: name of the rule.
        due_at: when its time was over, UTC.
        whole: True for everything with the data key, False for the voice alone.
    """

    subject: SubjectId
    rule: str
    due_at: datetime
    whole: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep over one tenant.

    Attributes:
        due: what was erased or, in a dry run, would be.
        more: True if more is due than one sweep takes.
        held: why nothing was erased although it was not a dry run; empty otherwise.
        record_id: ledger sequence number; None where there was nothing to record.
    """

    due: tuple[RetentionDue, ...]
    more: bool = False
    held: str = ""
    record_id: int | None = None
