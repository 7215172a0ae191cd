# SPDX-License-Identifier: Apache-2.0
"""The subject RPCs: read the request, run one use case beside the event loop, write the reply."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from voiceauth.errors import InputError
from voiceauth.service.limits import RESPONSE_BYTES
from voiceauth.service.runtime import Runtime, in_vault
from voiceauth.types import Subject, SubjectId, TenantId
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.erase_subject import erase_subject
from voiceauth.usecases.identifiers import group_names, subject_id, tenant_id
from voiceauth.v1 import subjects_pb2, subjects_pb2_grpc
from voiceauth.wire.subjects import consent_from_wire, subject_to_wire

DEFAULT_PAGE = 100
_PAGE_BYTES = RESPONSE_BYTES // 2
_Change = Callable[[Engine, TenantId, SubjectId], Subject]


class SubjectServicer(subjects_pb2_grpc.SubjectServiceServicer):
    """The people a tenant knows. Errors are those of the use cases, mapped by the interceptor."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def CreateSubject(  # noqa: N802 - gRPC's names, here and below
        self, request: subjects_pb2.CreateSubjectRequest, context: Any
    ) -> subjects_pb2.Subject:
        """Create a subject."""
        del context
        groups = group_names(request.groups)
        return await self._change(
            request,
            lambda engine, tenant, subject: manage_subjects.create_subject(
                engine, tenant, subject, groups
            ),
        )

    async def GetSubject(  # noqa: N802
        self, request: subjects_pb2.GetSubjectRequest, context: Any
    ) -> subjects_pb2.Subject:
        """Read a subject."""
        del context
        return await self._change(request, manage_subjects.get_subject)

    async def ListSubjects(  # noqa: N802
        self, request: subjects_pb2.ListSubjectsRequest, context: Any
    ) -> subjects_pb2.ListSubjectsResponse:
        """Read one page of subjects."""
        del context
        engine, tenant = self._runtime.engine, tenant_id(request.tenant_id)
        after = token_to_id(request.page_token)
        limit = request.page_size or DEFAULT_PAGE
        page = await in_vault(
            self._runtime,
            lambda: manage_subjects.list_subjects(engine, tenant, after=after, limit=limit),
        )
        return page_to_wire(page)

    async def SetSubjectGroups(  # noqa: N802
        self, request: subjects_pb2.SetSubjectGroupsRequest, context: Any
    ) -> subjects_pb2.Subject:
        """Replace a subject's groups."""
        del context
        groups = group_names(request.groups)
        return await self._change(
            request,
            lambda engine, tenant, subject: manage_subjects.set_groups(
                engine, tenant, subject, groups
            ),
        )

    async def RecordConsent(  # noqa: N802
        self, request: subjects_pb2.RecordConsentRequest, context: Any
    ) -> subjects_pb2.Subject:
        """Record a permission. When it was withdrawn is not the caller's to say."""
        del context
        if not request.HasField("consent"):
            raise InputError("The request holds no consent.")
        request.consent.ClearField("withdrawn_at")
        consent = consent_from_wire(request.consent, now=self._runtime.engine.clock.now())
        return await self._change(
            request,
            lambda engine, tenant, subject: manage_subjects.record_consent(
                engine, tenant, subject, consent
            ),
        )

    async def WithdrawConsent(  # noqa: N802
        self, request: subjects_pb2.WithdrawConsentRequest, context: Any
    ) -> subjects_pb2.Subject:
        """End the consent and delete what was collected under it."""
        del context
        return await self._change(request, manage_subjects.withdraw_consent)

    async def OptOut(  # noqa: N802
        self, request: subjects_pb2.OptOutRequest, context: Any
    ) -> subjects_pb2.Subject:
        """Exclude a person from voice biometrics."""
        del context
        return await self._change(request, manage_subjects.opt_out)

    async def UndoOptOut(  # noqa: N802
        self, request: subjects_pb2.UndoOptOutRequest, context: Any
    ) -> subjects_pb2.Subject:
        """Take an opt-out back."""
        del context
        return await self._change(request, manage_subjects.undo_opt_out)

    async def EraseSubject(  # noqa: N802
        self, request: subjects_pb2.EraseSubjectRequest, context: Any
    ) -> subjects_pb2.EraseSubjectResponse:
        """Forget a person."""
        del context
        engine, tenant, subject = self._named(request)
        erasure = await in_vault(self._runtime, lambda: erase_subject(engine, tenant, subject))
        return subjects_pb2.EraseSubjectResponse(
            record_id=erasure.record_id,
            voiceprints=erasure.voiceprints,
            receipt_token=erasure.token,
            vectors=erasure.vectors,
        )

    def _named(self, request: Any) -> tuple[Engine, TenantId, SubjectId]:
        return self._runtime.engine, tenant_id(request.tenant_id), subject_id(request.subject_id)

    async def _change(self, request: Any, change: _Change) -> subjects_pb2.Subject:
        engine, tenant, subject = self._named(request)
        return subject_to_wire(
            await in_vault(self._runtime, lambda: change(engine, tenant, subject))
        )


def page_to_wire(page: manage_subjects.Page) -> subjects_pb2.ListSubjectsResponse:
    """Build the message of a page, cut where it would grow too large for one message."""
    reply = subjects_pb2.ListSubjectsResponse()
    size = 0
    for index, subject in enumerate(page.subjects):
        message = subject_to_wire(subject)
        size += message.ByteSize()
        if index and size > _PAGE_BYTES:
            reply.next_page_token = id_to_token(page.subjects[index - 1].subject)
            return reply
        reply.subjects.append(message)
    if page.after is not None:
        reply.next_page_token = id_to_token(page.after)
    return reply


def id_to_token(subject: SubjectId) -> str:
    """Return the page token of the page after a subject."""
    return base64.urlsafe_b64encode(subject.encode()).decode()


def token_to_id(token: str) -> SubjectId | None:
    """Read a page token, None for the first page. Raises InputError for one not from here."""
    if not token:
        return None
    try:
        return subject_id(base64.urlsafe_b64decode(token.encode()).decode())
    except (binascii.Error, UnicodeError, InputError) as error:
        raise InputError("page_token is not one that this server returned.") from error
