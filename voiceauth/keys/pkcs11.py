# SPDX-License-Identifier: Apache-2.0
"""``ports.ManagedKeys`` over a PKCS#11 token: the keys never leave the hardware.

On the token lie, for one installation:

* one AES-256 key per key-encryption key, with its id in CKA_ID and its scope in CKA_LABEL;
* one secret key for HMAC-SHA-256, from which the installation's other secrets are derived.

All are sensitive and not extractable. A data key is wrapped as ``envelope`` seals it, with the
AES-GCM of the token, so the two key services write one form. Ids begin with the time of making, so
that the newest key of a scope is the one with the largest id.
"""

import importlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from voiceauth.errors import (
    InternalError,
    KeyServiceError,
    MissingExtraError,
    PolicyError,
    TagMismatchError,
)
from voiceauth.keys.canonical import bind
from voiceauth.keys.envelope import KEY_BYTES, NONCE_BYTES, OVERHEAD_BYTES, TAG_BYTES
from voiceauth.ports import Clock, Random, WrappedKey
from voiceauth.types import KeyId, KeyInfo

_Answer = TypeVar("_Answer")
_VERSION = b"\x01"
_LABEL = "voiceauth-kek/"
_SECRET_LABEL = "voiceauth-secret"  # noqa: S105 - the name of an object
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Token:
    """Where the keys are.

    Attributes:
        module: path of the vendor's PKCS#11 library.
        label: of the token.
        pin: fetches the user PIN from wherever it is kept; called at each login.
    """

    module: str
    label: str
    pin: Callable[[], str]


class Pkcs11Keyring:
    """Wraps and unwraps data keys on a token. Safe from several threads: they take turns.

    A session that broke is opened again at the next request. Derived secrets are kept in memory.

    Raises:
        MissingExtraError: python-pkcs11 is not installed.
        KeyServiceError: the library, the token or the login fails; with ``create`` False also if
            the token holds no keys of voiceauth.
    """

    def __init__(self, token: Token, *, clock: Clock, random: Random, create: bool = False) -> None:
        self._token = token
        self._clock = clock
        self._random = random
        self._lock = threading.RLock()
        self._session: Any = None
        self._keys: dict[KeyId, tuple[str, Any]] = {}
        self._secret: Any = None
        self._derived: dict[str, bytes] = {}
        self._api = _api()
        self._library = _library(self._api, token.module)
        with self._lock:
            self._ask(self._make_secret if create else lambda: None)
            self.derive("")  # fails without the installation's secret

    def current(self, scope: str = "") -> KeyId:
        """Return the scope's newest key, making the first one. Raises KeyServiceError."""
        return self._ask(lambda: self._current(scope))

    def inventory(self) -> tuple[KeyInfo, ...]:
        """List all keys on the token, oldest first. Raises KeyServiceError."""

        def found() -> tuple[KeyInfo, ...]:
            self._look()
            newest = {scope: key_id for key_id, (scope, _) in sorted(self._keys.items())}
            return tuple(
                KeyInfo(key_id, scope, _made(key_id), current=newest[scope] == key_id)
                for key_id, (scope, _) in sorted(self._keys.items())
            )

        return self._ask(found)

    def key_ids(self) -> tuple[KeyId, ...]:
        """Return the ids of all keys, oldest first. Raises KeyServiceError."""
        return tuple(one.key_id for one in self.inventory())

    def wrap(self, key: bytes, context: bytes, scope: str = "") -> tuple[KeyId, bytes]:
        """Wrap a data key under the scope's newest key, bound to ``context`` (authenticated).

        Raises:
            KeyServiceError: the token does not answer.
        """
        nonce = self._random.token(NONCE_BYTES)

        def wrapped() -> tuple[KeyId, bytes]:
            key_id = self._current(scope)
            box = self._handle(key_id).encrypt(key, **self._gcm(nonce, _bound(key_id, context)))
            return key_id, _VERSION + nonce + bytes(box)

        return self._ask(wrapped)

    def unwrap(self, key_id: KeyId, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap a data key.

        Raises:
            KeyServiceError: the token does not answer, or has no such key.
            TagMismatchError: the wrapped key, its id or its context was changed.
        """
        if len(wrapped) != OVERHEAD_BYTES + KEY_BYTES or wrapped[:1] != _VERSION:
            raise TagMismatchError(detail="a wrapped key is malformed")
        nonce, box = wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :]

        def opened() -> bytes | None:
            key = self._handle(key_id)
            try:
                return bytes(key.decrypt(box, **self._gcm(nonce, _bound(key_id, context))))
            except self._broken:
                # Tokens name a wrong tag differently: the key tells whether it still works.
                probe = key.encrypt(b"probe", **self._gcm(self._random.token(NONCE_BYTES), b""))
                return None if probe else b""

        found = self._ask(opened)
        if not found:
            raise TagMismatchError(detail="a wrapped key does not open")
        return found

    def unwrap_many(self, wrapped: Sequence[WrappedKey]) -> Sequence[bytes]:
        """Unwrap data keys one by one, so that others take their turns. Errors as ``unwrap``."""
        return [self.unwrap(*one) for one in wrapped]

    def derive(self, purpose: str) -> bytes:
        """Return a 32-byte secret that depends on the installation and ``purpose`` only.

        Raises:
            KeyServiceError: the token does not answer.
        """
        with self._lock:
            known = self._derived.get(purpose)
        if known is None:
            message = bind("derive", purpose=purpose)
            known = self._ask(lambda: self._hmac(message))
            with self._lock:
                self._derived[purpose] = known
        return known

    def rotate(self, scope: str = "") -> KeyId:
        """Add a new current key to a scope; the old ones still unwrap. Raises KeyServiceError."""
        return self._ask(lambda: self._make(scope))

    def retire(self, key_id: KeyId) -> None:
        """Destroy an old key on the token: what is still wrapped under it is lost.

        Raises:
            PolicyError: it is a current key.
            KeyServiceError: there is no such key, or the token does not answer.
        """

        def destroyed() -> None:
            scope, key = self._entry(key_id)
            if key_id == self._current(scope):
                raise PolicyError("A current key cannot be retired; rotate first.")
            key.destroy()
            del self._keys[key_id]

        self._ask(destroyed)

    def _current(self, scope: str) -> KeyId:
        self._look()
        mine = [key_id for key_id, (of, _) in self._keys.items() if of == scope]
        return max(mine) if mine else self._make(scope)

    def _make(self, scope: str) -> KeyId:
        self._look()
        # A clock that was set back must not make a new key look old.
        latest = max((_stamp(key_id) for key_id in self._keys), default=0)
        stamp = max(round((self._clock.now() - _EPOCH) / timedelta(milliseconds=1)), latest + 1)
        key_id = KeyId(f"kek-{stamp:012x}-{self._random.token(4).hex()}")
        key = self._session.generate_key(
            self._api.KeyType.AES,
            8 * KEY_BYTES,
            id=key_id.encode(),
            label=_LABEL + scope,
            store=True,
            capabilities=self._api.MechanismFlag.ENCRYPT | self._api.MechanismFlag.DECRYPT,
            template=self._hidden(),
        )
        self._keys[key_id] = (scope, key)
        return key_id

    def _make_secret(self) -> None:
        if self._secret is None:
            self._secret = self._session.generate_key(
                self._api.KeyType.GENERIC_SECRET,
                8 * KEY_BYTES,
                label=_SECRET_LABEL,
                store=True,
                capabilities=self._api.MechanismFlag.SIGN,
                template=self._hidden(),
            )

    def _hmac(self, message: bytes) -> bytes:
        if self._secret is None:
            raise KeyServiceError("The token holds no keys of voiceauth.")
        return bytes(self._secret.sign(message, mechanism=self._api.Mechanism.SHA256_HMAC))

    def _handle(self, key_id: KeyId) -> Any:
        return self._entry(key_id)[1]

    def _entry(self, key_id: KeyId) -> tuple[str, Any]:
        if key_id not in self._keys:
            self._look()
        found = self._keys.get(key_id)
        if found is None:
            raise KeyServiceError("The token has no such key.", detail=key_id)
        return found

    def _look(self) -> None:
        """Find what is on the token now: another process may have made or destroyed a key."""
        aes = {self._api.Attribute.KEY_TYPE: self._api.KeyType.AES}
        objects: Iterable[Any] = self._session.get_objects(
            {self._api.Attribute.CLASS: self._api.ObjectClass.SECRET_KEY, **aes}
        )
        self._keys = {
            KeyId(key.id.decode()): (key.label.removeprefix(_LABEL), key)
            for key in objects
            if key.label.startswith(_LABEL)
        }

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Ask the token; once more over a new session if the old one broke."""
        with self._lock:
            for last in (False, True):
                try:
                    if self._session is None:
                        self._log_in()
                    return question()
                except self._broken as error:
                    self._forget()
                    if last:
                        raise KeyServiceError(detail=f"token: {type(error).__name__}") from error
        raise InternalError(detail="asked no token")  # pragma: no cover - the loop ends above

    def _log_in(self) -> None:
        token = self._library.get_token(token_label=self._token.label)
        try:
            self._session = token.open(user_pin=self._token.pin(), rw=True)
        except self._api.exceptions.UserAlreadyLoggedIn:
            self._session = token.open(rw=True)
        secrets = {
            self._api.Attribute.CLASS: self._api.ObjectClass.SECRET_KEY,
            self._api.Attribute.LABEL: _SECRET_LABEL,
        }
        self._secret = next(iter(self._session.get_objects(secrets)), None)
        self._look()

    def _forget(self) -> None:
        session, self._session = self._session, None
        self._keys, self._secret = {}, None
        if session is not None:
            try:
                session.close()
            except self._broken:
                return

    def _hidden(self) -> dict[Any, bool]:
        attribute = self._api.Attribute
        return {attribute.SENSITIVE: True, attribute.EXTRACTABLE: False}

    def _gcm(self, nonce: bytes, associated: bytes) -> dict[str, Any]:
        parameters = self._api.GCMParams(nonce, _VERSION + associated, 8 * TAG_BYTES)
        return {"mechanism": self._api.Mechanism.AES_GCM, "mechanism_param": parameters}

    @property
    def _broken(self) -> Any:
        """What the library raises."""
        return self._api.exceptions.PKCS11Error


def _api() -> Any:
    """Return the module ``pkcs11``. Raises MissingExtraError."""
    try:
        return importlib.import_module("pkcs11")
    except ImportError:
        raise MissingExtraError("python-pkcs11", "hsm") from None


def _library(api: Any, path: str) -> Any:
    try:
        return api.lib(path)
    except (api.exceptions.PKCS11Error, RuntimeError, OSError) as error:
        text = f"The PKCS#11 library {path} cannot be loaded."
        raise KeyServiceError(text, detail=type(error).__name__) from error


def _bound(key_id: KeyId, context: bytes) -> bytes:
    return bind("wrapped-key", key_id=key_id, context=context)


def _stamp(key_id: KeyId) -> int:
    return int(key_id.split("-")[1], 16)


def _made(key_id: KeyId) -> datetime:
    return _EPOCH + timedelta(milliseconds=_stamp(key_id))
