# SPDX-License-Identifier: Apache-2.0
"""One request at the door: who speaks, whether its roles suffice, and the record of a refusal."""

from typing import Any

import structlog

from voiceauth.access.principal import Principal
from voiceauth.access.rpcs import Row
from voiceauth.access.rules import authorise
from voiceauth.errors import AccessError, EngineError
from voiceauth.service.door import shown_by
from voiceauth.service.faults import engine_errors_only
from voiceauth.service.logging import failure
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import SubjectId
from voiceauth.usecases.acting import acting_as, actor_pseudonym, nobody, record_denial


class Admission:
    """Admits one request, or records that it was not.

    Args:
        runtime: with the door.
        method: the RPC's name on the wire.
    """

    def __init__(self, runtime: Runtime, method: str) -> None:
        self._runtime = runtime
        self._method = method
        self.actor = ""

    async def principal(self, context: Any, row: Row) -> Principal:
        """Return the one that speaks, with the roles that count.

        Raises:
            UnauthenticatedError: nobody can be said to.
            AccessError: it may not use this RPC.
            DependencyError: it cannot be said now.
        """
        door, source = self._runtime.door, _host(context)
        try:
            speaker = await self._identified(context)
            source = speaker.identity
            self.actor = actor_pseudonym(self._runtime.engine, source)
            return authorise(speaker, row, door.second_factor)
        except AccessError as error:
            self.actor = self.actor or actor_pseudonym(self._runtime.engine, source)
            await self.report(error, "", "", True)
            raise

    async def _identified(self, context: Any) -> Principal:
        door, now = self._runtime.door, self._runtime.engine.clock.now()
        shown = shown_by(context)
        if not door.blocks or shown.authorization is None:
            with engine_errors_only("the door"):
                return door.keeper.identify(shown, now)

        def work() -> Principal:
            with engine_errors_only("the door"):
                return door.keeper.identify(shown, now)

        return await self._runtime.door_threads.run(work)

    async def report(self, error: AccessError, tenant: str, subject: str, wait: bool) -> None:
        """Record a refusal; if it cannot be recorded, it is a refusal all the same."""
        engine, door = self._runtime.engine, self._runtime.door
        withheld = door.denials.admit(self.actor, engine.clock.monotonic())
        if withheld is None:
            return

        async def record() -> None:
            with acting_as(self.actor):
                try:
                    await in_vault(
                        self._runtime,
                        lambda: record_denial(
                            engine,
                            rpc=self._method.rpartition("/")[2],
                            reason=error.detail or error.code,
                            tenant=tenant,
                            subject=subject,
                            withheld=withheld,
                        ),
                    )
                except EngineError as trouble:
                    structlog.get_logger().error("refusal not recorded", **failure(trouble))

        if wait:
            await self._runtime.aftercare.finish(record())
        else:
            self._runtime.aftercare.leave(record(), event="refusal not recorded")

    def nobody(self, tenant: str, subject: str) -> SubjectId:
        """Return the name of a person whom nobody knows."""
        return nobody(self._runtime.engine, tenant, subject)


def _host(context: Any) -> str:
    """Return the address of a peer without its port, which is another one every time."""
    return f"peer:{str(context.peer()).rpartition(':')[0]}"
