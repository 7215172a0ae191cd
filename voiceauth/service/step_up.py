# SPDX-License-Identifier: Apache-2.0
"""The RPCs of factors and step-ups: read the request, run one use case, write the reply."""

from collections.abc import Sequence
from typing import Any

from voiceauth.errors import InputError
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import FactorInformation, NewFactor
from voiceauth.usecases import keep_factors, step_up
from voiceauth.usecases.identifiers import call_id, subject_id, tenant_id
from voiceauth.usecases.step_up_records import Named
from voiceauth.v1 import step_up_pb2, step_up_pb2_grpc
from voiceauth.wire.step_up import factor_kind_from_wire, factor_to_wire, step_up_to_wire

LONGEST_ANSWER = 64
DEFAULT_LABEL = "telephone"


class StepUpServicer(step_up_pb2_grpc.StepUpServiceServicer):
    """What a STEP_UP asks for. Errors are those of the use cases, mapped by the interceptor."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._engine = runtime.engine

    async def EnrolFactor(  # noqa: N802 - gRPC's names, here and below
        self, request: step_up_pb2.EnrolFactorRequest, context: Any
    ) -> step_up_pb2.EnrolFactorResponse:
        """Enrol a factor."""
        del context
        tenant, subject = tenant_id(request.tenant_id), subject_id(request.subject_id)
        new = NewFactor(
            factor_kind_from_wire(request.kind),
            pin=request.pin,
            destination=request.destination,
            label=request.label or DEFAULT_LABEL,
        )
        made = await in_vault(
            self._runtime, lambda: keep_factors.enrol_factor(self._engine, tenant, subject, new)
        )
        return step_up_pb2.EnrolFactorResponse(
            factor=factor_to_wire(made.factor), provisioning_uri=made.provisioning_uri
        )

    async def ListFactors(  # noqa: N802
        self, request: step_up_pb2.ListFactorsRequest, context: Any
    ) -> step_up_pb2.ListFactorsResponse:
        """List a subject's factors."""
        del context
        tenant, subject = tenant_id(request.tenant_id), subject_id(request.subject_id)
        return _listed(
            await in_vault(
                self._runtime, lambda: keep_factors.list_factors(self._engine, tenant, subject)
            )
        )

    async def RemoveFactor(  # noqa: N802
        self, request: step_up_pb2.RemoveFactorRequest, context: Any
    ) -> step_up_pb2.ListFactorsResponse:
        """Remove a factor."""
        del context
        tenant, subject = tenant_id(request.tenant_id), subject_id(request.subject_id)
        kind = factor_kind_from_wire(request.kind)
        return _listed(
            await in_vault(
                self._runtime,
                lambda: keep_factors.remove_factor(self._engine, tenant, subject, kind),
            )
        )

    async def BeginStepUp(  # noqa: N802
        self, request: step_up_pb2.BeginStepUpRequest, context: Any
    ) -> step_up_pb2.StepUp:
        """Open the step-up of a call."""
        del context
        tenant, call = tenant_id(request.tenant_id), call_id(request.call_id)
        subject = subject_id(request.subject_id)
        return step_up_to_wire(
            await in_vault(
                self._runtime, lambda: step_up.begin(self._engine, tenant, call, subject)
            )
        )

    async def SendCode(  # noqa: N802
        self, request: step_up_pb2.SendCodeRequest, context: Any
    ) -> step_up_pb2.StepUp:
        """Send a one-time code."""
        del context
        named = _named(request)
        return step_up_to_wire(
            await in_vault(self._runtime, lambda: step_up.send_code(self._engine, named))
        )

    async def AnswerStepUp(  # noqa: N802
        self, request: step_up_pb2.AnswerStepUpRequest, context: Any
    ) -> step_up_pb2.StepUp:
        """Take one answer."""
        del context
        named, kind = _named(request), factor_kind_from_wire(request.kind)
        shown = request.answer
        if not 0 < len(shown) <= LONGEST_ANSWER:
            raise InputError(f"answer must have 1 to {LONGEST_ANSWER} characters.")
        return step_up_to_wire(
            await in_vault(self._runtime, lambda: step_up.answer(self._engine, named, kind, shown))
        )

    async def GetStepUp(  # noqa: N802
        self, request: step_up_pb2.GetStepUpRequest, context: Any
    ) -> step_up_pb2.StepUp:
        """Read how a step-up stands."""
        del context
        named = _named(request)
        return step_up_to_wire(
            await in_vault(self._runtime, lambda: step_up.outcome(self._engine, named))
        )


def _named(request: Any) -> Named:
    return Named(tenant_id(request.tenant_id), call_id(request.call_id), request.step_up_id)


def _listed(factors: Sequence[FactorInformation]) -> step_up_pb2.ListFactorsResponse:
    return step_up_pb2.ListFactorsResponse(factors=[factor_to_wire(one) for one in factors])
