"""Calls to a registry and a repository: send, find, get and fetch over SOAP (ITI-41, ITI-18, ITI-43).

Record systems call it through `xds.client`, and so does the command line. Documents stream from and to
files and are never held in memory. Every failure is a ClientError; nothing is repeated by itself, and no
file is left behind but those that were asked for and have the bytes that were registered.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from lxml import etree

from xds.client import queries
from xds.client.submission import PreparedSubmission, Time, as_dtm
from xds.client.terminal import printable
from xds.client.ticket import refusal, security_header
from xds.errors import ClientError, RegistryError
from xds.errors import Code as ErrorCode
from xds.metadata import names
from xds.metadata.ebrim import read_object_list, write_object
from xds.metadata.entries import Entry, document_entry, registry_object
from xds.metadata.model import Code, DocumentEntry
from xds.metadata.requests import retrieve_document_set_request
from xds.transport.client import Faulted, Progress, SoapClient
from xds.transport.limits import Limits
from xds.transport.message import Attachment, Message, MissingPart, Piece
from xds.transport.staged import Staged, StagingFolder
from xds.transport.xml import escape

_ITI = "urn:ihe:iti:2007:"
_RS_RESPONSE: Final = f"{{{names.RS}}}RegistryResponse"
_QUERY_RESPONSE: Final = f"{{{names.QUERY}}}AdhocQueryResponse"
_RETRIEVE_RESPONSE: Final = f"{{{names.XDS}}}RetrieveDocumentSetResponse"
_ERROR: Final = f"{{{names.RS}}}RegistryError"
_OBJECT_LIST: Final = f"{{{names.RIM}}}RegistryObjectList"
_DOCUMENT_RESPONSE: Final = f"{{{names.XDS}}}DocumentResponse"

#: What a client takes from the node that it asks: any document, in up to an hour, two minutes of silence
#: at most.
LIMITS: Final = Limits(
    root_bytes=256 * 1024 * 1024,
    document_bytes=10**11,
    total_bytes=10**12,
    seconds=3600,
    idle_seconds=120,
)

APPROVED: Final = (names.APPROVED,)
ANY_STATUS: Final = (names.APPROVED, names.DEPRECATED)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was registered: the ids under which it is found from now on, documents in the order of the
    submission.
    """

    submission_set_unique_id: str
    entry_uuids: tuple[str, ...]
    unique_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DocumentAddress:
    """Where a document's bytes are, as its entry says (ITI TF-2 3.43.4.1.2)."""

    repository_unique_id: str
    document_unique_id: str
    home: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """One document that was fetched: its file, what the repository says it is, octets, and SHA-1 in
    hexadecimal.
    """

    path: Path
    mime_type: str
    size: int
    sha1: str
    address: DocumentAddress


class Entries(tuple[DocumentEntry, ...]):
    """The entries that a query found; `warnings` are the registry's words on what is missing among them.

    With an XDSTooManyResults there were more than one answer holds: ask for less at once.
    """

    warnings: tuple[RegistryError, ...]

    def __new__(cls, entries: Iterable[DocumentEntry], warnings: Iterable[RegistryError] = ()) -> Self:
        """A tuple with a remark."""
        self = super().__new__(cls, entries)
        self.warnings = tuple(warnings)
        return self


class IncompleteFind(ClientError):
    """A gateway could not ask every community, so nobody knows what is missing; what it has is in `found`."""

    def __init__(self, message: str, errors: Sequence[RegistryError], found: Entries) -> None:
        super().__init__(message, errors)
        self.found = found


class IncompleteFetch(ClientError):
    """Not every document came; those that did are in `fetched`, and their files are kept."""

    def __init__(
        self, message: str, errors: Sequence[RegistryError] = (), fetched: Sequence[Fetched] = ()
    ) -> None:
        super().__init__(message, errors)
        self.fetched = tuple(fetched)


class Client:
    """A registry and a repository to talk to; safe to share between threads.

    `url` is a node of ours (`http://host:port`), asked for its own documents or, with `gateway`, for those of
    all communities; `registry` and `repository` are the endpoints of any other.
    `certificate` and `key` are our own client certificate, `ca_file` the authorities trusted instead of the
    system's; all PEM. `ticket` is the SAML assertion to show at every call, sent byte for byte, or a function
    that gives it each time; without one none is sent. `connect_seconds` bounds a connection attempt, `limits`
    an answer.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        registry: str = "",
        repository: str = "",
        gateway: bool = False,
        ca_file: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        ticket: str | bytes | Callable[[], str] = "",
        connect_seconds: float = 10,
        limits: Limits = LIMITS,
    ) -> None:
        base = url.rstrip("/")
        self.registry = registry or base + ("/xca/initiating" if gateway else "/xds/registry")
        self.repository = repository or base + ("/xca/initiating" if gateway else "/xds/repository")
        for address in (self.registry, self.repository):
            _check_address(address)
        try:
            self._soap = SoapClient(
                ca_file=ca_file, certificate=certificate, key=key, connect_seconds=connect_seconds
            )
        except OSError as error:  # ssl.SSLError is one
            raise ClientError(
                "The certificate, key or authorities cannot be used"
                f" ({error.strerror or type(error).__name__}): give PEM files that belong together."
            ) from None
        self._ticket = ticket
        self._limits = limits

    def close(self) -> None:
        """Close every connection."""
        self._soap.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, submission: PreparedSubmission, *, sent: Progress | None = None) -> Receipt:
        """Provide and register (ITI-41), all or nothing. `sent` gets (bytes so far, bytes in all).

        After a time-out or a lost connection nobody knows whether it was registered: send the same
        submission again. Raises ClientError with all the registry's errors.
        """
        with self._call(
            self.repository,
            "ProvideAndRegisterDocumentSet-b",
            _provide_and_register(submission),
            _RS_RESPONSE,
            mtom=True,
            sent=sent,
        ) as message:
            errors = _errors(message.body)
            if message.body.get("status") != names.SUCCESS:
                raise _refused(self.repository, "refused the submission and stored nothing of it", errors)
        return Receipt(
            submission.submission_set.unique_id,
            tuple(entry.entry_uuid for entry in submission.document_entries),
            tuple(entry.unique_id for entry in submission.document_entries),
        )

    def find(
        self,
        patient_id: str,
        *,
        status: Iterable[str] = APPROVED,
        class_code: Iterable[Code] = (),
        type_code: Iterable[Code] = (),
        format_code: Iterable[Code] = (),
        practice_setting_code: Iterable[Code] = (),
        healthcare_facility_type_code: Iterable[Code] = (),
        confidentiality_code: Iterable[Code] = (),
        event_code: Iterable[Code] = (),
        author_person: Iterable[str] = (),
        created_from: Time | None = None,
        created_to: Time | None = None,
        service_start_from: Time | None = None,
        service_start_to: Time | None = None,
        service_stop_from: Time | None = None,
        service_stop_to: Time | None = None,
        home: str = "",
    ) -> Entries:
        """The entries of one patient that pass every filter (ITI-18 FindDocuments); look at its `warnings`.

        Of several values in one filter, one must match. `…_from` is included, `…_to` is not.
        `author_person` is an SQL LIKE pattern on the XCN text. `status` takes ANY_STATUS to see replaced
        documents too. A gateway asks the community `home` (its homeCommunityId), or all of them; raises
        IncompleteFind when one did not answer.
        """
        parameters = (
            ("PatientId", queries.one(patient_id)),
            ("Status", queries.many(status)),
            ("ClassCode", queries.codes(class_code)),
            ("TypeCode", queries.codes(type_code)),
            ("FormatCode", queries.codes(format_code)),
            ("PracticeSettingCode", queries.codes(practice_setting_code)),
            ("HealthcareFacilityTypeCode", queries.codes(healthcare_facility_type_code)),
            ("ConfidentialityCode", queries.codes(confidentiality_code)),
            ("EventCodeList", queries.codes(event_code)),
            ("AuthorPerson", queries.many(author_person)),
            ("CreationTimeFrom", queries.time(as_dtm(created_from))),
            ("CreationTimeTo", queries.time(as_dtm(created_to))),
            ("ServiceStartTimeFrom", queries.time(as_dtm(service_start_from))),
            ("ServiceStartTimeTo", queries.time(as_dtm(service_start_to))),
            ("ServiceStopTimeFrom", queries.time(as_dtm(service_stop_from))),
            ("ServiceStopTimeTo", queries.time(as_dtm(service_stop_to))),
        )
        return self._query(queries.FIND_DOCUMENTS, parameters, home)

    def get_documents(self, *ids: str, home: str = "") -> Entries:
        """The entries with these ids (ITI-18 GetDocuments): entryUUIDs (`urn:uuid:…`) and uniqueIds.

        A gateway has to know whose they are: `home` is the entries' own. An id that the registry does not
        have is no error; one uniqueId may have several entries.
        """
        entry_uuids = [each.lower() for each in ids if each[:9].lower() == "urn:uuid:"]
        unique_ids = [each for each in ids if each[:9].lower() != "urn:uuid:"]
        found: dict[str, DocumentEntry] = {}
        warnings: list[RegistryError] = []
        for name, given in (("EntryUUID", entry_uuids), ("UniqueId", unique_ids)):
            if given:
                entries = self._query(queries.GET_DOCUMENTS, ((name, queries.many(given)),), home)
                found |= {entry.entry_uuid: entry for entry in entries}
                warnings += entries.warnings
        return Entries(found.values(), warnings)

    def fetch(
        self,
        documents: Iterable[DocumentEntry | DocumentAddress],
        into: Path,
        *,
        received: Progress | None = None,
    ) -> tuple[Fetched, ...]:
        """The documents' bytes as files in the folder `into` (ITI-43), in the order asked.

        A file is named after the document's uniqueId, takes the place of an older one, and can be read by
        this user only. With an entry, its size and SHA-1 must be those of the bytes. `received` gets (bytes
        so far, bytes in all or None). Raises IncompleteFetch when any document did not come, after keeping
        those that did.
        """
        wanted: dict[DocumentAddress, DocumentEntry | None] = {}
        for each in documents:
            if isinstance(each, DocumentEntry):
                wanted[DocumentAddress(each.repository_unique_id or "", each.unique_id, each.home)] = each
            else:
                wanted.setdefault(each, None)
        if not wanted:
            return ()
        try:
            into.mkdir(parents=True, exist_ok=True)
            with self._call(
                self.repository,
                "RetrieveDocumentSet",
                _retrieve(wanted),
                _RETRIEVE_RESPONSE,
                mtom=True,
                received=received,
                staging=into,
            ) as message:
                return _keep(self.repository, message, wanted, into)
        except OSError as error:
            raise ClientError(
                f"A file cannot be written ({error.strerror}): check the folder and its disk."
            ) from None

    def _query(self, query: str, parameters: Iterable[tuple[str, tuple[str, ...]]], home: str) -> Entries:
        named = [("$XDSDocumentEntry" + name, values) for name, values in parameters]
        body = queries.request(query, named, home)
        with self._call(
            self.registry, "RegistryStoredQuery", (body,), _QUERY_RESPONSE, mtom=False
        ) as message:
            errors = _errors(message.body)
            found = message.body.find(_OBJECT_LIST)
            status = message.body.get("status")
            partial = status == names.PARTIAL_SUCCESS and bool(errors)
            if found is None or not (status == names.SUCCESS or partial):
                raise _refused(self.registry, "refused the query", errors)
            objects = read_object_list(found)
        entries = Entries(
            (document_entry(each) for each in objects if each.kind == "ExtrinsicObject"), errors
        )
        # With warnings alone a registry has cut its answer off and says so. With an error it is a gateway
        # that could not ask everyone, and nobody knows which documents that hides.
        if partial and not all(error.warning for error in errors):
            text = _sentence(f"{_host(self.registry)} could not ask everybody", errors)
            raise IncompleteFind(text, errors, entries)
        return entries

    @contextmanager
    def _call(
        self,
        url: str,
        transaction: str,
        body: tuple[Piece, ...],
        expected: str,
        *,
        mtom: bool,
        sent: Progress | None = None,
        received: Progress | None = None,
        staging: Path | None = None,
    ) -> Iterator[Message]:
        """One call; what it staged is gone when the block is left."""
        with tempfile.TemporaryDirectory(prefix=".xds-", dir=staging) as folder:
            try:
                message = self._soap.call(
                    url,
                    _ITI + transaction,
                    body,
                    mtom,
                    self._security(),
                    self._limits,
                    StagingFolder(Path(folder)),
                    sent=sent,
                    received=received,
                )
            except Faulted as fault:
                if told := refusal(fault.subcode):
                    raise ClientError(f"{fault}\n  {told}") from None
                raise
            if message.body.tag != expected:
                raise ClientError(
                    f"{_host(url)} answered with something else than {transaction} asks for:"
                    " check that the address is the right endpoint."
                )
            yield message

    def _security(self) -> bytes:
        if self._ticket == "":
            return b""
        return security_header(self._ticket() if callable(self._ticket) else self._ticket)


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ClientError("An address is written http://host:port or https://host:port.")


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


# ---- requests


def _provide_and_register(submission: PreparedSubmission) -> tuple[Piece, ...]:
    objects: tuple[Entry, ...] = (
        submission.submission_set,
        *submission.document_entries,
        *submission.associations,
    )
    body: list[bytes | Attachment] = [
        f'<xds:ProvideAndRegisterDocumentSetRequest xmlns:xds="{names.XDS}"><lcm:SubmitObjectsRequest'
        f' xmlns:lcm="{names.LCM}" xmlns:rim="{names.RIM}"><rim:RegistryObjectList>'.encode()
        + b"".join(write_object(registry_object(each)) for each in objects)
        + b"</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
    ]
    for entry, content in zip(submission.document_entries, submission.contents, strict=True):
        body += (
            f'<xds:Document id="{escape(entry.entry_uuid)}">'.encode(),
            content,
            b"</xds:Document>",
        )
    return (*body, b"</xds:ProvideAndRegisterDocumentSetRequest>")


def _retrieve(addresses: Iterable[DocumentAddress]) -> tuple[bytes]:
    documents = ((each.home or "", each.repository_unique_id, each.document_unique_id) for each in addresses)
    return (retrieve_document_set_request(documents),)


# ---- answers

#: `[rule; reference …]`, with which our node ends a codeContext.
_RULE: Final = re.compile(r"\[([\w-]+); reference \w+\]$")
_KNOWN_CODES: Final = frozenset(ErrorCode)
_LONGEST_TEXT: Final = 1000


def _errors(body: etree._Element) -> tuple[RegistryError, ...]:
    """The RegistryErrors of an answer, as its sender wrote them but for what a terminal must not see."""
    errors = []
    for element in body.iter(_ERROR):
        code, context = _printable(element.get("errorCode", "")), _printable(element.get("codeContext", ""))
        rule = _RULE.search(context)
        if code not in _KNOWN_CODES:
            code, context = ErrorCode.REGISTRY_ERROR, f"({code}) {context}"
        errors.append(
            RegistryError(
                ErrorCode(code),
                context,
                _printable(element.get("location", "")),
                rule[1] if rule else "",
                warning=element.get("severity", "").endswith(":Warning"),
            )
        )
    return tuple(errors)


def _printable(text: str) -> str:
    return printable(text[:_LONGEST_TEXT])


def _refused(url: str, what: str, errors: Sequence[RegistryError]) -> ClientError:
    return ClientError(_sentence(f"{_host(url)} {what}", errors), errors)


def _sentence(head: str, errors: Sequence[RegistryError]) -> str:
    """A head line, and a line for each error."""
    if not errors:
        return f"{head}, without a reason."
    lines = [
        f"  {error.code}{f' at {error.location}' if error.location else ''}: {error.context}"
        for error in errors
    ]
    return "\n".join((f"{head}:", *lines))


def _keep(
    url: str, message: Message, wanted: Mapping[DocumentAddress, DocumentEntry | None], into: Path
) -> tuple[Fetched, ...]:
    """Move the documents that are what their entries say to their files; say which did not come."""
    errors = _errors(message.body)
    missing = {(each.repository_unique_id, each.document_unique_id): each for each in wanted}
    fetched: dict[DocumentAddress, Fetched] = {}
    complaints: list[str] = []
    for response in message.body.iterchildren(_DOCUMENT_RESPONSE):
        repository = response.findtext(f"{{{names.XDS}}}RepositoryUniqueId", "")
        address = missing.pop((repository, response.findtext(f"{{{names.XDS}}}DocumentUniqueId", "")), None)
        document = response.find(f"{{{names.XDS}}}Document")
        if address is None or document is None:
            complaints.append("  A document came that nobody asked for, or an answer without its document.")
            continue
        try:
            staged = message.content(document)
        except MissingPart:
            complaints.append(f"  {_printable(address.document_unique_id)}: its bytes are not in the answer.")
            continue
        if not _as_registered(staged, wanted[address]):
            complaints.append(
                f"  {_printable(address.document_unique_id)}: other bytes came than were registered"
                " (size or SHA-1); they are not kept. Tell the operator of the repository."
            )
            continue
        mime_type = response.findtext(f"{{{names.XDS}}}mimeType", "")
        path = into / _file_name(address.document_unique_id, mime_type)
        os.replace(staged.path, path)
        fetched[address] = Fetched(path, mime_type, staged.size, staged.sha1, address)
    in_order = [fetched[address] for address in wanted if address in fetched]
    if len(in_order) < len(wanted):
        head = f"{len(wanted) - len(in_order)} of {len(wanted)} documents did not come from {_host(url)}"
        text = "\n".join((_sentence(head, errors) if errors or not complaints else f"{head}:", *complaints))
        raise IncompleteFetch(text, errors, in_order)
    return tuple(in_order)


def _as_registered(staged: Staged, entry: DocumentEntry | None) -> bool:
    if entry is None:
        return True
    return (entry.size is None or entry.size == staged.size) and (
        not entry.hash or entry.hash.lower() == staged.sha1
    )


#: MIME type -> the extension of a fetched file; any other gets none.
EXTENSIONS: Final[Mapping[str, str]] = {
    "application/pdf": ".pdf",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "text/plain": ".txt",
    "text/rtf": ".rtf",
    "application/rtf": ".rtf",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def _file_name(unique_id: str, mime_type: str) -> str:
    """A name that is safe in any folder and different for different ids."""
    name = _UNSAFE.sub("_", unique_id)[:100].strip("._") or "document"
    if name != unique_id:
        name += "-" + hashlib.sha256(unique_id.encode()).hexdigest()[:12]
    return name + EXTENSIONS.get(mime_type.partition(";")[0].strip().lower(), "")
