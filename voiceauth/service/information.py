# SPDX-License-Identifier: Apache-2.0
"""What this server runs with, for clients that adapt to it and operators who ask."""

from typing import Any

from voiceauth import __version__
from voiceauth.service.runtime import Runtime
from voiceauth.v1 import information_pb2, information_pb2_grpc


class InformationServicer(information_pb2_grpc.InformationServiceServicer):
    """Answers from what the engine was put together from; it reads nothing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def GetInformation(  # noqa: N802 - gRPC's name
        self, request: information_pb2.GetInformationRequest, context: Any
    ) -> information_pb2.GetInformationResponse:
        """Return versions, policies and limits."""
        del request, context
        engine, limits = self._runtime.engine, self._runtime.limits
        return information_pb2.GetInformationResponse(
            version=__version__,
            models=[
                information_pb2.ModelInformation(
                    role=card.role,
                    name=card.name,
                    sha256=card.sha256,
                    licence=card.licence,
                    sample_rate_hz=card.rate_hz,
                    dimension=card.dimension,
                )
                for card in engine.models
            ],
            calibration_version=engine.scorer.version,
            policies=[
                information_pb2.PolicyInformation(
                    name=policy.name,
                    target_false_match_rate=policy.target_false_match_rate,
                    floor_seconds=policy.floor_seconds,
                    full_seconds=policy.full_seconds,
                    max_spoof_false_accept=policy.max_spoof_false_accept,
                    required_liveness=sorted(one.value for one in policy.require_liveness),
                )
                for _, policy in sorted(engine.policies.items())
            ],
            default_policy=engine.default_policy,
            enrolment_seconds=engine.enrolment.needed_seconds,
            max_chunk_bytes=limits.max_message_bytes,
            max_stream_seconds=limits.max_stream_seconds,
        )
