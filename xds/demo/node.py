"""A node for the demo: `xds serve` in a process of its own, on a free port, with its data in a given folder.

Used as a context manager; when the block is left, by whatever way, the process and its workers are gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from xds.errors import XdsError

REPOSITORY_UNIQUE_ID: Final = "2.16.578.1.12.4.5.100.1.1.2"
_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 10


class DemoFailed(XdsError):
    """The demo could not go on; the text says at what and what to look at."""


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals that would end us come after the block: a process must not be started and then forgotten.

    They are not masked, because the new process would inherit that.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for each in came:
        signal.raise_signal(each)


class DemoNode:
    """A node that anyone on this machine can reach, and that answers whoever has a ticket of an issuer in the
    file `trust`; `url` is known from the beginning.
    """

    def __init__(self, folder: Path, trust: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.settings = {
            "XDS_ENVIRONMENT": "test",
            "XDS_ACCESS__TICKET": "required",
            "XDS_TRUST": str(trust),
            "XDS_NODE__LISTEN": f"127.0.0.1:{port}",
            "XDS_NODE__REPOSITORY_UNIQUE_ID": REPOSITORY_UNIQUE_ID,
            "XDS_STORE__DATABASE": f"sqlite:///{folder / 'xds.db'}",
            "XDS_STORE__DOCUMENTS": f"file://{folder / 'documents'}",
        }
        self._log = folder / "node.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # The user's own settings are for the user's own node.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("XDS_")}
        try:
            with self._log.open("wb") as log, _signals_wait():
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "xds.cli", "serve"],
                    env=inherited | self.settings,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the demo, which ends the node itself
                )
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        # No proxy: the environment may name one that cannot reach this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), opener.open(self.url + "/health/ready", timeout=5) as response:
                if response.status == 200:
                    return
            time.sleep(0.03)
        why = "ended at once" if self._process.poll() is not None else f"was not ready in {_START_SECONDS} s"
        raise DemoFailed(f"The node {why}. Its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of the node's log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        # Its session is its own: whoever is left of it, above all a worker, goes too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
