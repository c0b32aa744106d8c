"""The do-nothing application of the floor: it reads what it is sent and answers as many bytes as it is told.

Run as `python -m bench.nothing PORT WORKERS THREADS`, on the same server with the same settings as xds/cli.py
gives it; whoever changes them there changes them here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

_reply = cache(bytes)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """As many zeros as the header X-Reply-Bytes says; a receiver of spans is told none."""
    while environ["wsgi.input"].read(1_000_000):
        pass
    size = int(environ.get("HTTP_X_REPLY_BYTES", 0))
    start_response("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(size))])
    return [_reply(size)]


def serve(port: int, workers: int, threads: int) -> None:
    """Answer on 127.0.0.1 until told to stop."""
    Granian(
        "bench.nothing:app",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        websockets=False,
        log_level=LogLevels.warning,
        http1_settings=HTTP1Settings(header_read_timeout=30_000),
    ).serve()


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:4]))
