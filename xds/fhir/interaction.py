"""What a FHIR interaction is here: a declared record, what it is asked, and what it answers.

Each module of a resource declares some; routes.py finds the one that a request is for, app.py runs it through
the gates: read, may, do. The CapabilityStatement is written from the same records, so that it cannot say
anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Query, Subject
from xds.audit.trail import Trail
from xds.fhir.body import Received
from xds.fhir.cursor import Cursors
from xds.fhir.mapping import Place
from xds.transactions.transaction import Node
from xds.transport.message import Attachment, Discardable

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What the FHIR side is set to.

    `counts_blocked`: whether searches tell how many documents on the page are blocked. `serves_deprecated`:
    whether the bytes of a document that was replaced are handed out. `source_id` is the sourceId (OID) of
    submission sets that are made here, for whoever publishes a document without one.
    """

    place: Place
    cursors: Cursors
    counts_blocked: bool = False
    serves_deprecated: bool = False
    source_id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came.

    `parameters` are those of the URL, and of the body of a search that is posted. `ids` are the parts of the
    path that stand for something, in order. `body` reads the resource in the body, once, `patch` what is
    none; `adopt` takes files to be removed when the answer has been sent.
    """

    method: str
    path: str
    parameters: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    options: Options
    reference: str
    body: Callable[[], Received]
    patch: Callable[[], bytes]
    adopt: Callable[[Discardable], None]
    ids: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Where resources are written."""
        return self.options.place

    @property
    def kind(self) -> str:
        """The type of resource in the path."""
        return self.path.partition("/")[0]

    @property
    def url(self) -> str:
        """The address without parameters."""
        return f"{self.place.base}/{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A resource, or the bytes of a document, with a status and further headers; or neither.

    `raw`: what is sent is a document, whose type is its own and no FHIR's.
    """

    resource: Json | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: Attachment | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """One interaction of a resource type.

    `number` is IHE's, for the access log. `path` has `{id}` for each part that stands for something. `code`
    is FHIR's (restful-interaction); of an operation `$` and its name. `about` says what a request is about
    before anybody has looked at it, and raises nothing. `read` gives plain data, checked as far as it can be
    by itself (gate 0); its `subject`, if it has one, is what the request is about. `asks` says what that data
    asks to do, for gate 2. `patient` is whom it is about (CX text or nothing), for tickets that name nobody.
    `do` works, and tells the trail what it does. All raise RegistryFailure and Refused.
    """

    number: str
    method: str
    path: str
    code: str
    read: Callable[[Node, Request], Any]
    asks: Callable[[Any], Action]
    do: Callable[[Node, Any, Access, Trail], Answer]
    about: Callable[[Request], Subject] = lambda request: Subject()
    patient: Callable[[Node, Any], str] = lambda node, asked: ""

    @property
    def kind(self) -> str:
        """The type of resource; empty for the system's own."""
        return self.path.partition("/")[0] if self.path else ""

    @property
    def of_nobody(self) -> bool:
        """Whether it reads and writes no record, so that policies alone say who may."""
        return self.code == "$validate"


def query_text(name: str) -> Callable[[Request], Subject]:
    """`about` of a search: the request as it was asked."""

    def about(request: Request) -> Subject:
        text = "&".join(f"{key}={value}" for key, value in request.parameters)
        return Subject(query=Query(id="", name=name, text=f"{request.method} {request.url}?{text}".encode()))

    return about


def matched(template: str, path: str) -> tuple[str, ...] | None:
    """The parts of a path that stand for something, or None when it is another path."""
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    ids = []
    for want, got in zip(wanted, given, strict=True):
        if want == "{id}":
            ids.append(got)
        elif want != got:
            return None
    return tuple(ids)
