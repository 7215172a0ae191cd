# SPDX-License-Identifier: Apache-2.0
"""Whole verifications over gRPC, through each kind of door, for ``protection.py``."""

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import jwt
import numpy as np
import soundfile
import soxr
from cryptography.hazmat.primitives.asymmetric import ec

from voiceauth.access.certificates import NameKind, PeerName
from voiceauth.access.issuing import DevelopmentAuthority, Issued
from voiceauth.access.roles import Role
from voiceauth.client import Client, ClientFiles, EnrolOptions, VerifyOptions, credentials_from
from voiceauth.config import (
    AccessSettings,
    PolicySettings,
    PrincipalSettings,
    Settings,
    TlsSettings,
    TokenSettings,
)
from voiceauth.service.server import running_server
from voiceauth.signal.g711 import encode_mulaw
from voiceauth.types import AudioFormat, Consent, Encoding, EnrolmentOutcome
from voiceauth.usecases.engine import Engine

TENANT, SUBJECT = "bench", "caller"
PLAIN = "plain text"
TLS_ONLY = "TLS 1.3, token"
MUTUAL = "mutual TLS 1.3"
EVERYTHING = "mutual TLS 1.3, revocation list, token"
DOORS = (PLAIN, TLS_ONLY, MUTUAL, EVERYTHING)
FORMAT = AudioFormat(Encoding.MULAW)
_CHUNK_BYTES = 800
_RATE_HZ = 8000
_ISSUER, _AUDIENCE = "https://login.example", "voiceauth"


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took, in seconds: of this process's processors, and of the clock."""

    processor: float
    clock: float


class Stopwatch:
    """Measures a block. Client and server share the process, so both ends are counted."""

    def __enter__(self) -> Self:
        """Start."""
        self._start = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        processor, clock = self._start
        self.cost = Cost(time.process_time() - processor, time.perf_counter() - clock)


def call_of(name: str) -> list[bytes]:
    """Read a demo recording as a telephone would carry it: 100-ms chunks of mu-law."""
    path = Path(str(files("voiceauth") / "_demo" / f"{name}.opus"))
    samples, rate = soundfile.read(str(path), dtype="float32")
    narrow = soxr.resample(samples, rate, _RATE_HZ)
    pcm = np.clip(np.round(narrow * 32767.0), -32768, 32767).astype(np.int16)
    data = encode_mulaw(pcm).tobytes()
    return [data[at : at + _CHUNK_BYTES] for at in range(0, len(data), _CHUNK_BYTES)]


def base_settings(directory: Path) -> Settings:
    """Return settings of an engine whose calls run to their end, whatever they hear."""
    never = PolicySettings(
        target_false_match_rate=1e-6, target_false_non_match_rate=1e-6, full_seconds=120.0
    )
    return Settings(
        storage={"data_dir": directory / "data"},
        server={"port": 0},
        policies={"standard": never},
        default_policy="standard",
        lockout={"undecided_allowed": 1000},  # every call here ends undecided
    )


@asynccontextmanager
async def doors(
    engine: Engine, settings: Settings, directory: Path
) -> AsyncIterator[Mapping[str, Client]]:
    """Serve one engine through each kind of door; yields a client per door."""
    now = datetime.now(UTC)
    authority = DevelopmentAuthority(now)
    name = PeerName(NameKind.URI, "spiffe://bench/ivr")
    _put(directory, "server", authority.server(["localhost", "127.0.0.1"]))
    _put(directory, "ivr", authority.client(name))
    (directory / "ca.pem").write_bytes(authority.certificate)
    revoked = [authority.client(name).certificate for _ in range(1000)]
    lists = authority.revocation_list(revoked, now=now, holds=timedelta(days=1))
    (directory / "clients.crl").write_bytes(lists)
    (directory / "token").write_text(_token(directory, now))
    tls: dict[str, Any] = {
        "certificate": directory / "server.pem",
        "key": directory / "server.key",
    }
    mutual = {**tls, "client_ca": directory / "ca.pem"}
    tokens = TokenSettings(issuer=_ISSUER, audience=_AUDIENCE, jwks_file=directory / "keys.json")
    known = AccessSettings(
        principals={"ivr": PrincipalSettings(san=str(name), roles=tuple(Role), tenants=(TENANT,))}
    )
    ca, pair = directory / "ca.pem", (directory / "ivr.pem", directory / "ivr.key")
    token = directory / "token"
    plans: dict[str, tuple[dict[str, Any], ClientFiles | None]] = {
        PLAIN: ({}, None),
        TLS_ONLY: (
            {"tls": TlsSettings(**tls), "tokens": tokens},
            ClientFiles(ca, None, None, token),
        ),
        MUTUAL: (
            {"tls": TlsSettings(**mutual), "access": known},
            ClientFiles(ca, *pair, None),
        ),
        EVERYTHING: (
            {
                "tls": TlsSettings(**mutual, client_crl=directory / "clients.crl"),
                "access": known,
                "tokens": tokens,
            },
            ClientFiles(ca, *pair, token),
        ),
    }
    async with AsyncExitStack() as stack:
        clients = {}
        for door, (update, shown) in plans.items():
            own = settings.model_copy(update=update)
            listening = await stack.enter_async_context(running_server(engine, own))
            credentials = None if shown is None else credentials_from(shown)
            client = Client(listening.target, timeout_seconds=30.0, credentials=credentials)
            clients[door] = await stack.enter_async_context(client)
        yield clients


def _put(directory: Path, name: str, issued: Issued) -> None:
    (directory / f"{name}.pem").write_bytes(issued.certificate)
    (directory / f"{name}.key").write_bytes(issued.key)


def _token(directory: Path, now: datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    listed: Any = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    document = {"keys": [{**listed, "kid": "1", "use": "sig"}]}
    (directory / "keys.json").write_text(json.dumps(document))
    moment = int(now.timestamp())
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": "gateway",
        "iat": moment,
        "exp": moment + 3600,
        "tenant": TENANT,
        "roles": [role.value for role in Role],
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "1"})


async def enrol(client: Client) -> None:
    """Make the subject whose claims are verified."""
    await client.create_subject(TENANT, SUBJECT)
    consent = Consent("c0" * 32, "authentication", "en-GB", "spoken", datetime.now(UTC))
    await client.record_consent(TENANT, SUBJECT, consent)
    async with client.enrol(EnrolOptions("enrol", TENANT, SUBJECT, FORMAT)) as stream:
        result = await stream.run(call_of("caller-01-enrol"))
    if result.outcome is not EnrolmentOutcome.ENROLLED:
        raise SystemExit(f"the demo recording does not enrol: {result.outcome.value}")


async def verification(client: Client, call: list[bytes], number: int) -> Cost:
    """Verify one call, sent as fast as it is taken."""
    with Stopwatch() as watch:
        claim = VerifyOptions(f"call-{number}", TENANT, SUBJECT, FORMAT)
        async with client.verify(claim) as stream:
            await stream.run(call)
    return watch.cost


async def connection(client: Client) -> Cost:
    """Open a new connection and ask one small thing over it."""
    await client.close()
    with Stopwatch() as watch:
        await client.information()
    return watch.cost
