# SPDX-License-Identifier: Apache-2.0
import json
import os
from pathlib import Path

import pytest

from voiceauth.errors import KeyServiceError, PolicyError, TagMismatchError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.keys.secret_file import read_secret
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.types import KeyId

DATA_KEY = bytes(range(32))


def created(path: Path, passphrase: bytes | None = None) -> FileKeyring:
    """Make a key file."""
    fetch = None if passphrase is None else lambda: passphrase
    return FileKeyring.create(path, clock=FakeClock(), random=FakeRandom(1), passphrase=fetch)


def loaded(path: Path, passphrase: bytes | None = None) -> FileKeyring:
    """Open it as another process would."""
    fetch = None if passphrase is None else lambda: passphrase
    return FileKeyring.load(path, clock=FakeClock(), random=FakeRandom(9), passphrase=fetch)


def test_one_tenants_key_does_not_open_what_another_ones_sealed(tmp_path: Path) -> None:
    """Tenants have keys of their own, and a wrapped key names the one it needs."""
    keys = created(tmp_path / "keys.json")
    bank, wrapped = keys.wrap(DATA_KEY, b"context", "bank")
    shop, _ = keys.wrap(DATA_KEY, b"context", "shop")

    with pytest.raises(TagMismatchError):
        keys.unwrap(shop, wrapped, b"context")
    assert keys.unwrap(bank, wrapped, b"context") == DATA_KEY


def test_a_destroyed_key_opens_nothing_in_any_process(tmp_path: Path) -> None:
    """A running server forgets a key that another process destroyed."""
    path = tmp_path / "keys.json"
    server, operator = created(path), loaded(path)
    old, wrapped = server.wrap(DATA_KEY, b"context", "bank")
    with pytest.raises(PolicyError):
        operator.retire(old)
    operator.rotate("bank")
    assert server.unwrap(old, wrapped, b"context") == DATA_KEY

    operator.retire(old)

    for keys in (server, operator, loaded(path)):
        with pytest.raises(KeyServiceError):
            keys.unwrap(old, wrapped, b"context")


def test_a_destroyed_key_does_not_stay_in_the_old_file(tmp_path: Path) -> None:
    """The replaced file's content is overwritten, as a second name for it shows."""
    path = tmp_path / "keys.json"
    keys = created(path)
    (tmp_path / "old").hardlink_to(path)
    keys.rotate()

    assert set((tmp_path / "old").read_bytes()) == {0}


def test_a_running_server_uses_a_new_key_at_once(tmp_path: Path) -> None:
    """Nothing is wrapped under the old key after a rotation in another process."""
    path = tmp_path / "keys.json"
    server = created(path)
    server.current("bank")

    new = loaded(path).rotate("bank")

    assert server.current("bank") == server.wrap(DATA_KEY, b"", "bank")[0] == new


def test_two_processes_make_one_first_key(tmp_path: Path) -> None:
    """The key of a tenant that both meet first is the same."""
    path = tmp_path / "keys.json"
    one, two = created(path), loaded(path)
    two._refresh = lambda: None  # type: ignore[method-assign]  # has not noticed the other yet

    assert one.current("bank") == two.current("bank")


def test_keys_that_are_known_stay_in_use_while_the_file_is_away(tmp_path: Path) -> None:
    """A file system that is gone for a while destroys nothing; but no new key is made."""
    path = tmp_path / "keys.json"
    keys = created(path)
    key_id, wrapped = keys.wrap(DATA_KEY, b"context")
    path.rename(tmp_path / "away")

    assert keys.unwrap(key_id, wrapped, b"context") == DATA_KEY
    with pytest.raises(KeyServiceError):
        keys.current("new tenant")


def test_the_inventory_tells_scope_time_and_state_but_no_key(tmp_path: Path) -> None:
    """Oldest first; each scope has one current key."""
    keys = created(tmp_path / "keys.json")
    keys.current("bank")
    keys.rotate("bank")

    found = keys.inventory()

    assert [(one.scope, one.current) for one in found] == [
        ("", True),
        ("bank", False),
        ("bank", True),
    ]
    assert found[0].created_at == EPOCH


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_file_without_scopes_is_read_and_brought_forward(
    tmp_path: Path, passphrase: bytes | None
) -> None:
    """Format 1, sealed or not, opens; the next change writes format 2."""
    path = tmp_path / "keys.json"
    source = Path(__file__).parent / f"keys-1-{'sealed' if passphrase else 'raw'}.json"
    path.write_bytes(source.read_bytes())
    path.chmod(0o600)

    keys = loaded(path, passphrase)
    first = keys.current()
    tenants = keys.current("bank")

    assert first != tenants
    assert json.loads(path.read_text())["version"] == (2 if passphrase is None else 3)
    assert loaded(path, passphrase).key_ids() == (first, tenants)


def test_a_scope_with_two_current_keys_is_damage(tmp_path: Path) -> None:
    """Which key is current is never guessed."""
    path = tmp_path / "keys.json"
    keys = created(path)
    keys.rotate()
    document = json.loads(path.read_text())
    for one in document["content"]["keys"]:
        one["state"] = "current"
    text = json.dumps(document["content"], sort_keys=True, separators=(",", ":"))
    document["sha256"] = __import__("hashlib").sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document))

    with pytest.raises(KeyServiceError, match="damaged"):
        loaded(path)


def test_destroying_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A mistyped id destroys nothing and says so."""
    with pytest.raises(KeyServiceError):
        created(tmp_path / "keys.json").retire(KeyId("kek-none"))


def test_a_secret_file_open_to_others_empty_or_missing_is_refused(tmp_path: Path) -> None:
    """A passphrase or PIN that others can read is none."""
    path = tmp_path / "pin"
    with pytest.raises(KeyServiceError, match="cannot be read"):
        read_secret(path)
    path.write_text("\n1234\n")
    path.chmod(0o600)
    with pytest.raises(KeyServiceError, match="no secret"):
        read_secret(path)
    path.write_text("1234\r\nrest")
    assert read_secret(path) == b"1234"
    os.chmod(path, 0o640)  # noqa: PTH101 - as an operator would
    with pytest.raises(KeyServiceError, match="0600"):
        read_secret(path)
