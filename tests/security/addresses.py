"""An issuer's address on this machine: a small HTTP server whose answers a test sets, and which counts."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.ports import free_port


class Address:
    """`answer` is what GET answers; `status`, `headers`, `delay` in seconds and `drip` are how."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.status = 200
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.drip: Callable[[Any], None] | None = None
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def serving(answer: bytes = b"", tls: ssl.SSLContext | None = None) -> Iterator[Address]:
    """Runs until the end of the block; over TLS when there is a context."""
    address = Address(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address.asked.append(self.path)
            time.sleep(address.delay)
            with suppress(OSError):
                if address.drip is not None:
                    address.drip(self.wfile)
                    return
                self.send_response(address.status)
                for header, value in address.headers.items():
                    self.send_header(header, value)
                self.send_header("Content-Length", str(len(address.answer)))
                self.end_headers()
                self.wfile.write(address.answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    address.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/keys"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def unused_url() -> str:
    """An address where nobody answers."""
    return f"http://127.0.0.1:{free_port()}/keys"
