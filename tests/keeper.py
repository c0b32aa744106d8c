"""A server that all processes of a test run share: whoever asks first starts it, in a folder named before.

tests/postgres.py and tests/ceph.py each have one. The server is the child of a keeper, `python -m MODULE
FOLDER PID`, which ends it when the run with that id is over; nothing is ended here but a keeper, by the id
that it wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

_keepers: list[subprocess.Popen[bytes]] = []  # held, so that nobody warns that they still run


@dataclass(frozen=True)
class Kept:
    """What is shared: its module, the variable that names its folder, and the file that says it answers."""

    module: str
    variable: str
    ready: str

    def configure(self, config: pytest.Config | None) -> None:
        """In the process that controls the run, or (None) that is it: name a folder for a server."""
        if not hasattr(config, "workerinput"):
            kind = self.variable.removeprefix("XDS_TEST_").lower()
            name = f"xds-{kind}-{os.getpid()}-{secrets.token_hex(4)}"
            os.environ[self.variable] = f"{Path(tempfile.gettempdir(), name)}:{os.getpid()}"

    def unconfigure(self, config: pytest.Config | None) -> None:
        """End the server, when one was started."""
        if hasattr(config, "workerinput") or self.variable not in os.environ:
            return
        folder = Path(os.environ.pop(self.variable).rpartition(":")[0])
        with contextlib.suppress(FileNotFoundError):
            keeper = psutil.Process(int((folder / "keeper").read_text()))
            with contextlib.suppress(psutil.NoSuchProcess):
                keeper.terminate()
                keeper.wait(20)
        shutil.rmtree(folder, ignore_errors=True)

    def running(self) -> Path:
        """The folder of the running server, which whoever is first starts."""
        name, _, owner = os.environ[self.variable].rpartition(":")
        folder = Path(name)
        folder.mkdir(mode=0o700, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / self.ready).exists():
                with open(folder / "log", "wb") as log:
                    keeper = subprocess.Popen(
                        [sys.executable, "-m", self.module, name, owner],
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                _keepers.append(keeper)
                while not (folder / self.ready).exists():
                    if keeper.poll() is not None:
                        raise AssertionError((folder / "log").read_text(errors="replace"))
                    time.sleep(0.02)
        return folder
