# SPDX-License-Identifier: Apache-2.0
"""Hand out all that is known of a person, as one signed document, with a second person's approval.

What a person has a right to see is what is kept about them and what was decided; so the document
holds the record, where each piece of enrolled speech came from, and every ledger entry about them.

What it leaves out, on purpose:

* Embeddings and fingerprints: a voiceprint that is handed out can be used against its person.
* Raw scores, ratios and rates: whoever gets hold of the document must not learn how near they came.
* Names and pseudonyms of anybody else, members of staff included.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from voiceauth.errors import IntegrityError, NotFoundError, TooLargeError
from voiceauth.keys.signing import SigningKey, check_signature
from voiceauth.ledger.body import canonical_json
from voiceauth.ledger.checkpoint import public_key, verifier
from voiceauth.ports import Transaction, Vault
from voiceauth.types import (
    ApprovalId,
    Consent,
    EnrolmentSegment,
    HeardRecording,
    LedgerEntry,
    Party,
    Subject,
    SubjectId,
    TenantId,
    Voiceprint,
)
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.second_person import export_plan, use

EXPORT = "subject-export"
MOST_BYTES = 2_000_000
"""What fits into one message of the contract."""
_BATCH = 500
TOLD = frozenset(
    {
        "decision",
        "outcome",
        "policy",
        "reasons",
        "purpose",
        "method",
        "locale",
        "text_sha256",
        "voiceprints",
        "voiceprints_deleted",
        "net_speech_seconds",
        "net_seconds",
        "model",
        "calibration",
    }
)
"""What is told of a ledger entry's body: nothing that helps an attack or names somebody else."""


def export_subject(
    engine: Engine,
    tenant: TenantId,
    subject: SubjectId,
    approval: ApprovalId,
    by: Party | None,
) -> str:
    """Return the signed document about a subject, as JSON; that it was made is recorded.

    Raises:
        SecondPersonMissingError: nobody has approved it.
        ApprovalInvalidError: the approval cannot be used for this person.
        NotFoundError: there is no such subject; the approval is not used.
        TooLargeError: the document is larger than one message; the approval is not used.
    """
    with engine.vault.read() as view:
        name = engine.subject_pseudonym(view, tenant, subject)
    history = list(_history(engine.vault, tenant, name))  # before the write: it may take long
    now = engine.clock.now()
    with engine.vault.begin() as transaction:
        told = use(engine.approval_desk, transaction, export_plan(tenant, subject), approval, by)
        found = transaction.subject(tenant, subject)
        if found is None:
            raise NotFoundError("There is no such subject.")
        statement = canonical_json(
            {
                **_record(found),
                **_speech(engine, transaction, tenant, subject),
                "history": history,
                "issued_at": now.isoformat(),
            }
        )
        text = _document(SigningKey(engine.secret("ledger-signing")), statement)
        transaction.append(
            at=now, tenant=tenant, event="subject.exported", body={"subject": name, **told}
        )
    return text


def check_export(
    document: Mapping[str, object], trusted: str | None = None
) -> Mapping[str, object]:
    """Check an export; needs nothing but the document.

    Args:
        document: from ``export_subject``, read.
        trusted: verifier key, learnt another way; None believes the document's own.

    Returns:
        The statement.

    Raises:
        IntegrityError: anything in it was changed, or it was signed by another key.
    """
    try:
        key, text = trusted or str(document["verifier"]), str(document["statement"])
        mark = base64.b64decode(str(document["signature"]), validate=True)
        check_signature(public_key(key), _signed(text), mark)
        statement: Mapping[str, object] = json.loads(text)
    except (KeyError, ValueError, binascii.Error) as error:
        raise IntegrityError("This is no export.", detail=type(error).__name__) from None
    return statement


def _document(key: SigningKey, statement: str) -> str:
    text = json.dumps(
        {
            "kind": EXPORT,
            "statement": statement,
            "signature": base64.b64encode(key.sign(_signed(statement))).decode(),
            "verifier": verifier(key.public),
        }
    )
    if len(text) > MOST_BYTES:
        raise TooLargeError("The export is larger than one message.")
    return text


def _record(subject: Subject) -> dict[str, object]:
    return {
        "tenant": subject.tenant,
        "subject": subject.subject,
        "state": subject.state.value,
        "created_at": subject.created_at.isoformat(),
        "groups": sorted(subject.groups),
        "consent": None if subject.consent is None else _consent(subject.consent),
        "voiceprints_stored": subject.voiceprints,
    }


def _consent(consent: Consent) -> dict[str, object]:
    return {
        "text_sha256": consent.text_sha256,
        "purpose": consent.purpose,
        "locale": consent.locale,
        "method": consent.method,
        "given_at": consent.given_at.isoformat(),
        "expires_at": _time(consent.expires_at),
        "withdrawn_at": _time(consent.withdrawn_at),
    }


def _speech(
    engine: Engine, transaction: Transaction, tenant: TenantId, subject: SubjectId
) -> dict[str, object]:
    """Return where the enrolled, pending and remembered speech came from; nothing of its sound."""
    model = engine.embedder.model
    return {
        "voiceprints": [
            _voiceprint(one) for one in transaction.voiceprints(tenant, subject, model)
        ],
        "unfinished_enrolment": _segments(transaction.pending_segments(tenant, subject, model)),
        "remembered_calls": [_recording(one) for one in transaction.recordings(tenant, subject)],
    }


def _voiceprint(voiceprint: Voiceprint) -> dict[str, object]:
    return {
        "voiceprint": voiceprint.voiceprint,
        "model": voiceprint.model,
        "created_at": voiceprint.created_at.isoformat(),
        "net_seconds": voiceprint.net_seconds,
        "segments": _segments(voiceprint.segments),
    }


def _segments(segments: Sequence[EnrolmentSegment]) -> list[dict[str, object]]:
    return [
        {
            "call": one.call,
            "start_seconds": one.start_seconds,
            "end_seconds": one.end_seconds,
            "net_seconds": one.net_seconds,
            "bandwidth": one.bandwidth.value,
        }
        for one in segments
    ]


def _recording(recording: HeardRecording) -> dict[str, object]:
    return {"call": recording.call, "heard_at": recording.heard_at.isoformat()}


def _history(vault: Vault, tenant: TenantId, pseudonym: str) -> Iterator[dict[str, object]]:
    """Tell every ledger entry about the subject, oldest first."""
    for entry in _entries(vault):
        if entry.tenant != tenant or pseudonym not in entry.body:
            continue
        body = json.loads(entry.body)
        if body.get("subject") == pseudonym:
            yield {
                "entry": entry.sequence,
                "at": entry.at.isoformat(),
                "event": entry.event,
                **{name: value for name, value in body.items() if name in TOLD},
            }


def _entries(vault: Vault) -> Iterable[LedgerEntry]:
    after = 0
    while page := vault.ledger(after=after, limit=_BATCH):
        yield from page
        after = page[-1].sequence


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _signed(statement: str) -> bytes:
    return b"voiceauth-subject-export/1\n" + statement.encode()
