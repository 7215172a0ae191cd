# SPDX-License-Identifier: Apache-2.0
"""Tampering with the secrets behind voiceprints: an error each time, never a score or an ACCEPT."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from served import TENANT, Parts, Served, pieces, speech

from voiceauth.errors import (
    EngineError,
    IntegrityError,
    KeyServiceError,
    TagMismatchError,
    TransformLostError,
)
from voiceauth.testing.fakes import EPOCH, FakeClock, FakeKeyService, FakeRandom
from voiceauth.testing.records import MODEL, made_up_segment, made_up_voiceprint
from voiceauth.types import Decision, SubjectId, TenantId, VoiceprintId
from voiceauth.vault import codec
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK, SHOP, ALICE = TenantId("bank"), TenantId("shop"), SubjectId("alice")


@pytest.fixture
def keys() -> FakeKeyService:
    """Keys of the installation."""
    return FakeKeyService()


@pytest.fixture
def vault(tmp_path: Path, keys: FakeKeyService) -> Iterator[SqliteVault]:
    """A vault in which two tenants know one person each, with a voiceprint and half another."""
    opened = open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom(1))
    for tenant in (BANK, SHOP):
        with opened.begin() as change:
            change.create_subject(tenant, ALICE, at=EPOCH, groups=frozenset())
            change.add_voiceprint(tenant, made_up_voiceprint(f"v-{tenant}", ALICE))
            change.put_pending_segments(tenant, ALICE, MODEL, [made_up_segment(2)])
    yield opened
    opened.close()


@pytest.fixture
def attacker(vault: SqliteVault, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A second pair of hands on the file."""
    with closing(sqlite3.connect(tmp_path / "vault.db", isolation_level=None)) as connection:
        yield connection


def refused(vault: SqliteVault, error: type[EngineError], tenant: TenantId = BANK) -> None:
    """Hold that nothing with a voice in it can be read."""
    with vault.read() as view, pytest.raises(error):
        view.voiceprints(tenant, ALICE, MODEL)
    with vault.read() as view, pytest.raises(error):
        view.pending_segments(tenant, ALICE, MODEL)
    with vault.read() as view, pytest.raises(error):
        view.subject(tenant, ALICE)


def reopened(vault: SqliteVault, tmp_path: Path, keys: FakeKeyService) -> SqliteVault:
    """Open the vault again, with nothing remembered."""
    vault.close()
    return open_vault(tmp_path / "vault.db", keys, clock=FakeClock(), random=FakeRandom(2))


def test_another_tenants_secret_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """A secret is bound to its tenant: copied over, it does not even unwrap."""
    attacker.execute(
        "UPDATE voice_transforms SET (key_id, wrapped) = (SELECT key_id, wrapped FROM "
        "voice_transforms WHERE tenant = 'shop') WHERE tenant = 'bank'"
    )

    refused(vault, TagMismatchError)


def test_a_secret_under_another_generation_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """A secret is bound to its generation."""
    attacker.execute("UPDATE voice_transforms SET generation = 2")
    attacker.execute("UPDATE voiceprints SET generation = 2")
    attacker.execute("UPDATE pending SET generation = 2")

    refused(vault, TagMismatchError)


def test_a_flipped_byte_of_a_secret_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Every byte of the wrapped secret is authenticated, also when it was open a moment ago."""
    (whole,) = attacker.execute(
        "SELECT wrapped FROM voice_transforms WHERE tenant = 'bank'"
    ).fetchone()
    for place in range(len(whole)):
        changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        attacker.execute(
            "UPDATE voice_transforms SET wrapped = ? WHERE tenant = 'bank'", (changed,)
        )
        with vault.read() as view, pytest.raises(TagMismatchError):
            view.voiceprints(BANK, ALICE, MODEL)


def test_rows_passed_off_as_unprotected_are_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Generation 0 is bound like any other: a turned vector is never taken for a plain one."""
    attacker.execute("UPDATE voiceprints SET generation = 0")
    attacker.execute("UPDATE pending SET generation = 0")

    refused(vault, TagMismatchError)


def test_a_missing_secret_is_an_error_of_its_own(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Without the secret nothing is scored, and nothing falls back to no transform."""
    attacker.execute("DELETE FROM voice_transforms WHERE tenant = 'bank'")

    refused(vault, TransformLostError)
    with vault.begin() as change, pytest.raises(TransformLostError):
        change.add_voiceprint(BANK, made_up_voiceprint("new", ALICE))
    with vault.begin() as change, pytest.raises(TransformLostError):
        change.put_pending_segments(BANK, ALICE, MODEL, [made_up_segment(3)])
    with pytest.raises(TransformLostError):
        vault.voice_transform(BANK)
    with vault.read() as view:
        assert len(view.voiceprints(SHOP, ALICE, MODEL)) == 1


def test_a_half_finished_enrolment_alone_keeps_a_secret_from_being_replaced(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Pending segments are protected rows, too."""
    attacker.execute("DELETE FROM voice_transforms WHERE tenant = 'bank'")
    attacker.execute("DELETE FROM voiceprints")

    with pytest.raises(TransformLostError):
        vault.voice_transform(BANK)


def test_a_fresh_secret_in_the_place_of_the_lost_one_is_refused(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Rows are sealed with the mark of their secret: another one of the same number opens none."""
    row = vault._sealer.transforms.new(BANK, 1)
    attacker.execute(
        "UPDATE voice_transforms SET key_id = ?, wrapped = ? WHERE tenant = 'bank'",
        (row.key_id, row.wrapped),
    )

    refused(vault, TagMismatchError)


def test_a_row_of_another_tenant_is_refused_whatever_secret_stands_beside_it(
    vault: SqliteVault, attacker: sqlite3.Connection
) -> None:
    """Exchanged ciphertexts of two tenants open for neither."""
    source, target = (vault._sealer.row_key(tenant, ALICE) for tenant in (SHOP, BANK))
    attacker.execute("DELETE FROM voiceprints WHERE row_key = ?", (target,))
    attacker.execute("UPDATE voiceprints SET row_key = ? WHERE row_key = ?", (target, source))

    with vault.read() as view, pytest.raises(TagMismatchError):
        view.voiceprints(BANK, ALICE, MODEL)


def test_a_key_service_that_is_down_gives_no_voiceprint(
    vault: SqliteVault, tmp_path: Path, keys: FakeKeyService
) -> None:
    """An unopened secret cannot be opened without the key service."""
    again = reopened(vault, tmp_path, keys)
    keys.go_down()

    refused(again, KeyServiceError)
    again.close()


def test_a_key_that_wraps_a_secret_counts_as_needed(
    vault: SqliteVault, keys: FakeKeyService
) -> None:
    """A key-encryption key is not destroyed while a tenant's secret lies under it."""
    first = keys.current()
    keys.rotate()
    with vault.begin() as change:
        change.erase_subject(BANK, ALICE)
        change.erase_subject(SHOP, ALICE)
        assert change.wrapped_under(first) == 2
    vault.rewrap_keys()
    with vault.read() as view:
        assert view.wrapped_under(first) == 0


def test_what_is_sealed_is_not_the_voice(vault: SqliteVault, attacker: sqlite3.Connection) -> None:
    """Whoever has even the subject's data key finds turned vectors: they match nothing plain."""
    plain = made_up_voiceprint("v-bank", ALICE)
    key_id, wrapped, row_key = attacker.execute(
        "SELECT key_id, wrapped_key, row_key FROM subjects WHERE tenant = 'bank'"
    ).fetchone()
    key = vault._sealer.open_key(BANK, row_key, key_id, wrapped)
    (sealed,) = attacker.execute(
        "SELECT sealed FROM voiceprints WHERE row_key = ?", (row_key,)
    ).fetchone()
    mark = vault.voice_transform(BANK).mark
    payload = vault._sealer.open(
        key, sealed, "voiceprint", record="v-bank", model=MODEL, space=mark
    )
    found = codec.decode_voiceprint(
        payload, voiceprint=VoiceprintId("v-bank"), subject=ALICE, model=MODEL
    )

    assert abs(float(found.embedding @ plain.embedding)) < 0.3
    for stored, real in zip(found.segments, plain.segments, strict=True):
        assert abs(float(stored.embedding @ real.embedding)) < 0.3
    with vault.read() as view:
        back = view.voiceprints(BANK, ALICE, MODEL)[0]
    np.testing.assert_allclose(back.embedding, plain.embedding, atol=1e-6)


def test_two_tenants_hold_one_voice_in_two_spaces(vault: SqliteVault) -> None:
    """The stored vectors of one person at two tenants do not link."""
    voice = made_up_voiceprint("v", ALICE).embedding
    one, other = (vault.voice_transform(tenant).protect(voice) for tenant in (BANK, SHOP))

    assert abs(float(one @ other)) < 0.3


def broken_file(parts: Parts) -> sqlite3.Connection:
    """Open the file behind a served vault."""
    path = parts.vault._vault._connections._path  # type: ignore[attr-defined]
    return sqlite3.connect(path, isolation_level=None)


async def said(service: Served) -> Decision:
    """Verify the subject's own voice and return the verdict."""
    async with service.client.verify(service.claim()) as stream:
        return (await stream.run(pieces(speech(10.0)))).decision


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM voice_transforms",
        "UPDATE voice_transforms SET wrapped = zeroblob(length(wrapped))",
        "UPDATE voiceprints SET generation = 0",
        "UPDATE voiceprints SET generation = 7",
    ],
)
async def test_no_call_is_accepted_while_the_secret_is_not_what_it_was(
    service: Served, damage: str
) -> None:
    """The real caller, right voice, all else well: an error or a step-up, and never ACCEPT."""
    await service.enrolled("alice")
    assert await said(service) is Decision.ACCEPT
    with closing(broken_file(service.parts)) as attacker:
        attacker.execute(damage)

    decision = None
    with suppress(IntegrityError):
        decision = await said(service)
    assert decision is not Decision.ACCEPT
    with pytest.raises(IntegrityError):
        await service.client.get_subject(TENANT, "alice")


async def test_the_error_names_neither_tenant_nor_generation(service: Served) -> None:
    """What goes out is a code and a fixed sentence; the rest is the operator's."""
    await service.enrolled("alice")
    with closing(broken_file(service.parts)) as attacker:
        attacker.execute("DELETE FROM voice_transforms")

    with pytest.raises(TransformLostError) as caught:
        await service.client.get_subject(TENANT, "alice")
    assert caught.value.public == TransformLostError.default
    assert TENANT not in str(caught.value)
    assert "generation" not in str(caught.value)
