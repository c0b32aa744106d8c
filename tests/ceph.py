"""A Ceph cluster of the tests' own, with its S3 server (radosgw), from packages that `.ci/ceph` unpacks.

One monitor and one disk that is a file, on loopback addresses, in a folder that is gone at the end; nothing
is installed. As tests/postgres.py does it, whichever process asks first (`server`) starts the cluster:
`python -m tests.ceph FOLDER PID` runs its three processes as children and ends them, by their ids, when the
process PID (pytest) is gone or says so. Without the packages tests are skipped, but not where CI=true.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3

from tests.keeper import Kept
from tests.ports import free_port

#: Where the controlling pytest process tells its workers to find, or to start, the cluster.
KEPT = Kept("tests.ceph", "XDS_TEST_CEPH", "port")
MISSING = "S3 of Ceph is NOT TESTED: no radosgw (Debian: run .ci/ceph, which unpacks it and installs nothing)"
ACCESS_KEY, SECRET_KEY = "key", "secret"

_UNPACKED = Path(__file__).parent.parent / ".venv/ceph"
_numbers = itertools.count()

_CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
ms mon client mode = crc
paxos propose interval = 0.02
paxos min wait = 0.005
mon allow pool size one = true
mon data = {folder}/mon
mon data avail crit = 1
mon data avail warn = 1
mon cluster log file = {folder}/cluster.log
osd data = {folder}/osd
osd objectstore = bluestore
osd memory target = 939524096
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
# S3 servers tell each other when a bucket comes or goes, and wait so long for one that is dead.
osd client watch timeout = 4
osd class dir = {lib}/rados-classes
bluestore block size = 8589934592
bluestore fsck on mount = false
erasure code dir = {lib}/ceph/erasure-code
plugin dir = {lib}/ceph
log file = {folder}/$name.log
admin socket =
run dir = {folder}
pid file =

[client]
rgw data = {folder}
rgw rados pool pg num min = 1
rgw thread pool size = 64
# Deleted bytes are freed after hours, and a small disk is full by then.
rgw gc obj min wait = 5
rgw gc processor period = 5
rgw bucket quota ttl = 1
# Encryption with keys of this file; never outside a test.
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = key-1=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
"""


def root() -> Path | None:
    """Where the packages are: unpacked by .ci/ceph, or installed."""
    if (_UNPACKED / "complete").exists():
        return _UNPACKED
    return Path("/") if all(map(shutil.which, ("radosgw", "ceph-mon", "ceph-osd"))) else None


def running() -> Path:
    """The folder of the running cluster, which whoever is first starts; skips where there is no Ceph."""
    if root() is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return KEPT.running()


def endpoint() -> str:
    """The address of the cluster's S3 server, which all tests share; skips where there is no Ceph."""
    return f"http://127.0.0.1:{(running() / 'port').read_text()}"


def admin(folder: Path, *arguments: str) -> None:
    """Run radosgw-admin."""
    _run(folder, "radosgw-admin", "-n", "client.rgw", *arguments)


class Gateway:
    """One S3 server in front of a cluster: a test that stops one has one of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None, "the gateway is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        # With Nagle's algorithm a small answer takes 40 ms.
        front = f"--rgw-frontends=beast endpoint=127.0.0.1:{self.port} tcp_nodelay=1"
        log = f"--log-file={self._folder}/rgw-{self.port}.log"
        self._process = _start(self._folder, "radosgw", "-n", "client.rgw", "-f", front, log)
        for _ in range(600):
            assert self._process.poll() is None, "radosgw ended"
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                urllib3.request("GET", self.endpoint, retries=False, timeout=5)
                return
            time.sleep(0.1)
        raise AssertionError("radosgw did not answer")

    def stop(self) -> None:
        """Ask it to end, and so to tell the others, who would wait for it."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def gateway() -> Iterator[Gateway]:
    """A running S3 server of the test's own, in front of the cluster that all share."""
    one = Gateway(running())
    one.start()
    try:
        yield one
    finally:
        one.stop()


# -- the cluster ---------------------------------------------------------------------------------------------


def _start(folder: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    found = root()
    assert found is not None, MISSING
    libraries = [
        found / "usr/lib",
        *(found / "usr/lib").glob("*-linux-gnu*"),
        *(found / "lib").glob("*-linux-gnu*"),
    ]
    paths = [str(path) for each in libraries for path in (each, each / "ceph") if path.is_dir()]
    environment = dict(os.environ)
    if found != Path("/"):
        environment["LD_LIBRARY_PATH"] = ":".join(paths)
    with open(folder / f"{program}.{os.getpid()}.{next(_numbers)}.out", "wb") as out:
        return subprocess.Popen(
            [found / "usr/bin" / program, "-c", folder / "ceph.conf", *arguments],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )


def _run(folder: Path, program: str, *arguments: str) -> None:
    process = _start(folder, program, *arguments)
    try:
        assert process.wait(90) == 0, f"{program} {arguments} failed: {folder}"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Gateway]:
    """A new cluster in a folder, with its S3 server; all of its processes are killed at the end."""
    found = root()
    assert found is not None, MISSING
    lib = next((found / "usr/lib").glob("*-linux-gnu*/rados-classes")).parent
    fsid, v2, v1 = uuid.uuid4(), free_port(), free_port()
    text = _CONFIGURATION.format(fsid=fsid, v2=v2, v1=v1, folder=folder, lib=lib)
    (folder / "ceph.conf").write_text(text)
    for name in ("mon", "osd"):
        (folder / name).mkdir()
    processes = []
    one = Gateway(folder)
    try:
        addresses = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        map_ = str(folder / "monmap")
        _run(folder, "monmaptool", "--create", "--fsid", str(fsid), "--addv", "a", addresses, map_)
        _run(folder, "ceph-mon", "--mkfs", "-i", "a", "--monmap", map_)
        processes.append(_start(folder, "ceph-mon", "-i", "a", "-f"))
        _run(folder, "ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", str(uuid.uuid4()))
        processes.append(_start(folder, "ceph-osd", "-i", "0", "-f"))
        keys = (f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")
        admin(folder, "user", "create", "--uid=xds", "--display-name=xds", *keys)
        one.start()
        yield one
    finally:
        one.kill()
        for process in reversed(processes):
            process.kill()
            process.wait()


def _keep(folder: Path, owner: int) -> None:
    """Run the cluster of a test run until its owner ends or ends us."""
    (folder / "keeper").write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        pytest_process = psutil.Process(owner)
        with cluster(folder) as one:
            (folder / "port.new").write_text(str(one.port))
            os.rename(folder / "port.new", folder / "port")
            while pytest_process.is_running():
                time.sleep(0.5)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), int(sys.argv[2]))
