"""Document bytes in a bucket of an S3 server; what is arriving, and what waits, is in a folder of this node.

`documents/YYYY/MM/DD/HH/<random>` below the bucket's prefix, the same keys as in a folder (files.py). A
staged file is hashed once more while it goes out, and nothing is believed to be there before the server has
said so. It must never tell a cut answer as a whole document, wait without end, or use what only one maker's
server can.
"""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.sse import Sse, SseKMS, SseS3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Retry, Timeout

from xds.repository.s3_options import S3Options
from xds.repository.store import Forgotten
from xds.store.trouble import StoreBusy
from xds.transport.staged import Staged, StagingFolder

log = logging.getLogger("xds")

#: Bytes of a part. An upload holds two in memory: the one that is sent, and the one that is read.
PART: Final = 5 * 1024 * 1024
#: Seconds for which a store that said that it is full is believed to be full still.
FULL_SECONDS: Final = 10.0
#: Seconds for which it is believed that the store answers, or does not.
LOOK_SECONDS: Final = 5.0
#: Seconds of waiting after which a document must have come at this rate, in bytes per second.
SLOW_SECONDS: Final = 30.0
LEAST_RATE: Final = 64 * 1024

_CONNECTIONS: Final = 32
_BUSY: Final = frozenset({500, 502, 503, 504})
_ONCE: Final = Retry(total=1, connect=1, read=0, status=0, other=0, redirect=0, backoff_factor=0.2)
_AGAIN: Final = Retry(
    total=2,
    connect=1,
    read=1,
    status=2,
    other=0,
    redirect=0,
    backoff_factor=0.2,
    status_forcelist=_BUSY,
    allowed_methods=None,
    raise_on_status=False,
    respect_retry_after_header=False,
)
#: Method -> how long it may be silent, and what is tried again: what sends bytes only while there was no
#: connection; a HEAD may hold a database transaction up, so that it waits once only.
_HOW: Final = {
    "GET": (Timeout(connect=3, read=30), _AGAIN),
    "HEAD": (Timeout(connect=3, read=3), _AGAIN.new(read=0)),
    "DELETE": (Timeout(connect=3, read=10), _AGAIN.new(read=0)),
    "PUT": (Timeout(connect=3, read=30), _ONCE),
    "POST": (Timeout(connect=3, read=30), _ONCE),
}

_FULL: Final = {
    "InsufficientCapacity": errno.ENOSPC,
    "InsufficientStorage": errno.ENOSPC,
    "QuotaExceeded": errno.EDQUOT,
    "StorageFull": errno.ENOSPC,
    "XMinioStorageFull": errno.ENOSPC,
}
_NOT_THERE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "ResourceNotFound"})
#: The server's code -> what is in the way, for the log and for `xds check`.
_SENTENCES: Final = {
    "AccessDenied": "the S3 server does not let s3.access_key {deed}",
    "AuthorizationHeaderMalformed": "the S3 server has the bucket in another region: set s3.region",
    "IllegalLocationConstraintException": "the S3 server has the bucket in another region: set s3.region",
    "InvalidAccessKeyId": "the S3 server does not know s3.access_key",
    "NoSuchBucket": "the S3 server has no such bucket",
    "PermanentRedirect": "the S3 server has the bucket in another region, or at another s3.endpoint",
    "RequestTimeTooSkewed": "the S3 server's clock and this machine's differ too much",
    "ServiceUnavailable": "the S3 server is too busy",
    "SignatureDoesNotMatch": "s3.secret_key is not the one of s3.access_key",
    "SlowDown": "the S3 server is too busy",
}
_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,60}")

#: What the SDK raises: its own, urllib3's, and those of parsing what is not S3 at all.
_ERRORS: Final = (MinioException, HTTPError, ValueError, SyntaxError)


class _Pool(urllib3.PoolManager):
    """Time-outs and repeats by method, for which the SDK has no place; its own are minutes, and blind."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **given: Any) -> Any:  # type: ignore[override]
        timeout, retries = _HOW[method]
        # A signature is for one address, so nothing that is answered is followed elsewhere.
        return super().urlopen(method, url, redirect=False, **given, timeout=timeout, retries=retries)


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """An upload in parts that was never completed."""

    size: int
    name: str
    upload: str
    store: S3Store

    def discard(self) -> None:
        """Abort it; one that has ended is no error."""
        self.store.abort(self.name, self.upload)


class S3Store:
    """A DocumentStore in a bucket; threads may share it, processes may not (connections)."""

    def __init__(
        self, options: S3Options, work: Path, failed: Callable[[str], None] = lambda deed: None
    ) -> None:
        self._failed = failed  # told of every call that comes to nothing
        self.staging = StagingFolder(work / "staging")
        self.replies = StagingFolder(work / "replies")
        # It warns of what is tried again with the whole path; what comes of it is told here.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self._bucket = options.bucket.name
        self._prefix = f"{options.bucket.prefix}/documents/".removeprefix("/")
        self._sse = _sse(options)
        endpoint = urlsplit(options.endpoint)
        secure = endpoint.scheme == "https"
        context = None
        if secure:
            context = ssl.create_default_context(cafile=options.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._client = Minio(
            endpoint.netloc,
            options.access_key,
            str(options.secret_key),
            secure=secure,
            region=options.region,
            http_client=_Pool(maxsize=_CONNECTIONS, ssl_context=context),
        )
        self._full_until = 0.0
        self._trouble = ""  # what the log has said last
        self._looking = threading.Lock()  # guards the next
        self._looked, self._found = -LOOK_SECONDS, ""

    # -- the contract ----------------------------------------------------------------------------------

    def put(self, staged: Staged) -> str:
        key = f"{datetime.now(UTC):%Y/%m/%d/%H}/{secrets.token_hex(16)}"
        name = self._prefix + key
        with staged.open() as file:
            try:
                with self._in_words("write"):
                    self._client.put_object(
                        self._bucket,
                        name,
                        cast(BinaryIO, _Hashed(file, staged)),
                        staged.size,
                        sse=self._sse,
                        part_size=PART,
                        num_parallel_uploads=1,
                    )
                # The server has checked each part's hash; whether it has joined them it may only say later.
                if staged.size > PART and self.size(key) != staged.size:
                    raise StoreBusy("the S3 server has not joined the parts of an upload")
                staged.discard()
            except OSError:
                # What has failed for us may have been done there. The sweep has what stays in spite of this.
                with suppress(OSError):
                    self.remove(key)
                raise
        return key

    def has_room(self, size: int) -> bool:
        return time.monotonic() >= self._full_until and self.staging.has_room(size)

    def open(self, key: str) -> BinaryIO:
        with self._in_words("read"):
            response = self._client.get_object(self._bucket, self._prefix + key)
            try:
                size = int(response.headers.get("Content-Length", "untold"))
            except ValueError:
                response.close()
                raise
        return io.BufferedReader(_Reading(self, response, size), 256 * 1024)

    def size(self, key: str) -> int | None:
        try:
            with self._in_words("read"):
                return self._client.stat_object(self._bucket, self._prefix + key).size
        except FileNotFoundError:
            return None

    def remove(self, key: str) -> None:
        with suppress(FileNotFoundError), self._in_words("delete"):
            self._client.remove_object(self._bucket, self._prefix + key)

    def keys(self, since: str, before: datetime) -> Iterator[str]:
        for hour in self._hours("", since, f"{before:%Y/%m/%d/%H}"):
            for found in self._list(f"{hour}/", recursive=True):
                if found.last_modified is not None and found.last_modified <= before:
                    yield self._key(found)

    def forgotten(self, before: datetime) -> Iterator[Forgotten]:
        yield from self.staging.older(before)
        yield from self._unfinished(before)

    def check(self) -> None:
        with self._looking:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                try:
                    with self._in_words("look at the bucket"):
                        there = self._client.bucket_exists(self._bucket)
                    self._found = "" if there else _SENTENCES["NoSuchBucket"]
                except OSError as error:
                    self._found = error.strerror or type(error).__name__
                self._looked = time.monotonic()
            if self._found:
                raise StoreBusy(self._found)

    def try_out(self) -> None:
        writer = self.staging.create()
        try:
            writer.write(b"xds check")
            # The listing has an answer in words even where only the bucket is wrong.
            for _ in self._list(""):
                break
            key = self.put(writer.finish())
            try:
                with self.open(key) as file:
                    if file.read() != b"xds check":
                        raise StoreBusy("the S3 server does not give back what it was given")
            finally:
                self.remove(key)
            for _ in self._unfinished(datetime.now(UTC)):
                break
        finally:
            writer.discard()

    # -- beneath it ------------------------------------------------------------------------------------

    def _key(self, found: Object) -> str:
        return str(found.object_name).removeprefix(self._prefix)

    def _hours(self, above: str, since: str, last: str) -> Iterator[str]:
        """The hours that have documents, from the years down: what lies outside is never listed."""
        for each in self._list(above):
            folder = self._key(each).removesuffix("/")
            if not each.is_dir or not since[: len(folder)] <= folder <= last[: len(folder)]:
                continue
            if len(folder) == len(last):
                yield folder
            elif len(folder) < len(last):
                yield from self._hours(f"{folder}/", since, last)

    def _list(self, below: str, *, recursive: bool = False) -> Iterator[Object]:
        found = self._client.list_objects(self._bucket, self._prefix + below, recursive=recursive)
        while True:
            with self._in_words("list the bucket"):
                each = next(found, None)
            if each is None:
                return
            yield each

    # The SDK has no public names for the next two requests; its version is fixed, and the contract's tests
    # make them.

    def _unfinished(self, before: datetime) -> Iterator[_Unfinished]:
        marker: str | None = None
        while True:
            with self._in_words("list uploads"):
                page = self._client._list_multipart_uploads(
                    self._bucket, key_marker=marker, prefix=self._prefix
                )
            for each in page.uploads:
                if each.initiated_time is None or each.initiated_time > before:
                    continue
                name, upload = str(each.object_name), str(each.upload_id)
                with suppress(FileNotFoundError):  # it has ended meanwhile
                    with self._in_words("list uploads"):
                        parts = self._client._list_parts(self._bucket, name, upload).parts
                    yield _Unfinished(sum(part.size or 0 for part in parts), name, upload, self)
            marker = page.next_key_marker
            if not page.is_truncated or not marker:
                return

    def abort(self, name: str, upload: str) -> None:
        """End an upload and free its parts; one that has ended is no error."""
        with suppress(FileNotFoundError), self._in_words("abort uploads"):
            self._client._abort_multipart_upload(self._bucket, name, upload)

    @contextmanager
    def _in_words(self, deed: str) -> Iterator[None]:
        """What goes wrong on the way, as OSError: full, busy, or not there. The log tells a trouble once."""
        try:
            yield
        except _ERRORS as error:
            # The SDK aborts an upload that fails; when that fails too, it raises that, the cause behind it.
            first = error.__context__ if isinstance(error.__context__, MinioException) else error
            number, sentence = _judged(first, deed)
            if number == errno.ENOENT:
                raise FileNotFoundError(number, sentence) from None
            self._failed(deed)
            if sentence != self._trouble:
                self._trouble = sentence
                log.error("documents: %s", sentence)
            if number:
                self._full_until = time.monotonic() + FULL_SECONDS
                raise OSError(number, sentence) from None
            raise StoreBusy(sentence) from None
        if self._trouble:
            self._trouble = ""
            log.error("documents: the S3 server works again")


class _Hashed:
    """A staged file for the SDK, which takes it in parts: the last is not given before the hash is right."""

    def __init__(self, file: BinaryIO, staged: Staged) -> None:
        self._file = file
        self._staged = staged
        self._size = 0
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """The next bytes, all in one piece: the SDK would copy pieces together."""
        data = self._file.read(size)
        self._size += len(data)
        self._hash.update(data)
        if self._size >= self._staged.size and self._hash.hexdigest() != self._staged.sha256:
            raise OSError(errno.EIO, "a staged file has changed")
        return data


class _Reading(io.RawIOBase):
    """The body of an answer. It ends where the server said that it would, or with an error."""

    def __init__(self, store: S3Store, response: urllib3.BaseHTTPResponse, size: int) -> None:
        self._store = store
        self._response = response
        self._left = size
        self._received = 0
        self._waited = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        began = time.monotonic()
        with self._store._in_words("read"):
            data = self._response.read1(len(buffer), decode_content=False)
        self._waited += time.monotonic() - began
        self._received += len(data)
        self._left -= len(data)
        if not data and self._left:
            raise StoreBusy("the S3 server has broken off in the middle of a document")
        if self._waited > SLOW_SECONDS + self._received / LEAST_RATE:
            raise StoreBusy("the S3 server is too slow")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            if self._left:  # the rest is still on its way
                self._response.close()
            self._response.release_conn()
        super().close()


def _sse(options: S3Options) -> Sse | None:
    if options.encryption == "aws:kms":
        return SseKMS(options.encryption_key, {})
    return SseS3() if options.encryption == "AES256" else None


def _judged(error: Exception, deed: str) -> tuple[int, str]:
    """The error number of what is full or not there, else 0; and a sentence, which has no address in it."""
    if isinstance(error, S3Error):
        code, status = error.code or "", error.response.status
        if code in _NOT_THERE or (code == "NoSuchUpload" and deed != "write"):
            return errno.ENOENT, "no such object"
        if number := _FULL.get(code) or (errno.ENOSPC if status == 507 else 0):
            return number, "the S3 server has no room"
        shown = code if _CODE.fullmatch(code) else "an error"
        return 0, _SENTENCES.get(code, f"the S3 server answers {shown}").format(deed=deed)
    if isinstance(error, ServerError | InvalidResponseError):
        status = error.status_code if isinstance(error, ServerError) else error._code
        if status == 507:
            return errno.ENOSPC, "the S3 server has no room"
        return 0, _SENTENCES["SlowDown"] if status in _BUSY else f"the S3 server answers HTTP {status}"
    if isinstance(error, MaxRetryError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, SSLError):
        return 0, "the S3 server's certificate is not one that s3.ca, or the machine, trusts"
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError) and not isinstance(
        error, NewConnectionError
    ):
        return 0, "the S3 server does not answer in time"
    if isinstance(error, HTTPError):
        return 0, "the S3 server cannot be reached, or breaks off"
    return 0, "what answers at s3.endpoint is not an S3 server"
