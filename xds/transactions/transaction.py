"""What an IHE transaction is here: a declared record, and the parts of the node it works with.

Each module of this package declares one `Transaction`; app.py runs it: read, do, write, with the gates
between. Nothing here knows HTTP, and nothing but the functions of a transaction knows what it is about.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Subject
from xds.audit.trail import Trail
from xds.errors import RegistryError
from xds.gateway.initiating import InitiatingGateway
from xds.metadata.code_rules import CodeRules
from xds.registry.registry import Registry
from xds.repository.documents import Repository
from xds.repository.on_demand import OnDemand
from xds.store.database import Database
from xds.transport.limits import Limits
from xds.transport.message import Message, Piece

log = logging.getLogger("xds")

Body = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of one node, wired by app.py.

    `codes`: which codes are accepted. `namespaces`: the OID of each assigning authority that HL7 v2 names by
    a namespaceID. `gateway`: to other communities, where a communities file is set.
    """

    database: Database
    registry: Registry
    repository: Repository
    limits: Limits
    codes: CodeRules
    on_demand: OnDemand | None = None
    namespaces: Mapping[str, str] = field(default_factory=dict)
    gateway: InitiatingGateway | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """One ITI transaction at one of our endpoints.

    `number` is IHE's, as faults, errors and the log name it ("ITI-41"). `action` and `response_action` are
    wsa:Action values (ITI TF-2 and TF-3; ihe: the answer's is the request's with Response). `element` is the
    Body's child, `{namespace}name`. `streams`: the answer has the form of the request, MTOM or plain;
    otherwise it is plain. `fails_softly`: a body that breaks the schema is answered as a failed request,
    with all its errors, and not as a SOAP fault. `binary` is the only element, `{namespace}name`, in which
    an xop:Include may stand; empty: none.

    `about` says what a Message is about, as far as it can tell, for the access log; it raises nothing.
    `read` takes the node and a Message whose Body follows the schema and gives plain data, checked as far as
    it can be by itself. `asks` says what that data asks to do, for gate 2. `do` takes the node, that data,
    what the caller may see and the trail, works, tells the trail what it does in the transaction that does
    it, and gives a result; when it returns, what it wrote is committed. `write`
    takes the result and gives the Body's content; `refuse` gives that of a failure, from
    all errors and the request's reference number. `read` and `do` raise RegistryFailure with every error
    they find. `judge` raises it for what `do` refuses of a request whatever is registered: it asks no
    database, and is for `xds validate`. `of_community`: a gateway's, so that the location of every error is
    the community (ITI TF-2 3.38.4.1.3). `asynchronous`: its answer may go to the address in wsa:ReplyTo,
    where one is listed (ITI TF-2 V.3). OSError and OperationalError are answered as a node that is full or
    busy when that is what they say; whatever else is raised becomes a SOAP fault in the endpoint.
    """

    number: str
    action: str
    response_action: str
    element: str
    streams: bool
    fails_softly: bool
    about: Callable[[Message], Subject]
    read: Callable[[Node, Message], Any]
    asks: Callable[[Any], Action]
    do: Callable[[Node, Any, Access, Trail], Any]
    write: Callable[[Any], Body]
    refuse: Callable[[Sequence[RegistryError], str], Body]
    judge: Callable[[Node, Any], None] = lambda node, request: None
    binary: str = ""
    of_community: bool = False
    asynchronous: bool = False


def always(action: Action) -> Callable[[Any], Action]:
    """`asks` of a transaction that does one thing, whatever is in it."""
    return lambda _: action


def log_refusal(reference: str, number: str, errors: Sequence[RegistryError]) -> None:
    """The one line about what a request did not get, by code and rule; errors.md leads on."""
    rules = " ".join(sorted({f"{error.code}/{error.rule}" for error in errors}))
    log.info("%s %s refused %s", reference, number, rules)
