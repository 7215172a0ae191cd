# SPDX-License-Identifier: Apache-2.0
"""The benchmark of shared runs is ready for the machine that has a GPU."""

import json
from pathlib import Path

import gpu
import pytest


def test_the_benchmark_runs_on_a_processor_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both tables are filled, every span is answered, and the device stands in the report."""
    written = tmp_path / "gpu.json"
    command = "--device cpu --sizes 1 2 --repeats 1 --calls 9 --seconds 1 --turns 1 --json"

    assert gpu.main([*command.split(), str(written)]) == 0

    report = json.loads(written.read_text())
    assert report["machine"]["device"] == "cpu"
    for model in ("speaker", "spoof"):
        rates = report["clips_per_second"][model]
        assert set(rates) == {"alone", "1 equal", "2 equal", "2 unequal"}
        assert all(rate["median"] > 0 for rate in rates.values())
    for kind in ("shared runs", "each alone"):
        row = report["calls"]["9"][kind]
        assert (row["spans"], row["not_answered"]) == (2, 0)
        assert 0 < row["p50_ms"]["median"] <= row["p99_ms"]["median"]
    assert "device cpu" in capsys.readouterr().out
