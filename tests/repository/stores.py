"""The document stores that tests/repository runs against, each with a way to look, and to meddle, beneath it.

`folder` is a folder; `moto` is S3 in a process of its own that each test process starts; `ceph` is a real S3
server (tests/ceph.py). A test that asks for `shelf` runs once on each.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import urllib3
from minio.deleteobjects import DeleteObject

from tests.beneath import Beneath, InBucket, InFolder, Server
from tests.ports import free_port
from xds.repository.documents import NewDocument, Repository
from xds.repository.files import FolderStore
from xds.repository.s3 import S3Store
from xds.repository.store import DocumentStore
from xds.store.database import Database
from xds.transport.staged import Staged


class Shelf:
    """A repository with what a test wants to look at beneath it."""

    def __init__(self, folder: Path, store: DocumentStore, beneath: Beneath) -> None:
        self.database = Database(f"sqlite:///{folder}/xds.db")
        self.database.migrate()
        self.store = store
        self.beneath = beneath
        self.repository = Repository("1.2.3", self.database, self.store)

    def stage(self, content: bytes) -> Staged:
        """Bytes as the transport leaves them."""
        writer = self.store.staging.create()
        writer.write(content)
        return writer.finish()

    def keep(self, unique_id: str, content: bytes) -> None:
        """Put and record one document."""
        put = self.repository.put([NewDocument(unique_id, "text/plain", self.stage(content))])
        with self.database.write() as connection:
            assert self.repository.record(connection, put) == []

    def staged(self) -> list[Path]:
        """Every file that is staged."""
        return sorted(self.store.staging.path.iterdir())


@contextlib.contextmanager
def bucket(server: Server, name: str) -> Iterator[InBucket]:
    """A new bucket, which is emptied and removed at the end."""
    beneath = InBucket(server.client(), name)
    beneath.client.make_bucket(name)
    try:
        yield beneath
    finally:
        for each in beneath.client._list_multipart_uploads(name).uploads:
            beneath.client._abort_multipart_upload(name, each.object_name, each.upload_id)
        everything = beneath.client.list_objects(name, recursive=True)
        list(beneath.client.remove_objects(name, (DeleteObject(each.object_name) for each in everything)))
        beneath.client.remove_bucket(name)


def folder_store(folder: Path) -> tuple[FolderStore, InFolder]:
    """A FolderStore, and its documents."""
    store = FolderStore(folder / "documents")
    return store, InFolder(store.root / "documents")


def s3_store(server: Server, name: str, folder: Path) -> S3Store:
    """An S3Store in a bucket that is there."""
    return S3Store(server.options(name), folder / "work")


@contextlib.contextmanager
def moto() -> Iterator[tuple[Server, int]]:
    """A running moto, and its process; ended at the end."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            for _ in range(600):
                assert process.poll() is None, "moto ended"
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    urllib3.request("GET", f"http://127.0.0.1:{port}/", retries=False, timeout=5)
                    break
                time.sleep(0.1)
            yield Server(f"http://127.0.0.1:{port}"), process.pid
        finally:
            process.kill()
            process.wait()
