# SPDX-License-Identifier: Apache-2.0
"""Whose data one request is about, and what its replies show: for unary requests and streams alike.

A stream names its tenant in its first message, so a stream's context is wrapped: what is read from
it is admitted, and what is written to it is masked. No servicer can leave either out.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from voiceauth.access.principal import Principal
from voiceauth.access.roles import view_of
from voiceauth.access.rpcs import Foreign, Row
from voiceauth.access.rules import require_tenant
from voiceauth.errors import AccessError, NotFoundError
from voiceauth.service.masks import masked
from voiceauth.service.speaker import speaking
from voiceauth.types import SubjectId
from voiceauth.usecases.identifiers import subject_id, tenant_id


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Stands between one request and its handler.

    Attributes:
        report: records a refusal: the error, the tenant and the person that were named, and whether
            to wait for the record.
        nobody: returns the name of a person whom nobody knows.
    """

    principal: Principal
    row: Row
    report: Callable[[AccessError, str, str, bool], Awaitable[None]]
    nobody: Callable[[str, str], SubjectId]

    async def admit(self, request: Any) -> str:
        """Check the tenant that a message names.

        Returns:
            The person that it names, empty for none.

        Raises:
            InputError: the tenant or the person is malformed.
            NotFoundError: the tenant is another's, and unknown people are answered like this.
            AccessError: the tenant is another's.
        """
        if not hasattr(request, "tenant_id"):
            return ""
        person = str(getattr(request, "subject_id", ""))
        try:
            require_tenant(self.principal, request.tenant_id)
        except AccessError as error:
            tenant = tenant_id(request.tenant_id)  # first, as a tenant of its own would be
            if person:
                subject_id(person)
            at_leisure = self.row.foreign is Foreign.AS_UNKNOWN  # it must take no longer
            await self.report(error, tenant, person, not at_leisure)
            if self.row.foreign is Foreign.NOT_FOUND:
                raise NotFoundError("There is no such subject.") from error
            if not at_leisure:
                raise
            request.subject_id = self.nobody(tenant, person)
        return person

    async def served(
        self, handler: Callable[[Any, Any], Awaitable[Any]], request: Any, context: Any
    ) -> Any:
        """Have a unary request answered, its tenant checked before and its reply masked after.

        A refusal of the use case is recorded like those of the door.

        Raises:
            EngineError: as ``admit``, or as the handler.
        """
        person = await self.admit(request)
        try:
            with speaking(self.principal):
                reply = await handler(request, context)
        except AccessError as error:
            await self.report(error, getattr(request, "tenant_id", ""), person, True)
            raise
        return self.show(reply, person)

    def show(self, reply: Any, person: str) -> Any:
        """Mask a reply for the role that asked."""
        return masked(reply, view_of(self.principal.roles, self.row.permission), person)


class GuardedContext:
    """The context of a stream, with a guard. Everything else is gRPC's own context."""

    def __init__(self, context: Any, guard: Guard) -> None:
        self._context = context
        self._guard = guard
        self._person = ""

    def __getattr__(self, name: str) -> Any:
        """Return what gRPC's context has."""
        return getattr(self._context, name)

    async def read(self) -> Any:
        """Read a message; the one that opens the stream is admitted first."""
        message = await self._context.read()
        which = getattr(message, "WhichOneof", None)  # the end of a stream is no message
        if which is not None and which("message") == "open":
            self._person = await self._guard.admit(message.open)
        return message

    async def write(self, reply: Any) -> None:
        """Write a message, masked."""
        await self._context.write(self._guard.show(reply, self._person))
