# SPDX-License-Identifier: Apache-2.0
"""The archive: one file, readable by whoever has the backup key, made by whoever has the vault's.

Layout, every number big-endian and of four bytes:

    voiceauth-backup/1
    length, header          JSON: which key wraps the archive's own, and whose signature follows
    length, chunk           as often as needed; the content is sealed as ``keys.stream`` does it
    0
    signature               Ed25519 over the hash of everything before it, 64 bytes

The content is the manifest with its length, and then every file that it names, in its order.

Reading, in this order:

(1) The signature over the whole file, with a key that the reader brings along.
(2) The header and the archive's own key.
(3) The chunks, each authenticated; the manifest first.
(4) The hash and length of every file, and that nothing follows.
"""

import hashlib
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from voiceauth.backup.header import Header, decode_header, encode_header
from voiceauth.backup.manifest import ArchivedFile, Manifest, decode, encode
from voiceauth.errors import (
    EngineError,
    IntegrityError,
    KeyServiceError,
    NotFoundError,
    StorageError,
    WrongKeyError,
)
from voiceauth.keys.canonical import bind
from voiceauth.keys.envelope import KEY_BYTES, TAG_BYTES
from voiceauth.keys.signing import SIGNATURE_BYTES, SigningKey, check_signature
from voiceauth.keys.stream import CHUNK_BYTES, opened_chunks, sealed_chunks
from voiceauth.ports import KeyService, Random

MAGIC = b"voiceauth-backup/1\n"
_LENGTH = struct.Struct(">I")
_LONGEST_HEADER = 8192
_LONGEST_MANIFEST = 16_777_216
_BLOCK = 1_048_576
_SCOPE = "backup"


@dataclass(frozen=True, slots=True)
class BackupKeys:
    """What seals and signs archives.

    Attributes:
        sealing: of the backups alone; not the vault's.
        signing: of the installation.
    """

    sealing: KeyService
    signing: SigningKey


def write_archive(
    path: Path,
    manifest: Manifest,
    sources: Mapping[str, Path],
    keys: BackupKeys,
    random: Random,
) -> str:
    """Write an archive; it has its name only once it is whole and on the disk.

    Args:
        path: to make.
        manifest: of the files.
        sources: where each of them lies, by its name.
        keys: to seal and sign with.
        random: makes the archive's own key.

    Returns:
        SHA-256 of the archive, hex.

    Raises:
        StorageError: it cannot be written, there is one already, or a source changed meanwhile.
        KeyServiceError: the backup key is not available.
    """
    data_key = random.token(KEY_BYTES)
    key_id, wrapped = keys.sealing.wrap(data_key, _context(keys.signing.public), _SCOPE)
    header = encode_header(Header(key_id, wrapped, keys.signing.public))
    draft = path.with_name(f".{path.name}.part")
    digest = hashlib.sha256()
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in _pieces(manifest, sources, data_key, header):
                digest.update(piece)
                file.write(piece)
            signature = keys.signing.sign(_signed(digest.digest()))
            digest.update(signature)
            file.write(signature)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)  # never over another archive
        sync_directory(path.parent)
    except FileExistsError:
        raise StorageError(f"There is a backup {path} already.") from None
    except OSError as error:
        raise StorageError(
            f"The backup {path} cannot be written.", detail=str(error.strerror)
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()
    return digest.hexdigest()


def archive_hash(path: Path, public: bytes) -> str:
    """Check the signature of an archive; needs no secret. Step (1).

    Args:
        path: of the archive.
        public: key of the installation that made it.

    Returns:
        SHA-256 of the archive, hex.

    Raises:
        NotFoundError: there is no such file.
        WrongKeyError: another installation says to have signed it.
        IntegrityError: it was changed or cut off, or is no archive.
        StorageError: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with _reading(path) as file:
        left = os.fstat(file.fileno()).st_size - SIGNATURE_BYTES
        if file.read(len(MAGIC)) != MAGIC or left < len(MAGIC):
            raise IntegrityError(f"{path} is no backup of voiceauth, or of a newer version.")
        file.seek(0)
        while size < left and (block := file.read(min(_BLOCK, left - size))):
            digest.update(block)
            size += len(block)
        signature = file.read(SIGNATURE_BYTES)
        try:
            check_signature(public, _signed(digest.digest()), signature)
        except IntegrityError:
            raise _unsigned(path, file, public) from None
    digest.update(signature)
    return digest.hexdigest()


class OpenArchive:
    """An archive whose signature holds, being read from front to back."""

    def __init__(self, file: IO[bytes], content: Iterator[bytes]) -> None:
        self._file = file
        self._content = content
        self._held = b""
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        if length > _LONGEST_MANIFEST:
            raise IntegrityError(detail="a manifest of an impossible length")
        self.manifest = decode(self._take(length))

    def extract(self, place: Callable[[ArchivedFile], Path | None]) -> None:
        """Write every file and check it, or only check it. Steps (3) and (4).

        Args:
            place: where a file goes; None to check it only.

        Raises:
            IntegrityError: a file is not what the manifest says; nothing of it may be used.
            StorageError: a file cannot be written.
        """
        for one in self.manifest.files:
            target = place(one)
            if target is None:
                self._checked(one, None)
                continue
            try:
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    self._checked(one, file)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise StorageError(f"{target} cannot be written: {error.strerror}.") from error
        if self._held or any(self._content):
            raise IntegrityError("The backup holds more than it says.")

    def _checked(self, one: ArchivedFile, target: IO[bytes] | None) -> None:
        digest, left = hashlib.sha256(), one.size
        while left:
            block = self._take(min(left, CHUNK_BYTES))
            digest.update(block)
            left -= len(block)
            if target is not None:
                target.write(block)
        if digest.hexdigest() != one.sha256:
            raise IntegrityError("A file of the backup is not what its manifest says.")

    def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            piece = next(self._content, None)
            if piece is None:
                raise IntegrityError("The backup ends too early.")
            self._held += piece
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_archive(path: Path, sealing: KeyService, public: bytes) -> OpenArchive:
    """Open an archive: steps (1), (2) and the manifest of (3).

    Args:
        path: of the archive.
        sealing: the backup key.
        public: key of the installation that made it.

    Returns:
        The archive, for the caller to close.

    Raises:
        NotFoundError: there is no such file.
        WrongKeyError: the key is not the one that it was sealed under, or another installation's.
        IntegrityError: it was changed or cut off, or is no archive.
        StorageError: it cannot be read.
    """
    archive_hash(path, public)  # (1)
    file = _reading(path)
    try:
        file.seek(len(MAGIC))
        raw = _prefixed(file, _LONGEST_HEADER)
        header = decode_header(raw)  # (2)
        try:
            data_key = sealing.unwrap(header.key_id, header.wrapped, _context(header.signer))
        except (KeyServiceError, IntegrityError) as error:
            raise WrongKeyError("This backup key does not open this backup.") from error
        return OpenArchive(file, opened_chunks(data_key, _chunks(file), raw))
    except BaseException:
        file.close()
        raise


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pieces(
    manifest: Manifest, sources: Mapping[str, Path], data_key: bytes, header: bytes
) -> Iterator[bytes]:
    yield MAGIC
    yield _LENGTH.pack(len(header)) + header
    for chunk in sealed_chunks(data_key, _content(manifest, sources), header):
        yield _LENGTH.pack(len(chunk)) + chunk
    yield _LENGTH.pack(0)


def _content(manifest: Manifest, sources: Mapping[str, Path]) -> Iterator[bytes]:
    told = encode(manifest)
    yield _LENGTH.pack(len(told)) + told
    for one in manifest.files:
        digest, size = hashlib.sha256(), 0
        with sources[one.name].open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                yield block
        if (size, digest.hexdigest()) != (one.size, one.sha256):
            raise StorageError("A file changed while it was backed up.", detail=one.name)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := _prefixed(file, CHUNK_BYTES + TAG_BYTES):
        yield chunk


def _prefixed(file: IO[bytes], longest: int) -> bytes:
    head = file.read(_LENGTH.size)
    if len(head) != _LENGTH.size:
        raise IntegrityError("The backup ends too early.")
    (length,) = _LENGTH.unpack(head)
    if length > longest:
        raise IntegrityError(detail="a part of the backup has an impossible length")
    data = file.read(length)
    if len(data) != length:
        raise IntegrityError("The backup ends too early.")
    return data


def _unsigned(path: Path, file: IO[bytes], public: bytes) -> EngineError:
    """Say why a signature does not match, as far as the file itself can be believed."""
    with suppress(IntegrityError):
        file.seek(len(MAGIC))
        if decode_header(_prefixed(file, _LONGEST_HEADER)).signer != public:
            return WrongKeyError(f"Another installation made {path}.")
    return IntegrityError(f"{path} was changed, damaged or cut off.")


def _reading(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"There is no backup {path}.") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.") from error


def _context(signer: bytes) -> bytes:
    return bind("backup-key", signer=signer)


def _signed(digest: bytes) -> bytes:
    return MAGIC + digest
