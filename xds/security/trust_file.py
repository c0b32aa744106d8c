"""The trust file: which issuers of tickets are believed, for what, and where their keys are.

trust_store.py calls `read_trust` at the start and whenever the file changes, and `read_files` when a file
that it names does. Every error is reported at once, by issuer and key, with the remedy. docs/trust.md has the
same table. It must never go to the network, and never guess: what is not understood is an error.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.x509 import Certificate

from xds.errors import SettingsError
from xds.security.fetch import check_url
from xds.security.keys import read_certificates, read_jwks, read_metadata, read_revoked, read_roots
from xds.security.trust import Confirmation, Issuer, Key, TicketKind

#: What tells one version of a file from the next: modification time in ns, size, inode; None: not there.
Mark = tuple[int, int, int] | None

#: Minutes that a ticket may be valid in all, where the file does not say (norwegian-profile 4.5, 4.9).
LIFETIME_MINUTES: Final[Mapping[TicketKind, int]] = {
    TicketKind.KJERNEJOURNAL: 90,  # 60, and a margin for how the issuer sets NotBefore
    TicketKind.HELSENORGE: 60,
    TicketKind.HSO: 150,  # up to 120, with NotBefore 5 minutes before, and a margin
    TicketKind.XUA: 60,
    TicketKind.SYSTEM: 60,
    TicketKind.HELSEID: 60,
}
#: Minutes that an attestation may be old (norwegian-profile 4.5); no row: any.
ATTESTATION_MINUTES: Final[Mapping[TicketKind, int]] = {TicketKind.KJERNEJOURNAL: 60, TicketKind.HELSEID: 60}

_SAML: Final = frozenset(kind for kind in TicketKind if not kind.is_token)
_TOKENS: Final = frozenset(TicketKind) - _SAML


@dataclass(frozen=True, slots=True)
class Source:
    """Where keys of an issuer come from: a key of the trust file, and its files or its one address."""

    key: str
    files: tuple[Path, ...] = ()
    url: str = ""

    def __str__(self) -> str:
        """For logs and metrics; all of it is the operator's own text."""
        return f"{self.key} {self.url or ', '.join(file.name for file in self.files)}"


@dataclass(frozen=True, slots=True)
class Content:
    """What was read from a source; `until` is when its revocation lists are out of date, the first of them.

    `marks` are those of its files just before they were read.
    """

    keys: tuple[Key, ...] = ()
    roots: tuple[Certificate, ...] = ()
    revoked: frozenset[tuple[str, int]] = frozenset()
    until: datetime | None = None
    marks: Mapping[Path, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One `[[issuer]]`: what is believed of it, still without keys, and where they come from.

    `subject` is that of Authority. `contents` are those of the files; an address is read by trust_store.py.
    """

    issuer: Issuer
    subject: str
    sources: tuple[Source, ...]
    contents: Mapping[Source, Content]


def read_trust(path: Path, now: datetime | None = None) -> tuple[Entry, ...]:
    """All issuers of a trust file, with the contents of the files that it names.

    `now` is for revocation lists. Raises SettingsError that names every error by issuer and key.
    """
    now = now or datetime.now(UTC)
    try:
        found = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {error.strerror}; set trust to the path of the trust file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path.name}: is not TOML in UTF-8: {error}") from None
    errors = [f"{key}: there is no such table: write [[issuer]]" for key in found if key != "issuer"]
    tables = found.get("issuer", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        errors.append("issuer: is not a list of tables: write [[issuer]]")
        tables = []
    elif not tables:
        errors.append("there is no issuer: write an [[issuer]] table for each")
    entries = []
    names: set[str] = set()
    for position, table in enumerate(tables, 1):
        entry, wrong = _read_entry(table, path.parent, now)
        name = table.get("name")
        if isinstance(name, str):
            if name in names:
                wrong.append("name: stands twice: write one [[issuer]] for each issuer")
            names.add(name)
        where = f"issuer {position}" + (f" ({name})" if isinstance(name, str) and name.isprintable() else "")
        errors += [f"{where}: {error}" for error in wrong]
        if entry is not None:
            entries.append(entry)
    if errors:
        raise SettingsError("\n".join(f"{path.name}: {error}" for error in errors))
    return tuple(entries)


# -- one issuer ------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable() or value != value.strip():
        raise ValueError('is not a text: write it in "…", without space around it')
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError('is not a list of texts: write ["…"]')
    return tuple(_text(item) for item in value)


def _number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"is not a whole number from {least} to {most}")
        return value

    return read


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("is neither true nor false")
    return value


def _token(value: Any) -> bool:
    """Whether the token must come with a proof."""
    if value not in ("dpop", "bearer"):
        raise ValueError("is not one of: dpop, bearer")
    return bool(value == "dpop")


def _kind(value: Any) -> TicketKind:
    try:
        return TicketKind(value)
    except ValueError:
        raise ValueError(f"is not one of: {', '.join(TicketKind)}") from None


def _confirmations(value: Any) -> frozenset[Confirmation]:
    try:
        return frozenset(Confirmation(item) for item in _texts(value))
    except ValueError:
        raise ValueError(f"is not a list of these: {', '.join(Confirmation)}") from None


def _subject(value: Any) -> str:
    """The text that cryptography makes of such a name, so that texts can be compared."""
    names = {
        "serialNumber": x509.NameOID.SERIAL_NUMBER,
        "organizationIdentifier": x509.NameOID.ORGANIZATION_IDENTIFIER,
        "emailAddress": x509.NameOID.EMAIL_ADDRESS,
    }
    try:
        return x509.Name.from_rfc4514_string(_text(value), names).rfc4514_string()
    except ValueError:
        raise ValueError('is not a name as RFC 4514 writes it: write "CN=…,O=…,C=NO"') from None


def _files(value: Any) -> tuple[str, ...]:
    files = _texts(value)
    if any("://" in file for file in files):
        raise ValueError("has an address: write files here, addresses only as jwks or metadata")
    return files


def _place(value: Any) -> str:
    """A file, or an address that `fetch` may go to."""
    if "://" in (text := _text(value)):
        check_url(text)
    return text


@dataclass(frozen=True, slots=True)
class _Setting:
    """One key of an issuer: how its value is read (ValueError with a sentence), and for which kinds it is."""

    read: Callable[[Any], Any]
    default: Any = None
    kinds: frozenset[TicketKind] = frozenset(TicketKind)
    required: bool = False


SETTINGS: Final[Mapping[str, _Setting]] = {
    "name": _Setting(_text, required=True),
    "kind": _Setting(_kind, required=True),
    "audiences": _Setting(_texts, required=True),
    "certificates": _Setting(_files, ()),
    "jwks": _Setting(_place, ""),
    "metadata": _Setting(_place, "", _SAML),
    "authority": _Setting(_files, (), _SAML),
    "subject": _Setting(_subject, "", _SAML),
    "revocation_lists": _Setting(_files, ()),
    "lifetime_minutes": _Setting(_number(1, 1440)),
    "attestation_minutes": _Setting(_number(1, 1440)),
    "skew_seconds": _Setting(_number(0, 300), 60),
    "confirmation": _Setting(_confirmations, frozenset({Confirmation.BEARER}), _SAML),
    "once": _Setting(_boolean, False, _SAML),
    "token": _Setting(_token, True, _TOKENS),
    "scopes": _Setting(_texts, (), _TOKENS),
    "test": _Setting(_boolean, False),
}


def _read_entry(table: Mapping[str, Any], folder: Path, now: datetime) -> tuple[Entry | None, list[str]]:
    """The entry of a table, unless there are errors."""
    errors = [f"{key}: there is no such key" for key in table if key not in SETTINGS]
    values: dict[str, Any] = {key: setting.default for key, setting in SETTINGS.items()}
    for key, setting in SETTINGS.items():
        if key not in table:
            if setting.required:
                errors.append(f"{key}: is missing")
            continue
        if values["kind"] is not None and values["kind"] not in setting.kinds:
            errors.append(
                f"{key}: is for {'SAML' if setting.kinds == _SAML else 'tokens'} only: leave it out"
            )
        try:
            values[key] = setting.read(table[key])
        except ValueError as error:
            errors.append(f"{key}: {error}")
    sources = _sources(values, folder)
    if ("authority" in table) != ("subject" in table):
        errors.append("authority, subject: go together: write both or none")
    if "authority" in table and table.keys() & {"certificates", "jwks", "metadata"}:
        errors.append("authority: goes without certificates, jwks and metadata: leave out one or the other")
    if not table.keys() & {"certificates", "jwks", "metadata", "authority"}:
        errors.append("has no keys: write certificates, jwks, metadata, or authority with subject")
    contents: dict[Source, Content] = {}
    for source in sources:
        if source.files:
            try:
                contents[source] = read_files(source, values["name"] or "", now, contents.values())
            except ValueError as error:
                errors.append(f"{source.key}: {error}")
    if errors:
        return None, errors
    kind: TicketKind = values["kind"]
    attestation = values["attestation_minutes"] or ATTESTATION_MINUTES.get(kind)
    issuer = Issuer(
        name=values["name"],
        kind=kind,
        audiences=frozenset(values["audiences"]),
        lifetime=timedelta(minutes=values["lifetime_minutes"] or LIFETIME_MINUTES[kind]),
        attestation=timedelta(minutes=attestation) if attestation else None,
        skew=timedelta(seconds=values["skew_seconds"]),
        confirmations=values["confirmation"],
        once=values["once"],
        dpop=values["token"],
        scopes=frozenset(values["scopes"]),
        test=values["test"],
    )
    return Entry(issuer, values["subject"], sources, contents), []


# -- where keys come from --------------------------------------------------------------------------


def _sources(values: Mapping[str, Any], folder: Path) -> tuple[Source, ...]:
    """In the order of reading: revocation lists come last, because they need the certificates."""
    found = []
    for key in ("certificates", "jwks", "metadata", "authority", "revocation_lists"):
        places = values[key]
        if isinstance(places, str) and "://" in places:
            found.append(Source(key, url=places))
        elif places:
            files = (places,) if isinstance(places, str) else places
            found.append(Source(key, tuple(folder / file for file in files)))
    return tuple(found)


def read_files(source: Source, issuer: str, now: datetime, others: Iterable[Content] = ()) -> Content:
    """What the files of a source hold; `others` are the contents of the issuer's sources before it.

    Raises ValueError that names the file.
    """
    marks: dict[Path, Mark] = {}
    contents: list[Content] = []
    files: list[tuple[Path, bytes]] = []
    for file in source.files:
        marks[file] = mark(file)
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise ValueError(f"{file.name} is not a file")
            files.append((file, file.read_bytes()))
        except OSError as error:
            raise ValueError(f"{file.name} cannot be read: {error.strerror}") from None
    others = list(others)
    if source.key == "revocation_lists":  # first the certificates, which may have signed the lists
        files.sort(key=lambda named: b"-----BEGIN CERTIFICATE-----" not in named[1])
    for file, data in files:
        try:
            contents.append(read_content(source.key, data, issuer, now, [*others, *contents]))
        except ValueError as error:
            raise ValueError(f"{file.name} {error}") from None
    if source.key == "revocation_lists" and not any(content.until for content in contents):
        raise ValueError("has no revocation list: leave it out, or name one")
    return Content(
        tuple(key for content in contents for key in content.keys),
        tuple(root for content in contents for root in content.roots),
        frozenset().union(*(content.revoked for content in contents)),
        min((content.until for content in contents if content.until), default=None),
        marks,
    )


def read_content(
    key: str, data: bytes, issuer: str, now: datetime, others: Sequence[Content] = ()
) -> Content:
    """What the data of one file or address hold, by the key of the trust file that names it."""
    if key == "certificates":
        return Content(read_certificates(data))
    if key == "jwks":
        return Content(read_jwks(data))
    if key == "metadata":
        return Content(read_metadata(data, issuer))
    if key == "authority" or b"-----BEGIN CERTIFICATE-----" in data:
        return Content(roots=read_roots(data))
    found = read_revoked(data, now, [certificate for other in others for certificate in _certificates(other)])
    return Content(revoked=found.revoked, until=found.next_update)


def _certificates(content: Content) -> list[Certificate]:
    return [*content.roots, *(key.certificate for key in content.keys)]


def mark(file: Path) -> Mark:
    """Changes when the file is written, replaced by another, made or taken away."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
