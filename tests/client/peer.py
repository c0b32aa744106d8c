"""A registry and repository of somebody else's that answers as it is told: well, badly, or not at all.

It speaks HTTP and SOAP by itself, with nothing of ours, in a thread on a free port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
_RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
_ENVELOPE = """<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header><a:Action>urn:answer</a:Action>
 <a:RelatesTo>{relates_to}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"""


def registry_response(status: str, errors: str = "") -> str:
    """rs:RegistryResponse with the XML of its errors."""
    listed = f"<rs:RegistryErrorList>{errors}</rs:RegistryErrorList>" if errors else ""
    return f'<rs:RegistryResponse xmlns:rs="{_RS}" status="{status}">{listed}</rs:RegistryResponse>'


def queried(status: str, errors: str = "") -> str:
    """query:AdhocQueryResponse without objects."""
    listed = f'<rs:RegistryErrorList xmlns:rs="{_RS}">{errors}</rs:RegistryErrorList>' if errors else ""
    return (
        '<query:AdhocQueryResponse xmlns:query="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"'
        f' status="{status}">{listed}'
        '<rim:RegistryObjectList xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"/>'
        "</query:AdhocQueryResponse>"
    )


def error(code: str, context: str, location: str = "") -> str:
    """rs:RegistryError; the texts are XML already."""
    return (
        f'<rs:RegistryError errorCode="{code}" codeContext="{context}" location="{location}"'
        ' severity="urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"/>'
    )


def retrieved(status: str, *documents: tuple[str, str, str], errors: str = "") -> str:
    """A RetrieveDocumentSetResponse; each document is repository, uniqueId and base64 text."""
    responses = "".join(
        f"<DocumentResponse><RepositoryUniqueId>{repository}</RepositoryUniqueId>"
        f"<DocumentUniqueId>{document}</DocumentUniqueId><mimeType>text/plain</mimeType>"
        f"<Document>{content}</Document></DocumentResponse>"
        for repository, document, content in documents
    )
    return (
        '<RetrieveDocumentSetResponse xmlns="urn:ihe:iti:xds-b:2007">'
        f"{registry_response(status, errors)}{responses}</RetrieveDocumentSetResponse>"
    )


@dataclass
class Peer:
    """What it answers to every request, and what it was asked. No body means that it hangs up."""

    url: str = ""
    body: str | None = None
    status: int = 200
    content_type: str = "application/soap+xml; charset=utf-8"
    enveloped: bool = True
    asked: list[bytes] = field(default_factory=list)


@contextmanager
def running() -> Iterator[Peer]:
    """A peer that answers until the block is left."""
    peer = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            peer.asked.append(request)
            if peer.body is None:
                self.close_connection = True
                return
            message_id = re.search(rb"MessageID[^>]*>([^<]+)<", request)
            relates_to = message_id[1].decode() if message_id else ""
            text = _ENVELOPE.format(relates_to=relates_to, body=peer.body) if peer.enveloped else peer.body
            data = text.encode()
            self.send_response(peer.status)
            self.send_header("Content-Type", peer.content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at what the client says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    peer.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield peer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
