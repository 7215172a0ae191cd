# SPDX-License-Identifier: Apache-2.0
"""A child process that enrols subjects until it is killed, and says what was acknowledged.

Usage: python enrolment_worker.py DATA_DIR FIRST. Each line of its output is an acknowledgement that
was printed after the use case returned, as a server would answer after its commit.
"""

import sys
from pathlib import Path

from fake_engine import TENANT, AgreeingScorer, consent, make_engine, span

from voiceauth.adapters import SystemClock
from voiceauth.types import AudioFormat, CallId, Encoding, SubjectId
from voiceauth.usecases import manage_subjects
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.enrol_subject import EnrolCall, EnrolmentRequest


def enrol_once(engine: Engine, subject: SubjectId, call: str, spans: int) -> str:
    """Run one enrolment call of so many three-second spans; return its outcome."""
    request = EnrolmentRequest(CallId(call), TENANT, subject, AudioFormat(Encoding.MULAW))
    enrolment = EnrolCall(engine, request)
    enrolment.load()
    for number in range(spans):
        one = span(number + 1)
        enrolment.weigh(one, engine.embedder.embed(one.samples))
    return enrolment.conclude().outcome.value


def main(data_dir: Path, first: int) -> None:
    """Create and enrol subjects for ever: half a voiceprint in one call, the rest in the next."""
    engine = make_engine(data_dir, scorer=AgreeingScorer(), clock=SystemClock())
    print("ready", flush=True)
    for number in range(first, first + 1_000_000):
        subject = SubjectId(f"caller-{number}")
        manage_subjects.create_subject(engine, TENANT, subject, frozenset())
        print(f"created {subject}", flush=True)
        manage_subjects.record_consent(engine, TENANT, subject, consent(engine))
        print(f"consented {subject}", flush=True)
        print(f"{enrol_once(engine, subject, 'first', 2)} {subject}", flush=True)
        print(f"{enrol_once(engine, subject, 'second', 2)} {subject}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
