"""Several communities and a gateway in front of them, for tests of the whole way between.

Each community is a node of ours in a process of its own, with its own database, or a foreign one of peers.py.
`Gateway` is a node that asks them; it and they believe the same ticket service. `ask` sends a request as
Kjernejournal would; the ids, documents and answers here are written by hand, not by our client.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.blackbox import messages as m
from tests.blackbox.wire import NS, Reply, Request, send
from tests.nodes import Node
from xds.demo.tickets import TicketService
from xds.security.denials import WSSE

#: homeCommunityIds: of the gateway's own community, and of the others.
HOME = "2.16.578.1.12.4.5.100.9"
HOMES = tuple(f"2.16.578.1.12.4.5.100.{number}" for number in range(1, 9))

RESPONDING, INITIATING = "/xca/responding", "/xca/initiating"
ACTIONS = {
    "ITI-38": "urn:ihe:iti:2007:CrossGatewayQuery",
    "ITI-39": "urn:ihe:iti:2007:CrossGatewayRetrieve",
    "ITI-80": "urn:ihe:iti:2015:CrossGatewayDocumentProvide",
}
#: Beside what the policy that comes with xds says, whose readers of the log are HelseID's.
WHO_MAY = """
[[policy]]
id = "all"
effect = "permit"
actions = ["read-list", "read-document", "create", "update", "delete"]
callers = ["citizen", "representative", "personnel"]
"""


def urn(home: str) -> str:
    """A homeCommunityId as it is sent."""
    return f"urn:oid:{home}"


def repository(home: str) -> str:
    """The repositoryUniqueId of a community's repository."""
    return f"{home}.2"


@dataclass(frozen=True)
class Told:
    """A RegistryError as it came, whoever made it."""

    code: str
    location: str
    context: str
    severity: str

    @property
    def rule(self) -> str:
        """Ours, or nothing for what another community says."""
        text = self.context.rpartition("[")[2]
        return text.partition(";")[0] if "; reference " in text else ""


def told(reply: Reply) -> list[Told]:
    """All errors of an answer, in order."""
    return [
        Told(
            each.get("errorCode"),
            each.get("location", ""),
            each.get("codeContext"),
            each.get("severity").rpartition(":")[2],
        )
        for each in reply.content().iterfind(".//rs:RegistryError", NS)
    ]


def rules(reply: Reply) -> list[tuple[str, str, str]]:
    """Of each error code, community and rule of ours."""
    return [(each.code, each.location, each.rule) for each in told(reply)]


def entries(reply: Reply) -> list[tuple[str, str]]:
    """Of each document entry the community and the uniqueId, in order."""
    found = []
    for each in reply.content().iterfind(".//rim:ExtrinsicObject", NS):
        (unique_id,) = (
            identifier.get("value")
            for identifier in each.iterfind("rim:ExternalIdentifier", NS)
            if identifier.get("identificationScheme") == "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
        )
        found.append((each.get("home", ""), unique_id))
    return found


def query(body: str, home: str = "", targets: Sequence[str] = ()) -> str:
    """A stored query that names communities."""
    if targets:
        listed = ",".join(f"'{each}'" for each in targets)
        body = body.replace(
            "</rim:AdhocQuery>", m.slot("$targetCommunityIdList", f"({listed})") + "</rim:AdhocQuery>"
        )
    return body.replace("<rim:AdhocQuery ", f'<rim:AdhocQuery home="{home}" ') if home else body


def retrieve(*documents: tuple[str, str]) -> str:
    """The body of ITI-43 and ITI-39 for documents by (homeCommunityId or nothing, uniqueId)."""
    asked = "".join(
        "<xds:DocumentRequest>"
        + (f"<xds:HomeCommunityId>{home}</xds:HomeCommunityId>" if home else "")
        + f"<xds:RepositoryUniqueId>{repository(home.removeprefix('urn:oid:'))}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{unique_id}</xds:DocumentUniqueId></xds:DocumentRequest>"
        for home, unique_id in documents
    )
    return f'<xds:RetrieveDocumentSetRequest xmlns:xds="{m.XDS}">{asked}</xds:RetrieveDocumentSetRequest>'


@dataclass(frozen=True)
class Region:
    """A ticket service, and the means to make nodes that believe it."""

    service: TicketService
    make: Callable[..., Node]
    folder: Path

    def node(self, home: str, **settings: object) -> Node:
        """A community of ours."""
        policy = self.folder / "policy.toml"
        own = Path("xds/access/policy.toml").read_text()
        policy.write_text(own.replace('issuers = ["helseid"]\nscopes', "scopes") + WHO_MAY)
        given: dict[str, object] = {
            "access__ticket": "required",
            "access__policy": policy,
            "trust": self.service.trust,
            "patients__source": "national",
            "node__home_community_id": home,
            "node__repository_unique_id": repository(home),
            "node__name": f"node-of-{home}",
        }
        return self.make(**given | settings)

    def gateway(self, communities: str, home: str = HOME, **settings: object) -> Node:
        """A node with an initiating gateway over this communities file."""
        file = self.folder / f"communities-of-{home}.toml"
        file.write_text(communities)
        return self.node(home, communities=file, **settings)

    def ticket(self, kind: str = "personnel", patient: str = m.NUMBER, **more: Any) -> str:
        """A clinician's, about one patient."""
        return self.service.saml(kind, patient=patient, **more)

    def request(
        self,
        path: str,
        transaction: str,
        body: str,
        *,
        ticket: str | None = None,
        mtom: bool = False,
        header: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        message_id: str | None = None,
    ) -> Request:
        """One with a ticket (of a clinician, if none is given; "" for none at all)."""
        assertion = self.ticket() if ticket is None else ticket
        if assertion:
            header += f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{assertion}</w:Security>'
        action = ACTIONS.get(transaction, transaction)
        data = m.envelope(body, action, header=header, message_id=message_id)
        kind, data = m.multipart(data) if mtom else (m.media_type(m.SOAP12), data)
        return Request(path, kind, data, headers)

    def ask(
        self, node: Node, path: str, transaction: str, body: str, *, timeout: float = 60, **how: Any
    ) -> Reply:
        """Send a `request`."""
        return send(node, self.request(path, transaction, body, **how), timeout)

    def file(self, node: Node, *documents: m.Document, patient: str = m.PATIENT) -> None:
        """Register documents where they are kept."""
        body = m.provide(documents, m.inline(documents), patient=patient)
        reply = self.ask(node, "/xds/repository", "ITI-41", body)
        assert reply.outcome.endswith(":Success"), reply.errors

    def log(self, node: Node, **parameters: str) -> list[dict[str, Any]]:
        """All events of a node's access log, oldest first, as a data controller reads it."""
        token = self.service.token(machine=True, scopes=["xds:audit/read-all"])
        found: list[dict[str, Any]] = []
        path = f"/fhir/AuditEvent?{urllib.parse.urlencode({'date': 'ge2020-01-01'} | parameters)}"
        while path:
            url = node.url + path
            proof = self.service.proof("GET", url.partition("?")[0], token)
            answer = urllib3.request(
                "GET", url, headers={"Authorization": f"DPoP {token}", "DPoP": proof}, retries=False
            )
            assert answer.status == 200, answer.data
            bundle = json.loads(answer.data)
            found += [each["resource"] for each in bundle.get("entry", ())]
            links = {each["relation"]: each["url"] for each in bundle["link"]}
            path = links.get("next", "").removeprefix(node.url)
        return found[::-1]


def community(home: str, url: str, **more: object) -> str:
    """The lines of one community in the communities file."""
    lines = {"name": f"Community {home.rpartition('.')[2]}", "home": home, "query": url} | more
    return "\n[[community]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())


def transaction_of(event: Mapping[str, Any]) -> str:
    """The number of an event's transaction."""
    codes = [each["code"] for each in event.get("subtype", ())]
    return next((each for each in codes if each.startswith("ITI-")), "")


def ids_of(event: Mapping[str, Any]) -> dict[str, str]:
    """What an event calls its request: reference, message, trace."""
    return {
        each["description"]: each["what"]["identifier"]["value"]
        for each in event["entity"]
        if each.get("type", {}).get("code") == "XrequestId"
    }
