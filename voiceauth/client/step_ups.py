# SPDX-License-Identifier: Apache-2.0
"""Factors and step-ups, from a client's side."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from voiceauth.types import EnrolledFactor, FactorInformation, FactorKind, NewFactor, StepUp
from voiceauth.v1 import step_up_pb2
from voiceauth.wire.step_up import factor_from_wire, factor_kind_to_wire, step_up_from_wire


class StepUps:
    """The step-ups of a server; ``Client.step_ups`` makes it.

    Args:
        ask: sends one request.
        stub: returns the generated stub, which has no types of its own.
    """

    def __init__(self, ask: Callable[[Any, Any], Awaitable[Any]], stub: Callable[[], Any]) -> None:
        self._ask = ask
        self._stub = stub

    async def enrol(self, tenant: str, subject: str, new: NewFactor) -> EnrolledFactor:
        """Enrol a factor, in place of the one of its kind. Never repeated.

        Raises:
            NotFoundError: there is no such subject.
            InputError: the PIN is too easily guessed, or something is malformed.
        """
        request = step_up_pb2.EnrolFactorRequest(
            tenant_id=tenant,
            subject_id=subject,
            kind=factor_kind_to_wire(new.kind),
            pin=new.pin,
            destination=new.destination,
            label=new.label,
        )
        reply = await self._ask(self._stub().EnrolFactor, request)
        return EnrolledFactor(factor_from_wire(reply.factor), reply.provisioning_uri)

    async def list(self, tenant: str, subject: str) -> tuple[FactorInformation, ...]:
        """List a subject's factors. Raises NotFoundError."""
        request = step_up_pb2.ListFactorsRequest(tenant_id=tenant, subject_id=subject)
        reply = await self._ask(self._stub().ListFactors, request)
        return tuple(factor_from_wire(one) for one in reply.factors)

    async def remove(
        self, tenant: str, subject: str, kind: FactorKind
    ) -> tuple[FactorInformation, ...]:
        """Remove a factor and list what is left. Never repeated. Raises NotFoundError."""
        request = step_up_pb2.RemoveFactorRequest(
            tenant_id=tenant, subject_id=subject, kind=factor_kind_to_wire(kind)
        )
        reply = await self._ask(self._stub().RemoveFactor, request)
        return tuple(factor_from_wire(one) for one in reply.factors)

    async def begin(self, tenant: str, call: str, subject: str) -> StepUp:
        """Open the step-up of a call.

        Raises:
            PolicyError: the call was rejected, is another subject's, or has no step-up.
        """
        request = step_up_pb2.BeginStepUpRequest(tenant_id=tenant, call_id=call, subject_id=subject)
        return step_up_from_wire(await self._ask(self._stub().BeginStepUp, request))

    async def send_code(self, tenant: str, call: str, step_up: str) -> StepUp:
        """Send a one-time code. Never repeated.

        Raises:
            LimitError: no further code is sent now.
            DependencyError: it could not be sent.
        """
        request = step_up_pb2.SendCodeRequest(tenant_id=tenant, call_id=call, step_up_id=step_up)
        return step_up_from_wire(await self._ask(self._stub().SendCode, request))

    async def answer(
        self, tenant: str, call: str, step_up: str, kind: FactorKind, shown: str
    ) -> StepUp:
        """Give one answer of the caller; whether it was right is in ``last``. Never repeated.

        Raises:
            PolicyError: there is no such step-up of this call, or it does not ask for this factor.
        """
        request = step_up_pb2.AnswerStepUpRequest(
            tenant_id=tenant,
            call_id=call,
            step_up_id=step_up,
            kind=factor_kind_to_wire(kind),
            answer=shown,
        )
        return step_up_from_wire(await self._ask(self._stub().AnswerStepUp, request))

    async def outcome(self, tenant: str, call: str, step_up: str) -> StepUp:
        """Read how a step-up stands."""
        request = step_up_pb2.GetStepUpRequest(tenant_id=tenant, call_id=call, step_up_id=step_up)
        return step_up_from_wire(await self._ask(self._stub().GetStepUp, request))


class SyncStepUps:
    """The blocking twin of ``StepUps``: same names, same arguments, same errors."""

    def __init__(
        self, step_ups: StepUps, wait_for: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        self._step_ups = step_ups
        self._wait_for = wait_for

    def enrol(self, tenant: str, subject: str, new: NewFactor) -> EnrolledFactor:
        """Enrol a factor, in place of the one of its kind."""
        made: EnrolledFactor = self._wait_for(self._step_ups.enrol(tenant, subject, new))
        return made

    def list(self, tenant: str, subject: str) -> tuple[FactorInformation, ...]:
        """List a subject's factors."""
        found: tuple[FactorInformation, ...] = self._wait_for(self._step_ups.list(tenant, subject))
        return found

    def remove(self, tenant: str, subject: str, kind: FactorKind) -> tuple[FactorInformation, ...]:
        """Remove a factor and list what is left."""
        left: tuple[FactorInformation, ...] = self._wait_for(
            self._step_ups.remove(tenant, subject, kind)
        )
        return left

    def begin(self, tenant: str, call: str, subject: str) -> StepUp:
        """Open the step-up of a call."""
        return self._told(self._step_ups.begin(tenant, call, subject))

    def send_code(self, tenant: str, call: str, step_up: str) -> StepUp:
        """Send a one-time code."""
        return self._told(self._step_ups.send_code(tenant, call, step_up))

    def answer(self, tenant: str, call: str, step_up: str, kind: FactorKind, shown: str) -> StepUp:
        """Give one answer of the caller."""
        return self._told(self._step_ups.answer(tenant, call, step_up, kind, shown))

    def outcome(self, tenant: str, call: str, step_up: str) -> StepUp:
        """Read how a step-up stands."""
        return self._told(self._step_ups.outcome(tenant, call, step_up))

    def _told(self, work: Coroutine[Any, Any, StepUp]) -> StepUp:
        found: StepUp = self._wait_for(work)
        return found
