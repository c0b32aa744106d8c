"""HTTP and the answers on it, with nothing of the package under test.

The tests of this folder send bytes with `send` and take an answer apart with `Reply`. Whatever XML is read,
is read here; every SOAP answer that is read is checked against the schemas on the way, ours and the
published ones.
"""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from lxml import etree

SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
XOP = "http://www.w3.org/2004/08/xop/include"
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
QUERY = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"
XDS = "urn:ihe:iti:xds-b:2007"
NS = {
    "s": SOAP12,
    "s11": SOAP11,
    "a": WSA,
    "x": XOP,
    "rim": RIM,
    "rs": RS,
    "lcm": LCM,
    "q": QUERY,
    "xds": XDS,
}

SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
SEVERITY = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"

_PROJECT = Path(__file__).parents[2]
_PUBLISHED = _PROJECT.parent / "shared" / "wsdl" / "schema" / "all.xsd"
NOT_AT_HAND = (
    "the published schemas are not beside the repository (../shared/wsdl): NOT CHECKED that the node's "
    "answers "
    "follow them, only that they follow ours"
)
#: 200 MB of base64 in one text need libxml2's limits lifted.
_parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)


def _schema(path: Path) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(path, etree.XMLParser(resolve_entities=False, no_network=True)))


SCHEMAS = {"ours": _schema(_PROJECT / "wsdl" / "schema" / "all.xsd")}
if _PUBLISHED.is_file():
    SCHEMAS["published"] = _schema(_PUBLISHED)


def element(data: bytes) -> etree._Element:
    """The root element of XML that a test made or the node sent."""
    return etree.fromstring(data, _parser)


@dataclass(frozen=True, slots=True)
class Error:
    """One rs:RegistryError; `rule` and `reference` are what its codeContext ends with."""

    code: str
    location: str
    rule: str
    reference: str
    context: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type alone."""
        return (self.headers["Content-Type"] or "").partition(";")[0].strip().lower()

    @property
    def mtom(self) -> bool:
        """Whether it came as multipart/related."""
        return self.content_type == "multipart/related"

    def parameter(self, name: str) -> str:
        """A quoted parameter of the Content-Type."""
        found = re.search(rf';\s*{re.escape(name)}="([^"]*)"', self.headers["Content-Type"] or "")
        assert found, f"{name} in {self.headers['Content-Type']}"
        return found[1]

    def parts(self) -> dict[str, tuple[dict[str, str], bytes]]:
        """The MIME parts in order, by Content-ID: their headers in lower case, and their bytes."""
        delimiter = b"\r\n--" + self.parameter("boundary").encode()
        pieces = (b"\r\n" + self.body).split(delimiter)
        assert (pieces[0], pieces[-1].strip()) == (b"", b"--"), "preamble or end of the multipart"
        parts = {}
        for piece in pieces[1:-1]:
            head, blank, content = piece.partition(b"\r\n\r\n")
            assert blank
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head.decode().strip().split("\r\n"))
            }
            parts[headers["content-id"].strip("<>")] = headers, content
        return parts

    def envelope(self) -> etree._Element:
        """The SOAP envelope, whatever it came in."""
        if self.mtom:
            headers, content = self.parts()[self.parameter("start").strip("<>")]
            assert headers["content-type"].startswith("application/xop+xml")
            return element(content)
        return element(self.body)

    @property
    def version(self) -> str:
        """The SOAP namespace of the envelope."""
        return etree.QName(self.envelope()).namespace or ""

    def header(self, name: str) -> str:
        """The text of a WS-Addressing header."""
        return self.envelope().findtext(f"{{*}}Header/{{{WSA}}}{name}", "")

    def content(self) -> etree._Element:
        """The Body's child, XOP put back in its place, valid by every schema at hand."""
        envelope = self.envelope()
        (content,) = envelope.find("{*}Body")
        parts = self.parts() if self.mtom else {}
        for include in list(content.iter(f"{{{XOP}}}Include")):
            parent = include.getparent()
            parent.remove(include)
            parent.text = base64.b64encode(parts[unquote(include.get("href")[4:])][1]).decode()
        if etree.QName(content).localname != "Fault":
            for whose, schema in SCHEMAS.items():
                assert schema.validate(content), f"by {whose} schema: {schema.error_log}"
        return content

    @property
    def fault(self) -> Fault:
        """The SOAP fault that it is."""
        return Fault(self.content(), self.envelope())

    @property
    def outcome(self) -> str:
        """@status of the RegistryResponse or AdhocQueryResponse, wherever it stands."""
        return self._response().get("status")

    def _response(self) -> etree._Element:
        content = self.content()
        return content if "status" in content.attrib else content.find(f"{{{RS}}}RegistryResponse")

    @property
    def errors(self) -> list[Error]:
        """The RegistryErrors in order."""
        found = []
        for each in self._response().iterfind("rs:RegistryErrorList/rs:RegistryError", NS):
            context = each.get("codeContext")
            end = re.search(r"\[([^;\[\]]+); reference ([0-9a-f]{12})\]$", context)
            assert end, f"a codeContext without rule and reference: {context}"
            assert (each.text, len(each)) == (None, 0), "the element is empty (ITI TF-3 4.2.4.1)"
            found.append(Error(each.get("errorCode"), each.get("location", ""), end[1], end[2], context))
        return found

    def documents(self) -> dict[str, bytes]:
        """DocumentUniqueId -> bytes of a RetrieveDocumentSetResponse."""
        return {
            each.findtext("xds:DocumentUniqueId", "", NS): base64.b64decode(
                each.findtext("xds:Document", "", NS)
            )
            for each in self.content().iterfind("xds:DocumentResponse", NS)
        }


class Fault:
    """A SOAP fault of either version, in the words of SOAP 1.2."""

    def __init__(self, content: etree._Element, envelope: etree._Element) -> None:
        namespace = etree.QName(envelope).namespace
        self.envelope = envelope
        assert content.tag == f"{{{namespace}}}Fault", content.tag
        if namespace == SOAP12:
            codes = [_qname(each) for each in content.iterfind(".//s:Value", NS)]
            self.code, self.subcodes = codes[0], codes[1:]
            self.reason = content.findtext("s:Reason/s:Text", "", NS)
            assert content.find("s:Reason/s:Text", NS).get("{http://www.w3.org/XML/1998/namespace}lang"), (
                "xml:lang is required (SOAP 1.2 part 1, 5.4.2.1)"
            )
        else:
            self.code, self.subcodes = _qname(content.find("faultcode")), []
            self.reason = content.findtext("faultstring", "")
        self.detail = content.find("{*}Detail") if namespace == SOAP12 else content.find("detail")
        reference = re.search(r"\(reference ([0-9a-f]{12})\)$", self.reason)
        assert reference, f"a fault without a reference number: {self.reason}"
        self.reference = reference[1]


def _qname(where: etree._Element) -> str:
    prefix, colon, name = (where.text or "").strip().rpartition(":")
    return f"{{{where.nsmap[prefix or None]}}}{name}" if colon or None in where.nsmap else name


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: where to, which Content-Type, which bytes; `chunked` as Axis2 does it."""

    path: str
    content_type: str | None
    body: bytes | Sequence[bytes]
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"
    chunked: bool = False


def send(node: object, request: Request, timeout: float = 60) -> Reply:
    """One request on a connection of its own. An answer that comes before all was sent is an answer all the
    same."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=timeout)
    try:
        connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        if request.content_type is not None:
            connection.putheader("Content-Type", request.content_type)
        pieces = [request.body] if isinstance(request.body, bytes) else request.body
        if request.chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif not any(name.lower() == "content-length" for name, _ in request.headers):
            connection.putheader("Content-Length", str(sum(map(len, pieces))))
        for name, value in request.headers:
            connection.putheader(name, value)
        connection.endheaders()
        try:
            for piece in _chunks(pieces) if request.chunked else pieces:
                connection.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def _chunks(pieces: Iterable[bytes]) -> Iterable[bytes]:
    for piece in pieces:
        if piece:
            yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"
