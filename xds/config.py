"""The node's settings: one table, read from a TOML file and from the environment.

`load` is called by the command line and by each worker process. A setting `section.key` stands in the file
under `[section]` and in the environment as `XDS_SECTION__KEY`, which wins. Every error is reported at once,
by key, with the remedy. `reference` writes the table of docs/settings.md. No setting turns a gate off outside
test environments.
"""

from __future__ import annotations

import importlib
import os
import re
import socket
import ssl
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from xds.errors import DataTypeError, SettingsError
from xds.metadata import codesystems, national
from xds.metadata.datatypes import check_oid
from xds.repository.s3_options import (
    ENCRYPTIONS,
    Bucket,
    S3Options,
    Secret,
    is_loopback,
    read_bucket,
    read_endpoint,
    read_region,
    s3_options,
)
from xds.transport.limits import Limits

if TYPE_CHECKING:
    from xds.audit.event import Node
    from xds.audit.receivers import Receiver
    from xds.gateway.communities import Communities
    from xds.repository.store import DocumentStore
    from xds.security.trust import Issuer


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: key, default, purpose, and how its text is read (raises ValueError with a sentence)."""

    key: str
    default: Any
    read: Callable[[Any], Any]
    purpose: str

    @property
    def variable(self) -> str:
        """The environment variable: `XDS_ENVIRONMENT`, `XDS_NODE__LISTEN`."""
        return "XDS_" + self.key.upper().replace(".", "__")

    @property
    def values(self) -> str:
        """What it may be, in words, where that is a few words or a range of numbers."""
        return self.read.values if isinstance(self.read, _OneOf | _Number) else ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text")
    if not value.isprintable():  # a NUL or a stray byte would end in an error of the file system's own
        raise ValueError("holds a character that cannot be printed")
    return value.strip()


def _name(value: Any) -> str:
    name = _text(value) or socket.gethostname()
    if len(name) > 200:
        raise ValueError("is longer than 200 characters")
    return name


@dataclass(frozen=True, slots=True)
class _OneOf:
    choices: tuple[str, ...]

    @property
    def values(self) -> str:
        return " ".join(f"`{each}`" for each in self.choices)

    def __call__(self, value: Any) -> str:
        if value not in self.choices:
            raise ValueError(f"is not one of: {', '.join(self.choices)}")
        return str(value)


def _one_of(*choices: str) -> _OneOf:
    return _OneOf(choices)


@dataclass(frozen=True, slots=True)
class _Number:
    least: int
    most: int = 2**63 - 1

    @property
    def values(self) -> str:
        return f"{self.least} or more" if self.most == 2**63 - 1 else f"{self.least} to {self.most}"

    def __call__(self, value: Any) -> int:
        try:
            number = value if type(value) is int else int(_text(value))
        except ValueError:
            raise ValueError("is not a whole number") from None
        if not self.least <= number <= self.most:
            is_less = number < self.least
            raise ValueError(f"is less than {self.least}" if is_less else f"is more than {self.most}")
        return number


def _oid(value: Any) -> str:
    oid = _text(value).removeprefix("urn:oid:")
    if oid:
        try:
            check_oid(oid)
        except DataTypeError as error:
            raise ValueError(f"is not an OID: {error}") from None
    return oid


def _address(value: Any) -> tuple[str, int]:
    host, _, port = _text(value).rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError("is not host:port, e.g. 127.0.0.1:8080")
    host = host.removeprefix("[").removesuffix("]")
    try:
        if "%" in host:  # a zone, which Granian cannot read
            raise ValueError
        ip_address(host)
    except ValueError:
        raise ValueError(
            "names no IP address to listen on: write an address such as 127.0.0.1 or 0.0.0.0"
        ) from None
    return host, int(port)


@dataclass(frozen=True, slots=True)
class Authorities:
    """Assigning authorities of patient ids: their OIDs, and the OID that a namespace of HL7 v2 stands for."""

    oids: frozenset[str] = frozenset()
    namespaces: Mapping[str, str] = field(default_factory=dict)


def _authorities(value: Any) -> Authorities:
    """Read `OID` and `NAMESPACE=OID`, as a list or with commas between them."""
    oids, namespaces = set(), dict[str, str]()
    for item in value if isinstance(value, list) else _text(value).split(","):
        namespace, equals, oid = _text(item).rpartition("=")
        namespace, oid = namespace.strip(), _oid(oid)
        if equals and not (namespace and oid):
            raise ValueError("has an item that is neither OID nor NAMESPACE=OID")
        if equals and namespaces.setdefault(namespace, oid) != oid:
            raise ValueError("gives one namespace two OIDs")
        oids.add(oid)
    return Authorities(frozenset(oids - {""}), namespaces)


#: What a definition of Personvernkomponenten may mean here.
_MEANINGS: Final = ("block", "reservation", "consent")
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _definitions(value: Any) -> Mapping[str, str]:
    """Read `GUID=meaning`, as a list or with commas between them."""
    found: dict[str, str] = {}
    for item in value if isinstance(value, list) else _text(value).split(","):
        guid, _, meaning = (part.strip() for part in _text(item).lower().partition("="))
        if not guid and not meaning:
            continue
        if not _GUID.fullmatch(guid) or meaning not in _MEANINGS:
            raise ValueError(f"has an item that is not GUID={', GUID='.join(_MEANINGS)}")
        if found.setdefault(guid, meaning) != meaning:
            raise ValueError("gives one definition two meanings")
    return found


def _path(value: Any) -> Path | None:
    return Path(_text(value)) if _text(value) else None


def _url(value: Any) -> str:
    """A URL without parameters: they could be taken for a path, or change how the database is opened."""
    url = _text(value)
    if "?" in url:
        raise ValueError(
            "holds a `?`: a URL here has no parameters, and a path with that character cannot be used"
        )
    return url


def _http_url(value: Any) -> str:
    url = _url(value)
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("is not an address that begins with https://")
    return url.rstrip("/")


def _database_url(value: Any) -> str:
    """A server's URL may have parameters (sslmode, target_session_attrs …); a file's may not."""
    return _text(value) if _text(value).startswith("postgresql") else _url(value)


def _replica_url(value: Any) -> str:
    url = _text(value)
    if url and not url.startswith("postgresql+psycopg://"):
        raise ValueError("is not postgresql+psycopg://…")
    return url


def _folder_url(value: Any) -> Path | None:
    url = _url(value)
    if url and not url.startswith("file:///"):
        raise ValueError("is not file:///… with a path")
    return Path(url.removeprefix("file://")) if url else None


def _documents_url(value: Any) -> Path | Bucket:
    url = _url(value)
    if url.startswith("s3://"):
        return read_bucket(url)
    if not url.startswith("file:///"):
        raise ValueError("is neither file:///… nor s3://…")
    return Path(url.removeprefix("file://"))


def _limit(name: str, purpose: str) -> Setting:
    return Setting(f"limits.{name}", getattr(Limits(), name), _Number(1), purpose)


#: Eleven years; what is much longer than the calendar cannot be subtracted from today.
MOST_GRACE_HOURS: Final = 100_000

#: Every setting there is. What a later gate reads is checked already, so that files need not change.
SETTINGS: Final = (
    Setting(
        "environment",
        "production",
        _one_of("production", "test"),
        "Test loosens nothing by itself; it permits settings that production refuses.",
    ),
    Setting("node.listen", "127.0.0.1:8080", _address, "IP address and port to listen on."),
    Setting("node.workers", 1, _Number(1, 1000), "Worker processes."),
    Setting("node.threads", 32, _Number(1, 10_000), "Requests that one worker works on at the same time."),
    Setting(
        "node.name",
        "",
        _name,
        "The node's name in the access log, whose events it chains; empty: the machine's.",
    ),
    Setting(
        "node.read_only",
        "off",
        _one_of("off", "on"),
        "With on the node answers queries and hands out documents, and takes nothing in: for `xds copy`.",
    ),
    Setting(
        "node.capture",
        "",
        _path,
        "A folder in which every request and answer is kept, without tickets; environment = test alone.",
    ),
    Setting("node.home_community_id", "", _oid, "This community's OID, with or without urn:oid:."),
    Setting("node.repository_unique_id", "", _oid, "This document repository's OID. Required to serve."),
    Setting(
        "node.public_url",
        "",
        _text,
        "Scheme and authority that clients use, when a proxy stands in between; in the WSDL.",
    ),
    Setting(
        "log.format",
        "text",
        _one_of("text", "json"),
        "Lines of the log as text, or each as a JSON object.",
    ),
    Setting(
        "otel.endpoint",
        "",
        _http_url,
        "Where spans go, OTLP over HTTP: https://host:4318/v1/traces; needs xds[otel]. Empty: none are made.",
    ),
    Setting(
        "otel.percent",
        100,
        _Number(0, 100),
        "Requests without a traceparent that are traced, of a hundred; with one its sender decides.",
    ),
    Setting("tls.certificate", "", _path, "Server certificate chain, PEM."),
    Setting("tls.key", "", _path, "Key of the server certificate, PEM (PKCS#8)."),
    Setting(
        "tls.client_ca",
        "",
        _path,
        "Authorities whose client certificates are accepted, PEM."
        " When set, a client certificate is required.",
    ),
    Setting(
        "store.database",
        "sqlite:////var/lib/xds/xds.db",
        _database_url,
        "Database URL of SQLAlchemy: sqlite:///… with a path, or postgresql+psycopg://… of a server.",
    ),
    Setting(
        "store.replica",
        "",
        _replica_url,
        "URL of a streaming standby of it, postgresql+psycopg://…, which answers queries while it has all"
        " that was acknowledged; empty: none.",
    ),
    Setting(
        "store.documents",
        "file:///var/lib/xds/documents",
        _documents_url,
        "Where document bytes are: file:///… with a path, on a local disk, or s3://bucket/prefix.",
    ),
    Setting(
        "store.work",
        "",
        _folder_url,
        "With s3://…: where bytes are while they arrive, and messages that wait: file:///… with a path, on a"
        " local disk of this node's own.",
    ),
    Setting(
        "store.sweep_grace_hours",
        24,
        _Number(0, MOST_GRACE_HOURS),
        "How old bytes without a registration must be before `xds sweep` removes them;"
        " longer than any upload.",
    ),
    Setting(
        "store.connections",
        8,
        _Number(1, 1000),
        "Connections that one worker holds to PostgreSQL for reading, and as many for writing.",
    ),
    Setting(
        "s3.endpoint",
        "",
        lambda value: read_endpoint(_text(value)),
        "The S3 server: https://host or https://host:port (docs/operations.md).",
    ),
    Setting("s3.access_key", "", _text, "The name of the node's key there."),
    Setting("s3.secret_key", "", lambda value: Secret(_text(value)), "The key itself; it is never shown."),
    Setting("s3.secret_key_file", "", _path, "A file that holds it, instead of s3.secret_key."),
    Setting(
        "s3.region", "us-east-1", lambda value: read_region(_text(value)), "The region that requests name."
    ),
    Setting(
        "s3.encryption",
        "none",
        _one_of(*ENCRYPTIONS),
        "What the server is asked to encrypt documents with: none is as the bucket has it.",
    ),
    Setting("s3.encryption_key", "", _text, "The key's id there, with s3.encryption = aws:kms."),
    Setting("s3.ca", "", _path, "Authorities of the server's certificate, PEM; empty: the machine's."),
    Setting(
        "registry.results",
        10_000,
        _Number(1, 1_000_000),
        "Objects that one answer to a stored query may hold; what is over is cut off, with a warning.",
    ),
    Setting(
        "registry.limited_metadata",
        "refused",
        _one_of("refused", "accepted"),
        "Whether submissions of a Metadata-Limited Document Source are taken.",
    ),
    Setting(
        "repository.on_demand",
        "",
        _text,
        "The function that makes on-demand documents, as module:function (docs/on-demand.md).",
    ),
    Setting(
        "repository.on_demand_seconds",
        30,
        _Number(1, 3600),
        "Seconds that the on-demand documents of one retrieval may take to be made.",
    ),
    Setting(
        "access.ticket",
        "required",
        _one_of("required", "none"),
        "Whether a request needs a security ticket; none needs client certificates or environment = test.",
    ),
    Setting(
        "access.denial",
        "fault",
        _one_of("fault", "registry-error"),
        "How a request without a good ticket is answered: a SOAP fault of WS-Security, or HTTP 200 with"
        " XDSRegistryError.",
    ),
    Setting(
        "access.policy",
        "",
        _path,
        "The policy file: who may do what (docs/access-rules.md); empty: the one that comes with xds.",
    ),
    Setting(
        "access.youth",
        "none",
        _one_of("none", "own"),
        "Whether youth from 12 to 16 see their own record.",
    ),
    Setting(
        "access.time_limits",
        "off",
        _one_of("off", "kjernejournal"),
        "Whether documents are shown to health personnel for as long only as Kjernejournalforskriften says.",
    ),
    Setting(
        "access.release_slot",
        "urn:no:xds:releaseTime",
        _text,
        "The Slot in which a document entry says when its delayed access (NORU) ends.",
    ),
    Setting(
        "access.trust_seconds",
        300,
        _Number(10, 43_200),
        "Seconds between two fetches of the issuers' keys that are read from a URL.",
    ),
    Setting(
        "fhir.deprecated",
        "gone",
        _one_of("gone", "served"),
        "Whether a document that was replaced is handed out over FHIR (ITI-68): gone answers 410.",
    ),
    Setting(
        "fhir.nors_count",
        "untold",
        _one_of("untold", "told"),
        "Whether a search tells in the header NHN-SecurityLabel-Nors-Count how many of its documents are"
        " blocked.",
    ),
    Setting(
        "fhir.source_id",
        "",
        _oid,
        "The sourceId (OID) of submission sets that the node makes for ITI-105 and ITI-106; empty: the"
        " repository's.",
    ),
    Setting(
        "audit.keep_days",
        0,
        _Number(0, 200 * 366),
        "Days after which `xds log expire` deletes events of the access log; 0: it deletes none.",
    ),
    Setting(
        "audit.fhir_receiver",
        "",
        _http_url,
        "The FHIR base of an audit repository that gets every event (ITI-20); empty: none.",
    ),
    Setting(
        "audit.syslog_receiver",
        "",
        _text,
        "host:port of an audit repository that gets every event by syslog over TLS (ITI-20); empty: none.",
    ),
    Setting(
        "audit.receiver_ca",
        "",
        _path,
        "Authorities of the receivers' certificates, PEM; empty: the machine's.",
    ),
    Setting("audit.receiver_certificate", "", _path, "Client certificate chain for the receivers, PEM."),
    Setting("audit.receiver_key", "", _path, "Key of that certificate, PEM (PKCS#8)."),
    Setting("audit.receiver_seconds", 10, _Number(1, 600), "Seconds that a receiver may take for one event."),
    Setting(
        "privacy.definitions",
        "",
        _definitions,
        "What the definitions of Personvernkomponenten mean here, as GUID=block, GUID=reservation or"
        " GUID=consent with commas between them (docs/privacy.md).",
    ),
    Setting(
        "patients.source", "national", _one_of("national", "feed", "open"), "Which patient ids are known."
    ),
    Setting(
        "patients.authorities",
        "",
        _authorities,
        "Whose patient ids the feed announces, as OID or NAMESPACE=OID with commas between them;"
        " empty: those of national numbers (patients.source = feed), or all (open)."
        " NAMESPACE is what HL7 v2 may send instead of the OID.",
    ),
    Setting(
        "patients.mllp_listen",
        "",
        lambda value: _address(value) if _text(value) else None,
        "IP address and port for the HL7 v2 patient feed (ITI-8) over MLLP; empty: none.",
    ),
    Setting(
        "codes.profile",
        "norwegian",
        _one_of("norwegian", "ihe"),
        "Which codes are accepted: those of the Norwegian profile, or any (docs/codes.md).",
    ),
    Setting(
        "codes.unknown_system",
        "warning",
        _one_of("warning", "error"),
        "What a code is whose code system the profile does not have for the attribute.",
    ),
    Setting(
        "codes.language",
        "nb",
        _one_of(*codesystems.LANGUAGES),
        "The language of display names that the node fills in, when a table has it.",
    ),
    Setting(
        "codes.folder",
        "",
        _path,
        "Folder of code tables of this node's own, instead of built-in ones and beside them; empty: none.",
    ),
    Setting("trust", "", _path, "The trust file: issuers, kinds, keys, audiences."),
    Setting(
        "communities",
        "",
        _path,
        "The communities file: whom this node asks as an initiating gateway (docs/gateways.md);"
        " empty: nobody.",
    ),
    Setting(
        "gateway.own",
        "joined",
        _one_of("joined", "left-out"),
        "Whether a query of the initiating gateway that names no community asks this node's own registry"
        " too.",
    ),
    Setting(
        "gateway.ticket_exchange",
        "",
        _text,
        "The function that gives the ticket for another community, as module:function (docs/gateways.md);"
        " empty: tickets go on as they came.",
    ),
    _limit("root_bytes", "The XML of one message, in bytes."),
    _limit("document_bytes", "One document, in bytes."),
    _limit("total_bytes", "One whole request, in bytes."),
    _limit("parts", "MIME parts of one message, and documents of one retrieval."),
    _limit("part_header_bytes", "The header lines of one MIME part, in bytes."),
    _limit("seconds", "Seconds in which a whole request must have arrived."),
    _limit("idle_seconds", "Seconds for which a sender, or a receiver, may be silent in the middle."),
)


def reference() -> str:
    """Every setting as a row of a table in Markdown: the one of docs/settings.md."""
    rows = ["| Key | Environment | Default | Values | Purpose |", "|---|---|---|---|---|"]
    for each in SETTINGS:
        default = f"`{each.default}`" if each.default != "" else "–"
        rows.append(
            f"| `{each.key}` | `{each.variable}` | {default} | {each.values or '–'} | {each.purpose} |"
        )
    return "\n".join(rows)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, read and checked one by one; `settings["node.workers"]` gives a value."""

    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    @property
    def limits(self) -> Limits:
        """The bounds of one message."""
        return Limits(
            **{
                key.removeprefix("limits."): value
                for key, value in self.values.items()
                if key.startswith("limits.")
            }
        )


def load(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file (may be None) and the environment; raises SettingsError naming every bad one."""
    errors: list[str] = []
    given = _flatten(_read_file(path)) if path else {}
    known = {setting.key: setting for setting in SETTINGS}
    errors += [f"{key}: there is no such setting" for key in given if key not in known]
    # Other programs may own other XDS_… names; in our sections a strange name is a slip of the pen.
    sections = {setting.variable.partition("__")[0] + "__" for setting in SETTINGS if "." in setting.key}
    variables = {setting.variable for setting in SETTINGS}
    errors += [
        f"{name}: there is no such setting"
        for name in environment
        if name not in variables and any(name.startswith(section) for section in sections)
    ]
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        name, raw = setting.key, given.get(setting.key, setting.default)
        if setting.variable in environment:
            name, raw = setting.variable, environment[setting.variable]
        try:
            values[setting.key] = setting.read(raw)
        except ValueError as error:
            errors.append(f"{name} {error}")
    if errors:
        raise SettingsError("\n".join(errors))
    return Settings(values)


def check_to_serve(settings: Settings) -> None:
    """What must hold together before the node may answer anybody; raises SettingsError with every error."""
    errors = []
    if not settings["node.repository_unique_id"]:
        errors.append("node.repository_unique_id is required: set this repository's OID")
    if (settings["tls.certificate"] is None) != (settings["tls.key"] is None):
        errors.append("tls.certificate and tls.key go together: set both or none")
    if settings["tls.client_ca"] and not settings["tls.certificate"]:
        errors.append(
            "tls.client_ca needs tls.certificate and tls.key: client certificates come with TLS only"
        )
    if settings["node.capture"] and settings["environment"] != "test":
        errors.append(
            "node.capture keeps whole messages, health records too: leave it out, or set environment = test"
        )
    if settings["store.replica"] and not settings["store.database"].startswith("postgresql"):
        errors.append("store.replica is for PostgreSQL: leave it out, or set store.database")
    errors += _tls_errors(settings)
    try:
        documents_in_s3(settings)
    except SettingsError as error:
        errors += str(error).splitlines()
    errors += _patient_errors(settings)
    errors += _otel_errors(settings)
    for key in ("repository.on_demand", "gateway.ticket_exchange"):
        if settings[key]:
            try:
                import_function(key, settings[key])
            except SettingsError as error:
                errors.append(str(error))
    errors += _community_errors(settings)
    errors += _ticket_errors(settings)
    try:
        audit_receivers(settings)
    except SettingsError as error:
        errors.append(str(error))
    try:
        codesystems.load(settings["codes.folder"])
    except SettingsError as error:
        errors.append(str(error))
    if errors:
        raise SettingsError("\n".join(errors))


def _otel_errors(settings: Settings) -> list[str]:
    """Whether spans can be sent; what is read of a library here is whether it is there."""
    if not (endpoint := settings["otel.endpoint"]):
        return []
    errors = []
    if endpoint.startswith("http:") and not (settings["environment"] == "test" or is_loopback(endpoint)):
        errors.append(
            "otel.endpoint is not encrypted: write https://, or http:// of a loopback address, or set"
            " environment = test"
        )
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http")
    except ImportError:
        errors.append("otel.endpoint needs OpenTelemetry's libraries: install xds[otel]")
    return errors


def import_function(key: str, name: str) -> Callable[..., Any]:
    """The function that a setting names as `module:function`; raises SettingsError."""
    module, _, function = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except Exception as error:  # whatever the module does when it is imported
        raise SettingsError(
            f"{key} cannot be imported as module:function: {type(error).__name__}: {error}"
        ) from None
    if not callable(found):
        raise SettingsError(f"{key} names no function")
    return found  # type: ignore[no-any-return]


def _community_errors(settings: Settings) -> list[str]:
    """Whom the node would ask: an initiating gateway is a community itself, and knows whom it speaks to."""
    if not settings["communities"]:
        return []
    errors = []
    if not settings["node.home_community_id"]:
        errors.append("communities needs node.home_community_id: set this community's OID")
    from xds.gateway.communities import read_communities

    try:
        return errors + unsafe_communities(settings, read_communities(settings["communities"]))
    except SettingsError as error:
        return [*errors, *str(error).splitlines()]


def unsafe_communities(settings: Settings, communities: Communities) -> list[str]:
    """Why a node with these settings must not ask these communities: at the start and at each reload."""
    from xds.gateway.communities import unsafe

    return unsafe(
        communities,
        settings["node.home_community_id"],
        settings["environment"] == "test",
        settings["node.public_url"],
        settings["node.threads"],
    )


def documents_in_s3(settings: Settings) -> S3Options | None:
    """The server and the bucket; None when documents are in a folder. Raises SettingsError."""
    bucket = settings["store.documents"]
    if not isinstance(bucket, Bucket):
        return None
    given = {
        key.removeprefix("s3."): value for key, value in settings.values.items() if key.startswith("s3.")
    }
    return s3_options(bucket, given, settings["store.work"], test=settings["environment"] == "test")


def document_store(settings: Settings, s3_failed: Callable[[str], None] = lambda deed: None) -> DocumentStore:
    """Where document bytes are; `s3_failed` is told of failures. Raises SettingsError and OSError."""
    options = documents_in_s3(settings)
    if options is None:
        from xds.repository.files import FolderStore

        return FolderStore(settings["store.documents"])
    from xds.repository.s3 import S3Store  # and the SDK, which a folder does without

    return S3Store(options, settings["store.work"], s3_failed)


def _ticket_errors(settings: Settings) -> list[str]:
    """Who may ask: a node either checks tickets, or knows every system that can connect, or is a test."""
    test, mutual_tls = settings["environment"] == "test", bool(settings["tls.client_ca"])
    errors = []
    if settings["access.denial"] == "registry-error" and not settings["node.home_community_id"]:
        errors.append(
            "access.denial = registry-error tells which community refuses: set node.home_community_id"
        )
    if settings["access.ticket"] == "none":
        if not test and not mutual_tls:
            errors.append(
                "access.ticket = none is refused: set tls.client_ca, so that only known systems can connect,"
                " or environment = test for a test"
            )
        return errors
    if not settings["trust"]:
        errors.append(
            "access.ticket = required needs a trust file: write down whose tickets are good (docs/trust.md)"
            " and set trust to its path"
        )
        return errors
    if settings["access.policy"]:
        from xds.access.policy import read_policies

        try:
            read_policies(settings["access.policy"])
        except SettingsError as error:
            errors += str(error).splitlines()
    # Keys and certificates are read by what the command line's client commands do without.
    from xds.security.trust_file import read_trust

    try:
        return errors + unsafe_issuers(settings, [entry.issuer for entry in read_trust(settings["trust"])])
    except SettingsError as error:
        return [*errors, str(error)]


def audit_node(settings: Settings, url: str = "") -> Node:
    """What the node says of itself in the access log; `url` is its public one."""
    from xds.audit.event import Node

    observer = settings["node.home_community_id"] or settings["node.repository_unique_id"] or "0.0"
    return Node(settings["node.name"], f"urn:oid:{observer}", url or settings["node.public_url"])


def audit_receiver_names(settings: Settings) -> tuple[str, ...]:
    """Whom the outbox is for, by the names of xds.audit.receivers."""
    return tuple(name for name in ("fhir", "syslog") if settings[f"audit.{name}_receiver"])


def audit_receivers(settings: Settings) -> tuple[Receiver, ...]:
    """Whom events of the access log are handed on to; raises SettingsError."""
    from xds.audit.receivers import receivers

    given = {
        key.removeprefix("audit."): settings[key]
        for key in settings.values
        if key.startswith("audit.") and "receiver" in key
    }
    try:
        return receivers(**given)
    except ValueError as error:
        raise SettingsError(f"audit.fhir_receiver or audit.syslog_receiver {error}") from None
    except OSError as error:  # of TLS too
        raise SettingsError(
            f"audit.receiver_ca, audit.receiver_certificate or audit.receiver_key: {error.strerror or error}"
        ) from None


def unsafe_issuers(settings: Settings, issuers: Sequence[Issuer]) -> list[str]:
    """Why a node with these settings must not believe these issuers: at the start and at each reload."""
    if settings["environment"] == "test":
        return []
    errors = []
    if names := [issuer.name for issuer in issuers if issuer.test]:
        errors.append(
            f"trust: issuers with test = true are believed with environment = test only: {', '.join(names)}"
        )
    if not settings["tls.client_ca"] and any("sender-vouches" in each.confirmations for each in issuers):
        errors.append("trust: confirmation sender-vouches needs tls.client_ca, so that senders are known")
    if not settings["node.public_url"] and any(each.dpop and each.kind.is_token for each in issuers):
        errors.append(
            "trust: token = dpop needs node.public_url, because a proof names the URL that the client used"
        )
    return errors


def _patient_errors(settings: Settings) -> list[str]:
    """Whose word about patients is taken: outside a test not everybody's."""
    errors = []
    test = settings["environment"] == "test"
    if settings["patients.source"] == "open" and not test:
        errors.append(
            "patients.source = open takes any patient id: set national or feed,"
            " or environment = test for a test"
        )
    authorities = settings["patients.authorities"]
    named = national.AUTHORITIES & set(authorities.namespaces.values())
    if settings["patients.source"] == "national" and authorities.oids - named:
        errors.append(
            "patients.authorities has no meaning with patients.source = national, but for NAMESPACE=OID of"
            " national numbers: leave out all else"
        )
    if not (mllp := settings["patients.mllp_listen"]):
        return errors
    if not (test or settings["tls.client_ca"] or ip_address(mllp[0]).is_loopback):
        errors.append(
            "patients.mllp_listen is open to everybody: set tls.client_ca, so that only known systems can"
            " connect, or a loopback address, behind which a proxy looks at certificates"
        )
    if mllp[1] == settings["node.listen"][1]:
        errors.append("patients.mllp_listen must have another port than node.listen")
    return errors


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS for a listener of our own, as Granian has it for HTTP; None when tls.* is not set."""
    if not settings["tls.certificate"]:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings["tls.certificate"], settings["tls.key"], password="")
    if settings["tls.client_ca"]:
        context.load_verify_locations(settings["tls.client_ca"])
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _tls_errors(settings: Settings) -> list[str]:
    """What is wrong with the files of TLS: found here, because a worker could only fail on them."""
    errors = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    keys = [key for key in ("tls.certificate", "tls.key", "tls.client_ca") if settings[key]]
    for key in keys:
        try:
            settings[key].open("rb").close()
            if key != "tls.key":
                context.load_verify_locations(settings[key])
        except FileNotFoundError:
            errors.append(f"{key}: there is no such file")
        except ssl.SSLError:
            errors.append(f"{key}: the file holds no certificate in PEM")
        except OSError as error:
            errors.append(f"{key}: the file cannot be read: {error.strerror}")
    if not errors and "tls.certificate" in keys and "tls.key" in keys:
        try:
            # With an empty password, because a key that has one would be asked for at the terminal.
            context.load_cert_chain(settings["tls.certificate"], settings["tls.key"], password="")
        except ssl.SSLError as error:
            errors.append(
                "tls.key: the key does not belong to tls.certificate"
                if error.reason == "KEY_VALUES_MISMATCH"
                else "tls.key: the file holds no key in PEM that can be read without a password"
            )
    return errors


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"the settings file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError("the settings file is not UTF-8: save it again with that encoding") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the settings file is not TOML: {error}") from None


def _flatten(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{before}{key}.")
        else:
            flat[before + key] = value
    return flat
