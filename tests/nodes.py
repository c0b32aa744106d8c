"""A real node in a process of its own, for tests that use it from outside as its users do.

`Node` starts `xds serve` on a free port with its data in a folder; tests/conftest.py hands it out. It
signals only the process group that it started, and never touches the data.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import urllib3

from tests import stores
from tests.ports import free_port

REPOSITORY_ID = "2.16.578.1.12.4.5.100.1.1.2"


class Node:
    """`xds serve` for a test: open to everyone, on the run's stores (tests/stores.py) if no others are given.

    Settings are keyword arguments in lower case: `limits__document_bytes=1000` is XDS_LIMITS__DOCUMENT_BYTES.
    The node keeps its port and folder over `stop`, `kill` and `start`.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.documents = folder / "documents"
        self.log = folder / "node.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.registry = self.url + "/xds/registry"
        self.repository = self.url + "/xds/repository"
        given: dict[str, object] = {
            "environment": "test",
            "access__ticket": "none",
            "patients__source": "open",
            "node__listen": f"127.0.0.1:{self.port}",
            "node__repository_unique_id": REPOSITORY_ID,
        }
        given |= stores.settings(folder, settings)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("XDS_")}
        self.environment = inherited | {
            f"XDS_{key.upper()}": str(value) for key, value in (given | settings).items()
        }
        #: The folder of another version's code; None: this one's.
        self.code: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def database_url(self) -> str:
        """Where its database is."""
        return self.environment["XDS_STORE__DATABASE"]

    @property
    def pid(self) -> int:
        """The main process, which is the parent of the workers and the leader of their group."""
        assert self._process is not None, "the node is not running"
        return self._process.pid

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        return psutil.Process(self.pid).children(recursive=True)

    def command(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run another `xds` command with this node's settings, e.g. `sweep`."""
        return subprocess.run(
            [sys.executable, "-m", "xds.cli", *arguments],
            env=self.environment,
            cwd=self.code,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, seconds: float = 60) -> None:
        """Start it and wait until /health/ready says so; fails with the log when it does not."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xds.cli", "serve"],
                env=self.environment,
                cwd=self.code,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if self.is_ready():
                    return
            time.sleep(0.03)
        self.kill()
        raise AssertionError("the node did not get ready:\n" + self.log.read_text(errors="replace"))

    def errors(self) -> str:
        """What the node itself calls an error in its log, for the message of a test that failed."""
        log = self.log.read_text(errors="replace")
        return "\n".join(each for each in re.split(r"\n(?=\d{4}-)", log) if " ERROR " in each)[-4000:]

    def is_ready(self) -> bool:
        """Whether it says that it can work."""
        return urllib3.request("GET", self.url + "/health/ready", retries=False, timeout=5).status == 200

    def stop(self, seconds: float = 20) -> None:
        """Ask it to end (SIGTERM) and wait; what is still there afterwards is killed."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End the main process and its workers at once (SIGKILL), as a loss of power would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
