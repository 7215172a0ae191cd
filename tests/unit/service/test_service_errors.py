# SPDX-License-Identifier: Apache-2.0
import inspect

import grpc
import pytest

from voiceauth import errors
from voiceauth.errors import ChainBrokenError, EngineError, InternalError, MissingExtraError
from voiceauth.service.errors import REFUSALS, SERVER_FAULTS, STATUS, TooLateError, answer
from voiceauth.service.faults import engine_errors_only

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, EngineError)
]
PRIVATE = "alice /var/lib/voiceauth 4711"


def made(kind: type[EngineError]) -> EngineError:
    """Build an error that says more than a caller may know, where its class lets it."""
    if kind is ChainBrokenError:
        return ChainBrokenError(4711, detail=PRIVATE)
    if kind is MissingExtraError:
        return MissingExtraError(PRIVATE, PRIVATE)
    return kind(PRIVATE, detail=PRIVATE)


def test_the_table_is_complete() -> None:
    """Each error class has a row of its own: nothing gets a status by accident."""
    assert set(STATUS) == {*CLASSES, TooLateError}


def test_codes_are_unique_enough_to_come_back() -> None:
    """A client finds the class again by its code: no two classes with own codes share one."""
    own = [kind.code for kind in CLASSES if "code" in vars(kind)]

    assert len(own) == len(set(own))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: str(kind.__name__))
def test_faults_and_refusals_say_nothing_particular(kind: type[EngineError]) -> None:
    """At a fault of the server and at a refusal only the class's general sentence leaves it."""
    told = answer(made(kind))

    assert told.code == kind.code
    assert told.status is not grpc.StatusCode.OK
    if told.status in SERVER_FAULTS | REFUSALS:
        assert not [word for word in PRIVATE.split() if word in told.text]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: str(kind.__name__))
def test_details_are_for_the_log(kind: type[EngineError]) -> None:
    """The detail of an error is never told to a caller."""
    error = made(kind)
    error.detail = "the particulars"

    assert "particulars" not in answer(error).text


def test_a_mistake_of_the_caller_is_told_in_its_own_sentence() -> None:
    """An input error says what was wrong, so that it can be corrected."""
    told = answer(errors.InputError("page_size must lie between 1 and 1000."))

    assert told.text == "page_size must lie between 1 and 1000."


def test_a_new_error_class_falls_back_to_its_parent() -> None:
    """A subclass that somebody adds elsewhere is mapped like its parent."""

    class DiskFullError(errors.StorageError):
        code = "disk_full"

    assert answer(DiskFullError()).status is grpc.StatusCode.UNAVAILABLE


def test_foreign_exceptions_become_internal_errors() -> None:
    """What is not an engine error becomes InternalError, without the exception's own words."""
    with pytest.raises(InternalError) as caught, engine_errors_only("a test"):
        raise KeyError(PRIVATE)

    assert not [word for word in PRIVATE.split() if word in str(caught.value)]
    assert isinstance(caught.value.__cause__, KeyError)


def test_engine_errors_pass_unchanged() -> None:
    """An engine error keeps its class on the way out."""
    with pytest.raises(errors.StorageError), engine_errors_only("a test"):
        raise errors.StorageError
