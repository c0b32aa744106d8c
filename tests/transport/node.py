"""A tiny node for the streaming tests: `urn:test:echo` gives documents back, `urn:test:drop` counts them.

Started by the tests with Granian; it speaks only the transport, so nothing of the registry is needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import falcon
import psutil
import urllib3

from xds.errors import Fault, FaultCode
from xds.transport.addressing import WSA
from xds.transport.endpoint import SoapEndpoint, plain_errors
from xds.transport.limits import Limits
from xds.transport.message import Answer, Attachment, Message, MissingPart
from xds.transport.staged import Staged, StagingFolder
from xds.transport.wsdl import Description, Schemas

CHUNK = 256 * 1024
SPACE = "urn:test"


def attachment(staged: Staged) -> Attachment:
    """The staged bytes as an attachment."""

    def chunks() -> Iterator[bytes]:
        with staged.open() as file:
            while data := file.read(CHUNK):
                yield data

    return Attachment("application/octet-stream", staged.size, chunks)


def handle(message: Message) -> tuple[Answer, bool]:
    """Echo documents, count them, or fail on purpose."""
    documents = message.body.findall(f"{{{SPACE}}}Document")
    if message.action == "urn:test:echo":
        try:
            staged = [message.content(document) for document in documents]
        except MissingPart:
            raise Fault(FaultCode.SENDER, "missing part") from None
        body: list[bytes | Attachment] = [b'<Echo xmlns="urn:test">']
        for one in staged:
            body += [b"<Document>", attachment(one), b"</Document>"]
        return Answer("urn:test:echoResponse", (*body, b"</Echo>")), message.mtom
    if message.action == "urn:test:drop":
        sizes = " ".join(str(message.content(document).size) for document in documents)
        return Answer("urn:test:dropResponse", (f'<Sizes xmlns="urn:test">{sizes}</Sizes>'.encode(),)), False
    if message.action == "urn:test:crash":
        raise ValueError("a secret value")
    if message.action == "urn:test:break":
        short = Attachment("text/plain", 10_000_000, lambda: iter([b"x" * 70_000]))
        return Answer(
            "urn:test:breakResponse", (b'<Echo xmlns="urn:test"><Document>', short, b"</Document></Echo>")
        ), True
    raise Fault(
        FaultCode.SENDER, "The wsa:Action is not one of this endpoint.", subcode=(WSA, "ActionNotSupported")
    )


class Nobody:
    """A witness who tells nobody."""

    def fault(self, reason: str, reference: str) -> None:
        """Nothing."""

    def close(self, received: int) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Node:
    """A running server."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/soap"

    def status(self) -> dict[str, int]:
        """Resident bytes and staged files of the serving process."""
        return urllib3.request("GET", f"http://127.0.0.1:{self.port}/status", retries=False).json()


class Status:
    """What the tests want to know of the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Resident bytes and the number of staged files."""
        resp.media = {"rss": psutil.Process().memory_info().rss, "staged": len(list(self.folder.iterdir()))}


def make(
    folder: Path, limits: Limits, wsdl: Path | None = None
) -> falcon.App[falcon.Request, falcon.Response]:
    """The application."""
    app = falcon.App()
    plain_errors(app)
    staging = StagingFolder(folder)
    description = Description(wsdl) if wsdl else None
    app.add_route(
        "/soap",
        SoapEndpoint(
            lambda message, _: handle(message),
            lambda _: Nobody(),
            limits,
            staging,
            name="test",
            actions={"urn:test:echo"},
            wsdl=description,
        ),
    )
    if wsdl:
        app.add_route("/schema/{name}", Schemas(wsdl.parent / "schema"))
    app.add_route("/status", Status(folder))
    return app


def from_environment() -> falcon.App[falcon.Request, falcon.Response]:
    """The application for a server process, from two environment variables."""
    return make(Path(os.environ["NODE_FOLDER"]), Limits(**json.loads(os.environ["NODE_LIMITS"])))
