"""Peers whose every byte a test chooses, for the SOAP client: raw sockets, with TLS or without, in threads.

They use nothing of ours, so that a fault of the client is not repeated here.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
XOP_TYPE = "application/xop+xml"
_MESSAGE_ID = re.compile(rb"MessageID[^>]*>([^<]+)<")


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    head: bytes
    body: bytes

    @property
    def message_id(self) -> str:
        """Its wsa:MessageID."""
        found = _MESSAGE_ID.search(self.body)
        return found[1].decode() if found else ""


def envelope(request: Request, body: str = "<t:Done xmlns:t='urn:test'/>") -> bytes:
    """An answer to it."""
    return (
        f'<s:Envelope xmlns:s="{SOAP12}" xmlns:a="{WSA}"><s:Header><a:Action>urn:answer</a:Action>'
        f"<a:RelatesTo>{request.message_id}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def fault(code: str = "a:DestinationUnreachable") -> str:
    """A SOAP 1.2 fault with this subcode."""
    return (
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{code}</s:Value></s:Subcode></s:Code>"
        '<s:Reason><s:Text xml:lang="en">No such place.</s:Text></s:Reason></s:Fault>'
    )


def http(
    body: bytes, *fields: str, status: str = "200 OK", content_type: str = "application/soap+xml"
) -> bytes:
    """An answer with a Content-Length."""
    named = [*fields, *([f"Content-Type: {content_type}"] if content_type else [])]
    lines = [f"HTTP/1.1 {status}", *named, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Connection:
    """One that the client opened, from the side of the peer."""

    def __init__(self, peer: Peer, sock: socket.socket, number: int) -> None:
        self.peer = peer
        self.socket = sock
        #: 1 for the first connection of the peer.
        self.number = number
        self._data = b""

    def request(self) -> Request | None:
        """The next one; None when the client has hung up."""
        while b"\r\n\r\n" not in self._data:
            if not (piece := self.socket.recv(65_536)):
                return None
            self._data += piece
        head, _, body = self._data.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        size = int(found[1]) if found else 0
        pieces, missing = [body], size - len(body)
        while missing > 0:
            if not (piece := self.socket.recv(65_536)):
                return None
            pieces.append(piece)
            missing -= len(piece)
        body = b"".join(pieces)
        self._data = body[size:]
        request = Request(head, body[:size])
        self.peer.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        """All of it at once."""
        self.socket.sendall(data)

    def drip(self, data: bytes, pause: float = 0.05) -> None:
        """Byte for byte, for as long as the peer runs."""
        for byte in data:
            if self.peer.over.wait(pause):
                return
            self.socket.sendall(bytes([byte]))

    def reset(self) -> None:
        """Hang up, so that what the client sends next is answered with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


Serve = Callable[[Connection], None]


class Peer:
    """A server on a free port: each connection is given to `serve`, on a thread of its own."""

    def __init__(self, serve: Serve, context: ssl.SSLContext | None = None) -> None:
        self._serve = serve
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://localhost:{self.port}/soap"
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            connection = Connection(self, sock, len(self.connections) + 1)
            self.connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: Connection) -> None:
        with suppress(OSError):
            if self._context is not None:
                connection.socket = self._context.wrap_socket(connection.socket, server_side=True)
            self._serve(connection)
        connection.socket.close()

    def __enter__(self) -> Peer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for sock in (self._socket, *(connection.socket for connection in self.connections)):
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        self._socket.close()


def answering(connection: Connection) -> None:
    """Well, any number of times."""
    while (request := connection.request()) is not None:
        connection.send(http(envelope(request)))


def saying(data: bytes | Callable[[Request], bytes]) -> Serve:
    """The same bytes to each request, or what a function makes of it."""

    def serve(connection: Connection) -> None:
        while (request := connection.request()) is not None:
            connection.send(data if isinstance(data, bytes) else data(request))

    return serve


class Dripping:
    """A relay in front of a port that hands on what the client sends at once, and answers byte for byte."""

    def __init__(self, port: int, pause: float) -> None:
        self._port = port
        self._pause = pause
        self._peer = Peer(self._relay)
        self.port = self._peer.port

    def _relay(self, connection: Connection) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as onward:
            there = threading.Thread(target=self._hand_on, args=(connection.socket, onward))
            there.start()
            with suppress(OSError):
                while data := onward.recv(4096):
                    for byte in data:
                        connection.socket.sendall(bytes([byte]))
                        time.sleep(self._pause)
            for sock in (onward, connection.socket):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            there.join()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Dripping:
        self._peer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.__exit__()
