"""Staging folders, and a real server on a free port, for the transport's tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.ports import free_port
from tests.transport.node import Node
from xds.transport.staged import StagingFolder

LIMITS = {"document_bytes": 300_000_000, "idle_seconds": 1.5, "seconds": 60}


@pytest.fixture
def staging(tmp_path: Path) -> StagingFolder:
    """An empty staging folder."""
    return StagingFolder(tmp_path / "staging")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Granian with the test application; ended by its process id."""
    port = free_port()
    folder = tmp_path_factory.mktemp("node")
    log = folder / "log"
    environment = os.environ | {
        "NODE_FOLDER": str(folder / "staging"),
        "NODE_LIMITS": json.dumps(LIMITS),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--factory",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--blocking-threads",
        "8",
        "node:from_environment",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        running = Node(port, log)
        for _ in range(1200):
            try:
                running.status()
                break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
        else:
            pytest.fail(log.read_text())
        yield running
    finally:
        process.terminate()
        process.wait(20)
