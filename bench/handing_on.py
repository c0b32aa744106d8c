"""How quickly events of the access log are handed on: from the outbox to a FHIR receiver on this machine.

bench/__main__.py calls `events_per_second`. The receiver is a process of its own that reads each request and
says 201 (`python -m bench.handing_on`), so that what is measured is the node's part, on all its threads.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from xds.audit.delivery import Delivery
from xds.audit.event import Node, entry
from xds.audit.facts import Context, Deed
from xds.audit.outbox import waiting
from xds.audit.receivers import FhirReceiver
from xds.audit.store import AuditLog
from xds.store.database import Database

EVENTS: Final = 10_000
PATIENTS: Final = 1_500
_TOGETHER: Final = 500
_ANSWER: Final = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_LENGTH: Final = re.compile(rb"(?i)content-length: (\d+)")
_NODE: Final = Node("bench", "urn:oid:2.16.578.1.12.4.5.100.1.1.2", "http://127.0.0.1:8080")


def events_per_second(folder: Path) -> float:
    """Of 10,000 events of 1,500 patients, which all wait at the start."""
    database = Database(f"sqlite:///{folder / 'handing_on.db'}")
    database.migrate()
    _fill(database)
    command = [sys.executable, "-m", "bench.handing_on"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            delivery = Delivery(database, [FhirReceiver(f"http://127.0.0.1:{port}", None, 10)])
            start = time.perf_counter()
            delivery.start()
            while _left(database):
                time.sleep(0.05)
            seconds = time.perf_counter() - start
            delivery.close()
        finally:
            server.kill()
    database.close()
    return EVENTS / seconds


def _fill(database: Database) -> None:
    log = AuditLog(database, _NODE.name, ["fhir"])
    context = Context(endpoint="/xds/registry", number="ITI-18")
    known = [
        entry(_NODE, context, Deed(patient=f"{number:011}^^^&2.16.578.1.12.4.1.4.1&ISO"))
        for number in range(PATIENTS)
    ]
    for start in range(0, EVENTS, _TOGETHER):
        with database.write() as connection:
            log.add(connection, [known[i % PATIENTS] for i in range(start, start + _TOGETHER)])


def _left(database: Database) -> int:
    with database.read() as connection:
        return sum(each.waiting for each in waiting(connection))


def _serve() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_take, args=(connection,), daemon=True).start()


def _take(connection: socket.socket) -> None:
    buffer = b""
    with connection:
        while data := connection.recv(65536):
            buffer += data
            head, end, body = buffer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if end and length and len(body) >= int(length[1]):
                buffer = body[int(length[1]) :]
                connection.sendall(_ANSWER)


if __name__ == "__main__":
    _serve()
