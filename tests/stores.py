"""On what the nodes of a test run keep their data: SQLite and a folder, or with `make test STORES=grown` on
PostgreSQL and S3.

tests/nodes.py asks for the `settings` of each node that says nothing else; tests/conftest.py runs on
PostgreSQL alone what else runs on both engines. A test of SQLite or of the folder has the mark `embedded`
and is left out of the grown run.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

from tests import ceph, postgres
from tests.beneath import Beneath, InBucket, InFolder, Server

GROWN = os.environ.get("XDS_TEST_STORES") == "grown"

_numbers = itertools.count()


def settings(folder: Path, given: Mapping[str, object]) -> dict[str, object]:
    """`store__…` and `s3__…` of a new node, without what its test has `given`."""
    made: dict[str, object] = {}
    if "store__database" not in given:
        made["store__database"] = postgres.new_database() if GROWN else f"sqlite:///{folder / 'xds.db'}"
    if "store__documents" not in given:
        if GROWN:
            made |= _in_s3(folder)
        else:
            made["store__documents"] = f"file://{folder / 'documents'}"
    return made


def beneath(environment: Mapping[str, str], documents: Path) -> Beneath:
    """What lies under the document store of a node with this environment."""
    place = environment["XDS_STORE__DOCUMENTS"]
    if not place.startswith("s3://"):
        return InFolder(documents / "documents")
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return InBucket(Server(environment["XDS_S3__ENDPOINT"]).client(), bucket, f"{prefix}/documents/")


def _in_s3(folder: Path) -> dict[str, object]:
    server = Server(ceph.endpoint())
    return {
        "store__documents": f"s3://{_bucket(server)}/{next(_numbers)}",
        "store__work": f"file://{folder / 'documents'}",
        "s3__endpoint": server.endpoint,
        "s3__access_key": server.access_key,
        "s3__secret_key": server.secret_key,
    }


@functools.cache
def _bucket(server: Server) -> str:
    """One for each process of the run; it goes with the server."""
    name = f"nodes-{os.getpid()}"
    server.client().make_bucket(name)
    return name
