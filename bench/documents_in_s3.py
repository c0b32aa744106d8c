"""How quickly documents go into S3 and come out: `python -m bench.documents_in_s3`, beside a folder's.

The server is the tests' own Ceph (tests/ceph.py), on this machine; a folder is on the same disk. Staging is
not measured, as it is the same for both. docs/performance.md has the figures.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psutil

from tests import ceph
from tests.repository import stores
from xds.repository.store import DocumentStore
from xds.transport.staged import Staged

#: Bytes of a document, and how many of them.
ROUNDS: Final = ((50_000, 200), (1_000_000, 100), (100_000_000, 7))
LARGE: Final = 2**30
_BLOCK: Final = os.urandom(1_000_000)


def main() -> None:
    """Print a table for each store, what 1 GiB costs in memory, and how much eight do at a time."""
    folder = Path(tempfile.mkdtemp(prefix="xds-ceph-"))
    try:
        with ceph.cluster(folder) as gateway:
            server = stores.Server(gateway.endpoint, ceph.ACCESS_KEY, ceph.SECRET_KEY)
            with stores.bucket(server, "bench") as beneath:
                (folder / "s3").mkdir()
                s3 = stores.s3_store(server, beneath.bucket, folder / "s3")
                for name, store in (("S3", s3), ("folder", stores.folder_store(folder)[0])):
                    for size, documents in ROUNDS:
                        _print_round(name, store, size, documents)
                _print_large(s3)
                _print_together(s3)
    finally:
        shutil.rmtree(folder)


def _staged(store: DocumentStore, size: int) -> Staged:
    writer = store.staging.create()
    for start in range(0, size, len(_BLOCK)):
        writer.write(_BLOCK[: size - start])
    return writer.finish()


def _read(store: DocumentStore, key: str) -> None:
    with store.open(key) as file:
        while file.read(256 * 1024):
            pass


def _print_round(name: str, store: DocumentStore, size: int, documents: int) -> None:
    times: dict[str, list[float]] = {"put": [], "look": [], "get": [], "remove": []}
    for _ in range(documents):
        staged = _staged(store, size)
        moments = [time.perf_counter()]
        key = store.put(staged)
        moments.append(time.perf_counter())
        for deed in (store.size, lambda key: _read(store, key), store.remove):
            deed(key)
            moments.append(time.perf_counter())
        for each, begin, end in zip(times.values(), moments, moments[1:], strict=False):
            each.append(end - begin)
    told = (f"{what} {statistics.median(each) * 1000:8.2f} ms" for what, each in times.items())
    print(f"{name:6} {size:11,} bytes: {', '.join(told)}", flush=True)


def _print_large(store: DocumentStore) -> None:
    staged, keys = _staged(store, LARGE), list[str]()
    for what, deed in (
        ("put", lambda: keys.append(store.put(staged))),
        ("get", lambda: _read(store, keys[0])),
    ):
        seconds, growth = _watched(deed)
        print(f"1 GiB {what}: {seconds:.1f} s, resident memory +{growth / 2**20:.1f} MiB", flush=True)
    store.remove(keys[0])


def _watched(deed: Callable[[], None]) -> tuple[float, int]:
    """Seconds, and by how many bytes this process grew at the highest."""
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.perf_counter()
    try:
        deed()
        return time.perf_counter() - began, peak - before
    finally:
        done.set()
        thread.join()


def _print_together(store: DocumentStore) -> None:
    staged = [_staged(store, 50_000) for _ in range(800)]
    with ThreadPoolExecutor(8) as pool:
        began = time.perf_counter()
        keys = list(pool.map(store.put, staged))
        put = time.perf_counter()
        list(pool.map(lambda key: _read(store, key), keys))
        got = time.perf_counter()
        list(pool.map(store.remove, keys))
    print(f"eight at a time, 50 kB: put {800 / (put - began):.0f} /s, get {800 / (got - put):.0f} /s")


if __name__ == "__main__":
    main()
