# SPDX-License-Identifier: Apache-2.0
"""Real tokens of SoftHSM 2, made new for each run; the library reads its settings once."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voiceauth.keys.pkcs11 import Token

PIN = "1234-user"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
_TOKENS = 32


@pytest.fixture(scope="session")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make empty tokens and return their labels, to be taken one by one."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    names = [f"voiceauth-{number}" for number in range(_TOKENS)]
    for name in names:
        command = ["softhsm2-util", "--init-token", "--free", "--label", name]
        pins = ["--pin", PIN, "--so-pin", "5678-officer"]
        subprocess.run([*command, *pins], check=True, capture_output=True)  # noqa: S603 - our own
    return iter(names)


@pytest.fixture(scope="session")
def module() -> str:
    """Where the library is."""
    return next(path for path in _MODULES if Path(path).exists())


@pytest.fixture
def new_token(labels: Iterator[str], module: str) -> Callable[[], Token]:
    """Return a maker of empty tokens."""
    return lambda: Token(module, next(labels), lambda: PIN)
