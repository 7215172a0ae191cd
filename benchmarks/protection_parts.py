# SPDX-License-Identifier: Apache-2.0
"""The protections one by one, for ``protection.py``: what each does for one verification, alone."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from voiceauth.access.certificates import NameKind, PeerName, read_certificate
from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.access.masking import masked_identifier, masked_text
from voiceauth.access.revocation import read_revocations
from voiceauth.adapters import SystemClock, SystemRandom
from voiceauth.keys.envelope import open_sealed, seal
from voiceauth.keys.keyring import FileKeyring
from voiceauth.keys.voice_transform import VoiceTransform, orthogonal
from voiceauth.ledger.pseudonym import pseudonym
from voiceauth.testing.records import MODEL, made_up_segment, made_up_voiceprint
from voiceauth.types import SubjectId, TenantId
from voiceauth.vault import codec
from voiceauth.vault.open import open_vault

TENANT, SUBJECT = TenantId("bench"), SubjectId("caller")
SEGMENTS = 7
"""Of a voiceprint: 20 s of speech in spans of 3 s."""
DIMENSION = 192
REKEYED, MOVED = TenantId("re-keyed"), 50
"""As many subjects as one step of a re-keying moves."""


@dataclass(frozen=True, slots=True)
class Part:
    """One protection.

    Attributes:
        run: does it once.
        times: how often at one measurement, so that the clock can see it.
        per_call: how often a verification does it.
    """

    run: Callable[[], object]
    times: int
    per_call: float = 1.0


@contextmanager
def parts(
    directory: Path, body: dict[str, object], counts: Mapping[str, float]
) -> Iterator[dict[str, Part]]:
    """Yield the protections by name.

    Args:
        directory: on the disk whose flushing is measured.
        body: of a real verdict's ledger entry.
        counts: how often a verification reads the vault, and commits to it.
    """
    clock, random = SystemClock(), SystemRandom()
    keys = FileKeyring.create(directory / "keys.json", clock=clock, random=random)
    vault = open_vault(directory / "vault.db", keys, clock=clock, random=random)
    print_ = made_up_voiceprint("v", SUBJECT, segments=SEGMENTS)
    with vault.begin() as change:
        change.create_subject(TENANT, SUBJECT, at=clock.now(), groups=frozenset())
        change.add_voiceprint(TENANT, print_)
        for number in range(MOVED):
            other = SubjectId(f"caller-{number}")
            change.create_subject(REKEYED, other, at=clock.now(), groups=frozenset())
            stored = made_up_voiceprint(f"v-{number}", other, segments=SEGMENTS)
            change.add_voiceprint(REKEYED, stored)

    def entry() -> None:
        with vault.begin() as change:
            change.append(at=clock.now(), tenant=TENANT, event="verify.verdict", body=body)

    def voiceprint() -> None:
        with vault.read() as view:
            view.voiceprints(TENANT, SUBJECT, MODEL)

    def rekey() -> None:
        with vault.begin() as change:
            rows = change.rekeying()
            rows.start(REKEYED)
            rows.move(REKEYED, b"", MOVED)
            rows.finish(REKEYED)

    try:
        yield {
            "ledger: one durable entry": Part(entry, 5, counts["begin"]),
            "ledger: of which two flushes alone": Part(_flushes(directory), 5, counts["begin"]),
            "vault: a voiceprint read, all told": Part(voiceprint, 50, counts["read"]),
            **_sealed(keys, print_, counts["read"]),
            **_turned(counts["read"]),
            f"re-keying: {MOVED} subjects, one commit": Part(rekey, 1, 0.0),
            **_shown(clock.now()),
            "pseudonyms: subject and call": Part(_pseudonyms(keys.derive("p")), 200),
            "masking: one reply's identifiers": Part(_masking, 500, 10.0),
        }
    finally:
        vault.close()


def _flushes(directory: Path) -> Callable[[], None]:
    path = directory / "flushed"

    def run() -> None:
        """Write and flush twice, as a commit and the ledger's anchor do."""
        for _ in range(2):
            with path.open("ab") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())

    return run


def _sealed(keys: FileKeyring, print_: Any, reads: float) -> dict[str, Part]:
    key_id, wrapped = keys.wrap(bytes(range(32)), b"context", TENANT)
    payload = codec.encode_voiceprint(print_)
    sealed = seal(bytes(32), payload, b"place", SystemRandom())
    return {
        "keys: a data key unwrapped": Part(
            lambda: keys.unwrap(key_id, wrapped, b"context"), 200, reads
        ),
        "keys: a voiceprint decrypted": Part(
            lambda: open_sealed(bytes(32), sealed, b"place"), 200, reads
        ),
    }


def _turned(reads: float) -> dict[str, Part]:
    transform = VoiceTransform(bytes(range(32)), 1)
    stored = np.stack([made_up_segment(seed).embedding for seed in range(SEGMENTS + 1)])
    probe = stored[0]
    transform.protect(stored)
    return {
        "transform: a voiceprint turned back": Part(lambda: transform.reveal(stored), 200, reads),
        "transform: a probe turned for a search": Part(lambda: transform.protect(probe), 200, 0.0),
        "transform: a tenant's matrix, once a start": Part(
            lambda: orthogonal(bytes(range(32)), DIMENSION), 2, 0.0
        ),
    }


def _shown(now: datetime) -> dict[str, Part]:
    authority = DevelopmentAuthority(now)
    name = PeerName(NameKind.URI, "spiffe://bench/ivr")
    certificate = authority.client(name).certificate
    revoked = [authority.client(name).certificate for _ in range(1000)]
    lists = read_revocations(
        authority.revocation_list(revoked, now=now, holds=timedelta(days=1)),
        authority.certificate,
        allow_stale=False,
    )
    key = ec.generate_private_key(ec.SECP256R1())
    moment = int(now.timestamp())
    claims = {"iss": "i", "aud": "a", "sub": "s", "iat": moment, "exp": moment + 3600}
    token, public = jwt.encode(claims, key, algorithm="ES256"), key.public_key()
    return {
        "door: a certificate read": Part(
            lambda: read_certificate(certificate, datetime.now(UTC)), 100
        ),
        "door: a list of 1000 asked": Part(
            lambda: lists.check(certificate, datetime.now(UTC)), 100
        ),
        "door: a token's signature (ES256)": Part(
            lambda: jwt.decode(token, public, algorithms=["ES256"], audience="a"), 100
        ),
    }


def _pseudonyms(secret: bytes) -> Callable[[], None]:
    def run() -> None:
        pseudonym(secret, TENANT, SUBJECT)
        pseudonym(secret, TENANT, "call-1")

    return run


def _masking() -> None:
    masked_identifier("4711-0815-4711")
    masked_text("group of +41 79 123 45 67")
