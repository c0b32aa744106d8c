"""Bad input as data: what is sent, and the exact answer that the standard, or docs/errors.md, gives to it.

test_bad_input.py runs every Case against a node with small limits. A case's request is made when it is run,
so that each has ids of its own. Expected results are worked out from SOAP 1.2 part 1, WS-Addressing 1.0 -
SOAP Binding, ITI TF-2 3.18, 3.41 to 3.43 and ITI TF-3 4.2.4; rule ids are those of docs/errors.md.
"""

from __future__ import annotations

import atexit
import base64
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.blackbox import messages as m
from tests.blackbox.messages import Document, Request
from tests.blackbox.wire import SOAP11, SOAP12, WSA

#: Small, so that what is too large is still little. 5 MB of XML hold what libxml2's own limits are tried
#: with.
LIMITS = {
    "document_bytes": 1_000_000,
    "root_bytes": 5_000_000,
    "total_bytes": 8_000_000,
    "idle_seconds": 2,
    "seconds": 20,
}

#: The nodes that cases are sent to, by name, with their settings; "feed" is no community.
COMMUNITY = "2.16.578.1.12.4.5.100.1.1"
#: A community that is never there.
AWAY = "2.16.578.1.12.4.5.100.1.99"


def _communities() -> Path:
    """A communities file with AWAY alone, where nobody listens; it is gone when the tests are over."""
    folder = TemporaryDirectory(prefix="xds-communities-")
    atexit.register(folder.cleanup)
    file = Path(folder.name) / "communities.toml"
    # However often it fails, it is asked again: else the answer would depend on the order of the cases.
    file.write_text(
        f'[[community]]\nname = "Away"\nhome = "{AWAY}"\nquery = "http://127.0.0.1:1/xca"\nfailures = 1000\n'
    )
    return file


NODES: dict[str, dict[str, object]] = {
    "small": {"node__home_community_id": COMMUNITY, "communities": _communities()}
    | {f"limits__{key}": LIMITS[key] for key in LIMITS},
    "feed": {"patients__source": "feed", "patients__authorities": m.AUTHORITY},
    "few": {"registry__results": 2, "node__home_community_id": COMMUNITY},
}

SENDER, MUST_UNDERSTAND = f"{{{SOAP12}}}Sender", f"{{{SOAP12}}}MustUnderstand"
VERSION_MISMATCH = f"{{{SOAP12}}}VersionMismatch"
CLIENT = f"{{{SOAP11}}}Client"


def wsa(name: str) -> str:
    """A fault code of WS-Addressing."""
    return f"{{{WSA}}}{name}"


@dataclass(frozen=True)
class Fault:
    """A SOAP fault; `says` are words that its reason must have."""

    says: str = ""
    code: str = SENDER
    subcodes: Sequence[str] = ()
    status: int = 500


@dataclass(frozen=True)
class Refused:
    """A Failure with exactly these errors, in any order: (errorCode, location, rule)."""

    errors: Sequence[tuple[str, str, str]]
    #: Schema errors are located by path: only their code and rule are fixed.
    schema: bool = False


@dataclass(frozen=True)
class Partial:
    """PartialSuccess, with these beside what was found; `warning`: they are no errors."""

    errors: Sequence[tuple[str, str, str]]
    warning: bool = False


@dataclass(frozen=True)
class NotAccepted:
    """ITI-44's acknowledgement CE with exactly these details, in order: (code, location, rule)."""

    details: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Http:
    """Not SOAP at all: one line of text."""

    status: int


@dataclass(frozen=True)
class Case:
    """One bad request to one of NODES. `before` is sent first and must succeed (registering succeeds again as
    a repeat); `markers` must not come back.
    """

    name: str
    request: Callable[[], Request]
    expected: Fault | Refused | Partial | NotAccepted | Http
    before: Sequence[Request] = ()
    markers: Sequence[str] = field(default=m.MARKERS)
    node: str = "small"


# -- making requests -----------------------------------------------------------------------------------------


def edited(request: Request, *edits: tuple[str, str]) -> Request:
    """The request with each text replaced by another, everywhere; a text that is not there is a mistake in
    the test."""
    body = request.body
    assert isinstance(body, bytes)
    for old, new in edits:
        assert old.encode() in body, old
        body = body.replace(old.encode(), new.encode())
    return replace(request, body=body)


def provided(*edits: tuple[str, str], soap: str = SOAP12, **changes: object) -> Callable[[], Request]:
    """A good MTOM ITI-41 with edits."""
    return lambda: edited(m.mtom([Document(**changes)], soap=soap), *edits)  # type: ignore[arg-type]


def found(*edits: tuple[str, str], soap: str = SOAP12, header: str = "") -> Callable[[], Request]:
    """A good FindDocuments with edits."""
    return lambda: edited(m.plain(m.find_documents(), "ITI-18", soap=soap, header=header), *edits)


def packaged(
    content: str, parts: Sequence[m.Part] = (), documents: Sequence[Document] | None = None
) -> Callable[[], Request]:
    """An MTOM ITI-41 of one entry whose xds:Document holds `content`, with these parts."""

    def make() -> Request:
        chosen = [Document()] if documents is None else documents
        root = m.envelope(m.provide(chosen, {"Document01": content}), "ITI-41")
        return Request(m.REPOSITORY, *m.multipart(root, parts))

    return make


def raw(
    body: bytes, content_type: str | None = m.media_type(SOAP12), path: str = m.REGISTRY
) -> Callable[[], Request]:
    """These bytes."""
    return lambda: Request(path, content_type, body)


def before_root(text: str) -> Callable[[], Request]:
    """A FindDocuments with something between the XML declaration and the envelope."""

    def make() -> Request:
        good = m.plain(m.find_documents(), "ITI-18")
        assert isinstance(good.body, bytes)
        return replace(good, body=b'<?xml version="1.0"?>' + text.encode() + good.body)

    return make


PART: m.Part = ("Document01@example.org", m.BINARY, Document().content)
CID = m.include("cid:Document01@example.org")
CODE = "XDSRepositoryMetadataError"
DOCTYPE = Fault("DOCTYPE")
#: Not the body of any transaction, for messages that must not get so far.
GOOD = m.find_documents()


def truncated(share: float) -> Callable[[], Request]:
    """The first part of a good MTOM request, of the length that its Content-Length gives."""

    def make() -> Request:
        good = m.mtom([Document(content=b"\r\n--MIMEBoundary_\x00" * 500)])
        assert isinstance(good.body, bytes)
        return replace(good, body=good.body[: int(len(good.body) * share)])

    return make


_known = Document(content=b"first bytes")
_other_hash = replace(_known, content=b"FIRST bytes")
_other_size = replace(_known, content=b"first bytes and more")
_twice = Document()
_two = [Document(), Document(id="Document02")]


def _slots(count: int) -> str:
    return "".join(m.slot(f"urn:example:{number}", "x") for number in range(count))


METADATA = [
    Case(
        "a hash that is not that of the bytes",
        provided(slots={"hash": "0" * 40}),
        Refused([(CODE, "Document01/hash", "document-hash")]),
    ),
    Case(
        "a size that is not that of the bytes",
        provided(slots={"size": "7"}),
        Refused([(CODE, "Document01/size", "document-size")]),
    ),
    Case(
        "wrong hash and wrong size at once",
        provided(slots={"hash": "0" * 40, "size": "7"}),
        Refused([(CODE, "Document01/hash", "document-hash"), (CODE, "Document01/size", "document-size")]),
    ),
    Case(
        "a part that is missing",
        packaged(CID),
        Refused([("XDSMissingDocument", "Document01", "document-for-entry")]),
    ),
    Case(
        "an entry without a Document",
        lambda: Request(m.REPOSITORY, *m.multipart(m.envelope(m.provide([Document()], {}), "ITI-41"))),
        Refused([("XDSMissingDocument", "Document01", "document-for-entry")]),
    ),
    Case(
        "a Document without an entry",
        lambda: m.plain(m.provide([_two[0]], m.inline(_two)), "ITI-41"),
        Refused([("XDSMissingDocumentMetadata", "Document02", "entry-for-document")]),
    ),
    Case(
        "a part that nobody refers to",
        packaged(CID, [PART, ("stray@example.org", m.BINARY, b"stray")]),
        Refused([("XDSMissingDocumentMetadata", "", "part-referred-to")]),
    ),
    Case(
        "two Documents with one id",
        lambda: edited(
            m.plain(m.provide(_two[:1], m.inline(_two)), "ITI-41"),
            ('<xds:Document id="Document02">', '<xds:Document id="Document01">'),
        ),
        Refused([(CODE, "Document01", "document-once")]),
    ),
    Case(
        "a known uniqueId with other bytes of the same size",
        lambda: m.mtom([_other_hash]),
        Refused([("XDSNonIdenticalHash", "Document01/uniqueId", "registry-document-same-hash")]),
        before=(m.mtom([_known]),),
    ),
    Case(
        "a known uniqueId with more bytes",
        lambda: m.mtom([_other_size]),
        Refused(
            [
                ("XDSNonIdenticalHash", "Document01/uniqueId", "registry-document-same-hash"),
                ("XDSNonIdenticalSize", "Document01/uniqueId", "registry-document-same-size"),
            ]
        ),
        before=(m.mtom([_known]),),
    ),
    Case(
        "one uniqueId for two documents of a message",
        lambda: m.mtom([_twice, replace(_twice, id="Document02")]),
        Refused([("XDSRepositoryDuplicateUniqueIdInMessage", "Document02/uniqueId", "uniqueId-message")]),
    ),
    Case(
        "a missing attribute",
        provided(without=("classCode",)),
        Refused([(CODE, "Document01/classCode", "DE-classCode-required")]),
    ),
    Case(
        "five missing attributes at once",
        provided(
            without=("classCode", "typeCode", "confidentialityCode"),
            slots={"languageCode": None, "creationTime": None},
        ),
        Refused(
            [
                (CODE, f"Document01/{name}", f"DE-{name}-required")
                for name in ("classCode", "typeCode", "confidentialityCode", "languageCode", "creationTime")
            ]
        ),
    ),
    Case(
        "wrong values of three data types and a wrong hash at once",
        provided(slots={"creationTime": "igår", "sourcePatientId": m.FAMILY, "hash": "0" * 40, "size": None}),
        Refused(
            [
                (CODE, "Document01/creationTime", "DE-creationTime-type"),
                (CODE, "Document01/sourcePatientId", "DE-sourcePatientId-type"),
                (CODE, "Document01/hash", "document-hash"),
            ]
        ),
    ),
    Case(
        "ITI-42 without size, hash and repositoryUniqueId",
        lambda: m.plain(
            m.register([Document(slots={"size": None, "hash": None, "repositoryUniqueId": None})]), "ITI-42"
        ),
        Refused(
            [
                ("XDSRegistryMetadataError", f"Document01/{name}", f"DE-{name}-required")
                for name in ("size", "hash", "repositoryUniqueId")
            ]
        ),
    ),
    Case(
        "a document of another patient than its set",
        lambda: m.mtom([Document(patient=m.OTHER)]),
        Refused([("XDSPatientIdDoesNotMatch", "Document01/patientId", "patientId-message")]),
    ),
    Case(
        "an attribute of 1 MB",
        provided(title="z" * 1_000_000),
        Refused([(CODE, "", "schema")], schema=True),
    ),
    Case(
        "a Slot value of 1 MB",
        provided(slots={"urn:example:long": "z" * 1_000_000}),
        Refused([(CODE, "", "schema")], schema=True),
    ),
    Case(
        "a Slot 20,000 times",
        provided(
            (
                f'<rim:Name><rim:LocalizedString value="{m.TITLE}"',
                m.slot("languageCode", "nb-NO") * 20_000
                + f'<rim:Name><rim:LocalizedString value="{m.TITLE}"',
            )
        ),
        Refused([(CODE, "Document01/languageCode", "slot-unique")]),
    ),
    Case(
        "an element that is not in the schema",
        provided(("<rim:Description>", f"<rim:Beskrivelse>{m.FAMILY}</rim:Beskrivelse><rim:Description>")),
        Refused([(CODE, "", "schema")], schema=True),
    ),
    Case(
        "an XInclude of a file",
        provided(
            (
                "<rim:Description>",
                '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text"'
                ' href="file:///etc/hostname"/><rim:Description>',
            )
        ),
        Refused([(CODE, "", "schema")], schema=True),
    ),
    Case(
        "an xop:Include outside a Document",
        provided(
            (
                f'<rim:LocalizedString value="{m.COMMENT}"/>',
                f'<rim:LocalizedString value="x">{CID}</rim:LocalizedString>',
            )
        ),
        Fault("same MIME part"),
    ),
    Case(
        "an xop:Include in a Slot value, which is no base64Binary (XOP 1.0, 3.1)",
        lambda: Request(
            m.REPOSITORY,
            *m.multipart(
                m.envelope(
                    m.provide([Document(slots={"urn:example:x": "HERE"})], {"Document01": CID}).replace(
                        "HERE", m.include("cid:other@example.org")
                    ),
                    "ITI-41",
                ),
                [PART, ("other@example.org", m.BINARY, b"other")],
            ),
        ),
        Fault("xop:Include"),
    ),
    Case(
        "an xop:Include in a message without parts",
        lambda: m.plain(
            m.register([Document(slots={"urn:example:x": "HERE"})]).replace(
                "HERE", m.include("cid:other@example.org")
            ),
            "ITI-42",
        ),
        Fault("xop:Include"),
    ),
    Case(
        "an object that is no document, set, folder or link",
        lambda: edited(
            m.plain(m.register([Document()]), "ITI-42"),
            (
                "</rim:RegistryObjectList>",
                '<rim:ExternalIdentifier id="stray" registryObject="Document01" value="1.2.3"'
                " "
                'identificationScheme="urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"/></rim:RegistryObjectList>',
            ),
        ),
        Refused([("XDSRegistryMetadataError", "stray", "object-kind")]),
    ),
]

XML = [
    Case(
        "XML that is not well-formed",
        found(("</rim:AdhocQuery>", "</rim:AdhocQuer>")),
        Fault("not well-formed"),
    ),
    Case(
        "XML that ends too early",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope(GOOD, "ITI-18")[:-9]),
        Fault("not well-formed"),
    ),
    Case("not XML", raw(b"hello"), Fault("not well-formed")),
    Case("an empty body", raw(b""), Fault("empty")),
    Case("JSON called SOAP", raw(b'{"resourceType": "Bundle"}'), Fault("not well-formed")),
    Case("an undeclared prefix", found(("</s:Header>", "<ukjent:x/></s:Header>")), Fault("not well-formed")),
    Case(
        "an entity bomb",
        before_root(
            '<!DOCTYPE b [<!ENTITY a "ha">'
            + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(10))
            + "]>"
        ),
        DOCTYPE,
    ),
    Case(
        "a quadratic blow-up",
        lambda: Request(
            m.REGISTRY,
            m.media_type(SOAP12),
            f'<!DOCTYPE b [<!ENTITY a "{"a" * 50_000}">]><b>{"&a;" * 50_000}</b>'.encode(),
        ),
        DOCTYPE,
    ),
    Case(
        "an external entity in a file",
        lambda: edited(
            before_root('<!DOCTYPE b [<!ENTITY f SYSTEM "file:///etc/hostname">]>')(),
            (m.NUMBER, "&f;"),
        ),
        DOCTYPE,
    ),
    Case(
        "an external entity on the network",
        before_root('<!DOCTYPE b [<!ENTITY f SYSTEM "http://127.0.0.1:1/">]>'),
        DOCTYPE,
    ),
    Case(
        "a DTD with parameter entities",
        before_root('<!DOCTYPE b [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>'),
        DOCTYPE,
    ),
    Case("an external DTD", before_root('<!DOCTYPE b SYSTEM "http://127.0.0.1:1/x.dtd">'), DOCTYPE),
    Case(
        "a DTD behind comments",
        before_root("<!-- a --><?pi x?>\n<!-- b --><!DOCTYPE b [<!ENTITY a 'b'>]>"),
        DOCTYPE,
    ),
    Case(
        "an entity bomb in UTF-16",
        lambda: Request(
            m.REGISTRY,
            "application/soap+xml; charset=UTF-16",
            '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE b [<!ENTITY a "b">]><b>&a;</b>'.encode(
                "utf-16"
            ),
        ),
        DOCTYPE,
    ),
    Case(
        "300 levels of elements",
        found(("<rim:AdhocQuery", "<x>" * 300 + "</x>" * 300 + "<rim:AdhocQuery")),
        Fault("256 levels"),
    ),
    Case("a NUL byte", lambda: edited(found()(), (m.APPROVED, m.APPROVED + "\0")), Fault("not well-formed")),
    Case(
        "bytes that are not UTF-8",
        lambda: replace(found()(), body=found()().body.replace(b"urn:uuid:14d4", b"\xff\xfe\xc3\x28")),
        Fault("not well-formed"),
    ),
    Case(
        "an encoding nobody asked for",
        lambda: replace(found()(), body=b'<?xml version="1.0" encoding="UTF-7"?>' + found()().body),
        Fault("encoding"),
    ),
    Case(
        "a charset nobody asked for",
        lambda: replace(found()(), content_type="application/soap+xml; charset=iso-8859-1"),
        Fault("charset"),
    ),
    Case(
        "XML that is too large",
        lambda: edited(found()(), ("</rim:AdhocQuery>", _slots(60_000) + "</rim:AdhocQuery>")),
        Fault("limits.root_bytes"),
    ),
    Case(
        "an attribute of 4 MB in a header",
        found(("</s:Header>", f'<x y="{"z" * 4_000_000}" s:mustUnderstand="1"/></s:Header>')),
        Fault("mustUnderstand", MUST_UNDERSTAND),
    ),
]

ENVELOPE = [
    Case("a root that is no envelope", raw(b"<Envelope/>"), Fault("envelope", VERSION_MISMATCH)),
    Case(
        "the namespace of a SOAP that never was",
        found((SOAP12, "http://www.w3.org/2002/12/soap-envelope")),
        Fault("envelope", VERSION_MISMATCH),
    ),
    Case("no Body", raw(f'<s:Envelope xmlns:s="{SOAP12}"/>'.encode()), Fault("no Body")),
    Case(
        "an empty Body",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope("", "ITI-18")),
        Fault("exactly one child"),
    ),
    Case(
        "two requests in one Body",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope(GOOD * 2, "ITI-18")),
        Fault("exactly one child"),
    ),
    Case("an element after the Body", found(("</s:Body>", "</s:Body><x/>")), Fault("after its Body")),
    Case(
        "a mandatory header that is not known, SOAP 1.2",
        found(header='<u:Ukjent xmlns:u="urn:example:u" s:mustUnderstand="true"/>'),
        Fault("mustUnderstand", MUST_UNDERSTAND),
    ),
    Case(
        "a mandatory header that is not known, SOAP 1.1",
        found(header='<u:Ukjent xmlns:u="urn:example:u" s:mustUnderstand="1"/>', soap=SOAP11),
        Fault("mustUnderstand", f"{{{SOAP11}}}MustUnderstand"),
    ),
    Case(
        "malformed XML in SOAP 1.1",
        found(("</rim:AdhocQuery>", "</rim:AdhocQuer>"), soap=SOAP11),
        Fault("not well-formed", CLIENT),
    ),
    Case(
        "no wsa:Action",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope(GOOD, None)),
        Fault("wsa:Action", subcodes=[wsa("MessageAddressingHeaderRequired")]),
    ),
    Case(
        "an action that nobody has",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope(GOOD, "urn:example:Ukjent")),
        Fault("wsa:Action", subcodes=[wsa("ActionNotSupported")]),
    ),
    Case(
        "an action that nobody has, SOAP 1.1",
        lambda: Request(
            m.REGISTRY, m.media_type(SOAP11), m.envelope(GOOD, "urn:example:Ukjent", soap=SOAP11)
        ),
        Fault("wsa:Action", wsa("ActionNotSupported")),
    ),
    Case(
        "an action that is a person",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope(GOOD, f"{m.FAMILY} {m.NUMBER}")),
        Fault("wsa:Action", subcodes=[wsa("ActionNotSupported")]),
    ),
    Case(
        "an action of the other endpoint",
        lambda: replace(m.plain(GOOD, "ITI-18"), path=m.REPOSITORY),
        Fault("wsa:Action", subcodes=[wsa("ActionNotSupported")]),
    ),
    Case(
        "an action with the Body of another",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope(GOOD, "ITI-42")),
        Fault("ITI-42"),
    ),
    Case(
        "two Actions",
        found(header="<a:Action>urn:ihe:iti:2007:RegisterDocumentSet-b</a:Action>"),
        Fault("more than once", subcodes=[wsa("InvalidAddressingHeader"), wsa("InvalidCardinality")]),
    ),
    Case(
        "two MessageIDs",
        found(header="<a:MessageID>urn:uuid:2</a:MessageID>"),
        Fault("more than once", subcodes=[wsa("InvalidAddressingHeader"), wsa("InvalidCardinality")]),
    ),
    Case(
        "a ReplyTo that is not anonymous",
        found(header="<a:ReplyTo><a:Address>http://127.0.0.1:1/svar</a:Address></a:ReplyTo>"),
        Fault("anonymous", subcodes=[wsa("InvalidAddressingHeader"), wsa("OnlyAnonymousAddressSupported")]),
    ),
    Case(
        "a FaultTo that is not anonymous",
        found(header="<a:FaultTo><a:Address>http://127.0.0.1:1/svar</a:Address></a:FaultTo>"),
        Fault("anonymous", subcodes=[wsa("InvalidAddressingHeader"), wsa("OnlyAnonymousAddressSupported")]),
    ),
    Case(
        "a ReplyTo without an address",
        found(header="<a:ReplyTo/>"),
        Fault("wsa:Address", subcodes=[wsa("InvalidAddressingHeader"), wsa("MissingAddressInEPR")]),
    ),
]

MIME = [
    *(
        Case(f"a multipart cut off at {share:.1%}", truncated(share), Fault("multipart"))
        for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999)
    ),
    Case(
        "a cid that is an http address",
        packaged(m.include("http://127.0.0.1:1/doc.pdf"), [PART]),
        Fault("cid:"),
    ),
    Case("a cid that is a file", packaged(m.include("file:///etc/hostname"), [PART]), Fault("cid:")),
    Case("a cid that is nothing", packaged(m.include(""), [PART]), Fault("cid:")),
    Case(
        "an Include without href",
        packaged('<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include"/>', [PART]),
        Fault("cid:"),
    ),
    Case("text beside an Include", packaged(CID + "QUJD", [PART]), Fault("xop:Include")),
    Case("two Includes in one Document", packaged(CID + CID, [PART]), Fault("xop:Include")),
    Case(
        "10,000 parts",
        packaged(CID, [PART] + [(f"{n}@example.org", m.BINARY, b"x") for n in range(10_000)]),
        Fault("limits.parts"),
    ),
    Case("two parts with one Content-ID", packaged(CID, [PART, PART]), Fault("same Content-ID")),
    Case(
        "a part header twice",
        packaged(CID, [(PART[0], m.BINARY + "Content-Transfer-Encoding: base64\r\n", b"QUJD")]),
        Fault("header twice"),
    ),
    Case(
        "a transfer encoding that nobody has",
        packaged(CID, [(PART[0], "Content-Transfer-Encoding: quoted-printable\r\n", b"x")]),
        Fault("Content-Transfer-Encoding"),
    ),
    Case(
        "a part in base64 that is none",
        packaged(CID, [(PART[0], "Content-Transfer-Encoding: base64\r\n", b"****")]),
        Fault("ase64"),
    ),
    Case(
        "a part header of 1 MB",
        packaged(CID, [(PART[0], f"X-Long: {'y' * 1_000_000}\r\n", b"x")]),
        Fault("header"),
    ),
    Case(
        "inline base64 that is none",
        lambda: m.plain(m.provide([Document()], {"Document01": "!!!"}), "ITI-41"),
        Fault("Base64"),
    ),
    Case(
        "inline base64 that is cut short",
        lambda: m.plain(m.provide([Document()], {"Document01": "QUJDR"}), "ITI-41"),
        Refused([(CODE, "", "schema")], schema=True),
    ),
    Case(
        "a document that is too large",
        lambda: m.mtom([Document(content=bytes(1_000_001))]),
        Fault("limits.document_bytes"),
    ),
    Case(
        "a document in base64 that is too large",
        packaged(
            CID, [(PART[0], "Content-Transfer-Encoding: base64\r\n", base64.encodebytes(bytes(1_000_001)))]
        ),
        Fault("limits.document_bytes"),
    ),
    Case(
        "an inline document that is too large",
        lambda: m.plain(
            m.provide([Document(content=bytes(1_000_001))], m.inline([Document(content=bytes(1_000_001))])),
            "ITI-41",
        ),
        Fault("limits.document_bytes"),
    ),
    Case("a root part that is too large", packaged("A" * 5_000_001), Fault("limits.root_bytes")),
    Case(
        "a message that is too large",
        lambda: m.mtom([Document(id=f"Document{n:02}", content=bytes(999_999)) for n in range(9)]),
        Fault("limits.total_bytes"),
    ),
    Case(
        "a message that is too large, chunked",
        lambda: replace(
            m.mtom([Document(id=f"Document{n:02}", content=bytes(999_999)) for n in range(9)]), chunked=True
        ),
        Fault("limits.total_bytes"),
    ),
    Case(
        "no boundary",
        lambda: replace(m.mtom([Document()]), content_type='multipart/related; type="application/xop+xml"'),
        Fault("boundary"),
    ),
    Case(
        "another boundary",
        lambda: replace(
            m.mtom([Document()]), content_type='multipart/related; type="application/xop+xml"; boundary=x'
        ),
        Fault("boundary"),
    ),
    Case(
        "a start that is not there",
        lambda: edited(
            m.mtom([Document()]), ("Content-ID: <root@example.org>", "Content-ID: <rot@example.org>")
        ),
        Fault("root part"),
    ),
    Case(
        "a root part of another type",
        lambda: edited(
            m.mtom([Document()]), ("Content-Type: application/xop+xml;", "Content-Type: text/html;")
        ),
        Fault("Content-Type", status=415),
    ),
    Case("an empty multipart", raw(b"", m.mtom([Document()]).content_type, m.REPOSITORY), Fault("multipart")),
]

HTTP = [
    Case(
        "a content type that is not SOAP",
        raw(m.envelope(GOOD, "ITI-18"), "application/json"),
        Fault("Content-Type", status=415),
    ),
    Case(
        "a message that is compressed",
        lambda: replace(
            found()(), body=gzip.compress(bytes(found()().body)), headers=(("Content-Encoding", "gzip"),)
        ),
        Fault("Content-Encoding", status=415),
    ),
    Case(
        "a form",
        raw(m.envelope(GOOD, "ITI-18"), "multipart/form-data; boundary=x"),
        Fault("Content-Type", status=415),
    ),
    Case(
        "multipart of the days before XOP",
        lambda: replace(
            m.mtom([Document()]),
            content_type='multipart/related; boundary=MIMEBoundary_0123456789abcdef; type="text/xml"',
        ),
        Fault("Content-Type", status=415),
    ),
    Case("no content type", raw(m.envelope(GOOD, "ITI-18"), None), Fault("Content-Type", status=415)),
    Case("GET", lambda: Request(m.REGISTRY, None, b"", method="GET"), Http(405)),
    Case(
        "PUT",
        lambda: Request(m.REGISTRY, m.media_type(SOAP12), m.envelope(GOOD, "ITI-18"), method="PUT"),
        Http(405),
    ),
    Case("DELETE", lambda: Request(m.REPOSITORY, None, b"", method="DELETE"), Http(405)),
    Case("PATCH", lambda: Request(m.REPOSITORY, None, b"", method="PATCH"), Http(405)),
    Case("a path that is not there", raw(m.envelope(GOOD, "ITI-18"), path="/xds/ukjent"), Http(404)),
    Case(
        "a schema that is not there",
        lambda: Request("/xds/schema/..%2Fregistry.wsdl", None, b"", method="GET"),
        Http(404),
    ),
]

QUERIES = [
    Case(
        "a stored query that nobody has",
        found((m.FIND_DOCUMENTS, "urn:uuid:00000000-0000-4000-8000-000000000000")),
        Refused([("XDSUnknownStoredQuery", "AdhocQuery/id", "query-known")]),
    ),
    Case(
        "a query for several patients by ITI-18",
        found((m.FIND_DOCUMENTS, m.FIND_FOR_MULTIPLE_PATIENTS)),
        Refused([("XDSUnknownStoredQuery", "AdhocQuery/id", "query-known")]),
    ),
    Case(
        "a query for one patient by ITI-51",
        lambda: m.plain(m.find_documents(), "ITI-51"),
        Refused([("XDSUnknownStoredQuery", "AdhocQuery/id", "query-known")]),
    ),
    Case(
        "a query for several patients that nothing narrows",
        lambda: m.plain(
            m.query(m.FIND_FOR_MULTIPLE_PATIENTS, {"$XDSDocumentEntryStatus": f"('{m.APPROVED}')"}), "ITI-51"
        ),
        Refused(
            [
                (
                    "XDSStoredQueryMissingParam",
                    "$XDSDocumentEntryPatientId $XDSDocumentEntryClassCode $XDSDocumentEntryEventCodeList"
                    " $XDSDocumentEntryHealthcareFacilityTypeCode",
                    "query-parameter-some",
                )
            ]
        ),
    ),
    Case(
        "a query of another community",
        found(("<rim:AdhocQuery ", '<rim:AdhocQuery home="urn:oid:1.2.3" ')),
        Refused([("XDSUnknownCommunity", "AdhocQuery/home", "query-home")]),
    ),
    Case(
        "a logicalID at level 1",
        lambda: m.plain(
            m.query(m.GET_DOCUMENTS, {"$XDSDocumentEntryLogicalID": f"('{m.STABLE}')"}), "ITI-18"
        ),
        Refused([("XDSRegistryError", "$XDSDocumentEntryLogicalID", "query-metadata-level")]),
    ),
    Case(
        "no patient and no status",
        lambda: m.plain(m.query(m.FIND_DOCUMENTS, {}), "ITI-18"),
        Refused(
            [
                ("XDSStoredQueryMissingParam", "$XDSDocumentEntryPatientId", "query-parameter-required"),
                ("XDSStoredQueryMissingParam", "$XDSDocumentEntryStatus", "query-parameter-required"),
            ]
        ),
    ),
    Case(
        "a status that nobody knows",
        found((m.APPROVED, "urn:example:status")),
        Refused([("XDSStoredQueryMissingParam", "$XDSDocumentEntryStatus", "query-parameter-required")]),
    ),
    Case(
        "two patients",
        found((f"'{m.PATIENT.replace('&', '&amp;')}'", f"('{m.NUMBER}^^^&amp;1.2&amp;ISO','{m.FAMILY}')")),
        Refused([("XDSStoredQueryParamNumber", "$XDSDocumentEntryPatientId", "query-parameter-single")]),
    ),
    Case(
        "SQL for a status",
        lambda: m.plain(
            m.query(
                m.FIND_DOCUMENTS,
                {
                    "$XDSDocumentEntryPatientId": f"'{m.NUMBER}'' OR 1=1 --'",
                    "$XDSDocumentEntryStatus": "('x'); DROP TABLE patient",
                },
            ),
            "ITI-18",
        ),
        Refused(
            [
                ("XDSRegistryError", "$XDSDocumentEntryPatientId", "query-parameter-value"),
                ("XDSRegistryError", "$XDSDocumentEntryStatus", "query-parameter-value"),
            ]
        ),
    ),
    Case(
        "a parameter repeated 2,000 times",
        found(
            (
                "</rim:AdhocQuery>",
                "".join(m.slot("$XDSDocumentEntryEventCodeList", f"('c{n}^^1.2.3')") for n in range(2000))
                + "</rim:AdhocQuery>",
            )
        ),
        Refused([("XDSStoredQueryParamNumber", "$XDSDocumentEntryEventCodeList", "query-parameter-many")]),
    ),
    Case(
        "280,000 ids",
        lambda: edited(
            m.plain(m.query(m.GET_DOCUMENTS, {"$XDSDocumentEntryUniqueId": "HERE"}), "ITI-18"),
            ("<rim:Value>HERE</rim:Value>", f"<rim:Value>({','.join(['1'] * 60)})</rim:Value>" * 4667),
        ),
        Refused([("XDSStoredQueryParamNumber", "$XDSDocumentEntryUniqueId", "query-parameter-many")]),
    ),
    Case(
        "a returnType of another profile",
        found(('returnType="LeafClass"', 'returnType="LeafClassWithRepositoryItem"')),
        Refused([("XDSRegistryError", "ResponseOption/returnType", "query-return-type")]),
    ),
    Case(
        "a returnType that is none",
        found(('returnType="LeafClass"', f'returnType="{m.FAMILY}"')),
        Fault("schema of ITI-18"),
    ),
    Case(
        "GetDocuments with both kinds of id",
        lambda: m.plain(
            m.query(
                m.GET_DOCUMENTS,
                {
                    "$XDSDocumentEntryUniqueId": "('1.2.3')",
                    "$XDSDocumentEntryEntryUUID": "('urn:uuid:00000000-0000-4000-8000-000000000000')",
                },
            ),
            "ITI-18",
        ),
        Refused(
            [
                (
                    "XDSStoredQueryParamNumber",
                    "$XDSDocumentEntryEntryUUID $XDSDocumentEntryUniqueId",
                    "query-parameter-exclusive",
                )
            ]
        ),
    ),
    Case(
        "GetDocuments with neither",
        lambda: m.plain(m.query(m.GET_DOCUMENTS, {}), "ITI-18"),
        Refused(
            [
                (
                    "XDSStoredQueryMissingParam",
                    "$XDSDocumentEntryEntryUUID $XDSDocumentEntryUniqueId $XDSDocumentEntryLogicalID",
                    "query-parameter-alternatives",
                )
            ]
        ),
    ),
]

RETRIEVALS = [
    Case(
        "another repository's document",
        lambda: m.mtom_retrieve(m.new_oid(), repository="2.25.1"),
        Refused([("XDSUnknownRepositoryId", "DocumentRequest[1]/RepositoryUniqueId", "retrieve-repository")]),
    ),
    Case(
        "a document that nobody has",
        lambda: m.mtom_retrieve(m.new_oid()),
        Refused([("XDSDocumentUniqueIdError", "DocumentRequest[1]/DocumentUniqueId", "retrieve-document")]),
    ),
    Case(
        "two documents that nobody has, plain",
        lambda: m.plain(m.retrieve(m.new_oid(), m.new_oid()), "ITI-43"),
        Refused(
            [
                ("XDSDocumentUniqueIdError", f"DocumentRequest[{n}]/DocumentUniqueId", "retrieve-document")
                for n in (1, 2)
            ]
        ),
    ),
    Case(
        "more documents than a request may ask for",
        lambda: m.mtom_retrieve(*map(str, range(1001))),
        Refused([("XDSTooManyResults", "", "retrieve-number")]),
    ),
    Case("nothing asked for", lambda: m.plain(m.retrieve(), "ITI-43"), Fault("schema of ITI-43")),
    Case(
        "a path for a document id",
        lambda: m.plain(m.retrieve("../../xds.db"), "ITI-43"),
        Refused([("XDSDocumentUniqueIdError", "DocumentRequest[1]/DocumentUniqueId", "retrieve-document")]),
    ),
]

CASES = [*METADATA, *XML, *ENVELOPE, *MIME, *HTTP, *QUERIES, *RETRIEVALS]
