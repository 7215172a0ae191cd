# SPDX-License-Identifier: Apache-2.0
"""What a client says when it opens a call, and what a server says about itself."""

from dataclasses import dataclass

from voiceauth.types import AudioFormat, ModelCard
from voiceauth.units import Rate, Seconds
from voiceauth.v1 import information_pb2


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """A claim to be verified.

    Attributes:
        call_id: the caller's own id for this call, 1 to 128 of ``[A-Za-z0-9._:@+-]``.
        tenant: same characters.
        subject: the claimed subject, same characters.
        audio_format: of the bytes that will be sent.
        policy: name of a policy of the server; empty for its default.
        calling_number: that the call comes from; empty where it is withheld. The server records
            a keyed hash of it only.
    """

    call_id: str
    tenant: str
    subject: str
    audio_format: AudioFormat
    policy: str = ""
    calling_number: str = ""


@dataclass(frozen=True, slots=True)
class IdentifyOptions:
    """A search for the caller among a group.

    Attributes:
        group: None for every enrolled subject of the tenant.
        max_candidates: 1 to 50; 0 for the server's default.
    """

    call_id: str
    tenant: str
    group: str | None
    audio_format: AudioFormat
    max_candidates: int = 0


@dataclass(frozen=True, slots=True)
class EnrolOptions:
    """A subject whose voice is to be collected.

    Attributes:
        kept_recording: a recording from before, to move the subject to a new speaker model with.
    """

    call_id: str
    tenant: str
    subject: str
    audio_format: AudioFormat
    kept_recording: bool = False


@dataclass(frozen=True, slots=True)
class PolicyInformation:
    """One decision policy of the server.

    Attributes:
        max_spoof_false_accept: None from a server that knows no such rate.
        required_liveness: names of the layers without whose word nobody is accepted.
    """

    name: str
    target_false_match_rate: Rate
    floor_seconds: Seconds
    full_seconds: Seconds
    max_spoof_false_accept: Rate | None = None
    required_liveness: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Information:
    """What a server runs with.

    Attributes:
        version: of the engine.
        models: in use.
        calibration: version of the calibration tables.
        policies: by which a call can be verified.
        default_policy: what an empty policy name means.
        enrolment_seconds: net speech that an enrolment needs.
        max_chunk_bytes: largest audio chunk.
        max_stream_seconds: longest stream.
    """

    version: str
    models: tuple[ModelCard, ...]
    calibration: str
    policies: tuple[PolicyInformation, ...]
    default_policy: str
    enrolment_seconds: Seconds
    max_chunk_bytes: int
    max_stream_seconds: Seconds


@dataclass(frozen=True, slots=True)
class Rekeying:
    """How far the re-keying of a tenant's voiceprints has come.

    Attributes:
        generation: of the secret that the voiceprints are moved to.
        subjects: looked at so far.
        subjects_total: all that the tenant has.
        finished: the older secrets are destroyed, and searches see the new space.
    """

    generation: int
    subjects: int
    subjects_total: int
    finished: bool


def information_from_wire(message: information_pb2.GetInformationResponse) -> Information:
    """Read what a server says about itself."""
    return Information(
        version=message.version,
        models=tuple(
            ModelCard(
                role=one.role,
                name=one.name,
                sha256=one.sha256,
                licence=one.licence,
                rate_hz=one.sample_rate_hz,
                dimension=one.dimension,
            )
            for one in message.models
        ),
        calibration=message.calibration_version,
        policies=tuple(
            PolicyInformation(
                name=one.name,
                target_false_match_rate=one.target_false_match_rate,
                floor_seconds=one.floor_seconds,
                full_seconds=one.full_seconds,
                max_spoof_false_accept=one.max_spoof_false_accept
                if one.HasField("max_spoof_false_accept")
                else None,
                required_liveness=tuple(one.required_liveness),
            )
            for one in message.policies
        ),
        default_policy=message.default_policy,
        enrolment_seconds=message.enrolment_seconds,
        max_chunk_bytes=message.max_chunk_bytes,
        max_stream_seconds=message.max_stream_seconds,
    )
