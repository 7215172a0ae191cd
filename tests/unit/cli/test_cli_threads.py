# SPDX-License-Identifier: Apache-2.0
"""The command line keeps the libraries' own threads from getting in the way of the engine's."""

import os
import subprocess
import sys

import pytest

LOOK = (
    "import os, sys; early = {'numpy', 'grpc'} & set(sys.modules); import voiceauth.cli; "
    "print(len(early), 'numpy' in sys.modules, 'grpc' in sys.modules, os.environ[sys.argv[1]])"
)


@pytest.mark.parametrize(
    ("variable", "given", "expected"),
    [
        ("OPENBLAS_NUM_THREADS", None, "1"),
        ("OPENBLAS_NUM_THREADS", "4", "4"),
        ("GRPC_EXPERIMENTS", None, "-event_engine_listener"),
        ("GRPC_EXPERIMENTS", "none", "none"),
    ],
)
def test_libraries_find_their_setting_unless_the_operator_has_another(
    variable: str, given: str | None, expected: str
) -> None:
    """It is set before the library is there to read it, and an operator's own value stays."""
    environment = {k: v for k, v in os.environ.items() if k != variable}
    environment |= {variable: given} if given else {}

    told = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", LOOK, variable],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()

    assert told == ["0", "True", "True", expected]
