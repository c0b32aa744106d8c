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
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Protocol

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject

from tests.nodes import free_port
from xds.repository.documents import NewDocument, Repository
from xds.repository.files import FolderStore
from xds.repository.s3 import S3Store
from xds.repository.s3_options import Bucket, S3Options
from xds.repository.store import DocumentStore
from xds.store.database import Database
from xds.transport.staged import Staged

PREFIX = "some/node"


class Beneath(Protocol):
    """What lies under a store, seen past it."""

    def keys(self) -> list[str]:
        """Every key there is."""

    def plant(self, key: str, content: bytes) -> None:
        """Bytes under a key, whatever was there."""

    def delete(self, key: str) -> None:
        """No bytes under a key."""


@dataclass(frozen=True)
class InFolder:
    """The files of a FolderStore."""

    root: Path

    def keys(self) -> list[str]:
        return sorted(
            path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file()
        )

    def plant(self, key: str, content: bytes) -> None:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(content)

    def delete(self, key: str) -> None:
        (self.root / key).unlink()


@dataclass(frozen=True)
class InBucket:
    """The objects of a bucket, by another client than the store's."""

    client: Minio
    bucket: str
    prefix: str = f"{PREFIX}/documents/"

    def keys(self) -> list[str]:
        found = self.client.list_objects(self.bucket, self.prefix, recursive=True)
        return sorted(each.object_name.removeprefix(self.prefix) for each in found)

    def plant(self, key: str, content: bytes) -> None:
        self.client.put_object(self.bucket, self.prefix + key, BytesIO(content), len(content))

    def delete(self, key: str) -> None:
        self.client.remove_object(self.bucket, self.prefix + key)

    def uploads(self) -> list[str]:
        """The names of uploads that are not completed."""
        return [str(each.object_name) for each in self.client._list_multipart_uploads(self.bucket).uploads]

    def begin_upload(self, key: str, content: bytes) -> None:
        """An upload with one part that nobody will complete."""
        name = self.prefix + key
        upload = self.client._create_multipart_upload(self.bucket, name, {})
        self.client._upload_part(self.bucket, name, content, None, upload, 1)


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


@dataclass(frozen=True)
class Server:
    """An S3 server, and the key that tests use there."""

    endpoint: str
    access_key: str = "key"
    secret_key: str = "secret"
    region: str = "us-east-1"

    def options(self, bucket: str) -> S3Options:
        """Of a store in the bucket."""
        return S3Options(Bucket(bucket, PREFIX), self.endpoint, self.access_key, self.secret_key, self.region)

    def client(self) -> Minio:
        """A client of the test's own."""
        host = self.endpoint.removeprefix("http://")
        pool = urllib3.PoolManager(timeout=30, retries=False)
        return Minio(
            host, self.access_key, self.secret_key, secure=False, region=self.region, http_client=pool
        )

    def through(self, port: int) -> Server:
        """The same behind a proxy."""
        return replace(self, endpoint=f"http://127.0.0.1:{port}")


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
