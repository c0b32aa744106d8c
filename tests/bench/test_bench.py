"""The benchmark runs from end to end. It is tried on a few documents; how fast that was is not asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = {
    "FindDocuments, 5": {"parse", "sql", "http"},
    "FindDocuments, 50": {"parse", "sql", "http"},
    "FindDocuments, 500": {"parse", "sql", "http"},
    "GetDocuments, 1 uuid": {"parse", "sql", "http"},
    "GetDocuments, 10 uuids": {"parse", "sql", "http"},
    "ITI-41, 200 kB": {"parse", "sql", "file", "http"},
    "ITI-43, 200 kB": {"parse", "sql and file", "http"},
}


def test_a_quick_run_measures_every_row_and_its_floor(tmp_path: Path) -> None:
    """Each row has requests, times and a ratio; its floor is the sum of its parts; no machine is named."""
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "--documents=100",
            "--seconds=0.2",
            "--rounds=2",
            f"--json={figures}",
        ],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(figures.read_text())
    assert set(written["machine"]) == {"system", "architecture", "cores", "memory_gib", "load_before"}
    results = {row["name"]: row for row in written["results"]}
    assert {name: set(row["parts"]) for name, row in results.items()} == ROWS
    for name, row in results.items():
        assert name in done.stdout
        assert row["requests"] > 0
        assert row["per_second"] > 0
        assert 0 < row["p50"] <= row["p99"]
        assert min(row["parts"].values()) > 0
        assert abs(row["floor"] - sum(row["parts"].values())) < 1e-9
        assert row["ratio"] > 0
        assert len(row["ratios"]) == 2
    fan_outs = written["fan-outs"]
    assert "FindDocuments over 5 communities" in done.stdout
    for without, with_latency in (fan_outs["alone"], fan_outs["together"]):
        assert 0 < without
        # Whoever asks five waits for one of them at least.
        assert with_latency > 200
    assert len(fan_outs["latencies"]) == 2
    assert min(fan_outs["cpu"]) > 0
