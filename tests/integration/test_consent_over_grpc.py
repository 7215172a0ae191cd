# SPDX-License-Identifier: Apache-2.0
"""Consent and opt-out through the whole engine: on the wire and from the command line."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from served import CONSENT, PCM, TENANT, Served, pieces, speech
from typer.testing import CliRunner

from voiceauth.cli.app import app
from voiceauth.client import EnrolOptions
from voiceauth.errors import ConsentMissingError, InputError, OptedOutError
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import Decision, Reason, SubjectState, Verdict

DAY = 86_400.0
TERM = replace(
    CONSENT, expires_at=EPOCH + timedelta(days=30), channel="branch", jurisdiction="US-IL"
)


async def verified(service: Served, subject: str = "alice") -> Verdict:
    """Run a whole call in the subject's own voice."""
    service.parts.embedder.voice = subject
    async with service.client.verify(service.claim(subject)) as stream:
        return await stream.run(pieces(speech(8.0)))


async def test_an_expired_consent_ends_scoring_and_enrolment(service: Served) -> None:
    """The term is held to: no model runs on the voice, STEP_UP says why, nothing is collected."""
    await service.enrolled("alice")
    await service.client.record_consent(TENANT, "alice", TERM)
    assert (await verified(service)).decision is Decision.ACCEPT
    service.parts.clock.advance(30 * DAY)
    before = service.parts.embedder.calls

    verdict = await verified(service)
    with pytest.raises(ConsentMissingError):
        async with service.client.enrol(EnrolOptions("e", TENANT, "alice", PCM)) as stream:
            await stream.run(pieces(speech(14.0)))

    assert (verdict.decision, verdict.evidence.reasons) == (
        Decision.STEP_UP,
        (Reason.CONSENT_ENDED,),
    )
    assert verdict.evidence.score is None
    assert service.parts.embedder.calls == before


async def test_a_withdrawal_ends_scoring_at_once(service: Served) -> None:
    """One call takes the permission back, and the next call is not looked at."""
    await service.enrolled("alice")
    await service.client.withdraw_consent(TENANT, "alice")
    before = service.parts.embedder.calls

    verdict = await verified(service)

    assert verdict.decision is Decision.STEP_UP
    assert verdict.evidence.reasons == (Reason.CONSENT_ENDED,)
    assert service.parts.embedder.calls == before


async def test_an_opt_out_before_any_enrolment_refuses_it(service: Served) -> None:
    """Somebody whom nobody knows yet opts out: no consent, no enrolment, no verification."""
    out = await service.client.opt_out(TENANT, "alice")
    with pytest.raises(OptedOutError):
        await service.client.record_consent(TENANT, "alice", CONSENT)
    with pytest.raises(OptedOutError):
        async with service.client.enrol(EnrolOptions("e", TENANT, "alice", PCM)) as stream:
            await stream.run(pieces(speech(14.0)))

    verdict = await verified(service)

    assert out.state is SubjectState.OPTED_OUT
    assert (verdict.decision, verdict.evidence.reasons) == (Decision.STEP_UP, (Reason.OPTED_OUT,))
    assert service.parts.embedder.calls == 0


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": EPOCH},
        {"expires_at": EPOCH - timedelta(days=1)},
        {"channel": "two words"},
        {"jurisdiction": "Illinois"},
        {"text_sha256": "00"},
    ],
)
async def test_an_impossible_consent_is_refused_on_the_wire(
    service: Served, change: dict[str, object]
) -> None:
    """What cannot be what was agreed is the caller's mistake, and nothing is recorded."""
    await service.client.create_subject(TENANT, "alice")

    with pytest.raises(InputError):
        await service.client.record_consent(TENANT, "alice", replace(CONSENT, **change))  # type: ignore[arg-type]

    assert "consent.recorded" not in service.parts.events()


async def test_the_ledger_keeps_what_was_agreed(service: Served) -> None:
    """Hash of the text, purpose, term, locale, channel, method and law stand in the entry."""
    await service.client.create_subject(TENANT, "alice")
    subject = await service.client.record_consent(TENANT, "alice", TERM)

    body = json.loads(service.parts.last("consent.recorded").body)

    assert subject.consent == TERM
    assert subject.last_interaction_at == EPOCH.replace(hour=0)
    assert {name: body[name] for name in ("purpose", "locale", "channel", "method")} == {
        "purpose": "authentication",
        "locale": "en-GB",
        "channel": "branch",
        "method": "ivr-keypress",
    }
    assert (body["text_sha256"], body["jurisdiction"]) == ("cd" * 32, "US-IL")
    assert body["expires_at"] == (EPOCH + timedelta(days=30)).isoformat()
    assert body["given_at"] == EPOCH.isoformat()


def test_giving_and_withdrawing_are_one_command_each(tmp_path: Path) -> None:
    """From the command line a consent is recorded with all its parts and taken back as easily."""
    text = tmp_path / "consent.txt"
    text.write_text("May we keep your voice?")
    where = ["--data-dir", str(tmp_path / "data"), "--json"]
    run = CliRunner()

    def told(*words: str) -> dict[str, object]:
        result = run.invoke(app, [*words, *where])
        assert result.exit_code == 0, result.output
        found: dict[str, object] = json.loads(result.stdout)
        return found

    told("subjects", "create", "4711")
    given = told(
        "consent",
        "record",
        "4711",
        "--text-file",
        str(text),
        "--channel",
        "branch",
        "--jurisdiction",
        "US-IL",
        "--expires",
        "2999-01-01",
    )["consent"]
    withdrawn = told("consent", "withdraw", "4711")["consent"]

    assert isinstance(given, dict)
    assert given["text_sha256"] == hashlib.sha256(text.read_bytes()).hexdigest()
    assert (given["channel"], given["jurisdiction"]) == ("branch", "US-IL")
    assert given["expires_at"].startswith("2999-01-01")
    assert given["withdrawn_at"] is None
    assert isinstance(withdrawn, dict)
    assert withdrawn["withdrawn_at"] is not None
