# SPDX-License-Identifier: Apache-2.0
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

import voiceauth
from voiceauth import errors
from voiceauth.client.channel import channel_options
from voiceauth.client.errors import ClientError, engine_error, engine_errors
from voiceauth.errors import ChainBrokenError, DependencyError, EngineError, MissingExtraError
from voiceauth.wire.metadata import ERROR_CODE

BUILDABLE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, EngineError) and kind not in {ChainBrokenError, MissingExtraError}
]
NOTHING: Any = grpc.aio.Metadata()


def failed(
    status: grpc.StatusCode, text: str = "", code: str | None = None
) -> grpc.aio.AioRpcError:
    """Build a failed call as gRPC reports it."""
    trailing: Any = grpc.aio.Metadata(*([(ERROR_CODE, code)] if code else []))
    return grpc.aio.AioRpcError(status, NOTHING, trailing, text, None)


@pytest.mark.parametrize("kind", BUILDABLE, ids=lambda kind: str(kind.__name__))
def test_a_code_leads_back_to_its_class(kind: type[EngineError]) -> None:
    """The client raises the class that the server raised, with the server's sentence."""
    error = engine_error(failed(grpc.StatusCode.UNKNOWN, "A sentence.", kind.code))

    assert type(error) is kind
    assert error.public == "A sentence."


def test_an_unknown_code_is_read_by_its_status() -> None:
    """The code of a newer server falls back to the family that the status names."""
    error = engine_error(failed(grpc.StatusCode.FAILED_PRECONDITION, "No.", "brand_new"))

    assert type(error) is errors.PolicyError


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    ],
)
def test_trouble_on_the_way_is_a_dependency_error(status: grpc.StatusCode) -> None:
    """Without the server's code the connection is at fault, and a retry may help."""
    error = engine_error(failed(status, "ipv4:10.0.0.7: refused"))

    assert type(error) is DependencyError
    assert error.retryable
    assert "10.0.0.7" not in error.public


@pytest.mark.parametrize("status", list(grpc.StatusCode))
def test_every_status_becomes_an_engine_error(status: grpc.StatusCode) -> None:
    """No status, however odd, escapes as gRPC's own exception."""
    with pytest.raises(EngineError), engine_errors():
        raise failed(status)


def test_an_odd_status_is_a_breach_of_the_contract() -> None:
    """A status that the contract does not name is a ClientError."""
    assert type(engine_error(failed(grpc.StatusCode.UNIMPLEMENTED))) is ClientError


def test_retries_can_be_switched_off() -> None:
    """Without retries no call has a policy of repetition."""
    assert "methodConfig" not in json.loads(dict(channel_options(0))["grpc.service_config"])


@pytest.mark.parametrize(("retries", "attempts"), [(1, 2), (3, 4), (99, 5)])
def test_retries_are_bounded(retries: int, attempts: int) -> None:
    """A repeatable call is tried once more per retry, at most five times in all."""
    config = json.loads(dict(channel_options(retries))["grpc.service_config"])

    assert config["methodConfig"][0]["retryPolicy"]["maxAttempts"] == attempts
    assert config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_the_client_is_light(tmp_path: Path) -> None:
    """Importing the client loads no engine: no use case, no model, no search, no settings."""
    probe = (
        "import sys, voiceauth.client;"
        "heavy = ('faiss', 'onnxruntime', 'soxr', 'pydantic', 'cryptography', 'voiceauth.usecases',"
        " 'voiceauth.service', 'voiceauth.config');"
        "print([name for name in heavy if name in sys.modules])"
    )
    home = Path(voiceauth.__file__).parents[1]
    shown = subprocess.run(  # noqa: S603 - our own interpreter and words
        [sys.executable, "-c", probe],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout.strip() == "[]"
