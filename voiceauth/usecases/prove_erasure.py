# SPDX-License-Identifier: Apache-2.0
"""Look for an erased person wherever something could be left, and say what was found.

What is looked at, in this order:

(1) The vault: the record, and rows of it that no record leads to any more.
(2) The search index, built anew from the vault as a server does at its start.
(3) Every file of the data directory, for the person's id in plain text. Key files are left out.
(4) The ledger: its chain, and entries that name the person by id or by a pseudonym that the
    installation's keys give.
(5) Log files, for the id and for the stand-in that the log has.
(6) Backups: restored beside the installation with all keys that there are, and opened.

It shows what is not there under this id, in these places. It cannot show what nobody named: other
copies of the data or of the keys, or a person who is known under two ids.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings
from voiceauth.errors import EngineError, InputError, KeyServiceError, NotFoundError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.ledger.pseudonym import pseudonym
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import read_manifest
from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.acting import INSTALLATION
from voiceauth.usecases.backup_keys import backup_key_path, open_backup_keys
from voiceauth.usecases.check_ledger import audit, opened_desk
from voiceauth.usecases.erasure_receipt import BackupState, backup_state
from voiceauth.usecases.keep_checkpoints import ledger_pages
from voiceauth.usecases.keep_gallery import fill_gallery
from voiceauth.usecases.key_services import VAULT_FILE, existing_keys
from voiceauth.usecases.restored_vault import RestoreDesk, brought_back
from voiceauth.vault.store import SqliteVault

ARCHIVE = ".vab"
_SHORTEST = 4
"""A shorter id is found everywhere by chance."""
_CHUNK = 1 << 20


class Trace(StrEnum):
    """What was found in one place."""

    CLEAN = "clean"
    NOTED = "noted"
    """Nothing of the person, but something that the reader should know."""
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one place, and where that is."""

    place: str
    trace: Trace
    detail: str


def prove_erasure(
    settings: Settings,
    tenant: TenantId,
    subject: SubjectId,
    *,
    backups: Sequence[Path] = (),
    logs: Sequence[Path] = (),
) -> tuple[Finding, ...]:
    """Look everywhere. Blocking, and slow on a large vault.

    Args:
        settings: of the installation, on the machine of its files.
        tenant: whose subject it was.
        subject: the person.
        backups: copies of the vault's file or directory, or archives of `voiceauth backup`.
        logs: files or directories.

    Raises:
        NotFoundError: there is no vault, or a file that was named is not there.
        IntegrityError: the vault or a backup is damaged.
    """
    with opened_desk(settings) as (vault, desk, keys):
        findings = [
            *_in_vault(vault, tenant, subject),
            _in_index(settings, vault, tenant, subject),
            _in_files(settings, subject),
        ]
        secret = keys.derive("ledger-pseudonym")
        entries = audit(vault, desk, settings.ledger.export_dir).entries
        findings.append(Finding("ledger", Trace.CLEAN, f"the chain of {entries} entries holds"))
        findings += _in_ledger(vault, tenant, subject, pseudonym(secret, tenant, subject))
        stand_in = "~" + pseudonym(secret, INSTALLATION, subject)
        findings += [_in_log(one, subject, stand_in) for one in logs]
    findings += [_in_backup(settings, one, tenant, subject) for one in backups]
    return tuple(findings)


def _in_vault(vault: SqliteVault, tenant: TenantId, subject: SubjectId) -> Iterator[Finding]:
    rows = vault.rows_of(tenant, subject)
    left = {table: count for table, count in rows.items() if count and table != "changes"}
    if rows["changes"]:
        told = "the id stands sealed in the list of changes, until servers have read it (minutes)"
        yield Finding("vault", Trace.NOTED, told)
    with vault.read() as view:
        try:
            known = view.subject(tenant, subject) is not None
        except EngineError as error:
            yield Finding("vault", Trace.FOUND, f"a record is there, {error.code}")
            return
    trace = Trace.FOUND if known or left else Trace.CLEAN
    told = ", ".join(f"{count} in {table}" for table, count in left.items()) or "no row"
    yield Finding("vault", trace, f"{'known' if known else 'nobody is known'}; {told}")
    if not known:
        yield Finding("verify", Trace.CLEAN, "a claim meets a stand-in, and is never accepted")


def _in_index(
    settings: Settings, vault: SqliteVault, tenant: TenantId, subject: SubjectId
) -> Finding:
    """Build the index as at a start, and take the subject out of it."""
    choice = settings.models
    entry = read_manifest(choice.directory or default_model_directory()).entry(choice.speaker)
    gallery = FaissGallery(entry.dimension)
    held = fill_gallery(vault, gallery, entry.sha256)
    vectors = gallery.remove_subject(tenant, subject)
    trace = Trace.FOUND if vectors else Trace.CLEAN
    return Finding("index", trace, f"{vectors} of {held} vectors are the person's")


def _in_files(settings: Settings, subject: SubjectId) -> Finding:
    if len(subject) < _SHORTEST:
        return Finding("files", Trace.NOTED, "the id is too short to be searched for")
    secret = {settings.storage.keys.resolve(), backup_key_path(settings).resolve()}
    home = settings.storage.data_dir
    files = [one for one in _files(home) if one.resolve() not in secret]
    hits = [one.relative_to(home) for one in files if _holds(one, _spellings(subject))]
    if hits:
        return Finding("files", Trace.FOUND, f"the id stands in {', '.join(map(str, hits))}")
    return Finding("files", Trace.CLEAN, f"the id stands in none of {len(files)} files")


def _in_ledger(
    vault: SqliteVault, tenant: TenantId, subject: SubjectId, name: str
) -> Iterator[Finding]:
    by_name = by_id = 0
    for page in ledger_pages(vault, 0):
        for entry in page:
            if entry.tenant in {tenant, INSTALLATION}:
                by_name += name in entry.body
            by_id += len(subject) >= _SHORTEST and _stands_alone(entry.body.encode(), subject)
    if by_id:
        yield Finding("ledger", Trace.FOUND, f"the id stands in {by_id} entries")
    if by_name:
        told = "claims on the id while nobody had it, refusals, or an earlier version's entries"
        yield Finding("ledger", Trace.NOTED, f"{by_name} entries can be tied to the id: {told}")
    if not by_id and not by_name:
        yield Finding("ledger", Trace.CLEAN, "no entry can be tied to the id")


def _in_log(path: Path, subject: SubjectId, stand_in: str) -> Finding:
    if not path.exists():
        raise NotFoundError(f"There is no log {path}.")
    files = _files(path) if path.is_dir() else [path]
    plain = len(subject) >= _SHORTEST and any(_holds(one, _spellings(subject)) for one in files)
    place = f"log {path.name}"
    if plain:
        return Finding(place, Trace.FOUND, "the id stands in it")
    if any(_holds(one, [stand_in.encode()]) for one in files):
        return Finding(place, Trace.NOTED, "the stand-in of the id does; it goes with the log")
    return Finding(place, Trace.CLEAN, "neither the id nor its stand-in is in it")


def _in_backup(settings: Settings, path: Path, tenant: TenantId, subject: SubjectId) -> Finding:
    place = f"backup {path.name}"
    clock, random = SystemClock(), SystemRandom()
    keys = existing_keys(settings, clock=clock, random=random)
    if path.suffix == ARCHIVE:
        sealing = open_backup_keys(settings, keys, clock=clock, random=random)
        desk = RestoreDesk(keys, sealing, None, clock, random)
        with tempfile.TemporaryDirectory(prefix="voiceauth-proof-") as folder:
            state = BackupState.ABSENT
            try:
                with brought_back(path, Path(folder), desk) as back, back.vault.read() as view:
                    if view.subject(tenant, subject) is not None:
                        state = BackupState.READABLE
            except KeyServiceError:
                state = BackupState.UNREADABLE
    else:
        file = path / VAULT_FILE if path.is_dir() else path
        state = backup_state(file, keys, tenant, subject, clock=clock, random=random)
    if state is BackupState.READABLE:
        told = "the person can be read: rotate the tenant's key, then destroy the replaced one"
        return Finding(place, Trace.FOUND, told)
    told = "the person is not in it"
    if state is BackupState.UNREADABLE:
        told = "the person's rows are in it, and no key that is left opens them"
    return Finding(place, Trace.CLEAN, told)


def _files(directory: Path) -> list[Path]:
    return sorted(one for one in directory.rglob("*") if one.is_file())


def _spellings(subject: SubjectId) -> list[bytes]:
    return [subject.encode("utf-8"), subject.encode("utf-16-le")]


def _holds(path: Path, wanted: Sequence[bytes]) -> bool:
    """Whether a file holds one of some texts, by itself and not within a longer word."""
    longest = max(map(len, wanted)) + 1
    try:
        with path.open("rb") as file:
            before = b""
            while chunk := file.read(_CHUNK):
                window = before + chunk
                if any(_alone(window, one) for one in wanted):
                    return True
                before = window[-longest:]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return False


def _stands_alone(text: bytes, subject: SubjectId) -> bool:
    return _alone(text, subject.encode("utf-8"))


def _alone(text: bytes, wanted: bytes) -> bool:
    start = text.find(wanted)
    while start >= 0:
        around = text[max(0, start - 1) : start] + text[start + len(wanted) :][:1]
        if not any(bytes([one]).isalnum() for one in around):
            return True
        start = text.find(wanted, start + 1)
    return False
