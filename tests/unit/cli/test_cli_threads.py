# SPDX-License-Identifier: Apache-2.0
"""The command line keeps numpy's own threads from spinning beside the engine's."""

import os
import subprocess
import sys

import pytest

LOOK = "import sys; early = 'numpy' in sys.modules; import voiceauth.cli, os; "
LOOK += "print(early, 'numpy' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'])"


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("4", "4")])
def test_numpy_is_loaded_with_one_thread_unless_the_operator_wants_more(
    given: str | None, expected: str
) -> None:
    """The number is set before numpy is there to read it, and an operator's own number stays."""
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    environment |= {"OPENBLAS_NUM_THREADS": given} if given else {}

    told = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", LOOK],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()

    assert told == ["False", "True", expected]
