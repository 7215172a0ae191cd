# SPDX-License-Identifier: Apache-2.0
"""The key RPCs: one step of a use case each, beside the event loop."""

from typing import Any

from voiceauth.errors import PolicyError
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.usecases.identifiers import tenant_id
from voiceauth.v1 import keys_pb2, keys_pb2_grpc


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """The care for secrets. Errors are those of the use cases, mapped by the interceptor."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def RekeyVoiceprints(  # noqa: N802 - gRPC's name
        self, request: keys_pb2.RekeyVoiceprintsRequest, context: Any
    ) -> keys_pb2.RekeyVoiceprintsResponse:
        """Take one step."""
        del context
        tenant, generation = tenant_id(request.tenant_id), request.generation
        desk = self._runtime.engine.rekeying
        if desk is None:
            raise PolicyError("This server re-keys no voiceprints.")
        done = await in_vault(self._runtime, lambda: desk.step(tenant, generation))
        return keys_pb2.RekeyVoiceprintsResponse(
            generation=done.generation,
            subjects=done.subjects,
            subjects_total=done.of,
            finished=done.finished,
        )
