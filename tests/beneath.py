"""What lies under a document store, seen past it: tests look there for what is left, and do damage.

A store in a folder has files, one in S3 objects, which another client than the store's looks at. Used by
tests/repository, and through tests/blackbox/state.py by every test that looks beneath a running node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Protocol

import urllib3
from minio import Minio

from xds.repository.s3_options import Bucket, S3Options

PREFIX = "some/node"


class Beneath(Protocol):
    """What lies under a store, seen past it."""

    def keys(self) -> list[str]:
        """Every key there is."""

    def plant(self, key: str, content: bytes) -> None:
        """Bytes under a key, whatever was there."""

    def read(self, key: str) -> bytes:
        """The bytes under a key."""

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

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

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

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(self.bucket, self.prefix + key).read())

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
