# SPDX-License-Identifier: Apache-2.0
"""``voiceauth enrol``, ``verify`` and ``identify``: one call each, from a file or a pipe."""

import uuid
from typing import Annotated

import typer

from voiceauth.cli import options
from voiceauth.cli.converse import converse, enrolment
from voiceauth.cli.live import call_view, reasons_text
from voiceauth.cli.reach import ask
from voiceauth.cli.render import (
    decision_text,
    false_match_text,
    liveness_text,
    llr_text,
    output,
    print_json,
    rate_text,
)
from voiceauth.cli.sound import RawAudio, open_sound
from voiceauth.client import Client, EnrolOptions, IdentifyOptions, VerifyOptions
from voiceauth.errors import InternalError
from voiceauth.types import (
    CallId,
    Decision,
    EnrolmentOutcome,
    EnrolmentResult,
    Ranking,
    SubjectId,
    TenantId,
    Verdict,
)

VERIFY_CODES = {
    Decision.ACCEPT: 0,
    Decision.STEP_UP: 10,
    Decision.REJECT: 11,
    Decision.INCONCLUSIVE: 12,
}
ENROL_CODES = {
    EnrolmentOutcome.ENROLLED: 0,
    EnrolmentOutcome.PARTIAL: 10,
    EnrolmentOutcome.DUPLICATE: 11,
    EnrolmentOutcome.INCOHERENT: 12,
    EnrolmentOutcome.NOT_LIVE: 13,
    EnrolmentOutcome.WATCHLISTED: 14,
}


def call_id(given: str) -> CallId:
    """Return the operator's id of the call, or a random one."""
    return CallId(given or f"cli-{uuid.uuid4()}")


def enrol(
    context: typer.Context,
    *,
    audio: options.Sound,
    subject: Annotated[str, typer.Option("--subject", help="Whose voice it is.")],
    tenant: options.Tenant = "default",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    encoding: options.RawEncoding = None,
    rate: options.RawRate = 8000,
    channels: options.RawChannels = 1,
    channel: options.CallerChannel = 0,
    call: options.CallName = "",
    realtime: options.RealTime = False,
    as_json: options.Json = False,
) -> None:
    """Collect a subject's voice from one call and store a voiceprint of it.

    The subject must exist and have a recorded consent (see `voiceauth subjects create` and
    `voiceauth consent record`). Speech that does not suffice is kept for the next call.

    Exit codes: 0 enrolled, 10 partial (call again with more speech), 11 the voice is already
    enrolled under another subject, 12 the speech does not sound like one person, 13 it is not shown
    to be living, 14 the voice is on a watchlist.
    """
    sound = open_sound(audio, RawAudio(encoding, rate, channels, channel), realtime=realtime)
    opening = EnrolOptions(
        call_id=call_id(call),
        tenant=TenantId(tenant),
        subject=SubjectId(subject),
        audio_format=sound.audio_format,
    )

    async def question(client: Client) -> EnrolmentResult:
        with call_view(quiet=as_json).drawing() as view:
            pace = 1.0 if realtime else None
            return await enrolment(client, opening, sound, view.show, pace=pace)

    result = ask(context, server, data_dir, question)
    if as_json:
        print_json(result)
    else:
        _print_enrolment(result)
    raise typer.Exit(ENROL_CODES[result.outcome])


def _print_enrolment(result: EnrolmentResult) -> None:
    seconds = f"{result.net_seconds:.1f} s of net speech"
    told = {
        EnrolmentOutcome.ENROLLED: f"Enrolled with {seconds}; voiceprints: {result.voiceprints}.",
        EnrolmentOutcome.PARTIAL: f"Not enough yet: {seconds} kept for the next call.",
        EnrolmentOutcome.DUPLICATE: (
            f"Nothing stored: this voice is already enrolled as {result.duplicate}."
        ),
        EnrolmentOutcome.INCOHERENT: "Nothing stored: this does not sound like one person.",
        EnrolmentOutcome.NOT_LIVE: f"Not stored: {reasons_text(result.reasons)}.",
        EnrolmentOutcome.WATCHLISTED: "Nothing stored: this voice is on a watchlist.",
    }
    output().print(f"{told[result.outcome]} Ledger entry {result.record_id}.", soft_wrap=True)


def verify(
    context: typer.Context,
    *,
    audio: options.Sound,
    subject: Annotated[str, typer.Option("--subject", help="Who the caller claims to be.")],
    tenant: options.Tenant = "default",
    policy: Annotated[
        str, typer.Option("--policy", help="Policy of the settings. Default: theirs.")
    ] = "",
    number: Annotated[
        str, typer.Option("--number", help="Number that the call comes from. Default: withheld.")
    ] = "",
    server: options.Server = None,
    data_dir: options.DataDir = None,
    encoding: options.RawEncoding = None,
    rate: options.RawRate = 8000,
    channels: options.RawChannels = 1,
    channel: options.CallerChannel = 0,
    call: options.CallName = "",
    realtime: options.RealTime = False,
    as_json: options.Json = False,
) -> None:
    """Say how strongly a caller's voice supports the claimed identity.

    The answer is evidence beside other factors, never proof of identity.

    Exit codes: 0 ACCEPT, 10 STEP_UP, 11 REJECT, 12 INCONCLUSIVE, 1 error, 2 wrong usage.
    """
    sound = open_sound(audio, RawAudio(encoding, rate, channels, channel), realtime=realtime)
    opening = VerifyOptions(
        call_id=call_id(call),
        tenant=TenantId(tenant),
        subject=SubjectId(subject),
        audio_format=sound.audio_format,
        policy=policy,
        calling_number=number,
    )

    async def question(client: Client) -> Verdict:
        with call_view(quiet=as_json).drawing() as view:
            async with client.verify(opening) as stream:
                last = await converse(stream, sound, view.show, pace=1.0 if realtime else None)
        if not isinstance(last, Verdict):
            raise InternalError(detail="the server ended the call without a verdict")
        return last

    verdict = ask(context, server, data_dir, question)
    if as_json:
        print_json(verdict)
    else:
        _print_verdict(verdict)
    raise typer.Exit(VERIFY_CODES[verdict.decision])


def _print_verdict(verdict: Verdict) -> None:
    evidence = verdict.evidence
    line = decision_text(verdict.decision)
    line.append(f"  {reasons_text(evidence.reasons)}", "default")
    console = output()
    console.print(line, soft_wrap=True)
    console.print(
        f"net speech {evidence.net_speech_seconds:.1f} s of {evidence.heard_seconds:.1f} s, "
        f"LLR {llr_text(evidence.score)}, "
        f"implied false-match rate {false_match_text(evidence.score)} "
        f"(policy {verdict.policy}: {rate_text(verdict.target_false_match_rate)}), "
        f"ledger entry {verdict.record_id}",
        soft_wrap=True,
    )
    worst = rate_text(evidence.spoof_false_accept_rate)
    console.print(
        f"liveness: {liveness_text(evidence)}; implied rate of accepted attacks {worst} "
        f"(policy: {rate_text(verdict.max_spoof_false_accept)})",
        soft_wrap=True,
    )


def identify(
    context: typer.Context,
    *,
    audio: options.Sound,
    tenant: options.Tenant = "default",
    group: Annotated[
        str, typer.Option("--group", help="Group to search. Default: all enrolled subjects.")
    ] = "",
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, max=50, help="How many leads to show.")
    ] = 5,
    server: options.Server = None,
    data_dir: options.DataDir = None,
    encoding: options.RawEncoding = None,
    rate: options.RawRate = 8000,
    channels: options.RawChannels = 1,
    channel: options.CallerChannel = 0,
    call: options.CallName = "",
    realtime: options.RealTime = False,
    as_json: options.Json = False,
) -> None:
    """Rank the enrolled subjects that a voice could belong to.

    The candidates are leads to look at. This command never accepts anyone.

    Exit codes: 0 the search was made, whatever it found; 1 error; 2 wrong usage.
    """
    sound = open_sound(audio, RawAudio(encoding, rate, channels, channel), realtime=realtime)
    opening = IdentifyOptions(
        call_id=call_id(call),
        tenant=TenantId(tenant),
        group=group or None,
        audio_format=sound.audio_format,
        max_candidates=candidates,
    )

    async def question(client: Client) -> Ranking:
        with call_view(quiet=as_json).drawing() as view:
            async with client.identify(opening) as stream:
                return await converse(stream, sound, view.show, pace=1.0 if realtime else None)

    ranking = ask(context, server, data_dir, question)
    if as_json:
        print_json(ranking)
        return
    console = output()
    for place, one in enumerate(ranking.candidates, start=1):
        console.print(f"{place}. {one.subject}  LLR {llr_text(one.score)}", soft_wrap=True)
    chance = rate_text(ranking.false_positive_identification_rate)
    console.print(
        f"{ranking.searched} subjects searched with {ranking.evidence.net_speech_seconds:.1f} s of "
        f"net speech; chance that other people alone reach the best score: {chance}",
        soft_wrap=True,
    )
