# SPDX-License-Identifier: Apache-2.0
"""What a sweep of the retention rules costs per subject, and what permission costs per verdict.

``python benchmarks/retention.py [SUBJECTS]`` makes a vault of made-up people with one voiceprint
each and prints processor time. Nothing is due, as on most sweeps.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from voiceauth.config import Settings, StorageSettings
from voiceauth.testing.records import made_up_consent, made_up_embedding, made_up_voiceprint
from voiceauth.types import SubjectId, SubjectStanding, TenantId
from voiceauth.usecases.assemble import assembled
from voiceauth.usecases.claimed_voice import standing_at_end
from voiceauth.usecases.engine import Engine
from voiceauth.usecases.sweep_retention import sweep

TENANT = TenantId("bank")
_BATCH = 200
_ROUNDS = 300


def fill(engine: Engine, subjects: int) -> None:
    """Create people with a consent and a voiceprint."""
    model, voice = engine.embedder.model, made_up_embedding(1, engine.embedder.dimension)
    for start in range(0, subjects, _BATCH):
        with engine.vault.begin() as change:
            for number in range(start, min(start + _BATCH, subjects)):
                name = SubjectId(f"s{number}")
                now = engine.clock.now()
                change.create_subject(TENANT, name, at=now, groups=frozenset())
                change.put_consent(TENANT, name, made_up_consent(now))
                made = made_up_voiceprint(f"v{number}", name, model=model, segments=0)
                change.add_voiceprint(TENANT, replace(made, embedding=voice))


def microseconds(work: Callable[[], object], times: int) -> float:
    """Return the processor time of one run."""
    begin = time.process_time()
    for _ in range(times):
        work()
    return 1e6 * (time.process_time() - begin) / times


def main() -> None:
    """Measure and print."""
    subjects = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(storage=StorageSettings(data_dir=Path(folder)))
        with assembled(settings) as engine:
            fill(engine, subjects)
            one = microseconds(lambda: sweep(engine, TENANT, dry_run=True), 3) / subjects
            print(f"sweep, per subject: {one:.0f} us")
            name, enrolled = SubjectId("s1"), SubjectStanding.ENROLLED

            def again() -> None:
                with engine.vault.read() as view:
                    standing_at_end(engine, view, TENANT, name, enrolled)
                    engine.subject_pseudonym(view, TENANT, name)

            print(f"permission and pseudonym, per verdict: {microseconds(again, _ROUNDS):.0f} us")


if __name__ == "__main__":
    main()
