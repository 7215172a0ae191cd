# SPDX-License-Identifier: Apache-2.0
import json

import pytest
from typer.testing import CliRunner

from voiceauth.cli import bench
from voiceauth.cli.app import app
from voiceauth.usecases.measure_machine import Cost


@pytest.fixture(autouse=True)
def _measured_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put figures in the place of measurements: this is about what is made of them."""

    async def calls(*_: object) -> tuple[float, float]:
        return 0.5, 50.0

    monkeypatch.setattr(bench, "_calls", calls)
    monkeypatch.setattr(bench, "model_costs", lambda *_: {"fp32": Cost(6.0, 7.0)})
    monkeypatch.setattr(bench, "search_cost", lambda size, _: Cost(size / 1e6, size / 1e5))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})


def test_the_estimate_comes_with_what_it_assumes() -> None:
    """An operator reads a number of calls, and everything that it rests on."""
    said = " ".join(CliRunner().invoke(app, ["bench", "--quick"]).output.split())

    assert "Estimate: 70 concurrent live calls per core, 140 on 2 cores." in said
    assert "calls may fill 70% of a core" in said
    assert "nothing else runs" in said


def test_the_report_is_there_for_programs_too() -> None:
    """--json prints nothing but the report, in full."""
    said = json.loads(CliRunner().invoke(app, ["bench", "--json"]).output)

    assert said["capacity"] == {
        "processor_seconds": 0.01,
        "calls_per_core": 70,
        "cores": 2,
        "calls": 140,
    }
    assert set(said["search"]) == {"10000", "100000"}
    assert said["model"]["fp32"]["median_ms"] == 6.0
