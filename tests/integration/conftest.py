# SPDX-License-Identifier: Apache-2.0
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from served import Parts, Served, fake_parts, served


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """Return an engine of a made-up model and a real vault."""
    with fake_parts(tmp_path) as opened:
        yield opened


@pytest.fixture
async def service(parts: Parts) -> AsyncIterator[Served]:
    """Return a running server with its client."""
    async with served(parts) as running:
        yield running
