# SPDX-License-Identifier: Apache-2.0
"""Read the audit ledger of an installation, and prove that nobody changed it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings
from voiceauth.errors import NotFoundError
from voiceauth.types import LedgerEntry
from voiceauth.usecases.assemble import VAULT_FILE, open_keys
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault


def verify_ledger(settings: Settings) -> int:
    """Walk the whole chain and hold it against its anchor.

    Returns:
        The number of entries.

    Raises:
        ChainBrokenError: names the first entry that is changed, missing or out of place.
        NotFoundError: there is no vault.
        IntegrityError: the vault or the anchor is damaged.
    """
    with _opened(settings) as vault:
        return vault.verify_ledger()


def read_ledger(settings: Settings, *, after: int, limit: int) -> Sequence[LedgerEntry]:
    """Read up to ``limit`` entries after a sequence number; they are not verified here.

    Raises:
        NotFoundError: there is no vault.
    """
    with _opened(settings) as vault:
        return vault.ledger(after=after, limit=limit)


@contextmanager
def _opened(settings: Settings) -> Iterator[SqliteVault]:
    path = settings.storage.data_dir / VAULT_FILE
    if not path.exists():
        raise NotFoundError(f"There is no vault in {settings.storage.data_dir}.")
    clock, random = SystemClock(), SystemRandom()
    keys = open_keys(settings, clock=clock, random=random)
    vault = open_vault(path, keys, clock=clock, random=random)
    try:
        yield vault
    finally:
        vault.close()
