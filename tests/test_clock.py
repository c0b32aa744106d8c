"""The wall clock jumps an hour ahead and two back while a node works: nothing is lost, and no ticket is good
that is over.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS
from tests.gateway.region import HOME, Region
from tests.nodes import Node
from xds.demo.tickets import TicketService

HOUR = 3600


class Clock:
    """The node's; `at` is what it shows."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.put(0)

    def put(self, seconds: int) -> None:
        """So far ahead of the machine's; whole at every moment, as the node reads it."""
        new = self.file.with_name("new")
        new.write_text(str(seconds))
        os.replace(new, self.file)
        self._ahead = timedelta(seconds=seconds)

    @property
    def at(self) -> datetime:
        return datetime.now(UTC) + self._ahead


def test_a_clock_that_jumps_loses_nothing(
    tmp_path: Path, new_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submissions go on, keys stay distinct, the log's chain holds and all of it is shown, a ticket ends when
    the clock says so, and a sweep spares what is arriving.
    """
    clock = Clock(tmp_path)
    path = f"{Path(__file__).parent / 'clock'}{os.pathsep}{Path(__file__).parent.parent}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("TEST_CLOCK", str(clock.file))
    region = Region(TicketService(tmp_path / "tickets"), new_node, tmp_path)
    node = region.node(HOME, node__workers=2)
    documents: list[m.Document] = []

    def submit(ticket: str) -> str:
        document = m.Document()
        body = m.provide([document], m.inline([document]))
        reply = region.ask(node, "/xds/repository", "ITI-41", body, ticket=ticket)
        if b"ResponseStatusType:Success" not in reply.body:
            return "refused"
        documents.append(document)
        return SUCCESS

    first = region.ticket(now=clock.at)  # good for an hour
    assert [submit(first) for _ in range(5)] == [SUCCESS] * 5
    upload = begun(node)
    clock.put(HOUR + 600)
    assert submit(first) == "refused"
    assert "ticket-expired" in node.log.read_text()
    second = region.ticket(now=clock.at)
    assert [submit(second) for _ in range(5)] == [SUCCESS] * 5
    swept = node.command("sweep", "--all")
    assert swept.stdout == "Removed 0 unfinished and 0 unregistered documents, 0 bytes in all.\n", swept
    clock.put(-HOUR)
    assert submit(second) == "refused"  # it is not good yet
    third = region.ticket(now=clock.at)
    assert [submit(third) for _ in range(5)] == [SUCCESS] * 5
    clock.put(0)
    fourth = region.ticket(now=clock.at)
    assert [submit(fourth) for _ in range(5)] == [SUCCESS] * 5
    assert upload()

    found = region.ask(node, "/xds/registry", "ITI-18", m.find_documents(), ticket=fourth)
    ids = {each.get("id") for each in found.content().iter("{*}ExtrinsicObject")}
    assert len(documents) == 20
    assert len(ids) == 20
    for each in documents:
        asked = m.retrieve(each.unique_id, repository=f"{HOME}.2")
        got = region.ask(node, "/xds/repository", "ITI-43", asked, ticket=fourth)
        assert got.documents() == {each.unique_id: each.content}
    checked = node.command("log", "verify")
    assert checked.returncode == 0, checked
    # Pages of seven, though the last events were recorded ahead of the clock.
    events = region.log(node, _count="7")
    told = [each for each in events if "ITI-41" in str(each)]
    assert len(told) >= 22
    assert [each["recorded"] for each in events] == sorted(each["recorded"] for each in events)


def begun(node: Node) -> Callable[[], bool]:
    """Half a document on its way; called, it sends the rest, and says whether the node has answered."""
    request = m.mtom([m.Document(content=bytes(400_000))])
    body = request.body if isinstance(request.body, bytes) else b"".join(request.body)
    connection = socket.create_connection(("127.0.0.1", node.port))
    head = f"POST {request.path} HTTP/1.1\r\nHost: n\r\nContent-Type: {request.content_type}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:200_000])

    def rest() -> bool:
        with connection:
            for start in range(200_000, len(body), 50_000):
                connection.sendall(body[start : start + 50_000])
            connection.settimeout(30)
            return connection.recv(65536).startswith(b"HTTP/1.1 ")

    return rest
