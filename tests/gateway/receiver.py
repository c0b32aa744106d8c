"""Whoever waits at the address in wsa:ReplyTo: takes what is sent there, refuses it, or is silent.

`Receiver` listens on 127.0.0.1 in threads of the test, counts every connection that anybody makes, and can go
away and come back at its port. Nothing of the package under test is used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.blackbox.wire import Reply
from tests.ports import free_port

FAULT = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>'
    "<a:Action>http://www.w3.org/2005/08/addressing/fault</a:Action></s:Header><s:Body><s:Fault><s:Code>"
    "<s:Value>s:{code}</s:Value>{subcode}</s:Code><s:Reason>"
    '<s:Text xml:lang="en">no</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>'
)
UNKNOWN = "<s:Subcode><s:Value>a:InvalidAddressingHeader</s:Value></s:Subcode>"


class Receiver:
    """`taken` are the messages that came, each as wire.Reply; `connections` counts all that were made.

    `status` and `body` are what it answers from now on; `silent` is for how many seconds it says nothing.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/replies"
        self.taken: list[Reply] = []
        self.connections = 0
        self.status, self.body, self.silent = 202, b"", 0.0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Receiver:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.taken.append(Reply(0, self.headers, body))
                time.sleep(receiver.silent)
                self.send_response(receiver.status)
                self.send_header("Content-Type", "application/soap+xml")
                self.send_header("Content-Length", str(len(receiver.body)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(receiver.body)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):  # type: ignore[no-untyped-def]
                receiver.connections += 1
                return super().get_request()

            def handle_error(self, *_: object) -> None:
                """Whoever hangs up does so."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Go away; the port answers nobody."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def forget(self) -> None:
        """Be as new."""
        self.taken.clear()
        self.connections = 0
        self.status, self.body, self.silent = 202, b"", 0.0

    def refuse(self, code: str = "Sender", subcode: str = UNKNOWN) -> None:
        """Answer with a SOAP fault."""
        self.status, self.body = 500, FAULT.format(code=code, subcode=subcode).encode()

    def wait(self, number: int = 1, seconds: float = 15) -> list[Reply]:
        """The messages, when so many have come."""
        until(lambda: len(self.taken) >= number, seconds)
        return self.taken


def until(happens: Callable[[], object], seconds: float = 15) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
