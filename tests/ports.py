"""A free port for a server that a test starts, or for a place where nobody answers.

None of those that the system gives to whoever asks for any port or connects to somebody: between being found
here and being listened on, which takes a node a second, such a port may become another test's.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator

#: Below Linux's 32,768, with a block for each of the processes of a run; where in it differs between runs.
_FIRST, _BLOCK, _BLOCKS = 11_000, 5_000, 4
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def _turns() -> Iterator[int]:
    lowest = _FIRST + _WORKER % _BLOCKS * _BLOCK
    return itertools.cycle(lowest + (os.getpid() * 7 + n) % _BLOCK for n in range(_BLOCK))


_ports = _turns()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listened on a moment ago; not again before some thousand others."""
    for port in _ports:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: it goes round for ever")
