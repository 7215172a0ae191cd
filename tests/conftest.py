# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every layer; what they need is imported only when a test asks for it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from served import Parts, Served

# No test is timed: a busy machine must not fail one.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Undo what a test that starts a server process's log has set: level and processors."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def parts(tmp_path: Path) -> "Iterator[Parts]":
    """Return an engine of a made-up model and a real vault."""
    from served import fake_parts  # noqa: PLC0415 - see above

    with fake_parts(tmp_path) as opened:
        yield opened


@pytest.fixture
async def service(parts: "Parts") -> "AsyncIterator[Served]":
    """Return a running server over ``parts``, with a client of it."""
    from served import served  # noqa: PLC0415 - see above

    async with served(parts) as running:
        yield running
