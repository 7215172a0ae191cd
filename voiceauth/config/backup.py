# SPDX-License-Identifier: Apache-2.0
"""The section ``[backup]``."""

from pathlib import Path

from pydantic import Field

from voiceauth.config.section import Section


class BackupSettings(Section):
    """What a running server backs up by itself. `docs/recovery.md` has the whole procedure."""

    directory: Path | None = Field(
        None,
        description="Where backups and the journal of erasures go: another disk or machine. None: "
        "no backups by itself.",
    )
    key_file: Path | None = Field(
        None,
        description="The key that seals backups, not one of the vault's; default "
        "`backup-keys.json` in `data_dir`. Keep copies of it and of `storage.key_file` elsewhere.",
    )
    passphrase_file: Path | None = Field(
        None, description="File, mode 0600, whose first line seals that key file; none leaves it."
    )
    every_hours: float = Field(
        24.0, gt=0, le=720, description="Age of the newest backup at which the next one is made."
    )
    keep_daily: int = Field(
        7, ge=1, le=366, description="Of so many days, the last backup of each is kept."
    )
    keep_weekly: int = Field(
        4, ge=0, le=260, description="Likewise of so many weeks. Everything older is removed."
    )
