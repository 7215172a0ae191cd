# SPDX-License-Identifier: Apache-2.0
"""Everything that must not be let in, tried over real gRPC with mutual TLS."""

import asyncio
import base64
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from issuer import ATTACKS, AUDIENCE, ISSUER, document, token
from secured import (
    Secured,
    expired,
    secured,
    self_signed,
    to_the_present,
    write_server,
)
from served import CONSENT, PCM, TENANT, Parts, pieces, speech

from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.access.roles import GRANTS, Role
from voiceauth.access.rpcs import ROWS
from voiceauth.client import Client, EnrolOptions, VerifyOptions
from voiceauth.config import TokenSettings
from voiceauth.errors import (
    AccessError,
    DependencyError,
    NotFoundError,
    SecondFactorMissingError,
    StorageError,
    UnauthenticatedError,
)
from voiceauth.types import Decision, Evidence, TenantId, Verdict


@pytest.fixture
async def bank(parts: Parts, tmp_path: Path) -> AsyncIterator[Secured]:
    """Return a server with mutual TLS."""
    async with secured(parts, tmp_path) as running:
        yield running


@pytest.fixture
async def tokened(parts: Parts, tmp_path: Path) -> AsyncIterator[Secured]:
    """Return a server that takes tokens beside certificates."""
    async with secured(parts, tmp_path, tokens=issuer(tmp_path)) as running:
        yield running


def issuer(directory: Path, **other: Any) -> TokenSettings:
    """Return the settings of the test's issuer."""
    path = directory / "jwks.json"
    path.write_bytes(document())
    return TokenSettings(issuer=ISSUER, audience=AUDIENCE, jwks_file=path, **other)


async def enrolled(bank: Secured, subject: str = "alice") -> None:
    """Enrol a subject with the certificate of that role."""
    async with bank.client("enrolment") as client:
        await client.create_subject(TENANT, subject)
        await client.record_consent(TENANT, subject, CONSENT)
        bank.parts.embedder.voice = subject
        options = EnrolOptions("enrol-1", TENANT, subject, PCM)
        async with client.enrol(options) as stream:
            await stream.run(pieces(speech(14.0)))


async def updates(client: Client, tenant: str, subject: str, call: str) -> list[Evidence | Verdict]:
    """Return all that a verification says."""
    options = VerifyOptions(call, tenant, subject, PCM)
    async with client.verify(options) as stream:
        for chunk in pieces(speech(6.0)):
            if stream.finished:
                break
            await stream.send(chunk)
        await stream.end()
        return [update async for update in stream]


# What never gets as far as a request.


async def test_no_certificate_is_never_served(bank: Secured) -> None:
    """A client that shows nothing is refused in the handshake."""
    async with bank.client(None) as client:
        with pytest.raises(DependencyError):
            await client.information()


async def test_plain_text_is_never_served(bank: Secured) -> None:
    """A client without TLS gets no answer from a server with it."""
    async with Client(bank.listening.target, retries=0) as client:
        with pytest.raises(DependencyError):
            await client.information()


async def test_a_self_signed_certificate_is_never_served(bank: Secured) -> None:
    """The right name from an authority that nobody trusts opens nothing."""
    issued = self_signed(bank.parts.clock.now(), "privacy-officer")
    async with bank.client(None, issued=issued) as client:
        with pytest.raises(DependencyError):
            await client.information()


async def test_an_expired_certificate_is_never_served(bank: Secured) -> None:
    """The right authority does not help a certificate whose time is over."""
    async with bank.client(None, issued=expired(bank, "ivr")) as client:
        with pytest.raises(DependencyError):
            await client.information()


async def test_a_servers_certificate_is_no_clients(bank: Secured) -> None:
    """A certificate that was issued for another purpose does not name a client."""
    issued = bank.authority.server(["localhost"])
    async with bank.client(None, issued=issued) as client:
        with pytest.raises((DependencyError, UnauthenticatedError)):
            await client.information()


# What gets as far as a request, and no further.


async def test_a_certificate_that_expires_during_a_connection_is_refused(bank: Secured) -> None:
    """An open connection does not outlive the certificate that it was opened with."""
    async with bank.client("ivr") as client:
        await client.information()
        bank.parts.clock.jump(100 * 86_400)
        with pytest.raises(UnauthenticatedError):
            await client.information()

    assert bank.reasons() == ["certificate_expired"]


async def test_a_certificate_of_nobody_is_refused(bank: Secured) -> None:
    """A trusted authority says who somebody is, the settings say whether they may come in."""
    async with bank.client("stranger") as client:
        with pytest.raises(UnauthenticatedError):
            await client.information()

    assert bank.reasons() == ["certificate_not_known"]


async def test_tls_1_2_is_refused(bank: Secured) -> None:
    """A connection older than TLS 1.3 is not served, although its certificate is a known one."""
    await asyncio.to_thread(_ask_over, bank, ssl.TLSVersion.TLSv1_2)
    assert bank.reasons() == ["tls_version"]


def _ask_over(bank: Secured, version: ssl.TLSVersion) -> None:
    """Ask GetInformation in HTTP/2 by hand: gRPC's own client cannot be held to an old version."""
    issued, files = bank.holder("ivr"), bank.directory
    (files / "client.pem").write_bytes(issued.certificate + issued.key)
    context = ssl.create_default_context(cafile=str(files / "ca.pem"))
    context.load_cert_chain(files / "client.pem")
    context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    headers = b"".join(
        b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":path", b"/voiceauth.v1.InformationService/GetInformation"),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
    )

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload

    asked = (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"")
        + frame(1, 4, 1, headers)
        + frame(0, 1, 1, bytes(5))
    )
    with (
        socket.create_connection(("127.0.0.1", bank.listening.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        assert sock.version() == version.name.replace("v1_", "v1.")
        sock.sendall(asked)
        answer = b""
        while b"grpc-status" not in answer and (piece := sock.recv(4096)):
            answer += piece


async def test_no_role_may_do_what_its_row_does_not_grant(bank: Secured) -> None:
    """Every role is refused on every RPC that is not granted, and served nothing of it."""
    wrong = []
    for role in Role:
        credentials = bank.credentials(bank.holder(role))
        async with grpc.aio.secure_channel(bank.listening.target, credentials) as channel:
            for method, row in ROWS.items():
                call: Any = channel.stream_stream if row.stream else channel.unary_unary
                asked = call(method, None, None)
                running = asked() if row.stream else asked(b"")
                if row.stream:
                    await running.done_writing()
                status = await running.code()
                granted = row.permission in GRANTS[role].permissions
                if granted == (status is grpc.StatusCode.PERMISSION_DENIED):
                    wrong.append((role, method, status))

    assert wrong == []
    assert set(bank.reasons()) == {"role_missing"}


async def test_a_refusal_is_recorded_under_pseudonyms(bank: Secured) -> None:
    """The ledger says who was refused what and why, and names nobody."""
    async with bank.client("ivr") as client:
        with pytest.raises(AccessError, match="Access denied"):
            await client.get_subject(TENANT, "alice")

    (denial,) = bank.denials()
    assert denial["rpc"] == "GetSubject"
    assert denial["by"] == bank.parts.engine.pseudonym(
        TenantId(""),
        "certificate:ivr",
    )
    assert "alice" not in str(denial)


async def test_what_a_principal_does_is_recorded_under_its_pseudonym(bank: Secured) -> None:
    """Every entry that a request causes says who caused it."""
    await enrolled(bank)

    told = {entry.event: json.loads(entry.body).get("by") for entry in bank.parts.vault.ledger()}
    expected = bank.parts.engine.pseudonym(TenantId(""), "certificate:enrolment")
    assert told["subject.created"] == told["consent.recorded"] == told["enrol.result"] == expected


# Other tenants.


async def test_another_tenants_subject_looks_unknown(bank: Secured) -> None:
    """Status, code and sentence are those of a subject that is not there."""
    await enrolled(bank)
    async with bank.client("elsewhere") as client:
        answers = []
        for tenant, subject in ((TENANT, "alice"), (TENANT, "nobody"), ("shop", "nobody")):
            with pytest.raises(NotFoundError) as caught:
                await client.get_subject(tenant, subject)
            answers.append(str(caught.value))

    assert len(set(answers)) == 1
    assert bank.reasons() == ["wrong_tenant", "wrong_tenant"]


async def test_a_claim_on_another_tenants_subject_runs_like_one_on_nobody(bank: Secured) -> None:
    """An IVR of another tenant, with the right voice, is answered as for an unknown person."""
    await enrolled(bank)
    async with bank.client("ivr") as own:
        genuine = (await updates(own, TENANT, "alice", "call-1"))[-1]
    async with bank.client("elsewhere") as client:
        foreign = await updates(client, TENANT, "alice", "call-2")
        unknown = await updates(client, "shop", "alice", "call-3")

    assert isinstance(genuine, Verdict)
    assert genuine.decision is Decision.ACCEPT
    assert [type(one) for one in foreign] == [type(one) for one in unknown]
    last, other = foreign[-1], unknown[-1]
    assert isinstance(last, Verdict)
    assert isinstance(other, Verdict)
    assert last.decision is other.decision is not Decision.ACCEPT
    assert bank.reasons() == ["wrong_tenant"]


async def test_a_challenge_for_another_tenants_subject_looks_like_any_other(
    bank: Secured,
) -> None:
    """Where challenges are switched off, the refusal is the same for one's own and others."""
    async with bank.client("elsewhere") as client:
        answers = []
        for tenant in (TENANT, "shop"):
            with pytest.raises(Exception) as caught:  # noqa: PT011 - only compared
                await client.create_challenge("call-1", tenant, "alice")
            answers.append((type(caught.value), str(caught.value)))

    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", ["create_subject", "opt_out"])
async def test_nothing_is_made_in_another_tenant(bank: Secured, name: str) -> None:
    """What would make a subject is refused, and makes none."""
    async with bank.client("elsewhere") as client:
        with pytest.raises(AccessError):
            await getattr(client, name)(TENANT, "eve")

    assert bank.parts.vault.tenants() == []


async def test_another_tenant_cannot_be_listed_or_searched(bank: Secured) -> None:
    """Lists and searches stay within the principal's tenants."""
    await enrolled(bank)
    async with bank.client("elsewhere") as client:
        with pytest.raises(AccessError):
            _ = [one async for one in client.list_subjects(TENANT)]


# Tokens.


async def test_a_good_token_is_served(tokened: Secured) -> None:
    """The control of the tests below: with nothing wrong in it, the same request is served."""
    now = tokened.parts.clock.now()
    async with tokened.client("stranger", token=token(now)) as client:
        await client.information()

    assert tokened.reasons() == []


async def test_no_bad_token_is_served(tokened: Secured) -> None:
    """Each of the attacks is refused as unauthenticated, and the ledger says why."""
    expected = []
    for reason, made in ATTACKS.values():
        tokened.parts.clock.advance(20)  # refusals are recorded one by one, not as a flood
        shown = made(tokened.parts.clock.now())
        async with tokened.client("administrator", token=shown) as client:
            with pytest.raises(UnauthenticatedError):
                await client.information()
        expected.append(reason)

    assert tokened.reasons() == expected


async def test_a_bad_token_never_falls_back_to_the_certificate(tokened: Secured) -> None:
    """Who shows a token speaks by it alone, though its certificate would be enough."""
    stale = ATTACKS["expired"][1](tokened.parts.clock.now())
    async with tokened.client("administrator", token=stale) as client:
        with pytest.raises(UnauthenticatedError):
            await client.create_subject(TENANT, "alice")

    assert tokened.parts.vault.tenants() == []


async def test_a_token_of_another_tenant_is_refused(tokened: Secured) -> None:
    """The tenants of a token are all that its holder may touch."""
    shown = token(tokened.parts.clock.now(), tenant="shop", roles=["administrator"])
    async with tokened.client("stranger", token=shown) as client:
        with pytest.raises(AccessError):
            await client.create_subject(TENANT, "alice")


async def test_a_stolen_token_is_of_no_use_through_another_tenants_gateway(
    tokened: Secured,
) -> None:
    """The certificate that brings a token bounds the tenants that the token reaches."""
    shown = token(tokened.parts.clock.now(), roles=["administrator"])
    async with tokened.client("elsewhere", token=shown) as client:
        with pytest.raises(AccessError):
            await client.create_subject(TENANT, "alice")


async def test_a_token_that_is_bound_is_not_replayed_from_elsewhere(tokened: Secured) -> None:
    """Over gRPC, too, a bound token works with its own certificate and with no other."""
    own, now = tokened.holder("stranger"), tokened.parts.clock.now()
    print_ = x509.load_pem_x509_certificate(own.certificate).fingerprint(hashes.SHA256())
    bound = token(now, cnf={"x5t#S256": base64.urlsafe_b64encode(print_).rstrip(b"=").decode()})
    async with tokened.client(None, issued=own, token=bound) as client:
        await client.information()
    async with tokened.client("stranger", token=bound) as client:
        with pytest.raises(UnauthenticatedError):
            await client.information()


async def test_a_token_is_not_taken_where_there_is_no_issuer(bank: Secured) -> None:
    """A server that knows no issuer refuses tokens instead of overlooking them."""
    async with bank.client("ivr", token=token(bank.parts.clock.now())) as client:
        with pytest.raises(UnauthenticatedError):
            await client.information()


async def test_two_authorizations_are_refused(tokened: Secured) -> None:
    """Which of two tokens speaks is not for the server to guess."""
    shown = f"Bearer {token(tokened.parts.clock.now())}"
    credentials = tokened.credentials(tokened.holder("ivr"))
    async with grpc.aio.secure_channel(tokened.listening.target, credentials) as channel:
        ask: Any = channel.unary_unary(
            "/voiceauth.v1.InformationService/GetInformation", None, None
        )
        metadata = grpc.aio.Metadata(("authorization", shown), ("authorization", shown))
        status = await ask(b"", metadata=metadata).code()

    assert status is grpc.StatusCode.UNAUTHENTICATED


async def test_an_issuer_that_is_down_lets_nobody_in(parts: Parts, tmp_path: Path) -> None:
    """Without the issuer's keys nothing can be checked, and nobody is let in by a token."""
    settings = issuer(tmp_path)
    (tmp_path / "jwks.json").unlink()
    async with secured(parts, tmp_path, tokens=settings) as running:
        async with running.client("stranger", token=token(parts.clock.now())) as client:
            with pytest.raises(DependencyError):
                await client.information()
        async with running.client("ivr") as client:
            await client.information()


async def test_staff_need_a_second_factor_where_it_is_demanded(
    parts: Parts, tmp_path: Path
) -> None:
    """A password alone, and a certificate alone, do not make a person; a machine needs neither."""
    demanded = secured(
        parts, tmp_path, tokens=issuer(tmp_path), staff_amr=("mfa",), staff_acr=("gold",)
    )
    async with demanded as running:
        now = parts.clock.now()
        for weak in (["pwd"], None):
            shown = token(now, roles=["administrator"], amr=weak)
            async with running.client("stranger", token=shown) as client:
                with pytest.raises(SecondFactorMissingError):
                    await client.create_subject(TENANT, "alice")
        async with running.client("administrator") as client:
            with pytest.raises(SecondFactorMissingError):
                await client.create_subject(TENANT, "alice")
        for name, methods, assurance in (("a", ["pwd", "mfa"], None), ("b", None, "gold")):
            shown = token(now, roles=["administrator"], amr=methods, acr=assurance)
            async with running.client("stranger", token=shown) as client:
                await client.create_subject(TENANT, name)
        async with running.client("enrolment") as client:
            await client.create_subject(TENANT, "c")


# What a role sees.


async def test_an_agent_sees_masked_identifiers(bank: Secured) -> None:
    """Subject ids, and numbers in an operator's own words, are masked for an agent."""
    async with bank.client("enrolment") as client:
        own = await client.create_subject(TENANT, "+447700900123", ["vip:4111111111111111"])
    async with bank.client("agent") as client:
        seen = await client.get_subject(TENANT, "+447700900123")
    async with bank.client("privacy-officer") as client:
        full = await client.get_subject(TENANT, "+447700900123")

    assert own.subject == full.subject == "+447700900123"
    assert own.groups == {"vip:****"}
    assert seen.subject == "****23"
    assert seen.groups == {"vip:****"}
    assert full.groups == {"vip:4111111111111111"}


async def test_enrolment_does_not_learn_whose_voice_it_found(bank: Secured) -> None:
    """A duplicate is reported to the enrolment machine without the other person's id."""
    await enrolled(bank, "alice-4711")
    async with bank.client("enrolment") as client:
        await client.create_subject(TENANT, "eve")
        await client.record_consent(TENANT, "eve", CONSENT)
        bank.parts.embedder.voice = "alice-4711"
        async with client.enrol(EnrolOptions("enrol-2", TENANT, "eve", PCM)) as stream:
            result = await stream.run(pieces(speech(14.0)))

    assert result.duplicate == "****11"


# Files that change.


async def test_new_certificates_are_taken_over_without_a_restart(bank: Secured) -> None:
    """After the files were exchanged, new connections get the new certificate, and only that."""
    old = bank.authority
    new = DevelopmentAuthority(to_the_present(bank.parts.clock))
    write_server(bank.directory, new)
    bank.parts.clock.advance(2)

    fresh = Secured(bank.parts, bank.listening, new, bank.directory)
    async with fresh.client("ivr") as client:
        await client.information()
    async with Secured(bank.parts, bank.listening, old, bank.directory).client("ivr") as client:
        with pytest.raises(DependencyError):
            await client.information()


async def test_a_half_written_renewal_changes_nothing(bank: Secured) -> None:
    """A certificate whose key has not come yet leaves the server as it was."""
    new = DevelopmentAuthority(bank.parts.clock.now())
    (bank.directory / "server.pem").write_bytes(new.server(["localhost"]).certificate)
    bank.parts.clock.advance(2)

    for _ in range(2):
        async with bank.client("ivr") as client:
            await client.information()
        bank.parts.clock.advance(2)


async def test_a_flood_of_refusals_is_counted_not_recorded_one_by_one(bank: Secured) -> None:
    """Who is refused all the time does not fill the ledger, and what was withheld is told."""
    async with bank.client("ivr") as client:
        for _ in range(25):
            with pytest.raises(AccessError):
                await client.get_subject(TENANT, "alice")
        bank.parts.clock.advance(11)
        with pytest.raises(AccessError):
            await client.get_subject(TENANT, "alice")

    assert len(bank.denials()) == 21
    assert bank.denials()[-1]["withheld"] == 5


async def test_a_refusal_that_cannot_be_recorded_is_a_refusal(bank: Secured) -> None:
    """A ledger that is down does not open the door."""
    bank.parts.vault.write_failure = StorageError()
    async with bank.client("ivr") as client:
        with pytest.raises(AccessError):
            await client.get_subject(TENANT, "alice")
