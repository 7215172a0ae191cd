# SPDX-License-Identifier: Apache-2.0
"""Let staff see how often a voice was tried without success, and open a closed voice path."""

from voiceauth.errors import PolicyError
from voiceauth.ports import Transaction
from voiceauth.types import LockoutStanding
from voiceauth.usecases.attempt_desk import AttemptDesk, VoicePath
from voiceauth.usecases.engine import Engine


def read_lockout(engine: Engine, path: VoicePath) -> LockoutStanding:
    """Read the counters; the reading is recorded.

    Raises:
        PolicyError: attempts are not counted here.
        StorageError: the reading could not be recorded.
    """
    desk = _desk(engine)
    with engine.vault.begin() as transaction:
        found = _standing(desk, transaction, path)
        _record(engine, transaction, path, "lockout.read", found)
    return found


def unlock(engine: Engine, path: VoicePath) -> LockoutStanding:
    """Open a subject's voice path, and give a named number its budget back.

    Raises:
        PolicyError: attempts are not counted here.
        StorageError: nothing was changed.
    """
    desk = _desk(engine)
    with engine.vault.begin() as transaction:
        before = _standing(desk, transaction, path)
        desk.unlock(transaction, path)
        _record(engine, transaction, path, "lockout.unlocked", before)
        return _standing(desk, transaction, path)


def _desk(engine: Engine) -> AttemptDesk:
    if engine.attempts is None:
        raise PolicyError("Attempts are not counted here.")
    return engine.attempts


def _standing(desk: AttemptDesk, transaction: Transaction, path: VoicePath) -> LockoutStanding:
    attempts, lock = desk.standing(transaction, path)
    failures, over = 0, False
    if path.number:
        heard, over = desk.number_standing(transaction, path)
        failures = heard.failures
    return LockoutStanding(
        subject=path.subject,
        failures=attempts.failures,
        undecided=attempts.undecided,
        total=attempts.total,
        disabled=lock.disabled,
        remaining_seconds=lock.remaining_seconds,
        number_failures=failures,
        number_over_budget=over,
    )


def _record(
    engine: Engine, transaction: Transaction, path: VoicePath, event: str, found: LockoutStanding
) -> None:
    transaction.append(
        at=engine.clock.now(),
        tenant=path.tenant,
        event=event,
        body={
            "subject": engine.subject_pseudonym(transaction, path.tenant, path.subject),
            "number": engine.number_pseudonym(path.tenant, path.number),
            "failures": found.failures,
            "undecided": found.undecided,
            "total": found.total,
            "disabled": found.disabled,
            "number_failures": found.number_failures,
        },
    )
