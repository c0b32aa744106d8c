"""A node with a patient feed, used from outside: what a source sends, and what a registry user then sees."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Sequence

from tests.blackbox import messages as m
from tests.blackbox.wire import LCM, RIM, SUCCESS, Reply, send
from tests.nodes import Node

#: The authority whose ids the node's feed announces, and one it does not know.
OURS, STRANGE = "1.3.6.1.4.1.21367.13.20.3000", "1.3.6.1.4.1.21367.13.20.9999"
START, END = b"\x0b", b"\x1c\r"

_numbers = itertools.count()


def new_id() -> str:
    """A patient's id that nobody has used."""
    return f"P{os.getpid()}x{next(_numbers)}"


def cx(id: str, authority: str = OURS) -> str:
    """The id as metadata have it."""
    return f"{id}^^^&{authority}&ISO"


def v2(event: str, *segments: str, control: str = "42", charset: str = "", kind: str = "ADT") -> bytes:
    """A message of HL7 v2.3.1 as a hospital's system sends it."""
    tail = f"||||||{charset}" if charset else ""
    return "".join(
        f"{segment}\r"
        for segment in (
            f"MSH|^~\\&|PAS|Sykehuset|XDS|Region|20261120103000||{kind}^{event}|{control}|P|2.3.1{tail}",
            f"EVN|{event}|20261120103000",
            *segments,
        )
    ).encode("latin-1")


def pid(*ids: str) -> str:
    """A PID segment with these ids, written as CX with a namespace."""
    return f"PID|||{'~'.join(ids)}||Kvakkelund^Tuva||19550517|F"


def v2_id(id: str, authority: str = OURS) -> str:
    return f"{id}^^^Sykehuset&{authority}&ISO^PI"


class Mllp:
    """A sender's connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._rest = b""

    def __enter__(self) -> Mllp:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, message: bytes) -> list[list[str]]:
        """The segments of the answer, as lists of fields, counted as HL7 counts (but for MSH, one less)."""
        self._socket.sendall(START + message + END)
        return self.answer()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self) -> list[list[str]]:
        while END not in self._rest:
            data = self._socket.recv(65536)
            assert data, "hung up"
            self._rest += data
        message, _, self._rest = self._rest.partition(END)
        assert message.startswith(START)
        assert message.endswith(b"\r")
        return [segment.split("|") for segment in message[1:-1].decode("latin-1").split("\r")]


def register(node: Node, patient: str) -> Reply:
    """Register one document for a patient (ITI-42)."""
    objects = m.object_list([m.Document(patient=patient)], patient=patient)
    body = (
        f'<lcm:SubmitObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}">{objects}</lcm:SubmitObjectsRequest>'
    )
    return send(node, m.plain(body, "ITI-42"))


def is_known(node: Node, patient: str) -> bool:
    """Whether documents are registered for the patient; otherwise because it is unknown."""
    reply = register(node, patient)
    if reply.outcome == SUCCESS:
        return True
    assert [error.code for error in reply.errors] == ["XDSUnknownPatientId"]
    assert patient.partition("^")[0] not in reply.body.decode()
    return False


def shown(node: Node, patient: str) -> Sequence[str]:
    """The patient id of each document that is found under an id (ITI-18)."""
    reply = send(node, m.plain(m.find_documents(patient), "ITI-18"))
    assert reply.outcome == SUCCESS
    return reply.content().xpath(
        "//*[local-name()='ExternalIdentifier'][*//@value='XDSDocumentEntry.patientId']/@value"
    )
