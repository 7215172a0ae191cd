# SPDX-License-Identifier: Apache-2.0
"""The asyncio client's calls about subjects: who there is, consent, opt-out and erasure."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

from voiceauth.types import Consent, Erasure, Subject
from voiceauth.v1 import subjects_pb2, subjects_pb2_grpc
from voiceauth.wire.subjects import consent_to_wire, subject_from_wire

_Reply = TypeVar("_Reply")


class SubjectCalls:
    """Calls about subjects; ``Client`` completes it with a connection."""

    async def create_subject(
        self, tenant: str, subject: str, groups: Iterable[str] = ()
    ) -> Subject:
        """Create a subject. Raises SubjectExistsError. Never repeated."""
        request = subjects_pb2.CreateSubjectRequest(
            tenant_id=tenant, subject_id=subject, groups=sorted(groups)
        )
        return await self._subject(self._subjects().CreateSubject, request)

    async def get_subject(self, tenant: str, subject: str) -> Subject:
        """Read one subject. Raises NotFoundError."""
        request = subjects_pb2.GetSubjectRequest(tenant_id=tenant, subject_id=subject)
        return await self._subject(self._subjects().GetSubject, request)

    async def list_subjects(self, tenant: str, page_size: int = 100) -> AsyncIterator[Subject]:
        """Read all subjects of a tenant, page by page."""
        token = ""
        while True:
            request = subjects_pb2.ListSubjectsRequest(
                tenant_id=tenant, page_size=max(0, page_size), page_token=token
            )
            reply = await self._ask(self._subjects().ListSubjects, request)
            for one in reply.subjects:
                yield subject_from_wire(one)
            token = reply.next_page_token
            if not token:
                return

    async def set_groups(self, tenant: str, subject: str, groups: Iterable[str]) -> Subject:
        """Replace a subject's groups. Raises NotFoundError."""
        request = subjects_pb2.SetSubjectGroupsRequest(
            tenant_id=tenant, subject_id=subject, groups=sorted(groups)
        )
        return await self._subject(self._subjects().SetSubjectGroups, request)

    async def record_consent(self, tenant: str, subject: str, consent: Consent) -> Subject:
        """Record a permission that the subject gave. Raises NotFoundError, OptedOutError."""
        request = subjects_pb2.RecordConsentRequest(
            tenant_id=tenant, subject_id=subject, consent=consent_to_wire(consent)
        )
        return await self._subject(self._subjects().RecordConsent, request)

    async def withdraw_consent(self, tenant: str, subject: str) -> Subject:
        """End the consent and delete the voiceprints. Raises ConsentMissingError."""
        request = subjects_pb2.WithdrawConsentRequest(tenant_id=tenant, subject_id=subject)
        return await self._subject(self._subjects().WithdrawConsent, request)

    async def opt_out(self, tenant: str, subject: str) -> Subject:
        """Exclude a person from voice biometrics, known or not."""
        request = subjects_pb2.OptOutRequest(tenant_id=tenant, subject_id=subject)
        return await self._subject(self._subjects().OptOut, request)

    async def undo_opt_out(self, tenant: str, subject: str) -> Subject:
        """Take an opt-out back. Raises NotFoundError."""
        request = subjects_pb2.UndoOptOutRequest(tenant_id=tenant, subject_id=subject)
        return await self._subject(self._subjects().UndoOptOut, request)

    async def erase_subject(self, tenant: str, subject: str) -> tuple[int, int]:
        """Erase a subject; return the record's number and how many voiceprints were destroyed.

        ``erase`` tells more. Raises NotFoundError.
        """
        done = await self.erase(tenant, subject)
        return done.record_id, done.voiceprints

    async def erase(self, tenant: str, subject: str) -> Erasure:
        """Erase a subject; the token in the answer is kept nowhere else. Never repeated.

        Raises:
            NotFoundError: there is no such subject.
        """
        request = subjects_pb2.EraseSubjectRequest(tenant_id=tenant, subject_id=subject)
        reply = await self._ask(self._subjects().EraseSubject, request)
        return Erasure(reply.record_id, reply.voiceprints, reply.receipt_token, reply.vectors)

    def _subjects(self) -> Any:
        return self._stub(subjects_pb2_grpc.SubjectServiceStub)

    async def _subject(self, method: Callable[..., Awaitable[Any]], request: Any) -> Subject:
        return subject_from_wire(await self._ask(method, request))

    def _stub(self, kind: Any) -> Any:
        """Build a generated stub on the connection."""
        raise NotImplementedError

    async def _ask(self, method: Callable[..., Awaitable[_Reply]], request: Any) -> _Reply:
        """Send a request with the client's deadline. Raises EngineError."""
        raise NotImplementedError
