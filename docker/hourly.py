"""Runs an `xds` command every hour: `python hourly.py sweep`, in a container beside the node's.

It shares the node's work folder, which a timer elsewhere could not reach. A command that fails is tried again
an hour later; its own words are in the log. SIGTERM ends it, and what it runs, at once.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_XDS = Path(sys.executable).parent / "xds"


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit()  # subprocess.run kills what it waits for


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    while True:
        subprocess.run([_XDS, *sys.argv[1:]], check=False)
        time.sleep(3600)
