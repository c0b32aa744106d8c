"""What spyne 2.14.0 can and cannot do for an XDS node, beside xds.transport.

The figures of docs/decisions/0001-soap-layer-not-spyne.md. Run by hand, from the repository's root, in an
environment of its own; spyne is no dependency of this project and no test needs this script:

    python3.11 -m venv /tmp/soap-layer
    /tmp/soap-layer/bin/pip install spyne==2.14.0 falcon==4.4.0 lxml==6.1.3 python-multipart==0.0.34
    PYTHONPATH=. /tmp/soap-layer/bin/python bench/decisions/soap_layer.py

The same with python3.12 or later shows the import. Takes about a minute and 1 GB of memory.
"""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
XOP = "http://www.w3.org/2004/08/xop/include"
SPACE = "urn:bench"
MIB = 1024 * 1024
BOUNDARY = "bench-boundary"


def envelope(body: str, soap: str = SOAP12, action: str = "urn:bench:call") -> bytes:
    return (
        f'<s:Envelope xmlns:s="{soap}" xmlns:a="{WSA}"><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>urn:uuid:11111111-1111-4111-8111-111111111111</a:MessageID></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def xop(cid: str) -> str:
    return (
        f'<b:store xmlns:b="{SPACE}"><b:data><x:Include xmlns:x="{XOP}" href="cid:{cid}"/></b:data></b:store>'
    )


def part(content_id: str, kind: str) -> bytes:
    return (
        f"\r\n--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <{content_id}>\r\n\r\n"
    ).encode()


def multipart(
    root: bytes, document: bytes, content_id: str, *, inner: str, root_last: bool = False
) -> tuple[str, bytes]:
    """Content-Type and body of an MTOM message with one document."""
    kind = (
        f'multipart/related; type="application/xop+xml"; boundary="{BOUNDARY}"; start="<root@bench>";'
        f' start-info="{inner}"'
    )
    first = part("root@bench", f'application/xop+xml; charset=UTF-8; type="{inner}"') + root
    second = part(content_id, "application/octet-stream") + document
    pieces = (second, first) if root_last else (first, second)
    return kind, b"".join(pieces) + f"\r\n--{BOUNDARY}--\r\n".encode()


class Zeros:
    """A request body with one large part, made while it is read."""

    def __init__(self, before: bytes, size: int, after: bytes) -> None:
        self.size = len(before) + size + len(after)
        self._chunks = self._make(before, size, after)
        self._rest = b""

    @staticmethod
    def _make(before: bytes, size: int, after: bytes) -> Iterator[bytes]:
        yield before
        for _ in range(size // MIB):
            yield bytes(MIB)
        yield after

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def post(
    app: Any, kind: str, body: bytes | Zeros, length: int | None = None
) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body of a WSGI application's answer."""
    stream = io.BytesIO(body) if isinstance(body, bytes) else body
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/soap",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body) if isinstance(body, bytes) else body.size),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": stream,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    got: list[Any] = []
    answer = app(environ, lambda status, headers, *_: got.append((status, dict(headers))))
    data = b"".join(answer)
    if close := getattr(answer, "close", None):
        close()
    return got[-1][0], got[-1][1], data


def spyne_app(version: str = "1.2") -> Any:
    """A service with an empty call, one that takes bytes, and one that answers bytes as MTOM.

    With huge_tree, as a part is put into the XML as text, and libxml2 refuses texts of 10 million characters.
    """
    from spyne import Application, ByteArray, Integer, ServiceBase, rpc
    from spyne.protocol.soap import Soap11, Soap12
    from spyne.server.wsgi import WsgiApplication

    class Service(ServiceBase):
        @rpc(_returns=Integer)
        def call(ctx: Any) -> int:
            return 0

        @rpc(ByteArray, _returns=Integer)
        def store(ctx: Any, data: Any) -> int:
            return sum(len(chunk) for chunk in data)

        @rpc(_returns=ByteArray, _mtom=True)
        def fetch(ctx: Any) -> Any:
            return [b"\x00\xff document"]

    protocol = {"1.1": Soap11, "1.2": Soap12}[version]
    application = Application([Service], SPACE, in_protocol=protocol(huge_tree=True), out_protocol=protocol())
    return WsgiApplication(application, max_content_length=2**31)


def xds_app(folder: Path) -> Any:
    """The same with xds.transport: what a message has in its elements is counted."""
    import falcon

    from xds.transport.endpoint import SoapEndpoint
    from xds.transport.limits import Limits
    from xds.transport.message import Answer, Message
    from xds.transport.staged import StagingFolder

    def handle(message: Message) -> tuple[Answer, bool]:
        size = sum(message.content(element).size for element in message.body)
        return Answer("urn:bench:answer", (f'<r xmlns="{SPACE}">{size}</r>'.encode(),)), False

    app = falcon.App()
    app.add_route(
        "/soap", SoapEndpoint(lambda message, _: handle(message), Nobody, Limits(), StagingFolder(folder))
    )
    return app


class Nobody:
    """Tells nobody how a request ended."""

    def __init__(self, req: object) -> None:
        pass

    def fault(self, reason: str, reference: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def attempt(name: str, run: Callable[[], object]) -> None:
    try:
        said = run()
    except Exception as error:
        said = f"RAISES {type(error).__name__}: {error}"
    print(f"  {name:<58} {str(said)[:330]}")


def outcome(app: Any, kind: str, body: bytes) -> str:
    status, _, data = post(app, kind, body)
    text = re.sub("<[^>]*>", " ", data.decode(errors="replace"))
    return f"{status}: {' '.join(text.split())}"


def two_actions(service: Any) -> str:
    """What a service answers to two requests that differ in wsa:Action only, as ITI-18 and ITI-51 do."""
    from spyne import Application
    from spyne.protocol.soap import Soap12
    from spyne.server.wsgi import WsgiApplication

    app = WsgiApplication(Application([service], SPACE, in_protocol=Soap12(), out_protocol=Soap12()))
    body = f'<b:AdhocQueryRequest xmlns:b="{SPACE}"/>'
    actions = ("urn:ihe:iti:2007:RegistryStoredQuery", "urn:ihe:iti:2009:MultiPatientStoredQuery")
    return " / ".join(
        outcome(app, "application/soap+xml", envelope(body, action=action)) for action in actions
    )


def wrapped() -> str:
    from spyne import Integer, ServiceBase, rpc

    class Service(ServiceBase):
        @rpc(_in_message_name="AdhocQueryRequest", _returns=Integer)
        def registry_stored_query(ctx: Any) -> int:
            return 18

        @rpc(_in_message_name="AdhocQueryRequest", _returns=Integer)
        def multi_patient_stored_query(ctx: Any) -> int:
            return 51

    return two_actions(Service)


def bare() -> str:
    from spyne import ComplexModel, Integer, ServiceBase, Unicode, rpc

    class AdhocQueryRequest(ComplexModel):
        __namespace__ = SPACE
        text = Unicode

    how = {"_in_message_name": "AdhocQueryRequest", "_returns": Integer, "_body_style": "bare"}

    class Service(ServiceBase):
        @rpc(AdhocQueryRequest, **how)
        def registry_stored_query(ctx: Any, query: Any) -> int:
            return 18

        @rpc(AdhocQueryRequest, **how)
        def multi_patient_stored_query(ctx: Any, query: Any) -> int:
            return 51

    return two_actions(Service)


def microseconds(run: Callable[[], object], calls: int = 3000) -> float:
    """The best of five rounds, per call."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(calls):
            run()
        best = min(best, (time.perf_counter() - began) / calls)
    return best * 1e6


def speed() -> None:
    from xds.transport.limits import Limits
    from xds.transport.message import Answer, read_message, write_answer
    from xds.transport.staged import StagingFolder

    body = envelope(f'<b:call xmlns:b="{SPACE}"/>')
    with tempfile.TemporaryDirectory() as folder:
        staging, limits = StagingFolder(Path(folder)), Limits()
        answer = Answer("urn:bench:answer", (f'<r xmlns="{SPACE}">0</r>'.encode(),))

        def layer() -> None:
            message = read_message(io.BytesIO(body), "application/soap+xml", limits, staging)
            write_answer(answer, message, False)

        theirs, ours = spyne_app(), xds_app(Path(folder))
        assert post(theirs, "application/soap+xml", body)[0].startswith("200")
        assert post(ours, "application/soap+xml", body)[0].startswith("200")
        rows = {
            "spyne, WsgiApplication": lambda: post(theirs, "application/soap+xml", body),
            "xds, Falcon with SoapEndpoint": lambda: post(ours, "application/soap+xml", body),
            "xds, read_message + write_answer": layer,
        }
        for name, run in rows.items():
            print(f"  {name:<58} {microseconds(run):.0f} µs")


def resident(field: str) -> int:
    """A figure of this process in KiB: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def memory(which: str, megabytes: int) -> None:
    """Print by how much one MTOM request makes the process's largest resident size grow, in MiB (Linux)."""
    inner = "text/xml" if which == "spyne11" else "application/soap+xml"
    root = envelope(xop("doc@bench"), SOAP11 if which == "spyne11" else SOAP12)
    kind, whole = multipart(root, b"@@", "doc@bench", inner=inner)
    before, _, after = whole.rpartition(b"@@")
    with tempfile.TemporaryDirectory() as folder:
        app = xds_app(Path(folder)) if which == "xds" else spyne_app("1.1" if which == "spyne11" else "1.2")
        post(app, kind, whole)
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the largest size counts from here
        start = resident("VmRSS")
        status, _, data = post(app, kind, Zeros(before, megabytes * MIB, after))
        grown = (resident("VmHWM") - start) / 1024
    counted = str(megabytes * MIB).encode() in data
    print(f"{grown:.0f} MiB ({status}, bytes counted right: {counted})")


def mtom(version: str) -> None:
    """Documents in and out, in the forms that senders use."""
    inner, soap = {"1.1": ("text/xml", SOAP11), "1.2": ("application/soap+xml", SOAP12)}[version]
    app, document = spyne_app(version), b"\x00\xff\r\n document"
    root, encoded = envelope(xop("doc@bench"), soap), envelope(xop("doc%40bench"), soap)

    def send(root: bytes, **how: Any) -> str:
        return outcome(app, *multipart(root, document, "doc@bench", inner=inner, **how))

    attempt(f"SOAP {version} with MTOM, {len(document)} bytes", lambda: send(root))
    attempt(f"SOAP {version} with MTOM, root part last", lambda: send(root, root_last=True))
    attempt(f"SOAP {version} with MTOM, percent-encoded cid", lambda: send(encoded))
    fetch = envelope(f'<b:fetch xmlns:b="{SPACE}"/>', soap)
    attempt(f"SOAP {version}, answer as MTOM (_mtom=True)", lambda: outcome(app, inner, fetch))


def main() -> None:
    print(f"Python {sys.version.split()[0]}")
    try:
        import spyne
        from spyne.protocol.soap import Soap12  # noqa: F401
    except ImportError as error:
        print(f"  import spyne: RAISES {type(error).__name__}: {error}")
        return
    print(f"  import spyne: {spyne.__version__}")
    call, soap12 = f'<b:call xmlns:b="{SPACE}"/>', "application/soap+xml"
    print("SOAP and MTOM")
    attempt(
        "SOAP 1.2, plain", lambda: outcome(spyne_app(), "application/soap+xml; charset=utf-8", envelope(call))
    )
    attempt(
        "SOAP 1.1 message to a SOAP 1.2 service",
        lambda: outcome(spyne_app(), "text/xml; charset=utf-8", envelope(call, SOAP11)),
    )
    attempt(
        "mustUnderstand header nobody knows (must be a fault)",
        lambda: outcome(
            spyne_app(),
            soap12,
            envelope(call).replace(
                b"<a:MessageID>", b'<u:x xmlns:u="urn:u" s:mustUnderstand="1"/><a:MessageID>'
            ),
        ),
    )
    for version in ("1.1", "1.2"):
        mtom(version)
    print("Dispatch")
    attempt("two operations with one root element, wrapped", wrapped)
    attempt("two operations with one root element, bare, one type", bare)
    print("Memory: growth of the largest resident size by one request")
    for which in ("spyne11", "spyne12", "xds"):
        for size in (16, 64):
            done = subprocess.run(
                [sys.executable, __file__, "memory", which, str(size)],
                capture_output=True,
                text=True,
                check=False,
            )
            said = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
            print(f"  {which}, part of {size} MiB{'':<39}"[:60], said)
    print("An empty call in process, best of five rounds")
    speed()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    if sys.argv[1:2] == ["memory"]:
        memory(sys.argv[2], int(sys.argv[3]))
    else:
        main()
