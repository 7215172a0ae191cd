# SPDX-License-Identifier: Apache-2.0
import asyncio
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import structlog.testing
from served import FakeEmbedder

from voiceauth.config import ServerSettings
from voiceauth.errors import (
    BusyError,
    DependencyError,
    InputError,
    InternalError,
    ModelOutputError,
    SettingsError,
    StorageError,
)
from voiceauth.service.address import is_loopback, listening_address, local_host, server_options
from voiceauth.service.evidence import noticeable
from voiceauth.service.gate import Aftercare, Gate
from voiceauth.service.inference import Inference, Workers
from voiceauth.service.logging import drop_payloads, failure
from voiceauth.service.subjects import id_to_token, page_to_wire, token_to_id
from voiceauth.testing.fakes import EPOCH
from voiceauth.types import (
    Evidence,
    GroupName,
    Progress,
    Reason,
    Score,
    Subject,
    SubjectId,
    SubjectState,
    TenantId,
)
from voiceauth.usecases.manage_subjects import Page

SAMPLES = np.zeros(16_000, dtype=np.float32)


def test_the_gate_caps_calls_but_not_requests() -> None:
    """Beyond the cap a call is refused; unary requests and running calls are not."""
    gate = Gate(most_calls=1)

    with gate.enter(call=True):
        with pytest.raises(BusyError), gate.enter(call=True):
            pass
        with gate.enter(call=False):
            pass
    with gate.enter(call=True):
        pass


async def test_a_closed_gate_lets_nobody_in_and_waits_for_the_last() -> None:
    """While draining nobody enters, and the wait ends when the last one has left."""
    gate = Gate(most_calls=1)

    with gate.enter(call=True):
        gate.close()
        with pytest.raises(DependencyError), gate.enter(call=False):
            pass
        assert not await gate.wait_empty(0.01)

    assert await gate.wait_empty(0.01)


async def test_aftercare_finishes_what_its_caller_left() -> None:
    """Work that was begun goes on to its end although the one who waits is cancelled."""
    care, may_end, ended = Aftercare(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await may_end.wait()
        ended.set()

    waiting = asyncio.create_task(care.finish(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    may_end.set()
    await care.settle()

    assert waiting.cancelled()
    assert ended.is_set()


async def test_a_failure_that_nobody_waits_for_is_swallowed_into_the_log() -> None:
    """A record of a lost call that fails does not take the server down."""
    care = Aftercare()

    async def work() -> None:
        raise StorageError

    with structlog.testing.capture_logs() as lines:
        care.leave(work(), event="lost call not recorded")
        await care.settle()

    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("lost call not recorded", "error")
    ]


async def test_workers_hold_back_what_exceeds_their_queue() -> None:
    """With one thread and one waiting place, the third piece of work waits outside."""
    workers, may_run = Workers("test", threads=1, queue=1), threading.Event()
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        may_run.wait(30)
        return number

    tasks = [asyncio.create_task(workers.run(lambda n=n: work(n))) for n in range(3)]  # type: ignore[misc]
    for _ in range(10):
        await asyncio.sleep(0)
    assert workers._places.locked()
    tasks[2].cancel()
    may_run.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    workers.close()

    assert done[:2] == [0, 1]
    assert started == [0, 1]


@pytest.mark.parametrize(
    "output",
    [np.full(16, np.nan), np.ones(17), np.ones((16, 1)), np.float32(1.0)],
    ids=["NaN", "too many", "a column", "a number"],
)
async def test_an_impossible_embedding_is_a_model_error(output: Any) -> None:
    """What comes out of a model is checked whatever its wrapper checked."""
    embedder = FakeEmbedder()
    embedder.output = output
    inference = Inference(embedder, threads=1, queue=1)

    with pytest.raises(ModelOutputError):
        await inference.embed(SAMPLES)
    inference.close()


async def test_a_model_that_blames_its_input_otherwise_is_at_fault() -> None:
    """Only TooShortError is believed; another engine error of a model is a fault of the engine."""
    embedder = FakeEmbedder()
    embedder.failure = InputError()
    inference = Inference(embedder, threads=1, queue=1)

    with pytest.raises(InternalError):
        await inference.embed(SAMPLES)
    inference.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_permission(host: str) -> None:
    """Addresses of this machine alone are listened on without further ado."""
    assert is_loopback(host)
    assert listening_address(ServerSettings(host=host)).endswith(":50051")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "voice.example", ""])  # noqa: S104
def test_plain_text_beyond_loopback_must_be_asked_for(host: str) -> None:
    """Any other address is refused with a sentence on what to do, unless it is allowed."""
    with pytest.raises(SettingsError, match="allow_plaintext_beyond_loopback"):
        listening_address(ServerSettings(host=host))
    assert listening_address(ServerSettings(host=host, allow_plaintext_beyond_loopback=True))


def test_ipv6_addresses_are_bracketed() -> None:
    """A port can be told from an IPv6 address."""
    assert listening_address(ServerSettings(host="::1", port=7)) == "[::1]:7"
    assert local_host("::") == "[::1]"


def test_the_transport_follows_the_settings() -> None:
    """Message size and streams come from the settings; a second server may not share the port."""
    options = dict(server_options(ServerSettings(max_message_bytes=1024, max_stream_seconds=600)))

    assert 1024 < options["grpc.max_receive_message_length"] < 16_384
    assert options["grpc.max_connection_age_grace_ms"] >= 600_000
    assert options["grpc.so_reuseport"] == 0
    assert options["grpc.max_concurrent_streams"] == ServerSettings().max_concurrent_requests


def test_payloads_never_reach_the_log() -> None:
    """Bytes and arrays are dropped whatever their key is called."""
    event = {"event": "x", "audio": b"\1\2", "more": np.ones(3), "seconds": 1.5}

    assert drop_payloads(None, "info", event) == {
        "event": "x",
        "audio": "<dropped>",
        "more": "<dropped>",
        "seconds": 1.5,
    }


def test_the_log_tells_where_a_bug_is_but_not_what_it_choked_on() -> None:
    """An unexpected exception is logged by type and place, without its message."""
    error = InternalError(detail="KeyError in weighing")
    try:
        raise KeyError("alice")  # noqa: TRY301 - a traceback is needed
    except KeyError as cause:
        error.__cause__ = cause

    fields = failure(error)

    assert "alice" not in repr(fields)
    assert fields["trace"][-1] == "KeyError"
    assert "test_service_parts.py" in fields["trace"][0]


BEFORE = Evidence(Progress.LISTENING, 1.0, 1.0, 1.0, reasons=(Reason.NOT_ENOUGH_SPEECH,))
SCORE = Score(0.5, llr=1.0, false_match_rate=0.1, false_non_match_rate=0.1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (BEFORE, False),
        (replace(BEFORE, heard_seconds=30.0), False),
        (replace(BEFORE, net_speech_seconds=1.4), False),
        (replace(BEFORE, net_speech_seconds=1.5), True),
        (replace(BEFORE, score=SCORE), True),
        (replace(BEFORE, progress=Progress.UNDECIDED), True),
        (replace(BEFORE, reasons=(Reason.GAP,)), True),
    ],
)
def test_evidence_is_sent_when_it_changed(now: Evidence, expected: bool) -> None:
    """Score, progress, reasons or half a second of speech are news; silence is none."""
    assert noticeable(BEFORE, now) is expected


def test_the_first_evidence_is_always_news() -> None:
    """A stream begins with evidence, so that the client knows that it was accepted."""
    assert noticeable(None, BEFORE)


@pytest.mark.parametrize(
    "token", ["!", "AAA", "gA==", "\N{SNOWMAN}", id_to_token(SubjectId("a b"))]
)
def test_a_foreign_page_token_is_refused(token: str) -> None:
    """A page token that this server did not make is an InputError."""
    with pytest.raises(InputError, match="page_token"):
        token_to_id(token)


def test_a_page_is_cut_before_its_message_grows_too_large() -> None:
    """A page of people in many groups is cut, and its token leads on without a gap."""
    groups = frozenset(GroupName(f"{number:0128}") for number in range(32))
    subjects = tuple(
        Subject(TenantId("t"), SubjectId(f"s{n:04}"), SubjectState.ACTIVE, EPOCH, groups)
        for n in range(1000)
    )

    page = page_to_wire(Page(subjects, None))

    assert 0 < len(page.subjects) < 1000
    assert page.ByteSize() < 2_000_000
    assert token_to_id(page.next_page_token) == page.subjects[-1].subject_id
