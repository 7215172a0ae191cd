# SPDX-License-Identifier: Apache-2.0
"""The load: a process that opens calls at a fixed rate and sends their frames when they are due.

It is open: no call waits for another, and no frame for an answer. Times are counted from when a
frame was due, not from when this process came to send it, so that a server that makes its callers
wait is not rewarded for it. How late this process was itself is counted, too.

    python benchmarks/throughput_parts/callers.py PLAN RESULT
"""

import asyncio
import itertools
import json
import resource
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from throughput_parts.calls import FRAME_BYTES, FRAME_SECONDS, Call, Cast
from throughput_parts.server import TENANT
from voiceauth.types import AudioFormat, Encoding
from voiceauth.v1 import audio_pb2, evidence_pb2, verification_pb2
from voiceauth.wire.audio import format_to_wire

METHOD = "/voiceauth.v1.VerificationService/Verify"
_EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
PATIENCE_SECONDS = 20.0
"""After the last frame of a call."""


@dataclass
class Load:
    """What this process has to do.

    Attributes:
        calls_per_second: opened, evenly.
        seconds: for which calls are opened.
        connections: over which they are spread, as over so many gateways.
        idle: open the calls and send no audio.
        frames_per_message: 20 ms each.
    """

    target: str
    cast: str
    calls_per_second: float
    seconds: float
    connections: int = 4
    idle: bool = False
    frames_per_message: int = 1


@dataclass
class Fate:
    """What became of one call.

    Attributes:
        opened: when it was due, seconds from the start.
        closed: when it was over.
        outcome: ``verdict``, ``refused`` or ``failed``.
        code: of gRPC, where there was no verdict.
        decision: of the verdict.
        reasons: of the verdict.
        answers: seconds from when a span's last frame was due to the evidence that rests on it.
        verdict_seconds: the same for the verdict: from its last span's last frame, or from the end
            of the audio if it came after that.
        frames: sent.
        late_seconds: how late this process sent each message, worst of the call.
    """

    opened: float
    closed: float = 0.0
    outcome: str = "failed"
    code: str = ""
    decision: int = 0
    reasons: list[str] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    verdict_seconds: float = 0.0
    frames: int = 0
    late_seconds: float = 0.0


@dataclass
class Report:
    """All fates, and what this process cost."""

    fates: list[Fate] = field(default_factory=list)
    cpu_seconds: float = 0.0


class Callers:
    """Opens calls.

    Args:
        load: what to do.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._cast = Cast.read(Path(load.cast))
        size = FRAME_BYTES * load.frames_per_message
        self._messages = {
            call.mulaw: _messages(Path(call.mulaw), size) for call in self._cast.calls
        }
        self._start = 0.0

    async def run(self) -> Report:
        """Open all calls and wait for their ends."""
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [
            grpc.aio.insecure_channel(self._load.target, options=options)
            for _ in range(self._load.connections)
        ]
        await asyncio.gather(*(one.channel_ready() for one in channels))
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        used = _cpu_seconds()
        tasks, calls = [], itertools.cycle(self._cast.calls)
        for number in range(round(self._load.calls_per_second * self._load.seconds)):
            due = self._start + number / self._load.calls_per_second
            await asyncio.sleep(max(0.0, due - loop.time()))
            channel = channels[number % len(channels)]
            tasks.append(asyncio.create_task(self._call(channel, next(calls), number, due)))
        fates = await asyncio.gather(*tasks)
        used = _cpu_seconds() - used
        for channel in channels:
            await channel.close(None)
        return Report(list(fates), used)

    async def _call(self, channel: Any, call: Call, number: int, due: float) -> Fate:
        fate = Fate(due - self._start)
        stream = channel.stream_stream(
            METHOD, response_deserializer=verification_pb2.VerifyResponse.FromString
        )()
        reader = asyncio.create_task(self._read(stream, call, fate, due))
        try:
            await stream.write(_opening(call, number))
            if self._load.idle:
                await asyncio.sleep(self._load.seconds)
                stream.cancel()
            else:
                await self._speak(stream, call, fate, due, reader)
            await asyncio.wait_for(reader, PATIENCE_SECONDS)
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            await asyncio.wait([reader])
        except TimeoutError:
            fate.code = "NO_ANSWER"
            stream.cancel()
        fate.closed = asyncio.get_running_loop().time() - self._start
        return fate

    async def _speak(
        self, stream: Any, call: Call, fate: Fate, due: float, reader: "asyncio.Task[None]"
    ) -> None:
        loop = asyncio.get_running_loop()
        for message in self._messages[call.mulaw]:
            due += FRAME_SECONDS * self._load.frames_per_message
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if reader.done() or fate.outcome == "verdict":
                break
            fate.late_seconds = max(fate.late_seconds, loop.time() - due)
            await stream.write(message)
            fate.frames += self._load.frames_per_message
        await stream.done_writing()

    async def _read(self, stream: Any, call: Call, fate: Fate, due: float) -> None:
        per_message, newest = self._load.frames_per_message, 0.0
        waiting = [tuple(span) for span in call.spans]
        try:
            while (message := await stream.read()) is not _EOF:
                now = asyncio.get_running_loop().time()
                kind = message.WhichOneof("message")
                evidence = message.verdict.evidence if kind == "verdict" else message.evidence
                while waiting and waiting[0][1] <= evidence.net_speech_seconds + 1e-3:
                    newest = now - (due + FRAME_SECONDS * (waiting.pop(0)[0] + 1))
                    fate.answers.append(newest)
                if kind == "verdict":
                    fate.outcome = "verdict"
                    fate.decision = message.verdict.decision
                    fate.reasons = [evidence_pb2.Reason.Name(one) for one in evidence.reasons]
                    ended = fate.frames >= len(self._messages[call.mulaw]) * per_message
                    end = due + FRAME_SECONDS * fate.frames
                    fate.verdict_seconds = now - end if ended else newest
        except grpc.aio.AioRpcError as error:
            if fate.outcome != "verdict":
                fate.code = error.code().name
                busy = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                fate.outcome = "refused" if busy else "failed"
        except asyncio.CancelledError:
            fate.code = "CANCELLED"


def _messages(path: Path, size: int) -> list[bytes]:
    audio = path.read_bytes()
    return [
        verification_pb2.VerifyRequest(
            audio=audio_pb2.AudioChunk(data=audio[at : at + size])
        ).SerializeToString()
        for at in range(0, len(audio), size)
    ]


def _opening(call: Call, number: int) -> bytes:
    opening = verification_pb2.VerifyOpen(
        call_id=f"load-{number}",
        tenant_id=TENANT,
        subject_id=call.claims,
        policy="load",
        format=format_to_wire(AudioFormat(Encoding.MULAW)),
    )
    return verification_pb2.VerifyRequest(open=opening).SerializeToString()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Run the load of a plan and write the fates."""
    load = Load(**json.loads(Path(sys.argv[1]).read_text()))
    report = asyncio.run(Callers(load).run())
    Path(sys.argv[2]).write_text(json.dumps(asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
