"""A responding gateway of another make: spyne reads and writes its SOAP, Python's email package its MIME.

`python -m tests.gateway.spyne_gateway --port 8010 --home 2.999.2 --patient … --documents 3` runs it on
127.0.0.1; tests start it with `SpyneGateway` of peers.py. It answers FindDocuments, GetDocuments and
retrieves as ITI TF-2 3.38 and 3.39 say, and shares no code with xds. spyne 2.14 is for Python 3.11 alone.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socketserver
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import HTTP
from email.utils import make_msgid
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import quote, unquote
from wsgiref.handlers import SimpleHandler

from lxml import etree

from tests.gateway import peers

with warnings.catch_warnings():
    # Its bundled six and the module cgi.
    warnings.simplefilter("ignore")
    from spyne import (
        Application,
        ByteArray,
        ComplexModel,
        Fault,
        ServiceBase,
        Unicode,
        XmlAttribute,
        XmlData,
        rpc,
    )
    from spyne.protocol.soap import Soap12
    from spyne.server.wsgi import WsgiApplication

RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
QUERY = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"
XDS = "urn:ihe:iti:xds-b:2007"
WSA = "http://www.w3.org/2005/08/addressing"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
XOP = "http://www.w3.org/2004/08/xop/include"
_XML = "http://www.w3.org/XML/1998/namespace"
_KIND = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:"

# -- The messages as spyne's models: their members by name and type, in the order of the schema.

_Attribute = XmlAttribute(Unicode)


def _model(namespace: str, name: str, *members: tuple[str, Any]) -> Any:
    return ComplexModel.produce(namespace, name, list(members))


def _attributes(*names: str) -> list[tuple[str, Any]]:
    return [(name, _Attribute) for name in names]


def _texts(*names: str) -> list[tuple[str, Any]]:
    return [(name, Unicode) for name in names]


def _many(model: Any) -> Any:
    return model.customize(max_occurs="unbounded")


ValueList = _model(RIM, "ValueList", ("Value", _many(Unicode)))
Slot = _model(RIM, "Slot", ("name", _Attribute), ("ValueList", ValueList))
LocalizedString = _model(
    RIM, "LocalizedString", ("lang", XmlAttribute(Unicode, ns=_XML)), ("value", _Attribute)
)
InternationalString = _model(RIM, "InternationalString", ("LocalizedString", LocalizedString))
Classification = _model(
    RIM,
    "Classification",
    *_attributes("id", "objectType", "classificationScheme", "classifiedObject", "nodeRepresentation"),
    ("Slot", _many(Slot)),
    ("Name", InternationalString),
)
ExternalIdentifier = _model(
    RIM,
    "ExternalIdentifier",
    *_attributes("id", "objectType", "registryObject", "identificationScheme", "value"),
    ("Name", InternationalString),
)
VersionInfo = _model(RIM, "VersionInfo", ("versionName", _Attribute))
ExtrinsicObject = _model(
    RIM,
    "ExtrinsicObject",
    *_attributes("id", "home", "lid", "objectType", "status", "mimeType", "isOpaque"),
    ("Slot", _many(Slot)),
    ("Name", InternationalString),
    ("Description", InternationalString),
    ("VersionInfo", VersionInfo),
    ("Classification", _many(Classification)),
    ("ExternalIdentifier", _many(ExternalIdentifier)),
)
ObjectRef = _model(RIM, "ObjectRef", *_attributes("id", "home"))
RegistryObjectList = _model(
    RIM, "RegistryObjectList", ("ExtrinsicObject", _many(ExtrinsicObject)), ("ObjectRef", _many(ObjectRef))
)
AdhocQuery = _model(RIM, "AdhocQuery", *_attributes("id", "home"), ("Slot", _many(Slot)))

RegistryError = _model(RS, "RegistryError", *_attributes("codeContext", "errorCode", "severity", "location"))
RegistryErrorList = _model(
    RS, "RegistryErrorList", ("highestSeverity", _Attribute), ("RegistryError", _many(RegistryError))
)
RegistryResponse = _model(
    RS, "RegistryResponse", ("status", _Attribute), ("RegistryErrorList", RegistryErrorList)
)

ResponseOption = _model(QUERY, "ResponseOption", *_attributes("returnType", "returnComposedObjects"))
AdhocQueryRequest = _model(
    QUERY,
    "AdhocQueryRequest",
    ("ResponseOption", ResponseOption),
    ("AdhocQuery", AdhocQuery.customize(sub_ns=RIM)),
)
AdhocQueryResponse = _model(
    QUERY,
    "AdhocQueryResponse",
    ("status", _Attribute),
    ("RegistryErrorList", RegistryErrorList.customize(sub_ns=RS)),
    ("RegistryObjectList", RegistryObjectList.customize(sub_ns=RIM)),
)

DocumentRequest = _model(
    XDS, "DocumentRequest", *_texts("HomeCommunityId", "RepositoryUniqueId", "DocumentUniqueId")
)
RetrieveDocumentSetRequest = _model(
    XDS, "RetrieveDocumentSetRequest", ("DocumentRequest", _many(DocumentRequest))
)
DocumentResponse = _model(
    XDS,
    "DocumentResponse",
    *_texts("HomeCommunityId", "RepositoryUniqueId", "DocumentUniqueId", "mimeType"),
    ("Document", ByteArray),
)
RetrieveDocumentSetResponse = _model(
    XDS,
    "RetrieveDocumentSetResponse",
    ("RegistryResponse", RegistryResponse.customize(sub_ns=RS)),
    ("DocumentResponse", _many(DocumentResponse)),
)

Action = _model(
    WSA, "Action", ("mustUnderstand", XmlAttribute(Unicode, ns=SOAP)), ("value", XmlData(Unicode))
)
MessageID = _model(WSA, "MessageID", ("value", XmlData(Unicode)))
RelatesTo = _model(WSA, "RelatesTo", ("value", XmlData(Unicode)))


# -- What a document entry looks like.


def _slots(slots: dict[str, tuple[str, ...]]) -> list[Slot]:
    return [Slot(name=name, ValueList=ValueList(Value=list(values))) for name, values in slots.items()]


def _text(value: str) -> InternationalString:
    return InternationalString(LocalizedString=LocalizedString(lang="nb", value=value))


def _extrinsic_object(home: str, number: int, patient: str) -> ExtrinsicObject:
    one = peers.entry(home, number, patient)

    def classification(scheme: str, code: str, **more: Any) -> Classification:
        return Classification(
            id=f"urn:uuid:{uuid.uuid4()}",
            objectType=_KIND + "Classification",
            classificationScheme=scheme,
            classifiedObject=one.id,
            nodeRepresentation=code,
            **more,
        )

    def identifier(scheme: str, name: str, value: str) -> ExternalIdentifier:
        return ExternalIdentifier(
            id=f"urn:uuid:{uuid.uuid4()}",
            objectType=_KIND + "ExternalIdentifier",
            registryObject=one.id,
            identificationScheme=scheme,
            value=value,
            Name=_text("XDSDocumentEntry." + name),
        )

    return ExtrinsicObject(
        id=one.id,
        home=home,
        lid=one.id,
        objectType=peers.STABLE,
        status=peers.APPROVED,
        mimeType=one.mime_type,
        isOpaque="false",
        Slot=_slots(one.slots),
        Name=_text(one.title),
        Description=_text(one.comments),
        VersionInfo=VersionInfo(versionName="1"),
        Classification=[
            classification(peers.AUTHOR_SCHEME, "", Slot=_slots(one.author)),
            *(
                classification(
                    each.scheme,
                    each.code,
                    Slot=_slots({"codingScheme": (each.system,)}),
                    Name=_text(each.display),
                )
                for each in peers.CODES
            ),
        ],
        ExternalIdentifier=[
            identifier(peers.PATIENT_SCHEME, "patientId", one.patient),
            identifier(peers.UNIQUE_ID_SCHEME, "uniqueId", one.unique_id),
        ],
    )


# -- The two operations.

#: wsa:Action -> the element in the Body.
_ACTIONS = {
    "urn:ihe:iti:2007:CrossGatewayQuery": f"{{{QUERY}}}AdhocQueryRequest",
    "urn:ihe:iti:2007:CrossGatewayRetrieve": f"{{{XDS}}}RetrieveDocumentSetRequest",
}


class _Addressed(Soap12):
    """SOAP 1.2 that finds the operation by wsa:Action.

    spyne's own goes by the name of the Body's element, and only by those in the application's one namespace.
    """

    def decompose_incoming_envelope(self, ctx: Any, message: str = Soap12.REQUEST) -> None:
        super().decompose_incoming_envelope(ctx, message)
        actions = [each.text.strip() for each in ctx.in_header_doc or () if each.tag == f"{{{WSA}}}Action"]
        if not actions:
            raise Fault("Client.MessageAddressingHeaderRequired", "wsa:Action is required")
        if _ACTIONS.get(actions[0]) != ctx.in_body_doc.tag:
            raise Fault("Client.ActionNotSupported", f"{actions[0]} with {ctx.in_body_doc.tag}")
        ctx.method_request_string = f"{{{XDS}}}{etree.QName(ctx.in_body_doc).localname}"


class _Refused(Exception):
    """A query that is answered with one error: its code and what it is about."""


def _parameters(query: AdhocQuery) -> dict[str, list[str]]:
    """The values of each Slot, out of their brackets and quotes (ITI TF-2 3.18.4.1.2.3.5)."""
    found: dict[str, list[str]] = {}
    for slot in query.Slot or ():
        for value in slot.ValueList.Value if slot.ValueList else ():
            quoted = re.findall(r"'((?:[^']|'')*)'", value)
            plain = [each.strip() for each in value.strip("() ").split(",")]
            found.setdefault(slot.name, []).extend(
                [each.replace("''", "'") for each in quoted] if quoted else plain
            )
    return found


def service(home: str, patient: str, documents: int, delay: float) -> type[ServiceBase]:
    """The responding gateway of one community."""
    location = peers.urn(home)
    numbers = range(1, documents + 1)

    def errors(*found: tuple[str, str]) -> RegistryErrorList | None:
        severity = peers.SEVERITY + "Error"
        listed = [
            RegistryError(codeContext=context, errorCode=code, severity=severity, location=location)
            for code, context in found
        ]
        return RegistryErrorList(highestSeverity=severity, RegistryError=listed) if listed else None

    def address(ctx: Any) -> None:
        """Write the WS-Addressing headers of the answer."""
        action, message_id = ctx.in_header
        if message_id is None:
            raise Fault("Client.MessageAddressingHeaderRequired", "wsa:MessageID is required")
        ctx.out_header = (
            Action(mustUnderstand="true", value=action.value.strip() + "Response"),
            MessageID(value=f"urn:uuid:{uuid.uuid4()}"),
            RelatesTo(value=message_id.value.strip()),
        )
        time.sleep(delay)

    def find(query: AdhocQuery) -> list[int]:
        given = _parameters(query)
        if query.id == peers.FIND_DOCUMENTS:
            for name in ("$XDSDocumentEntryPatientId", "$XDSDocumentEntryStatus"):
                if not given.get(name):
                    raise _Refused("XDSStoredQueryMissingParam", name)
            if given["$XDSDocumentEntryPatientId"] != [patient]:
                raise _Refused("XDSUnknownPatientId", given["$XDSDocumentEntryPatientId"][0])
            kinds = given.get("$XDSDocumentEntryType", [peers.STABLE])
            wanted = peers.APPROVED in given["$XDSDocumentEntryStatus"] and peers.STABLE in kinds
            return list(numbers) if wanted else []
        if query.id == peers.GET_DOCUMENTS:
            if not query.home:
                raise _Refused("XDSMissingHomeCommunityId", "AdhocQuery has no home")
            if query.home != location:
                raise _Refused("XDSUnknownCommunity", query.home)
            asked = {
                *given.get("$XDSDocumentEntryEntryUUID", ()),
                *given.get("$XDSDocumentEntryUniqueId", ()),
            }
            if not asked:
                raise _Refused("XDSStoredQueryMissingParam", "$XDSDocumentEntryEntryUUID")
            return [
                each
                for each in numbers
                if asked & {peers.entry_id(home, each), peers.document_id(home, each)}
            ]
        raise _Refused("XDSUnknownStoredQuery", query.id or "")

    def fetch(request: DocumentRequest) -> DocumentResponse:
        if not request.HomeCommunityId:
            raise _Refused("XDSMissingHomeCommunityId", request.DocumentUniqueId)
        if request.HomeCommunityId != location:
            raise _Refused("XDSUnknownCommunity", request.HomeCommunityId)
        if request.RepositoryUniqueId != peers.repository_id(home):
            raise _Refused("XDSUnknownRepositoryId", request.RepositoryUniqueId)
        number = next(
            (each for each in numbers if peers.document_id(home, each) == request.DocumentUniqueId), 0
        )
        if not number:
            raise _Refused("XDSDocumentUniqueIdError", request.DocumentUniqueId)
        return DocumentResponse(
            HomeCommunityId=request.HomeCommunityId,
            RepositoryUniqueId=request.RepositoryUniqueId,
            DocumentUniqueId=request.DocumentUniqueId,
            mimeType="application/pdf",
            Document=[peers.content(home, number)],
        )

    class RespondingGateway(ServiceBase):
        __in_header__ = (Action, MessageID)
        __out_header__ = (Action, MessageID, RelatesTo)

        @rpc(
            AdhocQueryRequest,
            _returns=AdhocQueryResponse,
            _body_style="bare",
            _in_message_name=f"{{{QUERY}}}AdhocQueryRequest",
            _out_message_name=f"{{{QUERY}}}AdhocQueryResponse",
        )
        def cross_gateway_query(ctx: Any, request: AdhocQueryRequest) -> AdhocQueryResponse:
            address(ctx)
            try:
                found = find(request.AdhocQuery)
            except _Refused as refused:
                return AdhocQueryResponse(
                    status=peers.FAILURE,
                    RegistryErrorList=errors(refused.args),
                    RegistryObjectList=RegistryObjectList(),
                )
            if request.ResponseOption.returnType == "LeafClass":
                objects = RegistryObjectList(
                    ExtrinsicObject=[_extrinsic_object(location, each, patient) for each in found]
                )
            else:
                objects = RegistryObjectList(
                    ObjectRef=[ObjectRef(id=peers.entry_id(home, each), home=location) for each in found]
                )
            return AdhocQueryResponse(status=peers.SUCCESS, RegistryObjectList=objects)

        @rpc(
            RetrieveDocumentSetRequest,
            _returns=RetrieveDocumentSetResponse,
            _body_style="bare",
            _in_message_name=f"{{{XDS}}}RetrieveDocumentSetRequest",
            _out_message_name=f"{{{XDS}}}RetrieveDocumentSetResponse",
        )
        def cross_gateway_retrieve(
            ctx: Any, request: RetrieveDocumentSetRequest
        ) -> RetrieveDocumentSetResponse:
            address(ctx)
            found, missed = [], []
            for each in request.DocumentRequest or ():
                try:
                    found.append(fetch(each))
                except _Refused as refused:
                    missed.append(refused.args)
            status = peers.SUCCESS if not missed else peers.PARTIAL if found else peers.FAILURE
            return RetrieveDocumentSetResponse(
                RegistryResponse=RegistryResponse(status=status, RegistryErrorList=errors(*missed)),
                DocumentResponse=found,
            )

    return RespondingGateway


# -- MTOM, which spyne 2.14 cannot write, and reads only in part: a layer of WSGI around it.

_Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_parser = etree.XMLParser(resolve_entities=False, no_network=True)


def unpack(content_type: str, body: bytes) -> bytes:
    """The envelope of a multipart message, with its parts put where it refers to them."""
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
    parts = {
        str(part["Content-ID"]).strip(" <>"): part.get_payload(decode=True) for part in message.iter_parts()
    }
    start = message["Content-Type"].params.get("start", "").strip("<>")
    envelope = etree.fromstring(parts[start] if start else next(iter(parts.values())), _parser)
    for include in list(envelope.iter(f"{{{XOP}}}Include")):
        parent = include.getparent()
        parent.remove(include)
        parent.text = base64.b64encode(parts[unquote(include.get("href")).removeprefix("cid:")])
    return etree.tostring(envelope)


def pack(xml: bytes) -> tuple[str, bytes]:
    """The Content-Type and the body of a multipart message that holds the documents of an envelope as parts.

    The email package writes the headers. It would change line ends in binary parts: those it does not write.
    """
    envelope = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    documents: list[tuple[str, bytes]] = []
    for document in envelope.iter(f"{{{XDS}}}Document"):
        name = make_msgid(domain="gateway.example")
        documents.append((name, base64.b64decode(document.text or "")))
        document.text = None
        # RFC 2392, 2: the @ may be written as %40.
        etree.SubElement(document, f"{{{XOP}}}Include", href="cid:" + quote(name.strip("<>")))
    root, boundary = make_msgid("root", "gateway.example"), f"=_{uuid.uuid4()}"
    parts = [_part(root, etree.tostring(envelope), "xop+xml", charset="UTF-8", type="application/soap+xml")]
    parts += [_part(name, data, "octet-stream") for name, data in documents]
    outer = EmailMessage(HTTP)
    outer.add_header(
        "Content-Type",
        "multipart/related",
        **{"type": "application/xop+xml", "start": root, "start-info": "application/soap+xml"},
        boundary=boundary,
    )
    mark = boundary.encode()
    body = b"".join(b"--%b\r\n%b\r\n" % (mark, part) for part in parts) + b"--%b--\r\n" % mark
    return str(outer["Content-Type"]), body


def _part(name: str, data: bytes, subtype: str, **parameters: str) -> bytes:
    part = EmailMessage(HTTP)
    part.add_header("Content-Type", "application/" + subtype, **parameters)
    part["Content-Transfer-Encoding"] = "binary"
    part["Content-ID"] = name
    return part.as_bytes() + data


def with_mtom(application: _Application) -> _Application:
    """The application, for requests and answers with MTOM too: an answer is multipart if its request was."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        content_type = environ.get("CONTENT_TYPE", "")
        multipart = content_type.lower().startswith("multipart/related")
        if multipart:
            envelope = unpack(content_type, environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            environ |= {
                "CONTENT_TYPE": "application/soap+xml; charset=utf-8",
                "CONTENT_LENGTH": str(len(envelope)),
                "wsgi.input": BytesIO(envelope),
            }
        begun: list[Any] = []
        body = b"".join(application(environ, lambda *given: begun.extend(given[:2])))
        status, headers = begun[0], dict(begun[1])
        if multipart and status.startswith("200"):
            headers["Content-Type"], body = pack(body)
        headers["Content-Length"] = str(len(body))
        start_response(status, list(headers.items()))
        return [body]

    return answer


# -- HTTP/1.1 with connections that are kept, which wsgiref's own server does not do.


class _Response(SimpleHandler):
    http_version = "1.1"
    server_software = "spyne"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    application: _Application

    def do_GET(self) -> None:
        self._run(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._run(body)

    def _run(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environ = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "HTTP_HOST": self.headers.get("Host", ""),
        }
        _Response(BytesIO(body), self.wfile, sys.stderr, environ, multithread=True).run(self.application)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    """Run until it is ended."""
    arguments = argparse.ArgumentParser(description="A responding gateway (ITI-38, ITI-39) on spyne")
    arguments.add_argument("--port", type=int, default=0, help="0 is a free one")
    arguments.add_argument("--home", required=True, help="homeCommunityId")
    arguments.add_argument("--patient", default=peers.PATIENT, help="the one patient, as CX")
    arguments.add_argument("--documents", type=int, default=3, help="how many the patient has")
    arguments.add_argument("--delay", type=float, default=0, help="seconds before each answer")
    arguments.add_argument("--while-stdin", action="store_true", help="end when standard input does")
    given = arguments.parse_args()
    operations = service(given.home, given.patient, given.documents, given.delay)
    application = Application([operations], tns=XDS, in_protocol=_Addressed(), out_protocol=Soap12())
    _Handler.application = staticmethod(with_mtom(WsgiApplication(application, max_content_length=1 << 24)))
    server = _Server(("127.0.0.1", given.port), _Handler)
    if given.while_stdin:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
