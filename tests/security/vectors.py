"""The ticket vectors of conformance/vectors/tickets, as the tests of this folder read and judge them.

`PUBLISHED` is the set in the repository; `fresh` makes another, for now. `Judge` is a gate in this process
with its clock at a time of one's choice. Nothing is known here of how a vector was made, only what its index
says.
"""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import delete

from xds.security import wsse
from xds.security.caller import Caller
from xds.security.gate import FhirGate, HttpRequest, SoapGate
from xds.security.replay import Replay
from xds.security.trust_store import TrustStore
from xds.store.database import Database
from xds.store.schema import used_ticket
from xds.transport.limits import Limits
from xds.transport.message import read_message
from xds.transport.staged import StagingFolder

FOLDER = Path(__file__).parents[2] / "conformance" / "vectors" / "tickets"
#: What `expected` says of a good vector, and of one that is no SOAP message.
ACCEPTED, MALFORMED = "accepted", "malformed"


@dataclass(frozen=True)
class Vector:
    """One line of the index, with the files that it names."""

    folder: Path
    entry: dict[str, Any]

    def __str__(self) -> str:
        return f"{self['kind']}-{self['name']}"

    def __getitem__(self, key: str) -> Any:
        return self.entry[key]

    @property
    def is_good(self) -> bool:
        """Whether it must be accepted."""
        return bool(self["expected"] == ACCEPTED)

    @property
    def at(self) -> datetime:
        """The time at which it is to be judged."""
        return datetime.fromisoformat(self["at"])

    @property
    def content(self) -> bytes:
        """The HTTP body, or the token."""
        return (self.folder / self["file"]).read_bytes()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of a token's request."""
        found = (("Authorization", f"{self['scheme']} {self.content.decode()}"),)
        return found + ((("DPoP", self.proof),) if self.proof is not None else ())

    @property
    def proof(self) -> str | None:
        """The DPoP proof, if there is one."""
        return (self.folder / self["proof"]).read_text() if "proof" in self.entry else None

    @property
    def path(self) -> str:
        """The path of a token's request."""
        return urlsplit(self["url"]).path


def read(folder: Path, kind: str = "") -> list[Vector]:
    """The vectors of a set, of one kind if it is given."""
    entries = json.loads((folder / "index.json").read_text())["vectors"]
    return [Vector(folder, each) for each in entries if kind in ("", each["kind"])]


PUBLISHED = read(FOLDER)


def fresh(folder: Path, *options: str) -> Path:
    """Make a set for this moment, as a tester of any node would."""
    subprocess.run([sys.executable, FOLDER / "generate.py", folder, *options], check=True, timeout=60)
    return folder


class Judge:
    """The gates of a node, at a time of one's choice."""

    def __init__(self, folder: Path, trust: Path, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._store = TrustStore(trust, clock=clock)
        self._staging = StagingFolder(folder / "staging")
        self.database = Database(f"sqlite:///{folder}/xds.db")
        self.database.migrate()
        self.forget()

    def forget(self) -> None:
        """Be as a node that has seen no ticket yet."""
        with self.database.write() as connection:
            connection.execute(delete(used_ticket))
        replay = Replay(self.database)
        self.soap = SoapGate(self._store, replay, clock=self._clock)
        self.fhir = FhirGate(self._store, replay, clock=self._clock)

    def caller_of_message(self, data: bytes, content_type: str) -> Caller:
        """What gate 1 makes of an HTTP body. Raises Denied or Fault."""
        message = read_message(io.BytesIO(data), content_type, Limits(), self._staging, frozenset({wsse.TAG}))
        try:
            return self.soap.caller(message)
        finally:
            message.discard()

    def caller(self, vector: Vector) -> Caller:
        """What gate 1 makes of a vector. Raises Denied or Fault."""
        if vector["kind"] == "saml":
            return self.caller_of_message(vector.content, vector["content_type"])
        return self.fhir.caller(
            HttpRequest(
                vector["method"], vector["url"], f"{vector['scheme']} {vector.content.decode()}", vector.proof
            )
        )


def named(vectors: list[Vector], name: str) -> Vector:
    """The vector that prints as `name`, e.g. saml-unsigned."""
    (found,) = (each for each in vectors if str(each) == name)
    return found


def maker() -> SimpleNamespace:
    """The modules that make the vectors, for tests that need a signature on other content."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    names = ("making.saml", "making.jwt_vectors", "making.signatures", "generate")
    return SimpleNamespace(**{name.split(".")[-1]: importlib.import_module(name) for name in names})


@contextmanager
def judge(folder: Path, trust: Path, clock: Callable[[], datetime]) -> Iterator[Judge]:
    """A Judge that is closed at the end."""
    made = Judge(folder, trust, clock)
    yield made
    made.database.close()
