"""SIGTERM while a node is at work: what has begun is finished, what comes later refused, and it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.blackbox import messages as m
from tests.blackbox.state import staged
from tests.blackbox.wire import SUCCESS, Request, send
from tests.nodes import Node


def sent(node: Node, request: Request, most: int | None = None) -> tuple[socket.socket, bytes]:
    """A connection on which a request, or its first `most` bytes, was sent; and the rest of it."""
    body = request.body if isinstance(request.body, bytes) else b"".join(request.body)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.connect(("127.0.0.1", node.port))
    connection.settimeout(60)
    head = f"POST {request.path} HTTP/1.1\r\nHost: n\r\nContent-Type: {request.content_type}\r\n"
    connection.sendall(
        f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body[:most]
    )
    return connection, b"" if most is None else body[most:]


def everything(connection: socket.socket) -> bytes:
    """Slowly, what comes until the end."""
    found = bytearray()
    while data := connection.recv(500_000):
        found += data
        time.sleep(0.02)
    return bytes(found)


def told_to_end(node: Node) -> psutil.Process:
    """The parent, which SIGTERM was sent to and whose door is shut."""
    parent = psutil.Process(node.pid)
    parent.terminate()
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", node.port)).close()
        except ConnectionRefusedError:
            return parent
        assert time.monotonic() < deadline, "it still listens"
        time.sleep(0.05)


def test_transfers_that_have_begun_are_finished(tmp_path: Path) -> None:
    """A slow upload is stored and answered, a slow download comes whole, an idle connection is closed, and
    the parent ends with status 0; nothing is left in staging.
    """
    node = Node(tmp_path, node__workers=2)
    node.start()
    try:
        large, new = m.Document(content=os.urandom(20_000_000)), m.Document(content=os.urandom(400_000))
        assert send(node, m.mtom([large])).outcome == SUCCESS
        upload, rest = sent(node, m.mtom([new]), 200_000)
        download, _ = sent(node, m.mtom_retrieve(large.unique_id))
        begun = download.recv(10)
        idle = socket.create_connection(("127.0.0.1", node.port))
        idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: n\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200 OK")
        parent = told_to_end(node)
        idle.settimeout(20)
        assert idle.recv(1000) == b""
        for start in range(0, len(rest), 50_000):
            upload.sendall(rest[start : start + 50_000])
            time.sleep(0.2)
        answer = everything(upload)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"ResponseStatusType:Success" in answer
        assert large.content in begun + everything(download)
        assert parent.wait(30) == 0
        assert staged(node) == []
        for each in (upload, download, idle):
            each.close()
        node.kill()
        node.start()
        assert send(node, m.mtom_retrieve(new.unique_id)).documents() == {new.unique_id: new.content}
    finally:
        node.stop()


def test_a_sender_that_does_not_repeat_knows_what_was_done(tmp_path: Path) -> None:
    """Under load each request is answered whole or not at all; every answer holds after the restart, and no
    request is answered with an error.
    """
    node = Node(tmp_path, node__workers=2)
    node.start()
    try:
        acknowledged: list[m.Document] = []
        others: list[object] = []

        def submit() -> None:
            while True:
                document = m.Document()
                try:
                    reply = send(node, m.mtom([document]))
                except (OSError, http.client.HTTPException) as error:
                    others.append(error)
                    if isinstance(error, ConnectionRefusedError):
                        return
                    continue
                if reply.status == 200 and reply.outcome == SUCCESS:
                    acknowledged.append(document)
                else:
                    others.append(reply)

        threads = [threading.Thread(target=submit) for _ in range(6)]
        for each in threads:
            each.start()
        deadline = time.monotonic() + 60
        while len(acknowledged) < 30:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert told_to_end(node).wait(30) == 0
        for each in threads:
            each.join()
        # Refused, or closed before it was taken: never half an answer, which is no BadStatusLine.
        assert {type(each) for each in others} <= {
            ConnectionRefusedError,
            ConnectionResetError,
            http.client.RemoteDisconnected,
        }
        node.kill()
        node.start()
        for document in acknowledged:
            found = send(node, m.mtom_retrieve(document.unique_id)).documents()
            assert found == {document.unique_id: document.content}
        verified: subprocess.CompletedProcess[str] = node.command("log", "verify")
        assert verified.returncode == 0, verified
        assert node.errors() == ""
    finally:
        node.stop()


def test_a_node_whose_workers_are_still_starting_ends(tmp_path: Path) -> None:
    """The first worker answers, and the others are about to: those go too."""
    node = Node(tmp_path, node__workers=8)
    node.start()
    try:
        assert told_to_end(node).wait(30) == 0
    finally:
        node.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_told_to_end_at_once_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Told when its folder of counts has just been made, before the server can be told: the folder goes."""
    node = Node(tmp_path / "node")
    (tmp_path / "node").mkdir()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        # Ctrl-C may be ignored where the tests run in the background, and that is inherited.
        ["env", "--default-signal", sys.executable, "-m", "xds.cli", "serve"],
        env=node.environment | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 60
        while not list(temporary.glob("xds-metrics-*")):
            assert time.monotonic() < deadline
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode in (0, 128 + number)
    assert b"Traceback" not in told
    assert list(temporary.iterdir()) == []
