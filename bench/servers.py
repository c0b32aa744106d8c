"""Starts the node and the do-nothing application as processes of their own.

`node`, `registry`, `gateway` and `nothing` are context managers that give a port of 127.0.0.1 and end their
process by its id. connection.py has the client that talks to them.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from bench.connection import Connection
from bench.messages import Request
from tests.metadata import samples

WORKERS: Final = 1
THREADS: Final = 32
_ROOT: Final = Path(__file__).parent.parent


@contextmanager
def node(
    database: Path,
    documents: Path,
    log: Path,
    trust: Path | None = None,
    *,
    recorded: bool = True,
    spans: int = 0,
) -> Iterator[int]:
    """`xds serve` on a database and a folder; its log goes to a file, as that of a real node would.

    With a trust file it wants tickets. `recorded`: as ever, with an access log. `spans`: the port of who
    takes the spans that it then makes.
    """
    port = _free_port()
    settings = _settings(port, f"sqlite:///{database}", documents) | {
        "XDS_ACCESS__TICKET": "required" if trust else "none",
        "XDS_TRUST": str(trust or ""),
    }
    if spans:
        settings["XDS_OTEL__ENDPOINT"] = f"http://127.0.0.1:{spans}/v1/traces"
    if not recorded:
        settings["PYTHONPATH"] = f"{_ROOT / 'bench' / 'unrecorded'}{os.pathsep}{_ROOT}"
    with _process(["-m", "xds.cli", "serve"], settings, port, log):
        yield port


@contextmanager
def gateway(
    folder: Path, home: str, communities: Path, *, workers: int, threads: int
) -> Iterator[tuple[int, psutil.Process]]:
    """`xds serve` as an initiating gateway, its registry empty: its port, and the parent of its workers."""
    port = _free_port()
    settings = _settings(port, f"sqlite:///{folder / 'gateway.db'}", folder / "gateway-documents") | {
        "XDS_ACCESS__TICKET": "none",
        "XDS_NODE__HOME_COMMUNITY_ID": home,
        "XDS_NODE__WORKERS": str(workers),
        "XDS_NODE__THREADS": str(threads),
        "XDS_COMMUNITIES": str(communities),
    }
    with _process(["-m", "xds.cli", "serve"], settings, port, folder / "gateway.log") as process:
        yield port, psutil.Process(process.pid)


@contextmanager
def registry(
    url: str, documents: Path, log: Path, *, workers: int, threads: int
) -> Iterator[tuple[int, psutil.Process]]:
    """`xds serve` on whatever database, without tickets: its port, and the parent of its workers."""
    port = _free_port()
    settings = _settings(port, url, documents) | {
        "XDS_ACCESS__TICKET": "none",
        "XDS_NODE__WORKERS": str(workers),
        "XDS_NODE__THREADS": str(threads),
    }
    with _process(["-m", "xds.cli", "serve"], settings, port, log) as process:
        yield port, psutil.Process(process.pid)


def _settings(port: int, url: str, documents: Path) -> dict[str, str]:
    return {
        "XDS_ENVIRONMENT": "test",
        "XDS_PATIENTS__SOURCE": "open",
        "XDS_NODE__LISTEN": f"127.0.0.1:{port}",
        "XDS_NODE__WORKERS": str(WORKERS),
        "XDS_NODE__THREADS": str(THREADS),
        "XDS_NODE__REPOSITORY_UNIQUE_ID": samples.REPOSITORY,
        "XDS_STORE__DATABASE": url,
        "XDS_STORE__DOCUMENTS": f"file://{documents}",
    }


@contextmanager
def nothing(log: Path) -> Iterator[int]:
    """The do-nothing application."""
    port = _free_port()
    with _process(["-m", "bench.nothing", str(port), str(WORKERS), str(THREADS)], {}, port, log):
        yield port


@contextmanager
def _process(
    arguments: list[str], settings: dict[str, str], port: int, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("XDS_")}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=_ROOT,
            env=inherited | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _wait_for(process, port, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"bench: a server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def on_the_wire(request: Request, reply_bytes: int | None = None) -> bytes:
    """The request as HTTP; with `reply_bytes` it is for the do-nothing application."""
    extra = "" if reply_bytes is None else f"X-Reply-Bytes: {reply_bytes}\r\n"
    head = (
        f"POST {request.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {request.content_type}\r\n{extra}"
        f"Content-Length: {len(request.body)}\r\n\r\n"
    )
    return head.encode() + request.body


def rate(port: int, requests: list[bytes], connections: int, seconds: float) -> float:
    """Requests answered in a second, by so many connections that ask without a pause."""
    counts = [0] * connections
    deadline = time.perf_counter() + seconds

    def ask(own: int) -> None:
        connection = Connection(port)
        for number in itertools.count(own):
            if time.perf_counter() > deadline:
                break
            connection.ask(requests[number % len(requests)])
            counts[own] += 1
        connection.close()

    threads = [threading.Thread(target=ask, args=(own,)) for own in range(connections)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(counts) / seconds
