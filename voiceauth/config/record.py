# SPDX-License-Identifier: Apache-2.0
"""Where the record lies and under which keys."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from voiceauth.config.section import PositiveSeconds, Section


def default_data_directory() -> Path:
    """Return the per-user data directory: ``$XDG_DATA_HOME/voiceauth`` or its usual default."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "voiceauth"


class StorageSettings(Section):
    """Where the record and the keys live."""

    data_dir: Path = Field(
        default_factory=default_data_directory, description="Directory of vault and ledger."
    )
    key_file: Path | None = Field(
        None, description="Key-encryption keys; default `keys.json` in `data_dir`."
    )

    @property
    def keys(self) -> Path:
        """The key file in effect."""
        return self.key_file or self.data_dir / "keys.json"


class KeySettings(Section):
    """Where the key-encryption keys are, and how long they live. Secrets stand in files."""

    service: Literal["file", "pkcs11"] = Field(
        "file", description="`storage.key_file`, or a PKCS#11 token (extra `hsm`)."
    )
    passphrase_file: Path | None = Field(
        None, description="File, mode 0600, whose first line seals the key file; none leaves it."
    )
    passphrase_kdf: Literal["argon2id", "scrypt"] = Field(
        "argon2id",
        description="What stretches the passphrase when the key file is written; both are read.",
    )
    pkcs11_module: Path | None = Field(None, description="The token vendor's PKCS#11 library.")
    token_label: str = Field("voiceauth", description="Label of the token.")
    pin_file: Path | None = Field(
        None, description="File, mode 0600, whose first line is the token's user PIN."
    )
    rotate_days: int = Field(
        0, ge=0, le=3650, description="Replace keys of this age by itself; 0 means never."
    )
    backup_days: int = Field(
        0,
        ge=0,
        le=3650,
        description="How long backups of the vault are kept: a key that was replaced so long ago "
        "is destroyed, and erased people are gone from every older backup. 0 keeps all keys.",
    )


class LedgerSettings(Section):
    """How the ledger is made tamper-evident beyond this machine."""

    checkpoint_seconds: PositiveSeconds = Field(
        60.0, description="Time between two signed checkpoints, while there are new entries."
    )
    export_dir: Path | None = Field(
        None,
        description="A directory on another system that hashes and checkpoints are appended to; "
        "none means that only the vault has them.",
    )
