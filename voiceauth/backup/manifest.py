# SPDX-License-Identifier: Apache-2.0
"""What an archive says about itself: which moment it shows, and the hash of every file in it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from voiceauth.errors import IntegrityError
from voiceauth.types import KeyId, ModelHash

FORMAT = 1
VAULT = "vault.db"
MODELS = "models/"
_NAME = re.compile(r"(?:models/)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file.

    Attributes:
        name: where it goes, below the data directory.
        size: in bytes.
        sha256: lower-case hex.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The moment that a backup shows.

    Attributes:
        created_at: of the snapshot, UTC.
        engine: version that made it.
        schema: of the vault.
        entries: ledger entries in it.
        head: hash of the last one, hex; empty for an empty ledger.
        erasures: erasures that had happened; the journal's later ones are applied when restoring.
        erasures_mac: of the journal at that moment, hex; empty where there was none.
        subjects: people in it.
        voiceprints: of them.
        keys: key-encryption keys that are needed to read it.
        canary: models that it has a known voice of.
        files: in the order in which they follow.
    """

    created_at: datetime
    engine: str
    schema: int
    entries: int
    head: str
    erasures: int
    erasures_mac: str
    subjects: int
    voiceprints: int
    keys: tuple[KeyId, ...]
    canary: tuple[ModelHash, ...]
    files: tuple[ArchivedFile, ...]


def encode(manifest: Manifest) -> bytes:
    """Write a manifest: canonical JSON."""
    fields: dict[str, object] = {
        name: getattr(manifest, name) for name in Manifest.__dataclass_fields__
    }
    fields["format"] = FORMAT
    fields["created_at"] = manifest.created_at.isoformat()
    fields["files"] = [[one.name, one.size, one.sha256] for one in manifest.files]
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        IntegrityError: it is malformed, or of a newer engine.
    """
    try:
        return _decoded(json.loads(data))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise IntegrityError(
            "The backup's manifest cannot be read.", detail=type(error).__name__
        ) from None


def _decoded(found: Mapping[str, Any]) -> Manifest:
    if found["format"] != FORMAT:
        raise IntegrityError("A newer version of voiceauth made this backup.")
    files = tuple(ArchivedFile(str(one[0]), int(one[1]), str(one[2])) for one in found["files"])
    names = [one.name for one in files]
    if names.count(VAULT) != 1 or len(set(names)) != len(names):
        raise IntegrityError(detail="a backup needs one vault, and no name twice")
    if not all(_NAME.match(one.name) and _SHA256.match(one.sha256) for one in files):
        raise IntegrityError(detail="a backup names a file that it must not")
    if any(one.size < 0 for one in files):
        raise IntegrityError(detail="a backup names a file of an impossible size")
    return Manifest(
        created_at=datetime.fromisoformat(found["created_at"]),
        engine=str(found["engine"]),
        schema=int(found["schema"]),
        entries=int(found["entries"]),
        head=str(found["head"]),
        erasures=int(found["erasures"]),
        erasures_mac=str(found["erasures_mac"]),
        subjects=int(found["subjects"]),
        voiceprints=int(found["voiceprints"]),
        keys=tuple(KeyId(str(one)) for one in found["keys"]),
        canary=tuple(ModelHash(str(one)) for one in found["canary"]),
        files=files,
    )
