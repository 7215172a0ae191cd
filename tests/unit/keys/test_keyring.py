# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from voiceauth.errors import KeyServiceError, PolicyError, TagMismatchError
from voiceauth.keys import keyring, stretching
from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import FakeClock, FakeRandom
from voiceauth.types import KeyId

DATA_KEY = bytes(range(32))


def created(path: Path, seed: int = 1) -> FileKeyring:
    """Make a key file that depends on the seed only."""
    return FileKeyring.create(path, clock=FakeClock(), random=FakeRandom(seed))


def loaded(path: Path, passphrase: bytes | None = None) -> FileKeyring:
    """Open a key file as another process would."""
    fetch = None if passphrase is None else lambda: passphrase
    return FileKeyring.load(path, clock=FakeClock(), random=FakeRandom(99), passphrase=fetch)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o601, 0o610, 0o666])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or world on the key file stops the start."""
    created(tmp_path / "keys.json")
    (tmp_path / "keys.json").chmod(mode)

    with pytest.raises(KeyServiceError, match="0600"):
        loaded(tmp_path / "keys.json")


def test_a_missing_key_file_is_an_error_of_the_key_service(tmp_path: Path) -> None:
    """No key file, no service; nothing is made up in its place."""
    with pytest.raises(KeyServiceError):
        loaded(tmp_path / "keys.json")
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    """What cannot be read as a file is an error of the key service."""
    with pytest.raises(KeyServiceError):
        loaded(tmp_path)


def test_every_truncated_key_file_is_refused(tmp_path: Path) -> None:
    """A key file cut short anywhere is damaged, never half a key file."""
    path = tmp_path / "keys.json"
    created(path)
    whole = path.read_bytes()

    for length in range(len(whole) - 2):
        path.write_bytes(whole[:length])
        with pytest.raises(KeyServiceError):
            loaded(path)


def test_every_changed_byte_of_the_content_is_refused(tmp_path: Path) -> None:
    """A damaged key is never used: what it encrypts would be lost."""
    path = tmp_path / "keys.json"
    created(path)
    whole = path.read_bytes()

    for place in range(whole.index(b"content"), len(whole) - 2):
        if whole[place : place + 1].isspace():
            continue
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(KeyServiceError):
            loaded(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"version": 2}', "\xff", "[" * 9999])
def test_a_file_that_is_no_key_file_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file, the error is one of the key service."""
    path = tmp_path / "keys.json"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)

    with pytest.raises(KeyServiceError):
        loaded(path)


def test_a_newer_key_file_is_refused(tmp_path: Path) -> None:
    """An unknown version is not guessed at."""
    path = tmp_path / "keys.json"
    created(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "version": 4}))

    with pytest.raises(KeyServiceError, match="newer"):
        loaded(path)


def test_a_key_file_without_one_proper_current_key_is_refused(tmp_path: Path) -> None:
    """No current key, two of them, or a key of another length: nothing is wrapped with that."""
    path = tmp_path / "keys.json"
    created(path)
    whole = json.loads(path.read_text())
    (key,) = whole["content"]["keys"]
    for wrong in ([], [key, key], [{**key, "state": "unwrap-only"}], [{**key, "key": "AAAA"}]):
        content = {**whole["content"], "keys": wrong}
        path.write_text(json.dumps(_checked({**whole, "content": content})))
        with pytest.raises(KeyServiceError, match="damaged"):
            loaded(path)


def test_an_existing_key_file_is_never_overwritten(tmp_path: Path) -> None:
    """Making keys where keys are would destroy every voiceprint."""
    path = tmp_path / "keys.json"
    created(path)
    before = path.read_bytes()

    with pytest.raises(PolicyError):
        created(path, seed=2)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["keys.json"]


def test_a_key_file_in_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    """A place that cannot be written is an error of the key service."""
    with pytest.raises(KeyServiceError):
        created(tmp_path / "nowhere" / "keys.json")


def test_a_new_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """The file has mode 0600 from its first moment."""
    created(tmp_path / "keys.json")

    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_keys_survive_a_restart(tmp_path: Path) -> None:
    """What one process wrapped and derived, the next one unwraps and derives again."""
    first = created(tmp_path / "keys.json")
    name, wrapped = first.wrap(DATA_KEY, b"context")
    second = loaded(tmp_path / "keys.json")

    assert second.unwrap(name, wrapped, b"context") == DATA_KEY
    assert second.derive("purpose") == first.derive("purpose")
    assert second.current() == name


def test_a_wrapped_key_is_bound_to_its_context(tmp_path: Path) -> None:
    """A wrapped key moved to another context, or changed, does not open."""
    keys = created(tmp_path / "keys.json")
    name, wrapped = keys.wrap(DATA_KEY, b"context")

    with pytest.raises(TagMismatchError):
        keys.unwrap(name, wrapped, b"another")
    with pytest.raises(TagMismatchError):
        keys.unwrap(name, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"context")


def test_a_wrapped_key_is_bound_to_its_wrapping_key(tmp_path: Path) -> None:
    """Naming another wrapping key of the same file does not open it."""
    keys = created(tmp_path / "keys.json")
    _, wrapped = keys.wrap(DATA_KEY, b"context")
    other = keys.rotate()

    with pytest.raises(TagMismatchError):
        keys.unwrap(other, wrapped, b"context")


def test_after_a_rotation_old_keys_still_unwrap(tmp_path: Path) -> None:
    """A rotation changes what is wrapped from now on, and loses nothing."""
    keys = created(tmp_path / "keys.json")
    old, wrapped = keys.wrap(DATA_KEY, b"context")
    secret = keys.derive("purpose")

    new = keys.rotate()

    for one in (keys, loaded(tmp_path / "keys.json")):
        assert one.current() == new != old
        assert one.unwrap(old, wrapped, b"context") == DATA_KEY
        assert one.derive("purpose") == secret
        assert one.key_ids() == (old, new)


def test_a_key_that_another_process_added_is_found(tmp_path: Path) -> None:
    """A server that runs through a rotation reads what was wrapped after it."""
    server = created(tmp_path / "keys.json")
    command = loaded(tmp_path / "keys.json")
    command.rotate()
    name, wrapped = command.wrap(DATA_KEY, b"context")

    assert server.unwrap(name, wrapped, b"context") == DATA_KEY
    assert server.current() == name


def test_two_processes_that_rotate_lose_no_key(tmp_path: Path) -> None:
    """A rotation starts from what the file holds, not from what the process remembers."""
    one = created(tmp_path / "keys.json")
    other = loaded(tmp_path / "keys.json")
    first, second = one.rotate(), other.rotate()

    assert loaded(tmp_path / "keys.json").key_ids()[1:] == (first, second)


def test_another_installations_file_is_not_taken_over(tmp_path: Path) -> None:
    """A running server does not change its identity because the file was swapped."""
    keys = created(tmp_path / "keys.json")
    secret, name = keys.derive("purpose"), keys.current()
    (tmp_path / "keys.json").unlink()
    created(tmp_path / "keys.json", seed=2)

    with pytest.raises(KeyServiceError):
        keys.unwrap(KeyId("kek-unknown"), b"", b"")
    assert (keys.derive("purpose"), keys.current()) == (secret, name)


def test_an_unknown_key_is_an_error_of_the_key_service(tmp_path: Path) -> None:
    """A wrapping key that is not in the file cannot be guessed."""
    with pytest.raises(KeyServiceError):
        created(tmp_path / "keys.json").unwrap(KeyId("kek-unknown"), b"", b"")


def test_a_retired_key_is_gone(tmp_path: Path) -> None:
    """Retiring destroys: what only that key wrapped is lost, in this process and on disk."""
    keys = created(tmp_path / "keys.json")
    old, wrapped = keys.wrap(DATA_KEY, b"context")
    keys.rotate()
    keys.retire(old)

    for one in (keys, loaded(tmp_path / "keys.json")):
        with pytest.raises(KeyServiceError):
            one.unwrap(old, wrapped, b"context")


def test_one_key_of_many_that_does_not_open_is_an_error_of_all(tmp_path: Path) -> None:
    """Each data key is held against its own context and wrapping key."""
    keys = created(tmp_path / "keys.json")
    boxes = [(*keys.wrap(DATA_KEY, bytes([n])), bytes([n])) for n in range(5)]
    name, wrapped, _ = boxes[3]

    for bad in (
        (name, wrapped, b"another"),
        (name, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), b"\x03"),
        (name, wrapped[:-1], b"\x03"),
        (keys.rotate(), wrapped, b"\x03"),
    ):
        with pytest.raises(TagMismatchError):
            keys.unwrap_many([*boxes[:3], bad, *boxes[4:]])
    with pytest.raises(KeyServiceError):
        keys.unwrap_many([*boxes[:3], (KeyId("kek-unknown"), wrapped, b"\x03")])


def test_many_keys_come_in_their_order(tmp_path: Path) -> None:
    """Under keys of several scopes and ages, what comes is what unwrapping one by one gives."""
    keys = created(tmp_path / "keys.json")
    boxes = []
    for n in range(9):
        if n % 4 == 3:
            keys.rotate("a")
        boxes.append((*keys.wrap(bytes([n] * 32), b"place", "ab"[n % 2]), b"place"))

    assert keys.unwrap_many(boxes) == [bytes([n] * 32) for n in range(9)]
    assert keys.unwrap_many([]) == []


def test_every_request_for_many_looks_at_the_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation and a retirement by another process hold from the next request on."""
    server, command = created(tmp_path / "keys.json"), loaded(tmp_path / "keys.json")
    old, wrapped = server.wrap(DATA_KEY, b"context")
    looks: list[Path] = []
    stamp = keyring._stamp

    def noted(path: Path) -> tuple[int, int, int] | None:
        looks.append(path)
        return stamp(path)

    monkeypatch.setattr(keyring, "_stamp", noted)

    assert server.unwrap_many([(old, wrapped, b"context")] * 50) == [DATA_KEY] * 50
    assert len(looks) == 1
    new, again = (command.rotate(), command.wrap(DATA_KEY, b"context")[1])
    assert server.unwrap_many([(new, again, b"context")]) == [DATA_KEY]
    command.retire(old)
    with pytest.raises(KeyServiceError):
        server.unwrap_many([(new, again, b"context"), (old, wrapped, b"context")])


def test_the_current_key_cannot_be_retired(tmp_path: Path) -> None:
    """There is always a key to wrap under, and a typing error retires nothing."""
    keys = created(tmp_path / "keys.json")

    with pytest.raises(PolicyError):
        keys.retire(keys.current())
    with pytest.raises(KeyServiceError):
        keys.retire(KeyId("kek-unknown"))
    assert len(keys.key_ids()) == 1


def test_a_rotation_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    """Nothing is wrapped under a key that is not on the disk."""
    home = tmp_path / "keys"
    home.mkdir()
    keys = created(home / "keys.json")
    before = keys.current()
    home.rename(tmp_path / "gone")

    with pytest.raises(KeyServiceError):
        keys.rotate()
    assert keys.current() == before


def test_derived_secrets_depend_on_installation_and_purpose(tmp_path: Path) -> None:
    """No two purposes and no two installations share a secret."""
    one, other = created(tmp_path / "a.json", 1), created(tmp_path / "b.json", 2)

    assert len({one.derive("a"), one.derive("b"), other.derive("a")}) == 3
    assert len(one.derive("a")) == 32


@pytest.mark.parametrize("kdf", ["argon2id", "scrypt"])
def test_a_passphrase_seals_the_file(tmp_path: Path, kdf: str) -> None:
    """Without the passphrase, or with a wrong one, the file says nothing."""
    path = tmp_path / "keys.json"
    plain = created(tmp_path / "plain.json", 1)
    sealed = FileKeyring.create(
        path, clock=FakeClock(), random=FakeRandom(1), passphrase=lambda: b"correct horse", kdf=kdf
    )
    assert json.loads(path.read_text())["content"]["kdf"] == kdf
    assert sealed.derive("x") == plain.derive("x")
    assert "secret" not in path.read_text()

    with pytest.raises(KeyServiceError, match="needs a passphrase"):
        loaded(path)
    with pytest.raises(KeyServiceError, match="wrong"):
        loaded(path, b"incorrect horse")
    assert loaded(path, b"correct horse").derive("x") == plain.derive("x")


@pytest.mark.parametrize(
    ("kdf", "parameter", "value"),
    [
        ("scrypt", "n", 2**30),
        ("scrypt", "n", 2),
        ("argon2id", "memory_cost", 2**30),
        ("argon2id", "memory_cost", 8),
        ("argon2id", "iterations", 1),
        ("argon2id", "lanes", 1),
        ("argon2id", "kdf", "argon2d"),
    ],
)
def test_foreign_stretching_is_refused(
    tmp_path: Path, kdf: str, parameter: str, value: str | int
) -> None:
    """A file cannot make the engine spend gigabytes, or accept a weak stretching."""
    path = tmp_path / "keys.json"
    FileKeyring.create(
        path, clock=FakeClock(), random=FakeRandom(1), passphrase=lambda: b"x", kdf=kdf
    )
    document = json.loads(path.read_text())
    document["content"][parameter] = value
    path.write_text(json.dumps(_checked(document)))

    with pytest.raises(KeyServiceError, match="unknown"):
        loaded(path, b"x")


def test_the_functions_named_in_a_file_cannot_be_exchanged(tmp_path: Path) -> None:
    """A file sealed with the dear function, passed off as one of the cheap one, does not open."""
    path = tmp_path / "keys.json"
    FileKeyring.create(path, clock=FakeClock(), random=FakeRandom(1), passphrase=lambda: b"x")
    document = json.loads(path.read_text())
    kept = {name: document["content"][name] for name in ("salt", "box")}
    document["content"] = {"kdf": "scrypt", "n": 2**15, "r": 8, "p": 1, **kept}
    path.write_text(json.dumps(_checked(document)))

    with pytest.raises(KeyServiceError, match="passphrase is wrong"):
        loaded(path, b"x")


def test_a_file_of_the_former_function_is_brought_forward_by_the_next_writing(
    tmp_path: Path,
) -> None:
    """It is read as it is; a rotation writes it with Argon2id, and every key is still there."""
    path = tmp_path / "keys.json"
    old = FileKeyring.create(
        path, clock=FakeClock(), random=FakeRandom(1), passphrase=lambda: b"x", kdf="scrypt"
    )
    assert json.loads(path.read_text())["version"] == 2  # as older engines read it
    now = loaded(path, b"x")
    now.rotate()

    document = json.loads(path.read_text())
    assert (document["version"], document["content"]["kdf"]) == (3, "argon2id")
    assert set(old.key_ids()) < set(loaded(path, b"x").key_ids())


def test_without_a_passphrase_older_engines_read_the_file(tmp_path: Path) -> None:
    """Only a file that needs Argon2id is of the format that they refuse."""
    created(tmp_path / "keys.json")

    assert json.loads((tmp_path / "keys.json").read_text())["version"] == 2


def test_an_unknown_function_makes_no_key() -> None:
    """A mistake in the code does not become a weak key."""
    with pytest.raises(KeyServiceError, match="unknown"):
        stretching.stretched(b"x", b"s" * 16, "md5")


def test_a_machine_without_argon2_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenSSL before 3.2 gives a sentence, not another function behind one's back."""

    def missing(**_: object) -> None:
        raise UnsupportedAlgorithm("argon2id")

    monkeypatch.setattr(stretching, "Argon2id", missing)
    with pytest.raises(KeyServiceError, match="passphrase_kdf"):
        stretching.stretched(b"x", b"s" * 16, "argon2id")


def test_argon2id_is_the_one_of_the_standard() -> None:
    """The stretched key is that of an independent implementation of RFC 9106 (argon2-cffi 25.1)."""
    key = stretching.stretched(b"correct horse", bytes(range(16)), "argon2id")

    assert key.hex() == "577f1ff37e9a3e52c97d39f8e83891c1b73b0e87ffe0429cee8ede2fb005fe44"


def test_secrets_do_not_show_in_repr(tmp_path: Path) -> None:
    """A traceback or a debug line must not print keys."""
    keys = created(tmp_path / "keys.json")

    assert "key=" not in repr(keys._material)
    assert repr(keys._material.secret) not in repr(keys._material)


def _checked(document: dict[str, object]) -> dict[str, object]:
    content = json.dumps(document["content"], sort_keys=True, separators=(",", ":"))
    return {**document, "sha256": hashlib.sha256(content.encode()).hexdigest()}
