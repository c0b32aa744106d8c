"""Gives a test of tests/repository a store: `shelf` each in turn, `s3` a bucket of each S3 server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import ceph
from tests.beneath import InBucket, Server
from tests.repository import stores
from tests.repository.stores import Shelf

S3_SERVERS = ("moto", "ceph")


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[Server, int]]:
    """moto in a process of this test process's own."""
    with stores.moto() as found:
        yield found


def _server(kind: str, request: pytest.FixtureRequest) -> Server:
    if kind == "ceph":
        return Server(ceph.endpoint(), ceph.ACCESS_KEY, ceph.SECRET_KEY)
    server: Server = request.getfixturevalue("moto")[0]
    return server


@pytest.fixture(params=["folder", *S3_SERVERS])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    """A repository on each of the stores."""
    with ExitStack() as stack:
        if request.param == "folder":
            one = Shelf(tmp_path, *stores.folder_store(tmp_path))
        else:
            server = _server(request.param, request)
            beneath = stack.enter_context(stores.bucket(server, f"t{secrets.token_hex(8)}"))
            one = Shelf(tmp_path, stores.s3_store(server, beneath.bucket, tmp_path), beneath)
        stack.callback(one.database.close)
        yield one


@pytest.fixture(params=S3_SERVERS, scope="module")
def lasting_s3(request: pytest.FixtureRequest) -> Iterator[tuple[Server, InBucket]]:
    """A server and a bucket there, for a whole module."""
    server = _server(request.param, request)
    with stores.bucket(server, f"t{secrets.token_hex(8)}") as beneath:
        yield server, beneath


@pytest.fixture(params=S3_SERVERS)
def s3(request: pytest.FixtureRequest) -> Iterator[tuple[Server, InBucket]]:
    """A server and an empty bucket there."""
    server = _server(request.param, request)
    with stores.bucket(server, f"t{secrets.token_hex(8)}") as beneath:
        yield server, beneath
