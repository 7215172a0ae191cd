# SPDX-License-Identifier: Apache-2.0
"""From a passphrase to a key, at a cost that guessing has to pay each time.

Two functions, each with one set of parameters. What a file says of them is compared with the table
and never obeyed: a file that somebody changed can ask neither for a cheap key nor for all memory.

* ``argon2id`` (the default): RFC 9106's second choice, 64 MiB, three passes, four lanes.
* ``scrypt``: 32 MiB; what versions before wrote, and for machines whose OpenSSL has no Argon2.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from voiceauth.errors import KeyServiceError
from voiceauth.keys.envelope import KEY_BYTES

ARGON2ID = "argon2id"
SCRYPT = "scrypt"
PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    ARGON2ID: {"memory_cost": 65_536, "iterations": 3, "lanes": 4},  # KiB
    SCRYPT: {"n": 2**15, "r": 8, "p": 1},
}


def require_known(stated: Mapping[str, Any]) -> str:
    """Return the function that a file names.

    Raises:
        KeyServiceError: it, or one of its parameters, is not in the table.
    """
    name = stated["kdf"]
    parameters = PARAMETERS.get(name)
    if parameters is None:
        raise KeyServiceError("The key file's passphrase function is unknown.")
    if any(stated[key] != value for key, value in parameters.items()):
        raise KeyServiceError(f"The key file uses unknown {name} parameters.")
    return str(name)


def stretched(passphrase: bytes, salt: bytes, function: str) -> bytes:
    """Return 32 bytes that depend on the passphrase and the salt.

    Raises:
        KeyServiceError: the function is not known, or this machine does not have it.
    """
    if function not in PARAMETERS:
        raise KeyServiceError("The key file's passphrase function is unknown.")
    try:
        if function == ARGON2ID:
            kdf: Any = Argon2id(salt=salt, length=KEY_BYTES, **PARAMETERS[ARGON2ID])
        else:
            kdf = Scrypt(salt=salt, length=KEY_BYTES, **PARAMETERS[SCRYPT])
        return bytes(kdf.derive(passphrase))
    except UnsupportedAlgorithm:
        raise KeyServiceError(
            f"This machine's OpenSSL has no {function}; set keyring.passphrase_kdf to another."
        ) from None
