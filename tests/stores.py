"""On what the nodes of a test run keep their data, and which tests that concerns.

`make test` has nodes on SQLite and a folder, and on PostgreSQL too where a test takes an engine. For CI it is
parted in three: `make check` has the gates' own tests (`GATES`), without nodes, `make test STORES=embedded`
all others, with nodes on SQLite alone, and `make test STORES=grown` has what asks nodes (`NODES`) again on
PostgreSQL and S3. tests/nodes.py asks for the `settings` of each node that says nothing else,
tests/conftest.py whether a test is `left_out`.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from tests import ceph, postgres
from tests.beneath import Beneath, InBucket, InFolder, Server

ROOT = Path(__file__).parent
_KIND = os.environ.get("XDS_TEST_STORES")
GROWN, EMBEDDED, CHECKED = (_KIND == each for each in ("grown", "embedded", "gates"))
GATES = (ROOT / "access", ROOT / "metadata", ROOT / "security")
#: What stores or shows documents through nodes; all the rest has the engines that it asks for, once.
NODES = tuple(
    ROOT / name
    for name in (
        "access/test_every_fhir_path.py",
        "access/test_every_path.py",
        "audit",
        "blackbox",
        "client",
        "commands",
        "fhir",
        "security/test_walk.py",
        "test_cli_node.py",
        "test_cli_patients.py",
        "test_metrics.py",
        "test_operation.py",
        "transactions",
    )
)

_numbers = itertools.count()


def left_out(path: Path, marks: Collection[str], engine: object, *, makes_nodes: bool) -> bool:
    """Whether a test is not part of this run: by its file, its marks, its engine and whether it has nodes.

    The mark `embedded` is of what is about SQLite or the folder, `grown` of what need run in that run alone.
    """
    is_of_nodes = any(path.is_relative_to(each) for each in NODES)
    asks_nodes = is_of_nodes and (makes_nodes or "grown" in marks)
    is_checked = not is_of_nodes and any(path.is_relative_to(each) for each in GATES)
    if CHECKED:
        return not is_checked
    if GROWN:
        return not asks_nodes or "embedded" in marks
    comes_later = asks_nodes and "embedded" not in marks and ("grown" in marks or engine == "postgresql")
    return EMBEDDED and (is_checked or comes_later)


def settings(folder: Path, given: Mapping[str, object]) -> dict[str, object]:
    """`store__…` and `s3__…` of a new node, without what its test has `given`."""
    made: dict[str, object] = {}
    if "store__database" not in given:
        made["store__database"] = postgres.new_database() if GROWN else f"sqlite:///{folder / 'xds.db'}"
    if "store__documents" not in given:
        if GROWN:
            made |= in_s3(folder)
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


def in_s3(folder: Path) -> dict[str, object]:
    """The settings of a node with its documents in S3, in a place of its own."""
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
