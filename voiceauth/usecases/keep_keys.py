# SPDX-License-Identifier: Apache-2.0
"""Make, list, rotate and destroy the key-encryption keys of an installation.

A backup that is older than an erasure still holds the erased subject's wrapped data key. What makes
it unreadable is the destruction of the key-encryption key of its time. So keys are replaced often
enough, and a replaced key is destroyed once no backup that shall still be readable needs it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.config import Settings
from voiceauth.errors import InputError, NotFoundError, PolicyError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.ports import Clock, ManagedKeys, Transaction
from voiceauth.types import ApprovalId, KeyId, KeyInfo, Party, Plan, TenantId
from voiceauth.usecases.key_services import VAULT_FILE, existing_keys, open_keys
from voiceauth.usecases.second_person import (
    ApprovalDesk,
    approval_rules,
    destruction_plan,
    use,
)
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

Progress = Callable[[int, int], None]
"""Called with the data keys looked at so far, and all there are."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did.

    Attributes:
        current: the new current keys; the first one stands for all in short reports.
        rewrapped: data keys that are wrapped anew.
    """

    current: KeyId
    keys: tuple[KeyId, ...]
    rewrapped: int


@dataclass(frozen=True, slots=True, eq=False)
class KeyDesk:
    """What the care for keys needs.

    Attributes:
        rotate_after: how old a current key may become; None for no rotation by itself.
        backups_kept: how long backups are kept; a replaced key is destroyed when it has been
            replaced for so long. None keeps replaced keys.
    """

    vault: SqliteVault
    keys: ManagedKeys
    clock: Clock
    rotate_after: timedelta | None = None
    backups_kept: timedelta | None = None

    def run(self) -> None:
        """Rotate keys that are too old, and destroy those that no kept backup needs.

        Raises:
            KeyServiceError: the key service is down; what was done stays done.
            StorageError: the vault cannot be written.
        """
        now = self.clock.now()
        for one in self.keys.inventory():
            due = self.rotate_after is not None and now - one.created_at >= self.rotate_after
            if one.current and due:
                rotate(self, scopes=(one.scope,))
        if self.backups_kept is not None:
            for gone in replaced_before(self.keys.inventory(), self.backups_kept, self.clock):
                destroy(self, gone)


def init_keys(settings: Settings) -> tuple[KeyId, ...]:
    """Create the keys of a new installation.

    Raises:
        PolicyError: there is a key file already.
        KeyServiceError: a vault is there that a new key could not open.
        StorageError: the directory cannot be made.
    """
    clock, random = SystemClock(), SystemRandom()
    path = settings.storage.keys
    if settings.keyring.service == "file" and path.exists():
        # Refuses with the reason; nothing is replaced.
        return FileKeyring.create(path, clock=clock, random=random).key_ids()
    keys = open_keys(settings, clock=clock, random=random)
    keys.current()
    return tuple(one.key_id for one in keys.inventory())


def list_keys(settings: Settings) -> tuple[KeyInfo, ...]:
    """List the keys, oldest first. Raises KeyServiceError."""
    keys = existing_keys(settings, clock=SystemClock(), random=SystemRandom())
    return tuple(keys.inventory())


def rotate_keys(
    settings: Settings, *, tenant: TenantId | None = None, progress: Progress | None = None
) -> Rotation:
    """Replace the current keys, wrap every data key of the vault anew, and record it.

    The old keys stay, because backups made before still need them. A rotation that broke off is
    finished by the next one.

    Args:
        settings: of the installation.
        tenant: whose key to replace; None for all.
        progress: told how far the wrapping has come.

    Raises:
        KeyServiceError: there are no usable keys, or none can be made.
        StorageError: the vault cannot be written; both keys still open it.
    """
    if not (settings.storage.data_dir / VAULT_FILE).exists():
        keys = existing_keys(settings, clock=SystemClock(), random=SystemRandom())
        new = keys.rotate(tenant or "")
        return Rotation(new, (new,), 0)
    with _opened(settings) as desk:
        found = dict.fromkeys(one.scope for one in desk.keys.inventory())
        scopes = tuple(found) if tenant is None else (tenant,)
        if not set(scopes) <= set(found):
            raise NotFoundError("This tenant has no key yet.")
        return rotate(desk, scopes=scopes, progress=progress)


def rotate(desk: KeyDesk, *, scopes: tuple[str, ...], progress: Progress | None = None) -> Rotation:
    """Replace the current keys of some scopes in an open vault. Errors as ``rotate_keys``."""
    new = tuple(desk.keys.rotate(scope) for scope in scopes)
    rewrapped = desk.vault.rewrap_keys(progress)
    with desk.vault.begin() as transaction:
        transaction.append(
            at=desk.clock.now(),
            tenant=TenantId(""),
            event="keys.rotated",
            body={"key": new[-1], "keys": list(new), "rewrapped": rewrapped},
        )
    return Rotation(new[-1], new, rewrapped)


def destroy_key(settings: Settings, key_id: KeyId, approval: ApprovalId) -> None:
    """Destroy a replaced key for good, on the machine that has it.

    Whoever can run this has the files, and is not known by name; so the approval has to come from
    two persons who are, through a server.

    Errors as ``destroy_approved``.
    """
    with _opened(settings) as desk:
        random, rules = SystemRandom(), approval_rules(settings)
        approvals = ApprovalDesk(desk.vault, desk.clock, random, desk.keys.derive, rules)
        plan = destruction_plan(TenantId(scope_of(desk, key_id)), key_id)
        destroy_approved(desk, approvals, plan, approval, None)


def destroy_approved(
    desk: KeyDesk,
    approvals: ApprovalDesk,
    plan: Plan,
    approval: ApprovalId,
    by: Party | None,
) -> None:
    """Destroy a replaced key that a second person has given up, too.

    Args:
        desk: of the keys.
        approvals: of the same vault.
        plan: from ``destruction_plan``; the key has to be its tenant's.
        approval: of the second person.
        by: who acts; None on the server's own machine.

    Raises:
        NotFoundError: the tenant has no such key.
        SecondPersonMissingError: nobody has approved it.
        ApprovalInvalidError: the approval cannot be used for this.
        PolicyError: the key is current, or the vault still needs it; the approval is not used.
    """
    key_id = plan.key or KeyId("")

    def approved(transaction: Transaction) -> Mapping[str, object]:
        told = use(approvals, transaction, plan, approval, by)
        if scope_of(desk, key_id) != plan.tenant:
            raise NotFoundError("There is no such key.")
        return told

    destroy(desk, key_id, approved)


def scope_of(desk: KeyDesk, key_id: KeyId) -> str:
    """Return the tenant whose key it is, empty for the installation's own. Raises NotFoundError."""
    for one in desk.keys.inventory():
        if one.key_id == key_id:
            return one.scope
    raise NotFoundError("There is no such key.")


def _by_setting(_: Transaction) -> Mapping[str, object]:
    """Return what the ledger says of a key that ``keyring.backup_days`` gives up."""
    return {"approval": "by_setting"}


def destroy(
    desk: KeyDesk,
    key_id: KeyId,
    approved: Callable[[Transaction], Mapping[str, object]] = _by_setting,
) -> None:
    """Destroy a replaced key: backups whose data keys it wraps become unreadable, and that is why.

    The vault is locked meanwhile, so that no data key can be wrapped under it unseen. The entry is
    written first: if the destruction fails, the entry is rolled back.

    Args:
        desk: of the keys.
        key_id: the key.
        approved: uses the approval up in the same transaction and returns what is told of it; by
            default it is the settings that have the key destroyed.

    Raises:
        PolicyError: it is current, or the vault still needs it.
        KeyServiceError: there is no such key, or the key service is down.
    """
    with desk.vault.begin() as transaction:
        told = approved(transaction)
        if transaction.wrapped_under(key_id):
            raise PolicyError("Data keys are still wrapped under this key; rotate first.")
        transaction.append(
            at=desk.clock.now(),
            tenant=TenantId(""),
            event="keys.destroyed",
            body={"key": key_id, **told},
        )
        desk.keys.retire(key_id)


def replaced_before(
    inventory: Sequence[KeyInfo], age: timedelta, clock: Clock
) -> tuple[KeyId, ...]:
    """Return the keys whose successor is older than ``age``: no newer backup needs them."""
    if age < timedelta(0):
        raise InputError("Backups cannot be kept for less than no time.")
    found = []
    for place, one in enumerate(inventory):
        later = [other for other in inventory[place + 1 :] if other.scope == one.scope]
        if later and clock.now() - later[0].created_at >= age:
            found.append(one.key_id)
    return tuple(found)


@contextmanager
def _opened(settings: Settings) -> Iterator[KeyDesk]:
    clock, random = SystemClock(), SystemRandom()
    path = settings.storage.data_dir / VAULT_FILE
    if not path.exists():
        raise NotFoundError(f"There is no vault in {settings.storage.data_dir}.")
    keys = existing_keys(settings, clock=clock, random=random)
    vault = open_vault(path, keys, clock=clock, random=random)
    try:
        yield KeyDesk(vault, keys, clock)
    finally:
        vault.close()
