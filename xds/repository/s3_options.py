"""Where the S3 server is, and how the node shows itself there: the settings s3.* and store.documents, joined.

config.py reads them one by one and calls `s3_options` to see whether they hold together; s3.py connects by
them. The secret key must never be shown: it is in no error's text and in no representation.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from xds.errors import SettingsError

ENCRYPTIONS: Final = ("none", "AES256", "aws:kms")

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*)(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_REGION: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Bucket:
    """`s3://name/prefix`; the prefix may be empty."""

    name: str
    prefix: str


class Secret(str):
    """A text that nobody prints by mistake."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "(secret)"


@dataclass(frozen=True, slots=True)
class S3Options:
    """One bucket of one server. `ca`: whose certificate the server has, None: as the machine trusts."""

    bucket: Bucket
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str
    encryption: str = "none"
    encryption_key: str = ""
    ca: Path | None = None


def read_bucket(url: str) -> Bucket:
    """The bucket of an s3:// URL; raises ValueError with a sentence."""
    name, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise ValueError("names no bucket: write s3://bucket or s3://bucket/prefix")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError("has a prefix with other characters than letters, digits, `.`, `_`, `-` and `/`")
    return Bucket(name, prefix)


def read_endpoint(url: str) -> str:
    """The address of a server, or nothing; raises ValueError with a sentence, which has no part of it."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        found = parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        found = None
    if not found or parts.scheme not in ("https", "http") or parts.path not in ("", "/"):
        raise ValueError("is not https://host or https://host:port")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("holds more than a host and a port: the keys are s3.access_key and s3.secret_key")
    return f"{parts.scheme}://{parts.netloc}"


def read_region(text: str) -> str:
    """A region's name; raises ValueError with a sentence."""
    if not _REGION.fullmatch(text):
        raise ValueError("is not the name of a region, such as us-east-1")
    return text


def s3_options(bucket: Bucket, given: Mapping[str, Any], work: Path | None, *, test: bool) -> S3Options:
    """The settings s3.* (by their names without `s3.`), joined; raises SettingsError with every error."""
    errors = [
        f"{key} is required when store.documents is s3://…: {remedy}"
        for key, value, remedy in (
            ("s3.endpoint", given["endpoint"], "set the server's address"),
            ("s3.access_key", given["access_key"], "set the name of the node's key"),
            ("store.work", work, "set file:///… with a folder on a local disk for what is arriving"),
        )
        if not value
    ]
    secret = given["secret_key"]
    if bool(secret) == bool(given["secret_key_file"]):
        errors.append(
            "s3.secret_key or s3.secret_key_file is required when store.documents is s3://…: set one of them"
        )
    elif not secret:
        try:
            secret = Secret(given["secret_key_file"].read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            errors.append(f"s3.secret_key_file cannot be read: {reason}")
        else:
            if not secret.isprintable() or not secret:
                errors.append("s3.secret_key_file does not hold the secret key alone")
    if given["endpoint"].startswith("http:") and not (test or is_loopback(given["endpoint"])):
        errors.append(
            "s3.endpoint is not encrypted: write https://, or http:// of a loopback address, or set"
            " environment = test for a test"
        )
    if given["ca"]:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(given["ca"])
        except ssl.SSLError:
            errors.append("s3.ca: the file holds no certificate in PEM")
        except OSError as error:
            errors.append(f"s3.ca: the file cannot be read: {error.strerror}")
    if (given["encryption"] == "aws:kms") != bool(given["encryption_key"]):
        errors.append("s3.encryption_key goes together with s3.encryption = aws:kms: set both or neither")
    if errors:
        raise SettingsError("\n".join(errors))
    names = ("endpoint", "access_key", "region", "encryption", "encryption_key", "ca")
    return S3Options(bucket=bucket, secret_key=secret, **{name: given[name] for name in names})


def is_loopback(url: str) -> bool:
    """Whether what is sent there stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
