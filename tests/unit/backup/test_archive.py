# SPDX-License-Identifier: Apache-2.0
import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from voiceauth.backup.archive import BackupKeys, archive_hash, open_archive, write_archive
from voiceauth.backup.manifest import ArchivedFile, Manifest, decode, encode
from voiceauth.errors import IntegrityError, NotFoundError, StorageError, WrongKeyError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.keys.signing import SigningKey
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.types import KeyId, ModelHash

CONTENT = b"the vault" * 1000


def described(name: str, content: bytes) -> ArchivedFile:
    """Describe a file as it is."""
    return ArchivedFile(name, len(content), hashlib.sha256(content).hexdigest())


MANIFEST = Manifest(
    created_at=EPOCH,
    engine="1",
    schema=4,
    entries=7,
    head="ab" * 32,
    erasures=2,
    erasures_mac="cd" * 32,
    subjects=3,
    voiceprints=4,
    keys=(KeyId("kek-1"),),
    canary=(ModelHash("ef" * 32),),
    files=(described("vault.db", CONTENT), described("models/manifest.json", b"{}")),
)


@pytest.fixture
def keys(tmp_path: Path) -> BackupKeys:
    """What seals and signs."""
    sealing = FileKeyring.create(tmp_path / "keys", clock=FakeClock(), random=FakeRandom(1))
    return BackupKeys(sealing, SigningKey(bytes(32)))


@pytest.fixture
def archive(tmp_path: Path, keys: BackupKeys) -> Path:
    """A good archive."""
    (tmp_path / "vault").write_bytes(CONTENT)
    (tmp_path / "model").write_bytes(b"{}")
    sources = {"vault.db": tmp_path / "vault", "models/manifest.json": tmp_path / "model"}
    write_archive(tmp_path / "one.vab", MANIFEST, sources, keys, FakeRandom(2))
    return tmp_path / "one.vab"


def read(path: Path, keys: BackupKeys, target: Path | None = None) -> Manifest:
    """Read an archive to its end."""
    opened = open_archive(path, keys.sealing, keys.signing.public)
    try:
        opened.extract(lambda one: target if one.name == "vault.db" else None)
    finally:
        opened.close()
    return opened.manifest


def test_an_archive_with_any_byte_changed_is_refused(archive: Path, keys: BackupKeys) -> None:
    """Wherever a bit flips, nothing of the archive is used."""
    good = archive.read_bytes()
    for place in random.Random(1).sample(range(len(good)), 200):
        changed = bytearray(good)
        changed[place] ^= 1 << place % 8
        archive.write_bytes(bytes(changed))
        with pytest.raises((IntegrityError, WrongKeyError)):
            read(archive, keys)


def test_an_archive_that_was_cut_off_is_refused(archive: Path, keys: BackupKeys) -> None:
    """At whatever length it ends, down to nothing."""
    good = archive.read_bytes()
    for length in [*range(0, 400, 7), len(good) - 64, len(good) - 1]:
        archive.write_bytes(good[:length])
        with pytest.raises(IntegrityError):
            read(archive, keys)


def test_an_archive_with_something_behind_it_is_refused(archive: Path, keys: BackupKeys) -> None:
    """What follows the signature belongs to nobody."""
    archive.write_bytes(archive.read_bytes() + b"x")

    with pytest.raises(IntegrityError):
        read(archive, keys)


def test_another_backup_key_does_not_open_an_archive(
    archive: Path, keys: BackupKeys, tmp_path: Path
) -> None:
    """The refusal says that it is the key."""
    other = FileKeyring.create(tmp_path / "other", clock=FakeClock(), random=FakeRandom(9))

    with pytest.raises(WrongKeyError):
        read(archive, replace(keys, sealing=other))


def test_an_archive_of_another_installation_is_refused(archive: Path, keys: BackupKeys) -> None:
    """Even by somebody who has the backup key: it was signed by somebody else."""
    with pytest.raises(WrongKeyError, match="Another installation"):
        read(archive, replace(keys, signing=SigningKey(bytes([1]) * 32)))


def test_a_signature_can_be_checked_without_any_secret(archive: Path, keys: BackupKeys) -> None:
    """Where backups are kept, nothing more is needed than the public key."""
    expected = hashlib.sha256(archive.read_bytes()).hexdigest()

    assert archive_hash(archive, keys.signing.public) == expected


def test_there_is_no_archive_is_said(tmp_path: Path, keys: BackupKeys) -> None:
    """A missing file is not a damaged one, nor is a directory."""
    with pytest.raises(NotFoundError):
        read(tmp_path / "none.vab", keys)
    with pytest.raises(StorageError):
        read(tmp_path, keys)


def test_an_archive_is_never_written_over(archive: Path, keys: BackupKeys, tmp_path: Path) -> None:
    """The one that is there stays as it is, and no draft is left."""
    before = archive.read_bytes()
    sources = {"vault.db": tmp_path / "vault", "models/manifest.json": tmp_path / "model"}

    with pytest.raises(StorageError, match="already"):
        write_archive(archive, MANIFEST, sources, keys, FakeRandom(3))

    assert archive.read_bytes() == before
    assert list(tmp_path.glob(".*")) == []


def test_a_file_that_changes_meanwhile_makes_no_archive(
    archive: Path, keys: BackupKeys, tmp_path: Path
) -> None:
    """The manifest would not be true; nothing is left that could be taken for a backup."""
    (tmp_path / "vault").write_bytes(b"something else")
    sources = {"vault.db": tmp_path / "vault", "models/manifest.json": tmp_path / "model"}

    with pytest.raises(StorageError, match="changed"):
        write_archive(tmp_path / "two.vab", MANIFEST, sources, keys, FakeRandom(3))

    assert list(tmp_path.glob("*two*")) == []


def test_an_archive_cannot_be_written_nowhere(keys: BackupKeys, tmp_path: Path) -> None:
    """A directory that is not there is a storage error."""
    with pytest.raises(StorageError):
        write_archive(tmp_path / "no" / "x.vab", MANIFEST, {}, keys, FakeRandom(3))


def test_what_was_archived_comes_back(archive: Path, keys: BackupKeys, tmp_path: Path) -> None:
    """Manifest and content, byte by byte; the content is nowhere in clear in the archive."""
    assert read(archive, keys, tmp_path / "back") == MANIFEST

    assert (tmp_path / "back").read_bytes() == CONTENT
    assert b"the vault" not in archive.read_bytes()
    assert archive.stat().st_mode & 0o077 == 0


def test_a_restored_file_never_replaces_another(
    archive: Path, keys: BackupKeys, tmp_path: Path
) -> None:
    """Extraction makes files and overwrites none."""
    (tmp_path / "back").write_text("mine")

    with pytest.raises(StorageError):
        read(archive, keys, tmp_path / "back")

    assert (tmp_path / "back").read_text() == "mine"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"format":1', b'"format":2'),
        lambda text: text.replace(b'"vault.db"', b'"../vault.db"'),
        lambda text: text.replace(b'"vault.db"', b'"other"'),
        lambda text: text.replace(b'"models/manifest.json"', b'"vault.db"'),
        lambda text: text.replace(b'"schema":4', b'"schema":"x"'),
        lambda text: text.replace(b"[[", b"[[[").replace(b"]]", b"]]]"),
        lambda text: text.replace(b'"entries"', b'"else"'),
        lambda text: text.replace(b",9000,", b",-1,"),
        lambda text: text and b"[" * 100_000,
        lambda text: text and b"no json",
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(change: Callable[[bytes], bytes]) -> None:
    """A newer format, a path out of the place, a name twice, no vault, or nonsense."""
    text = encode(MANIFEST)
    changed = change(text)
    assert changed != text

    with pytest.raises(IntegrityError):
        decode(changed)
