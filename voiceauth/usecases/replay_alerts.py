# SPDX-License-Identifier: Apache-2.0
"""Show the rules a ledger of the past, and say what they would have raised. Nothing is written."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from voiceauth.alerts.evaluate import Evaluator
from voiceauth.alerts.reading import observed
from voiceauth.alerts.table import rules
from voiceauth.config import Settings
from voiceauth.errors import InputError, NotFoundError
from voiceauth.types import Alert, LedgerEntry, TenantId
from voiceauth.usecases.check_ledger import opened_desk
from voiceauth.usecases.keep_checkpoints import ledger_pages
from voiceauth.usecases.raise_alerts import OWN_EVENTS


def replay_vault(settings: Settings) -> Iterator[Alert]:
    """Show the rules of the settings the ledger of an installation.

    Raises:
        NotFoundError: there is no vault.
        SettingsError: a rule cannot be used.
    """
    with opened_desk(settings) as (vault, _, _):
        entries = (entry for page in ledger_pages(vault, 0) for entry in page)
        yield from replay(settings, entries)


def replay_file(settings: Settings, path: Path) -> Iterator[Alert]:
    """Show them a file: what ``voiceauth ledger show --json`` prints, or one entry per line.

    Raises:
        NotFoundError: there is no such file.
        InputError: it holds something else.
        SettingsError: a rule cannot be used.
    """
    return replay(settings, _entries(path))


def replay(settings: Settings, entries: Iterable[LedgerEntry]) -> Iterator[Alert]:
    """Show them entries in order. Raises SettingsError."""
    chosen = settings.alerts
    evaluator = Evaluator(rules(chosen.rules), runbooks=chosen.runbooks)
    for entry in entries:
        if not entry.event.startswith(OWN_EVENTS):
            yield from evaluator.observe(observed(entry))


def _entries(path: Path) -> Iterator[LedgerEntry]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read.") from None
    try:
        whole = text.lstrip().startswith("[")
        rows = json.loads(text) if whole else [json.loads(one) for one in text.splitlines() if one]
        for row in rows:
            yield LedgerEntry(
                sequence=int(row["sequence"]),
                at=_instant(row["at"]),
                tenant=TenantId(str(row["tenant"])),
                event=str(row["event"]),
                body=str(row["body"]),
                previous_hash=b"",
                entry_hash=b"",
            )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise InputError(f"{path} holds no ledger entries.") from None


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError
    return at
