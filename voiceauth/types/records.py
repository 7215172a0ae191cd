# SPDX-License-Identifier: Apache-2.0
"""What the model, the ledger and the keys say about themselves."""

from dataclasses import dataclass, field
from datetime import datetime

from voiceauth.types.names import KeyId, TenantId
from voiceauth.units import Hertz


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is told about a model in use."""

    role: str
    name: str
    sha256: str
    licence: str
    rate_hz: Hertz
    dimension: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One link of the audit chain.

    Attributes:
        sequence: starts at 1, without gaps.
        at: UTC time of the event.
        tenant: whose event it is; empty for the installation itself.
        event: stable dotted name, for example ``verify.verdict``.
        body: canonical JSON of the event; identifiers are pseudonyms.
        previous_hash: of the entry before; 32 zero bytes for the first.
        entry_hash: SHA-256 over all the above.
    """

    sequence: int
    at: datetime
    tenant: TenantId
    event: str
    body: str
    previous_hash: bytes = field(repr=False)
    entry_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be told about a key-encryption key.

    Attributes:
        scope: the tenant whose data keys it wraps; empty for the installation's first key.
        created_at: UTC.
        current: whether new data keys of the scope are wrapped under it.
    """

    key_id: KeyId
    scope: str
    created_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """The newest checkpoint of the ledger, as the vault keeps it.

    Attributes:
        note: the signed text.
        peaks: of the Merkle tree it covers, 32 bytes each, largest first.
    """

    note: str
    peaks: bytes = field(repr=False)
