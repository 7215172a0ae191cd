# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.errors import IntegrityError, InternalError
from voiceauth.keys.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKey, check_signature

# RFC 8032, section 7.1, TEST 1 and TEST 2: seed, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_signatures_are_those_of_the_standard(
    seed: str, public: str, message: str, signature: str
) -> None:
    """Key and signature are the published ones, so any Ed25519 tool can check them."""
    key, text = SigningKey(bytes.fromhex(seed)), bytes.fromhex(message)

    assert key.public.hex() == public
    assert key.sign(text).hex() == signature
    check_signature(key.public, text, key.sign(text))
    assert (len(key.public), len(key.sign(text))) == (PUBLIC_KEY_BYTES, SIGNATURE_BYTES)


@pytest.mark.parametrize(
    ("message", "cut", "public"),
    [(b"another", 64, b""), (b"said", 63, b""), (b"said", 0, b""), (b"said", 64, bytes(32))],
    ids=["message", "short", "none", "key"],
)
def test_what_was_not_signed_is_refused(message: bytes, cut: int, public: bytes) -> None:
    """Another message, a signature cut short and another key all raise."""
    key = SigningKey(bytes(range(32)))

    with pytest.raises(IntegrityError):
        check_signature(public or key.public, message, key.sign(b"said")[:cut])


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_length_is_a_fault(size: int) -> None:
    """A key is never made from too little secret."""
    with pytest.raises(InternalError):
        SigningKey(bytes(size))
