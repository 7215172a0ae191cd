# SPDX-License-Identifier: Apache-2.0
"""A ledger entry as the rules see it: fields by dotted paths, and nothing that can raise."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from voiceauth.types import LedgerEntry
from voiceauth.units import Seconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PSEUDONYM = re.compile(r"[a-z2-7]{26}\Z")
_LONGEST_NAME = 128
_NAME = re.compile(rf"[A-Za-z0-9._:@+\-]{{1,{_LONGEST_NAME}}}\Z")


@dataclass(frozen=True, slots=True)
class Observation:
    """One entry.

    Attributes:
        at: seconds since 1970 UTC.
        tenant: empty for the installation itself.
        body: of the event; empty where it cannot be read.
    """

    sequence: int
    at: Seconds
    tenant: str
    event: str
    body: Mapping[str, object]


def observed(entry: LedgerEntry) -> Observation:
    """Read an entry. A body that is no JSON object counts as empty."""
    try:
        body = json.loads(entry.body)
    except (ValueError, RecursionError):
        body = {}
    at = (entry.at - _EPOCH).total_seconds()
    known = body if isinstance(body, dict) else {}
    return Observation(entry.sequence, at, entry.tenant, entry.event, known)


def moment(at: Seconds) -> datetime:
    """Return the UTC time of an observation."""
    return datetime.fromtimestamp(at, tz=UTC)


def value(observation: Observation, path: str) -> object:
    """Return what stands at a dotted path of the body; None where nothing does.

    ``event`` and ``tenant`` are the entry's own.
    """
    if path in {"event", "tenant"}:
        return getattr(observation, path)
    found: object = observation.body
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def text(observation: Observation, path: str) -> str:
    """Return the text at a path; empty where there is none."""
    found = value(observation, path)
    return found if isinstance(found, str) else ""


def number(observation: Observation, path: str) -> float | None:
    """Return the finite number at a path; None where there is none."""
    found = value(observation, path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        told = float(found)
    except OverflowError:
        return None
    return told if math.isfinite(told) else None


def shown_pseudonym(key: str) -> str:
    """Return a pseudonym as it may be shown: anything that is none is replaced by its hash."""
    return key if not key or _PSEUDONYM.match(key) else _hashed(key)


def shown_name(name: str) -> str:
    """Return a tenant's or an event's name as it may be shown, or its hash likewise."""
    return name if not name or _NAME.match(name) else _hashed(name)


def _hashed(key: str) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"unreadable-{digest[:16]}"
