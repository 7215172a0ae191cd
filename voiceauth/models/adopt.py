# SPDX-License-Identifier: Apache-2.0
"""Bring models into a folder of the operator, where they may get tables and cohorts of their own.

A file is never overwritten: each version of tables and cohorts has a name of its own, so that what
a verdict names can still be looked up.
"""

from pathlib import Path

from voiceauth.errors import SettingsError, StorageError
from voiceauth.models.install import content_of, enter, replace_manifest
from voiceauth.models.manifest import Manifest, ModelEntry, read_manifest, read_verified


def adopt(source: Manifest, entry: ModelEntry, directory: Path) -> None:
    """Bring a model's files into an operator's own directory, and those of the spoof model.

    Nothing happens if the source is that directory. Every file is checked against its hash. The
    manifest there is left as it is: ``enter_adopted`` writes it, last.

    Args:
        source: where the models are now.
        entry: the speaker model.
        directory: where it is to be as well; made if it is not there.

    Raises:
        SettingsError: a file cannot be read, or another one has its name there.
        ModelHashMismatchError: a file is not what the source's manifest says.
        StorageError: the directory cannot be written.
    """
    if _same(source, directory):
        return
    stated = [(entry.file, entry.sha256), (entry.cohort.file, entry.cohort.sha256)]
    cards = [entry.card]
    if entry.int8 is not None:
        stated.append((entry.int8.file, entry.int8.sha256))
    if entry.continuity is not None:
        stated.append((entry.continuity.file, entry.continuity.sha256))
    if source.spoof is not None:
        spoof = source.spoof
        stated += [(spoof.file, spoof.sha256), (spoof.calibration.file, spoof.calibration.sha256)]
        cards.append(spoof.card)
    contents = {file: read_verified(source.directory, file, sha256) for file, sha256 in stated}
    contents |= {file: content_of(source.directory / file) for file in cards}
    for file, content in contents.items():
        write_new(directory / file, content)


def enter_adopted(source: Manifest, entry: ModelEntry, directory: Path) -> None:
    """Enter a model that was adopted, with its new companions, and the spoof model beside it.

    A spoof model that the directory has already stays. Raises as ``enter``.
    """
    enter(directory, entry, default=entry.name == source.default)
    present = read_manifest(directory)
    if present.spoof is None and source.spoof is not None:
        replace_manifest(directory, present.default, present.models, source.spoof)


def _same(source: Manifest, directory: Path) -> bool:
    return directory.exists() and directory.samefile(source.directory)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet; the same content again is no offence.

    Raises:
        SettingsError: a file of that name and other content is there.
        StorageError: it cannot be written.
    """
    try:
        if path.exists():
            if path.read_bytes() != content:
                raise SettingsError(f"{path} is there with other content, and is not overwritten.")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.new")
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}.") from error
