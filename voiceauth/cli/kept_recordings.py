# SPDX-License-Identifier: Apache-2.0
"""An operator's list of recordings that were kept of enrolled people."""

import csv
from dataclasses import dataclass
from pathlib import Path

from voiceauth.errors import InputError


@dataclass(frozen=True, slots=True)
class KeptRecording:
    """A recording, and whose voice it is said to be."""

    tenant: str
    subject: str
    path: Path


def kept_recordings(listing: Path, root: Path | None, tenant: str) -> tuple[KeptRecording, ...]:
    """Read a list.

    Args:
        listing: CSV with the columns ``subject`` and ``path``, and ``tenant`` if there are several.
        root: folder that the paths are relative to; None for the list's own.
        tenant: where there is no such column, or nothing in it.

    Raises:
        InputError: there is no such file, a column is missing, a row is incomplete, or a recording
            is not there. Nothing is sent then.
    """
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{listing} cannot be read.", detail=str(error)) from error
    found = []
    for number, row in enumerate(rows, start=2):
        subject, path = row.get("subject"), row.get("path")
        if not subject or not path:
            raise InputError(f"{listing}, line {number}: subject or path is missing.")
        recording = (root or listing.parent) / path
        if not recording.is_file():
            raise InputError(f"{listing}, line {number}: there is no file {recording}.")
        found.append(KeptRecording(row.get("tenant") or tenant, subject, recording))
    return tuple(found)
