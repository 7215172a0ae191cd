# SPDX-License-Identifier: Apache-2.0
"""The PKCS#11 key service against a real token. Runs by ``make test-hsm``; needs SoftHSM 2."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voiceauth.config import KeySettings, Settings, StorageSettings
from voiceauth.errors import (
    KeyServiceError,
    MissingExtraError,
    PolicyError,
    TagMismatchError,
    WrongKeyError,
)
from voiceauth.keys import pkcs11 as room
from voiceauth.keys.pkcs11 import Pkcs11Keyring, Token
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeRandom
from voiceauth.testing.records import MODEL, made_up_voiceprint
from voiceauth.types import KeyId, SubjectId, TenantId
from voiceauth.usecases.keep_keys import init_keys, list_keys
from voiceauth.usecases.key_services import open_keys
from voiceauth.vault.open import open_vault

DATA_KEY = bytes(range(32))
BANK, SHOP, ALICE = TenantId("bank"), TenantId("shop"), SubjectId("alice")
New = Callable[[], Token]


def keyring(token: Token, seed: int = 1, *, create: bool = True) -> Pkcs11Keyring:
    """Open a token as one process would."""
    return Pkcs11Keyring(token, clock=FakeClock(), random=FakeRandom(seed), create=create)


def test_a_wrong_pin_is_refused(new_token: New) -> None:
    """Nobody gets in without the PIN."""
    with pytest.raises(KeyServiceError):
        keyring(replace(new_token(), pin=lambda: "wrong-pin"))


def test_a_token_that_is_not_there_is_refused(new_token: New) -> None:
    """A wrong label is an error of the key service, like a token that was pulled out."""
    with pytest.raises(KeyServiceError):
        keyring(replace(new_token(), label="nobody"))


def test_a_library_that_is_not_there_is_refused(new_token: New) -> None:
    """The error names the library."""
    with pytest.raises(KeyServiceError, match="nowhere"):
        keyring(replace(new_token(), module="/nowhere.so"))


def test_without_the_extra_the_error_says_what_to_install(
    new_token: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    """python-pkcs11 is optional."""
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)

    with pytest.raises(MissingExtraError, match="hsm"):
        keyring(new_token())


def test_an_empty_token_is_not_taken_for_an_installation(new_token: New) -> None:
    """Only an installation that is being made may make the secret; a wrong token must not."""
    token = new_token()

    with pytest.raises(KeyServiceError, match="no keys"):
        keyring(token, create=False)
    made = keyring(token).derive("a")

    assert keyring(token, create=False).derive("a") == made
    assert keyring(token, 2).derive("a") == made  # making it again changes nothing


@pytest.mark.parametrize("place", [0, 5, 20, 44, 60])
def test_a_changed_wrapped_key_is_refused(new_token: New, place: int) -> None:
    """No byte of version, nonce, ciphertext or tag can be changed."""
    keys = keyring(new_token())
    key_id, wrapped = keys.wrap(DATA_KEY, b"context", BANK)
    changed = wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :]

    with pytest.raises(TagMismatchError):
        keys.unwrap(key_id, changed, b"context")
    assert keys.unwrap(key_id, wrapped, b"context") == DATA_KEY


def test_a_moved_or_cut_wrapped_key_is_refused(new_token: New) -> None:
    """Another context, another key's id, another tenant's key, another length."""
    keys = keyring(new_token())
    key_id, wrapped = keys.wrap(DATA_KEY, b"context", BANK)
    other, _ = keys.wrap(DATA_KEY, b"context", SHOP)

    for name, box, context in (
        (key_id, wrapped, b"other"),
        (other, wrapped, b"context"),
        (key_id, wrapped[:-1], b"context"),
        (key_id, b"", b"context"),
    ):
        with pytest.raises(TagMismatchError):
            keys.unwrap(name, box, context)


def test_many_keys_come_in_their_order_or_not_at_all(new_token: New) -> None:
    """A request for many gives what single ones give, and fails with any of them."""
    keys = keyring(new_token())
    boxes = [
        (*keys.wrap(bytes([n] * 32), b"place", (BANK, SHOP)[n % 2]), b"place") for n in range(5)
    ]

    assert keys.unwrap_many(boxes) == [bytes([n] * 32) for n in range(5)]
    with pytest.raises(TagMismatchError):
        keys.unwrap_many([*boxes[:3], (*boxes[3][:2], b"another"), boxes[4]])


def test_an_unknown_key_is_an_error_of_the_key_service(new_token: New) -> None:
    """Nothing else is tried in its place."""
    keys = keyring(new_token())
    _, wrapped = keys.wrap(DATA_KEY, b"context")

    with pytest.raises(KeyServiceError):
        keys.unwrap(KeyId("kek-000000000001-00000000"), wrapped, b"context")


def test_keys_cannot_be_read_from_the_token(new_token: New) -> None:
    """They are sensitive and not extractable."""
    keys = keyring(new_token())
    key_id = keys.current(BANK)
    api: Any = keys._api
    _, handle = keys._entry(key_id)

    for one in (handle, keys._secret):
        assert one[api.Attribute.SENSITIVE] is True
        assert one[api.Attribute.EXTRACTABLE] is False
        with pytest.raises(api.exceptions.PKCS11Error):
            _ = one[api.Attribute.VALUE]


def test_each_tenant_has_a_key_of_its_own(new_token: New) -> None:
    """And it stays the same until it is rotated."""
    keys = keyring(new_token())

    assert keys.current(BANK) == keys.current(BANK) != keys.current(SHOP)
    assert [(one.scope, one.current) for one in keys.inventory()] == [(BANK, True), (SHOP, True)]
    assert keys.inventory()[0].created_at == EPOCH


def test_rotation_and_destruction_are_seen_by_another_process(new_token: New) -> None:
    """The old key unwraps until it is destroyed; then it does nowhere."""
    token = new_token()
    first, second = keyring(token), keyring(token, 2, create=False)
    old, wrapped = first.wrap(DATA_KEY, b"context", BANK)

    new = second.rotate(BANK)

    assert first.wrap(DATA_KEY, b"context", BANK)[0] == new != old
    assert second.unwrap(old, wrapped, b"context") == DATA_KEY
    with pytest.raises(PolicyError):
        first.retire(new)
    with pytest.raises(KeyServiceError):
        first.retire(KeyId("kek-000000000001-00000000"))
    first.retire(old)
    assert first.key_ids() == (new,)
    for keys in (first, second):
        with pytest.raises(KeyServiceError):
            keys.unwrap(old, wrapped, b"context")


def test_derived_secrets_differ_by_purpose_and_token_and_stay(new_token: New) -> None:
    """They depend on the installation only, and survive rotation and a new login."""
    token = new_token()
    keys = keyring(token)
    before = keys.derive("a")
    keys.rotate()

    assert keyring(token, 3, create=False).derive("a") == before == keys.derive("a")
    assert len({before, keys.derive("b"), keyring(new_token()).derive("a")}) == 3
    assert len(before) == 32


def test_a_broken_session_is_opened_again(new_token: New) -> None:
    """A token that was reset costs no call."""
    keys = keyring(new_token())
    key_id, wrapped = keys.wrap(DATA_KEY, b"context")
    keys._session.close()

    assert keys.unwrap(key_id, wrapped, b"context") == DATA_KEY


def test_a_token_that_stays_away_is_an_error_of_the_key_service(
    new_token: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is away nothing is unwrapped; when it is back, everything is."""
    keys = keyring(new_token())
    key_id, wrapped = keys.wrap(DATA_KEY, b"context")

    def gone(*_: object) -> None:
        raise keys._api.exceptions.DeviceRemoved

    with monkeypatch.context() as patch:
        patch.setattr(keys, "_log_in", gone)
        patch.setattr(keys, "_handle", gone)
        for question in (
            lambda: keys.unwrap(key_id, wrapped, b"context"),
            lambda: keys.derive("new purpose"),
            lambda: keys.current("nobody"),
        ):
            with pytest.raises(KeyServiceError):
                question()

    assert keys.unwrap(key_id, wrapped, b"context") == DATA_KEY


def test_a_session_that_cannot_be_closed_is_given_up(
    new_token: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of closing does not hide the token's own."""
    keys = keyring(new_token())

    class Stuck:
        def close(self) -> None:
            raise keys._api.exceptions.DeviceError

        def get_objects(self, _: object) -> None:
            raise keys._api.exceptions.DeviceError

    monkeypatch.setattr(keys, "_session", Stuck())
    assert keys.key_ids() == ()


def test_a_vault_lives_on_a_token(new_token: New, tmp_path: Path) -> None:
    """Enrolled, rotated under reading threads, the old key destroyed; another token is refused."""
    token = new_token()
    keys = keyring(token)
    path = tmp_path / "vault.db"
    vault = open_vault(path, keys, clock=FakeClock(), random=FakeRandom(5))
    with vault.begin() as change:
        change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
        change.add_voiceprint(BANK, made_up_voiceprint("v", "alice"))
    failures: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                with vault.read() as view:
                    failures.extend([] if view.voiceprints(BANK, ALICE, MODEL) else [KeyError()])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed call
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    old = keys.current(BANK)
    keys.rotate(BANK)
    assert vault.rewrap_keys() == 1
    keys.retire(old)
    stop.set()
    reader.join()
    vault.close()

    assert failures == []
    with pytest.raises(WrongKeyError):
        open_vault(path, keyring(new_token()), clock=FakeClock(), random=FakeRandom(6))
    assert room.__name__ == "voiceauth.keys.pkcs11"


def test_an_installation_is_made_on_the_token_that_the_settings_name(
    new_token: New, tmp_path: Path
) -> None:
    """The keys are made once, found again, and never made anew beside a vault."""
    token = new_token()
    (tmp_path / "pin").write_text(token.pin())
    (tmp_path / "pin").chmod(0o600)
    choice = KeySettings(
        service="pkcs11",
        pkcs11_module=Path(token.module),
        token_label=token.label,
        pin_file=tmp_path / "pin",
    )
    settings = Settings(storage=StorageSettings(data_dir=tmp_path / "data"), keyring=choice)
    clock, random = FakeClock(), FakeRandom(7)

    made = init_keys(settings)

    assert [one.key_id for one in list_keys(settings)] == list(made)
    empty = choice.model_copy(update={"token_label": new_token().label})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vault.db").touch()
    with pytest.raises(KeyServiceError, match="no keys"):
        open_keys(settings.model_copy(update={"keyring": empty}), clock=clock, random=random)
    unnamed = choice.model_copy(update={"pin_file": None})
    with pytest.raises(KeyServiceError, match="pin_file"):
        open_keys(settings.model_copy(update={"keyring": unnamed}), clock=clock, random=random)


def test_voiceprints_are_re_keyed_under_a_token(new_token: New, tmp_path: Path) -> None:
    """The secret of a voice transform is wrapped and unwrapped on the token like a data key."""
    token = new_token()
    keys = keyring(token)
    vault = open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom(1))
    with vault.begin() as change:
        change.create_subject(BANK, ALICE, at=EPOCH, groups=frozenset())
        change.add_voiceprint(BANK, made_up_voiceprint("v", "alice"))
    with vault.begin() as change:
        rows = change.rekeying()
        rows.start(BANK)
        assert rows.move(BANK, b"", 10).rows == 1
        assert rows.finish(BANK)
    old = keys.current("bank")
    keys.rotate("bank")
    vault.rewrap_keys()
    vault.close()

    again = open_vault(
        tmp_path / "vault.db", keyring(token, 2), clock=FakeClock(), random=FakeRandom(2)
    )
    with again.read() as view:
        assert view.wrapped_under(old) == 0
        (found,) = view.voiceprints(BANK, ALICE, MODEL)
    assert again.voice_transform(BANK).generation == 2
    again.close()
    expected = made_up_voiceprint("v", "alice").embedding
    assert abs(float(found.embedding @ expected) - 1.0) < 1e-5
