# SPDX-License-Identifier: Apache-2.0
"""What a claim is compared with: the subject's voiceprints, or a stand-in at the same cost."""

import hashlib
import hmac
from dataclasses import dataclass

from voiceauth.consent.rules import objection
from voiceauth.errors import IntegrityError
from voiceauth.ports import Transaction
from voiceauth.scoring.combine import centroid
from voiceauth.types import Embedding, SubjectId, SubjectStanding, TenantId
from voiceauth.units import Seconds
from voiceauth.usecases.engine import Engine


@dataclass(frozen=True, slots=True, eq=False)
class ClaimedVoice:
    """A voice to compare with, and what was found behind the claim.

    Attributes:
        embedding: of the voiceprints, or of a stand-in; shape (dimension,).
        net_seconds: speech behind it; of a stand-in, what an enrolment needs.
    """

    standing: SubjectStanding
    embedding: Embedding
    net_seconds: Seconds


def claimed_voice(
    engine: Engine, view: Transaction, tenant: TenantId, subject: SubjectId
) -> ClaimedVoice:
    """Read the claim's voiceprints, and a decoy in every case, so that both ways cost alike.

    Raises:
        StorageError: the vault cannot be read.
        IntegrityError: a voiceprint failed its check.
    """
    decoy = _decoy(engine, tenant, subject)
    found = view.subject(tenant, subject)
    prints = view.voiceprints(tenant, subject, engine.embedder.model)
    standing = SubjectStanding.UNKNOWN
    if found is not None:
        enrolled = SubjectStanding.ENROLLED if prints else SubjectStanding.NOT_ENROLLED
        standing = objection(found, engine.enrolment.purpose, engine.clock.now()) or enrolled
    if standing is not SubjectStanding.ENROLLED:
        return ClaimedVoice(standing, decoy, engine.enrolment.needed_seconds)
    if any(one.model != engine.embedder.model for one in prints):
        raise IntegrityError(detail="a voiceprint of another model came back")
    mean = centroid([(one.embedding, one.net_seconds) for one in prints])
    return ClaimedVoice(standing, mean, sum(one.net_seconds for one in prints))


def standing_at_end(
    engine: Engine,
    view: Transaction,
    tenant: TenantId,
    subject: SubjectId,
    standing: SubjectStanding,
) -> SubjectStanding:
    """Return how a claim stands when its verdict is written, given how it stood at first.

    A permission that began during the call does not count for it; one that ended does.
    """
    found = view.subject(tenant, subject)
    if standing is not SubjectStanding.ENROLLED:
        return standing
    if found is None:
        return SubjectStanding.UNKNOWN
    return objection(found, engine.enrolment.purpose, engine.clock.now()) or standing


def _decoy(engine: Engine, tenant: TenantId, subject: SubjectId) -> Embedding:
    """Pick a stand-in by keyed hash, so that one subject always gets the same one."""
    name = f"{tenant}\0{subject}".encode()
    digest = hmac.new(engine.secret("decoy"), name, hashlib.sha256).digest()
    return engine.decoys[int.from_bytes(digest[:8], "big") % len(engine.decoys)]
