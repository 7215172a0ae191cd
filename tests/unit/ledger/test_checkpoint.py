# SPDX-License-Identifier: Apache-2.0
import base64
from dataclasses import replace

import pytest

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.keys.signing import SigningKey, check_signature
from voiceauth.ledger.checkpoint import Checkpoint, name_of, opened, public_key, signed, verifier
from voiceauth.testing.fakes import EPOCH

KEY, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(32))
STATED = Checkpoint(7, bytes(range(32)), EPOCH, bytes(32))


def resigned(text: str) -> str:
    """Sign any text as the installation itself would."""
    mark = signed(STATED, KEY).rpartition(" ")[2].strip()
    key_id = base64.b64decode(mark)[:4]
    new = base64.b64encode(key_id + KEY.sign(text.encode())).decode()
    return f"{text}\n\u2014 {name_of(KEY.public)} {new}\n"


@pytest.mark.parametrize("place", range(0, 330, 7))
def test_a_changed_byte_is_refused(place: int) -> None:
    """No byte of a signed checkpoint can be changed."""
    note = bytearray(signed(STATED, KEY).encode())
    place = min(place, len(note) - 2)  # what follows the signature's line carries no meaning
    note[place] ^= 0x01

    with pytest.raises(IntegrityError):
        opened(note.decode("utf-8", "replace"), KEY.public)


def test_another_installations_checkpoint_is_refused() -> None:
    """Only this installation's signature counts."""
    with pytest.raises(IntegrityError):
        opened(signed(STATED, OTHER), KEY.public)


def test_an_unsigned_checkpoint_is_refused() -> None:
    """Without a signature it is no statement; with only a witness's neither."""
    note = signed(STATED, KEY)
    text = note.partition("\n\n")[0] + "\n"
    witness = note.replace(f"\u2014 {name_of(KEY.public)}", "\u2014 witness.example")

    for unsigned in (text, f"{text}\n\u2014 nobody !!!\n", witness, ""):
        with pytest.raises(IntegrityError):
            opened(unsigned, KEY.public)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n0\n"),
        ("\n7\n", "\n+7\n"),
        ("\n7\n", "\nseven\n"),
        ("\nat ", "\n"),
        ("\nhead ", "\nat "),
        ("\nhead 00", "\nhead "),
        ("\nat 1", "\nat 1000000000"),
        ("\n7\n", "\n7\n7\n"),
    ],
)
def test_a_signed_text_in_another_form_is_refused(old: str, new: str) -> None:
    """One statement has one form, even where the signature is right."""
    text = signed(STATED, KEY).partition("\n\n")[0] + "\n"
    assert old in text

    with pytest.raises(IntegrityError):
        opened(resigned(text.replace(old, new, 1)), KEY.public)


def test_what_was_signed_is_read_back() -> None:
    """Size, root, time and head survive, and a witness's signature beside ours does not matter."""
    note = signed(STATED, KEY)

    assert opened(note, KEY.public) == STATED
    assert opened(f"{note}\u2014 witness.example AAAAAA==\n", KEY.public) == STATED
    assert signed(replace(STATED, size=8), KEY) != note


@pytest.mark.parametrize("text", ["", "a+b", "a+b+!", "a+b+AAAA", verifier(KEY.public)[1:]])
def test_a_verifier_key_that_is_none_is_refused(text: str) -> None:
    """Name, key id and key must belong together."""
    with pytest.raises(IntegrityError):
        public_key(text)


def test_a_verifier_key_is_read_back() -> None:
    """The text form, with or without a line end, gives the key."""
    assert public_key(verifier(KEY.public) + "\n") == KEY.public


def test_signatures_are_those_of_rfc_8032() -> None:
    """Test 1 of RFC 8032, 7.1."""
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    key = SigningKey(bytes.fromhex(seed))

    assert key.public.hex() == public
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974")
    check_signature(key.public, b"", key.sign(b""))


@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [
        (KEY.public, b"other", KEY.sign(b"text")),
        (OTHER.public, b"text", KEY.sign(b"text")),
        (KEY.public, b"text", KEY.sign(b"text")[:-1]),
        (b"short", b"text", KEY.sign(b"text")),
    ],
)
def test_a_signature_that_does_not_match_is_refused(
    public: bytes, message: bytes, signature: bytes
) -> None:
    """Another message, another key, a cut signature or a key that is none."""
    with pytest.raises(IntegrityError):
        check_signature(public, message, signature)


def test_a_seed_of_the_wrong_length_is_refused() -> None:
    """A signing key is made of 32 bytes."""
    with pytest.raises(InternalError):
        SigningKey(b"short")
