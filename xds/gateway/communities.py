"""The communities file: which communities the XCA gateways call, how, and where they may send late answers.

The gateways ask `CommunitiesFile` at each request; the settings are checked with `read_communities` and
`unsafe` before the node serves. Every error is reported at once, by community and key, with the remedy;
docs/gateways.md has the same table. It must never go to the network, and never take a file over in part.
"""

from __future__ import annotations

import logging
import re
import ssl
import stat
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from xds.errors import SettingsError
from xds.metadata.datatypes import bare_oid, check_oid, check_uri
from xds.registry.queries import STORED_QUERIES

log = logging.getLogger("xds")

#: What tells one version of a file from the next: times of content and of status in ns, size, inode; None:
#: not there. The second time also tells that a file has become readable.
Mark = tuple[int, int, int, int] | None

#: Seconds between two looks at the files.
_LOOK: Final = 2.0


@dataclass(frozen=True, slots=True)
class Community:
    """One `[[community]]`: another community and what holds for calls to it and from it.

    `home` is without urn:oid:. `queries` are ids; empty: it answers all. `versions` are the marks of `ca`,
    `certificate` and `key`: with a renewed certificate it is another Community, and needs another connection.
    """

    name: str
    home: str
    query: str
    retrieve: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    query_seconds: float = 10.0
    retrieve_seconds: float = 60.0
    connections: int = 32
    queries: frozenset[str] = frozenset()
    asynchronous: bool = False
    reply_to: tuple[str, ...] = ()
    failures: int = 5
    pause_seconds: float = 15.0
    versions: tuple[Mark, ...] = field(default=(), repr=False)

    @property
    def urn(self) -> str:
        """Its homeCommunityId as messages have it."""
        return f"urn:oid:{self.home}"


@dataclass(frozen=True, slots=True)
class Communities:
    """One reading of the file, in its order; the seconds bound a whole request to several communities."""

    members: tuple[Community, ...] = ()
    query_seconds: float = 12.0
    retrieve_seconds: float = 90.0

    def get(self, home: str) -> Community | None:
        """The community of a homeCommunityId, with or without urn:oid:."""
        oid = bare_oid(home)
        return next((each for each in self.members if each.home == oid), None)

    def may_reply_to(self, url: str) -> Community | None:
        """The first community that lists this address, to the letter; None: nothing may go there."""
        return next((each for each in self.members if url in each.reply_to), None)


# ---- what a node refuses, though it can be read


def unsafe(
    communities: Communities, own_home: str, test: bool, public_url: str | None = None, threads: int = 2
) -> list[str]:
    """Why a node must not work with these communities, in whole sentences: at each reading.

    `public_url` and `threads` are what answers that come later need; None: that is not looked at.
    """
    errors = []
    own = bare_oid(own_home)
    for position, each in enumerate(communities.members, 1):
        where = f"communities: {_where(position, each.name)}"
        if each.home == own:
            errors.append(
                f"{where}: home: is our own (node.home_community_id): leave this community out, our own"
                " registry and repository are asked by themselves"
            )
        if each.asynchronous and public_url is not None:
            errors += [f"{where}: asynchronous: {why}" for why in _unanswerable(public_url, test, threads)]
        if test:
            continue
        urls = {"query": each.query, "retrieve": each.retrieve if each.retrieve != each.query else ""}
        urls |= {f"reply_to: item {number}": url for number, url in enumerate(each.reply_to, 1)}
        errors += [
            f"{where}: {key}: is an http URL of another machine: write an https URL, or set"
            " environment = test for a test"
            for key, url in urls.items()
            if _is_open(url)
        ]
    return errors


def _unanswerable(public_url: str, test: bool, threads: int) -> Iterator[str]:
    """Why answers that come later would not come, or not safely."""
    try:
        _url(public_url)
    except ValueError:
        yield (
            "needs node.public_url, below which answers are sent to us: set it, e.g. https://xds.example.no,"
            " or leave asynchronous out"
        )
    else:
        if not test and _is_open(public_url):
            yield "answers would come over http: set node.public_url to an https URL"
    if threads < 2:
        yield "needs node.threads of 2 at least: an answer comes while the request still waits"


def _is_open(url: str) -> bool:
    """Whether what goes there can be read on the way: http, and not within this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "http" and host != "localhost" and not ip_address(host).is_loopback
    except ValueError:
        return True


def _where(position: int, name: object) -> str:
    known = isinstance(name, str) and name and name.isprintable()
    return f"community {position}" + (f" ({name})" if known else "")


# ---- the file while the node runs


class CommunitiesFile:
    """The communities of a file, read again when it or a file that it names changes; threads may share it.

    What `check` complains of (in whole sentences) refuses a reading, like an error in the file. A change that
    is refused is logged once and tried again at each look, and the last good reading stays. Raises
    SettingsError at the start.
    """

    def __init__(self, path: Path, check: Callable[[Communities], list[str]]) -> None:
        self._path = path
        self._check = check
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._refused: _Reading | None = None
        self._good = self._read()
        if self._good.errors:
            raise SettingsError("\n".join(self._good.errors))

    @property
    def communities(self) -> Communities:
        """The current ones."""
        if time.monotonic() - self._looked > _LOOK and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._good.communities

    def _look(self) -> None:
        self._looked = time.monotonic()
        # Of the good reading and not of a refused one, which is tried again also without a change: not
        # everything that keeps a file from being read leaves a mark on it.
        if self._good.is_current():
            return
        reading = self._read()
        if not reading.errors:
            self._good, self._refused = reading, None
            log.info("communities was read again: %s communities", len(reading.communities.members))
        elif reading != self._refused:
            self._refused = reading
            log.error(
                "communities was not taken over, the last good reading stays: %s", "\n".join(reading.errors)
            )

    def _read(self) -> _Reading:
        reading = _read(self._path)
        return reading if reading.errors else replace(reading, errors=tuple(self._check(reading.communities)))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What came of reading; `marks` are those of all files that were named, each from before it was read."""

    communities: Communities
    errors: tuple[str, ...]
    marks: Mapping[Path, Mark]

    def is_current(self) -> bool:
        return all(_mark(file) == mark for file, mark in self.marks.items())


def _mark(file: Path) -> Mark:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


# ---- reading the file


def read_communities(path: Path) -> Communities:
    """The communities of a file; raises SettingsError with everything that is wrong, by community and key."""
    reading = _read(path)
    if reading.errors:
        raise SettingsError("\n".join(reading.errors))
    return reading.communities


def _read(path: Path) -> _Reading:
    marks = {path: _mark(path)}
    try:
        found = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        sentence = f"{path}: cannot be read: {error.strerror}; set communities to the path of this file"
        return _Reading(Communities(), (f"communities: {sentence}",), marks)
    except (ValueError, RecursionError) as error:
        sentence = f"{path.name}: is not TOML in UTF-8: {error}"
        return _Reading(Communities(), (f"communities: {sentence}",), marks)
    tables = found.pop("community", [])
    totals, errors = _values(found, _TOTALS)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        tables, errors = [], [*errors, "community: is not a list of tables: write [[community]]"]
    members = []
    taken: dict[str, set[str]] = {"name": set(), "home": set()}
    for position, table in enumerate(tables, 1):
        values, wrong = _values(table, _KEYS, _REQUIRED)
        for key, before in taken.items():
            if values.get(key) in before:
                wrong.append(f"{key}: stands twice: each community has its own, and one [[community]]")
            before.add(values.get(key, ""))
        if ("certificate" in table) != ("key" in table):
            wrong.append("certificate, key: go together: write both or none")
        for key in values.keys() & set(_FILES):
            values[key] = path.parent / values[key]
            marks.setdefault(values[key], _mark(values[key]))
        wrong += _pem_errors(table, values)
        errors += [f"{_where(position, table.get('name'))}: {each}" for each in wrong]
        if not wrong:
            versions = tuple(marks[values[key]] if key in values else None for key in _FILES)
            members.append(Community(**{"retrieve": values["query"], **values, "versions": versions}))
    if errors:
        sentences = tuple(f"communities: {path.name}: {each}" for each in errors)
        return _Reading(Communities(), sentences, marks)
    return _Reading(Communities(tuple(members), **totals), (), marks)


def _values(
    table: Mapping[str, Any], keys: Mapping[str, Callable[[Any], Any]], required: Iterable[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """The values of a table that can be read, and what is wrong with the others."""
    errors = [
        f"{key}: there is no such key: leave it out (docs/gateways.md has those that there are)"
        for key in table
        if key not in keys
    ]
    errors += [f"{key}: is missing: write it" for key in required if key not in table]
    values = {}
    for key, read in keys.items():
        try:
            if key in table:
                values[key] = read(table[key])
        except ValueError as error:
            errors.append(f"{key}: {error}")
    return values, errors


# ---- one value: each raises ValueError with half a sentence, and quotes no URL, which may hold a password


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable() or value != value.strip():
        raise ValueError('is not a text: write it in "…", without space around it')
    return value


def _name(value: Any) -> str:
    if len(name := _text(value)) > 100:
        raise ValueError("is longer than 100 characters: shorten it")
    return name


def _list(read: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    def read_all(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError('is not a list of texts: write ["…"], or leave it out')
        items = []
        for number, item in enumerate(value, 1):
            try:
                items.append(read(item))
            except ValueError as error:
                raise ValueError(f"item {number} {error}") from None
        return tuple(items)

    return read_all


def _number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"is not a whole number from {least} to {most}")
        return value

    return read


def _seconds(most: int) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        # Less than a hundredth is a slip of the pen, and nothing could answer in it.
        if type(value) not in (int, float) or not 0.01 <= value <= most:
            raise ValueError(f"is not a number of seconds from 0.01 to {most}")
        return float(value)

    return read


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("is neither true nor false")
    return value


def _home(value: Any) -> str:
    home = bare_oid(_text(value))
    try:
        check_oid(home)
    except ValueError:
        raise ValueError(
            "is not an OID: write integers with dots between them and without leading zeros, at most 64"
            " characters, with or without urn:oid:"
        ) from None
    return home


_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?")


def _url(value: Any) -> str:
    url = _text(value)
    try:
        check_uri(url)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in ("https", "http") or port == 0:
            raise ValueError
        if not _HOST.fullmatch(host):
            ip_address(host)
    except ValueError:
        raise ValueError("is not an https URL: write https://, a host and a path") from None
    if "@" in parts.netloc:
        raise ValueError("is a URL with a user: leave out what stands before the @, and the @")
    if "?" in url or "#" in url:
        raise ValueError("is a URL with a query or a fragment: leave out the ? or # and what follows")
    return url


_QUERIES: Final[Mapping[str, str]] = {module.NAME: id for id, module in STORED_QUERIES.items()}


def _query(value: Any) -> str:
    try:
        return _QUERIES[_text(value)]
    except KeyError:
        raise ValueError(f"is not the name of a stored query: {', '.join(sorted(_QUERIES))}") from None


_QUERY_SECONDS: Final = _seconds(600)
_RETRIEVE_SECONDS: Final = _seconds(3600)
_TOTALS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "query_seconds": _QUERY_SECONDS,
    "retrieve_seconds": _RETRIEVE_SECONDS,
}
#: The keys of a community; what is not written has the default of the field of Community with its name.
_KEYS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": _name,
    "home": _home,
    "query": _url,
    "retrieve": _url,
    "ca": _text,
    "certificate": _text,
    "key": _text,
    "query_seconds": _QUERY_SECONDS,
    "retrieve_seconds": _RETRIEVE_SECONDS,
    "connections": _number(1, 1000),
    "queries": lambda value: frozenset(_list(_query)(value)),
    "asynchronous": _boolean,
    "reply_to": _list(_url),
    "failures": _number(1, 1000),
    "pause_seconds": _RETRIEVE_SECONDS,
}
_REQUIRED: Final = ("name", "home", "query")
_FILES: Final = ("ca", "certificate", "key")


# ---- the files that it names

_OTHER_KEY: Final = "key: does not belong to the certificate: name the key that it was made for"
#: What OpenSSL says of a certificate and a key, each of which can be read: the key at fault, what is wrong.
_UNFIT: Final[Mapping[str, str]] = {
    "KEY_VALUES_MISMATCH": _OTHER_KEY,
    "KEY_TYPE_MISMATCH": _OTHER_KEY,
    "NO_CERTIFICATE_ASSIGNED": _OTHER_KEY,  # none for a key of this type
    "EE_KEY_TOO_SMALL": "certificate: has a key that is too short for TLS: get a new one",
    "CA_KEY_TOO_SMALL": "certificate: has an authority whose key is too short for TLS: get a new one",
    "CA_MD_TOO_WEAK": "certificate: is signed with a hash that is too weak for TLS: get a new one",
}


def _pem_errors(table: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """What keeps the files of a community from being used for TLS, as transport/client.py uses them.

    `table` has their names as written, `values` their paths.
    """
    errors = []
    for key in _FILES:
        if key in values:
            try:
                _check_file(values[key], certificates=key != "key")
            except ValueError as error:
                errors.append(f"{key}: {table[key]} {error}")
    if errors or "certificate" not in values or "key" not in values:
        return errors
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            values["certificate"], values["key"], _refuse_to_unlock
        )
    except ssl.SSLError as error:
        return [_UNFIT.get(error.reason or "", "key: holds no key in PEM that can be read: name such a file")]
    except (OSError, ValueError) as error:
        return [f"key: {error}"]
    return []


def _check_file(file: Path, *, certificates: bool) -> None:
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would wait for whoever writes
            raise ValueError("is not a file: name one in PEM")
        file.open("rb").close()
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(file)
            if not context.cert_store_stats()["x509"]:  # a revocation list
                raise ValueError("holds no certificate in PEM, or a damaged one: name a file of certificates")
    except ssl.SSLError:
        raise ValueError(
            "holds no certificate in PEM, or a damaged one: name a file of certificates"
        ) from None
    except OSError as error:
        raise ValueError(
            f"cannot be read: {error.strerror}: write its path, relative to the folder of this file, and let"
            " the node's user read it"
        ) from None


def _refuse_to_unlock() -> NoReturn:
    """In the place of a password, for which OpenSSL would ask at the terminal."""
    raise ValueError("is locked with a password: write it to a file without one (openssl pkey)")
