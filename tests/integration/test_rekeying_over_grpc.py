# SPDX-License-Identifier: Apache-2.0
"""Re-keying and rotation while real calls go on: no call fails, and nobody is mistaken."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from served import CONSENT, MODEL, PCM, TENANT, Parts, Served, fake_parts, pieces, served, speech

from voiceauth.client import EnrolOptions, IdentifyOptions, SyncClient, VerifyOptions
from voiceauth.errors import NotFoundError, PolicyError
from voiceauth.keys.keyring import FileKeyring
from voiceauth.testing.fakes import FakeClock, FakeRandom
from voiceauth.types import Decision, EnrolmentOutcome, KeyId, SubjectId, TenantId
from voiceauth.usecases.keep_keys import KeyDesk, destroy, rotate
from voiceauth.vault.store import SqliteVault

CALLERS = 4
ROUNDS = 6


def record(parts: Parts) -> SqliteVault:
    """Return the vault itself."""
    inner = parts.vault._vault
    if not isinstance(inner, SqliteVault):
        raise TypeError
    return inner


async def rekeyed(service: Served) -> int:
    """Re-key the tenant over the wire; return the generation that it came to."""
    return [one async for one in service.client.rekey_voiceprints(TENANT)][-1].generation


async def test_a_tenant_without_people_is_not_found(service: Served) -> None:
    """A mistyped tenant is an error on the wire, too."""
    with pytest.raises(NotFoundError):
        await rekeyed(service)


async def test_a_server_that_cannot_says_so(parts: Parts) -> None:
    """Without a desk the RPC is refused by rule, not by a crash."""
    bare = replace(parts, engine=replace(parts.engine, rekeying=None))
    async with served(bare) as service:
        with pytest.raises(PolicyError):
            await rekeyed(service)


async def test_a_re_keyed_tenant_goes_on_as_before(service: Served) -> None:
    """Verify, Identify and Enrol give what they gave, and the ledger has who asked for it."""
    await service.enrolled("alice")
    await service.enrolled("bob")

    assert await rekeyed(service) == 2
    service.parts.embedder.voice = "alice"
    async with service.client.verify(service.claim()) as stream:
        assert (await stream.run(pieces(speech(10.0)))).decision is Decision.ACCEPT
    async with service.client.verify(service.claim("bob")) as other:
        assert (await other.run(pieces(speech(10.0)))).decision is Decision.REJECT
    async with service.client.identify(IdentifyOptions("call-2", TENANT, None, PCM)) as search:
        ranking = await search.run(pieces(speech(6.0)))
    assert ranking.candidates[0].subject == "alice"
    assert ranking.searched == 2
    assert "by" in service.parts.last("voiceprints.rekeying").body


def test_the_blocking_client_re_keys_too() -> None:
    """The same name without ``await``; a server that is not there is an error."""
    with SyncClient("127.0.0.1:1", retries=0) as client, pytest.raises(Exception, match="server"):
        list(client.rekey_voiceprints(TENANT))


async def verified(service: Served, claim: str, number: int) -> list[Decision]:
    """Call several times as the one who speaks, claiming to be somebody."""
    said = []
    for attempt in range(ROUNDS):
        call = VerifyOptions(f"{claim}-{number}-{attempt}", TENANT, claim, PCM)
        async with service.client.verify(call) as stream:
            said.append((await stream.run(pieces(speech(8.0)))).decision)
    return said


async def searched(service: Served) -> set[tuple[str, int]]:
    """Search several times; return who came first, among how many."""
    seen: set[tuple[str, int]] = set()
    for attempt in range(ROUNDS):
        call = IdentifyOptions(f"search-{attempt}", TENANT, None, PCM)
        async with service.client.identify(call) as stream:
            ranking = await stream.run(pieces(speech(5.0)))
        seen.add((ranking.candidates[0].subject, ranking.searched))
    return seen


async def enrolled_again(service: Served) -> set[EnrolmentOutcome]:
    """Enrol the one who speaks under further names."""
    outcomes = set()
    for attempt in range(ROUNDS):
        name = f"again-{attempt}"
        await service.client.create_subject(TENANT, name)
        await service.client.record_consent(TENANT, name, CONSENT)
        async with service.client.enrol(EnrolOptions(name, TENANT, name, PCM)) as stream:
            outcomes.add((await stream.run(pieces(speech(14.0)))).outcome)
    return outcomes


def held_together(vault: SqliteVault, keys: FileKeyring, rounds: int) -> None:
    """Hold that the changes really happened, and that all of them came to their end."""
    assert rounds > 1
    assert vault.voice_transform(TenantId(TENANT)).generation == rounds + 1
    with vault.read() as view:
        mine = [one for one in keys.inventory() if one.scope == TENANT]
        assert len(mine) == 2  # the current one, and the last one that it replaced
        assert [view.wrapped_under(one.key_id) > 0 for one in mine] == [False, True]
        assert view._select("SELECT DISTINCT generation FROM voiceprints") == [(rounds + 1,)]
        assert len(view.voiceprints(TenantId(TENANT), SubjectId("alice"), MODEL)) == 1
    vault.verify_ledger()


async def test_calls_go_on_through_re_keyings_and_rotations(tmp_path: Path) -> None:
    """Callers verify, search and enrol at once while secrets and keys change: not one call fails.

    In every round the genuine caller is accepted, the impostor refused, the right person found, and
    a second enrolment of one voice noticed: no search ever sees a hole.
    """
    clock, chance = FakeClock(), FakeRandom(9)
    keys = FileKeyring.create(
        tmp_path / "keys.json", clock=clock, random=chance, passphrase=lambda: b"open"
    )
    with fake_parts(tmp_path, keys) as parts:
        vault = record(parts)
        desk, stop = KeyDesk(vault, keys, clock), asyncio.Event()

        async def change_everything(service: Served) -> int:
            replaced: list[KeyId] = []
            while not stop.is_set():
                await rekeyed(service)
                replaced.append(keys.current(TENANT))
                await asyncio.to_thread(rotate, desk, scopes=(TENANT,))
                for old in replaced[-2:-1]:  # no reader is that far behind
                    await asyncio.to_thread(destroy, desk, old)
            return len(replaced)

        async with served(parts) as service:
            await service.enrolled("bob")
            await service.enrolled("alice")
            beside = asyncio.create_task(change_everything(service))
            genuine = asyncio.gather(*(verified(service, "alice", one) for one in range(CALLERS)))
            impostor, found, outcomes = await asyncio.gather(
                verified(service, "bob", 0), searched(service), enrolled_again(service)
            )
            said = await genuine
            stop.set()
            rounds = await beside
        held_together(vault, keys, rounds)

    assert said == [[Decision.ACCEPT] * ROUNDS] * CALLERS
    assert impostor == [Decision.REJECT] * ROUNDS
    assert found == {("alice", 2)}
    assert outcomes == {EnrolmentOutcome.DUPLICATE}
