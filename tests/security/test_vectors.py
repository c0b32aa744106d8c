"""The published ticket vectors: each is judged here as its index says, in process and by a running node."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox.wire import SOAP12, SUCCESS, Reply, Request, send
from tests.nodes import Node
from tests.security.vectors import (
    ACCEPTED,
    FOLDER,
    MALFORMED,
    PUBLISHED,
    Judge,
    Vector,
    fresh,
    judge,
    named,
    read,
)
from xds.errors import Denied, Fault
from xds.security.caller import Caller
from xds.security.denials import DENIALS, MEANINGS, WSSE, WSU, Wss

HOME = "2.16.578.1.12.4.5.100.1"

#: What the product promises to refuse, or to accept, in the words of its plan -> the vectors that show it.
PROMISED = {
    "unsigned": ["saml-unsigned", "saml-signature-detached"],
    "altered after signing": ["saml-altered", "saml-altered-time", "saml-signature-value-altered"],
    "eight signature-wrapping shapes": [f"saml-xsw-{number}" for number in range(1, 9)],
    "duplicate ids": [
        "saml-duplicate-id",
        "saml-duplicate-id-mixed-case",
        "saml-duplicate-id-lower-case",
        "saml-duplicate-id-xml",
    ],
    "comment inside a name": ["saml-comment-in-name", "saml-instruction-in-name"],
    "signature over another element": ["saml-signature-over-timestamp", "saml-signature-over-part"],
    "HMAC with the public key": ["saml-hmac-public-key"],
    "SHA-1": ["saml-sha1-signature", "saml-sha1-digest"],
    "expired": ["saml-expired", "jwt-expired"],
    "not yet valid": ["saml-not-yet-valid", "jwt-not-yet-valid"],
    "wrong audience": ["saml-audience-wrong"],
    "unknown issuer": ["saml-issuer-unknown", "jwt-issuer-unknown"],
    "issuer's key of another issuer": ["saml-key-of-another-issuer", "jwt-key-of-another-issuer"],
    "embedded key only": ["saml-key-embedded-only", "jwt-jwk-embedded"],
    "two assertions": ["saml-two-assertions"],
    "DTD": ["saml-dtd"],
    "huge attribute": ["saml-huge-attribute"],
    "XOP-moved certificate, accepted": ["saml-good-xop-certificate"],
    "encrypted assertion": ["saml-encrypted"],
    "replay": ["saml-replay"],
    "JWT: alg none": ["jwt-alg-none"],
    "JWT: algorithm confusion": ["jwt-alg-confusion"],
    "JWT: wrong typ": ["jwt-typ-wrong"],
    "JWT: wrong aud": ["jwt-aud-wrong"],
    "JWT: stale kid": ["jwt-kid-stale"],
    "JWT: DPoP with wrong method": ["jwt-proof-method"],
    "JWT: DPoP with wrong URL": ["jwt-proof-url"],
    "JWT: DPoP with wrong ath": ["jwt-proof-ath"],
    "JWT: DPoP with wrong key": ["jwt-proof-key"],
    "JWT: replay": ["jwt-proof-replay"],
    "JWT: symmetric key": ["jwt-proof-symmetric", "jwt-proof-symmetric-key"],
    "JWT: private key in the header": ["jwt-proof-private-key"],
    "every kind, accepted": [
        "saml-good-kjernejournal-old",
        "saml-good-kjernejournal-new",
        "saml-good-kjernejournal-hybrid",
        "saml-good-helsenorge-own",
        "saml-good-helsenorge-representative",
        "saml-good-hso",
        "saml-good-xua",
        "saml-good-system",
        "saml-good-ec",
        "saml-good-pss",
        "saml-good-no-key-info",
        "jwt-good-personnel",
        "jwt-good-machine",
        "jwt-good-multi-tenant",
    ],
}

#: Good vectors whose caller gate 1 knows and whose request gate 2 then refuses, by these rules: the child is
#: no longer one, plain XUA has no level of security, and the system has no scope.
REFUSED_LATER = {
    "saml-good-helsenorge-representative": "access-rule",
    "saml-good-xua": "access-policy",
    "saml-good-system": "access-policy",
}


# -- the index


def test_every_promised_shape_is_among_the_vectors() -> None:
    """What is promised to be refused or accepted has a vector of the published set."""
    there = {str(each): each.is_good for each in PUBLISHED}
    for promise, names in PROMISED.items():
        for name in names:
            assert there[name] == ("accepted" in promise), (promise, name)


def test_the_index_names_every_file_and_no_other() -> None:
    """No vector lies about that nobody judges."""
    named = {each[key] for each in PUBLISHED for key in ("file", "proof") if key in each.entry}
    files = {
        path.relative_to(FOLDER).as_posix() for kind in ("saml", "jwt") for path in FOLDER.glob(f"{kind}/*")
    }
    assert named == files


def test_the_generator_makes_the_published_vectors(tmp_path: Path) -> None:
    """A new set for the same moment has the same vectors, but for keys and ids."""
    now = json.loads((FOLDER / "index.json").read_text())["now"]
    made = read(fresh(tmp_path, "--now", now))
    assert [each.entry for each in made] == [each.entry for each in PUBLISHED]
    assert (tmp_path / "trust.toml").read_text() == (FOLDER / "trust.toml").read_text()


@pytest.mark.parametrize("vector", PUBLISHED, ids=str)
def test_the_index_gives_the_answer_of_the_table_of_denials(vector: Vector) -> None:
    """`answer` is the code that the denial has in docs/tickets.md."""
    if vector["expected"] in (ACCEPTED, MALFORMED):
        return
    code = DENIALS[vector["expected"]].code
    prefix = {WSSE: "wsse:", WSU: "wsu:"}[code.namespace] if isinstance(code, Wss) else ""
    assert vector["answer"] == prefix + code.value


# -- in process


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """A gate that trusts the issuers of the published set, at the time of it."""
    with judge(tmp_path_factory.mktemp("gate"), FOLDER / "trust.toml", lambda: PUBLISHED[0].at) as made:
        yield made


@pytest.fixture
def judged(gate: Judge) -> Judge:
    """One that has seen no ticket yet."""
    gate.forget()
    return gate


def outcome(judge: Judge, vector: Vector) -> str | Caller:
    """The denial's id, MALFORMED, or the caller."""
    try:
        return judge.caller(vector)
    except Denied as denial:
        return denial.rule
    except Fault:
        return MALFORMED


def facts(caller: Caller) -> dict[str, str]:
    """What of a caller an index may speak of."""
    return {
        "kind": caller.kind.value,
        "person": caller.person.value if caller.person else "",
        "name": caller.name,
        "hpr": caller.hpr,
        "patient": caller.patient.value if caller.patient else "",
        "purpose": caller.purpose.code if caller.purpose else "",
        "acp": caller.acp,
        "organisation": _number(caller.organisation),
        "unit": _number(caller.unit),
    }


def _number(unit: Any) -> str:
    return unit.identifier.value if unit and unit.identifier else ""


@pytest.mark.parametrize("vector", PUBLISHED, ids=str)
def test_the_gate_judges_each_vector_as_its_index_says(vector: Vector, judged: Judge) -> None:
    """A good one gives the caller that it speaks of, a hostile one the denial that fits it best."""
    for _ in range(vector["sends"] - 1):
        assert isinstance(outcome(judged, vector), Caller), "the first use is good"
    found = outcome(judged, vector)
    if vector.is_good:
        assert isinstance(found, Caller), found
        assert facts(found).items() >= vector["caller"].items()
    else:
        assert found == vector["expected"]


def test_no_hostile_vector_profits_from_what_the_gate_remembers(judged: Judge) -> None:
    """After every good ticket was seen and is remembered, each hostile one is refused as before."""
    for vector in sorted(PUBLISHED, key=lambda each: not each.is_good):
        for _ in range(vector["sends"] - 1):
            outcome(judged, vector)
        assert isinstance(found := outcome(judged, vector), Caller) == vector.is_good, vector
        assert vector.is_good or found == vector["expected"]


# -- by a running node


@pytest.fixture(scope="module")
def guarded(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> tuple[Node, Path]:
    """A node that wants tickets, and the folder of the set whose issuers it trusts."""
    folder = fresh(tmp_path_factory.mktemp("vectors"))
    return _new(new_node, folder), folder


@pytest.fixture(scope="module")
def polite(new_node: Callable[..., Node], guarded: tuple[Node, Path]) -> tuple[Node, Path]:
    """One that answers as Norwegian gateways expect it."""
    _, folder = guarded
    return _new(new_node, folder, access__denial="registry-error", node__home_community_id=HOME), folder


def _new(new_node: Callable[..., Node], folder: Path, **settings: object) -> Node:
    base_url = json.loads((folder / "index.json").read_text())["base_url"]
    given = {"access__ticket": "required", "trust": folder / "trust.toml", "node__public_url": base_url}
    return new_node(**given, **settings)


def renew(folder: Path) -> list[Vector]:
    """A set for this moment with new keys, which the running node takes over from the changed trust file."""
    fresh(folder)
    time.sleep(1.2)  # the node looks at the files once a second
    return read(folder)


def request(vector: Vector) -> Request:
    """A vector as HTTP."""
    if vector["kind"] == "saml":
        return Request("/xds/registry", vector["content_type"], vector.content)
    return Request(vector.path, None, b"", vector.headers, vector["method"])


def last_reply(node: Node, vector: Vector) -> Reply:
    """Send it as often as its index says; the last answer."""
    return [send(node, request(vector)) for _ in range(vector["sends"])][-1]


def test_a_running_node_refuses_every_hostile_vector_and_answers_every_good_one(
    guarded: tuple[Node, Path],
) -> None:
    """Over HTTP, each gets the answer of its index, and no other words than the standard's."""
    node, folder = guarded
    vectors = sorted(
        renew(folder), key=lambda each: each["kind"]
    )  # proofs are good for seconds: tokens first
    for vector in vectors:
        reply = last_reply(node, vector)
        if vector["kind"] == "jwt":
            check_http(vector, reply)
        elif vector.is_good:
            check_let_in(vector, reply)
        else:
            check_fault(vector, reply)
    assert not node.errors()


def check_http(vector: Vector, reply: Reply) -> None:
    """401 (403 for scopes) with a challenge and an OperationOutcome, or what FHIR says to who is let in."""
    challenges = reply.headers.get_all("WWW-Authenticate") or []
    told = json.loads(reply.body)
    if vector.is_good:
        # Past the gate, a search that names no patient.
        assert (reply.status, challenges, told["issue"][0]["code"]) == (400, [], "required"), vector
        return
    scope = vector["answer"] == "insufficient_scope"
    assert reply.status == (403 if scope else 401), vector
    assert challenges, vector
    for challenge in challenges:
        error = f'error="{vector["answer"]}"' if vector["answer"] else 'realm="xds"'
        assert error in challenge, vector
    assert told["resourceType"] == "OperationOutcome"
    assert told["issue"][0]["code"] == ("forbidden" if scope else "login"), vector
    assert_silent(vector, reply)


def check_let_in(vector: Vector, reply: Reply) -> None:
    """Gate 1 has no objection: an answer, or else the refusal of gate 2 that is expected, and no other."""
    assert reply.status == 200, vector
    rule = REFUSED_LATER.get(str(vector))
    assert (reply.outcome == SUCCESS) == (rule is None), vector
    found = [(each.code, each.rule) for each in reply.errors]
    assert found == ([("XDSRegistryError", rule)] if rule else []), vector


def check_fault(vector: Vector, reply: Reply) -> None:
    """A SOAP fault of the sender with the code of WS-Security and the standard's meaning of it."""
    fault = reply.fault
    assert (reply.status, fault.code) == (500, f"{{{SOAP12}}}Sender"), vector
    if vector["expected"] == MALFORMED:
        assert fault.subcodes == [], vector
    else:
        prefix, name = vector["answer"].split(":")
        namespace = {"wsse": WSSE, "wsu": WSU}[prefix]
        assert fault.subcodes == [f"{{{namespace}}}{name}"], vector
        assert fault.reason == f"{MEANINGS[Wss(name)]} (reference {fault.reference})", vector
    assert_silent(vector, reply)


def assert_silent(vector: Vector, reply: Reply) -> None:
    """Neither the id of the denial nor a person of the ticket is told."""
    assert vector["expected"].encode() not in reply.body or vector["expected"] == MALFORMED, vector
    for person in (b"17827210072", b"18837210182", b"19847210292", b"21867210412", "Øvregård".encode()):
        assert person not in reply.body, vector


@pytest.mark.parametrize(
    ("twice", "status", "error"),
    [("Authorization", 400, "invalid_request"), ("DPoP", 401, "invalid_dpop_proof")],
)
def test_a_header_that_stands_twice_is_refused(
    twice: str, status: int, error: str, guarded: tuple[Node, Path]
) -> None:
    """Neither of two tokens or proofs is chosen (RFC 6750 3.1, RFC 9449 4.3)."""
    node, folder = guarded
    good = named(renew(folder), "jwt-good-personnel")
    once, again = request(good), [each for each in good.headers if each[0] == twice]
    reply = send(node, Request(once.path, None, b"", (*once.headers, *again), once.method))
    assert reply.status == status
    assert all(f'error="{error}"' in each for each in reply.headers.get_all("WWW-Authenticate"))


def test_a_running_node_can_refuse_as_norwegian_gateways_expect_it(polite: tuple[Node, Path]) -> None:
    """With access.denial = registry-error: HTTP 200, an XDSRegistryError, the home community as location."""
    node, folder = polite
    for vector in renew(folder):
        if vector["kind"] == "saml" and vector["expected"] != MALFORMED:
            reply = last_reply(node, vector)
            assert reply.status == 200, vector
            if vector.is_good:
                check_let_in(vector, reply)
                continue
            (error,) = reply.errors
            name = vector["answer"].split(":")[1]
            assert (error.code, error.location) == ("XDSRegistryError", f"urn:oid:{HOME}"), vector
            assert error.rule == vector["answer"], vector
            assert error.context.startswith(MEANINGS[Wss(name)]), vector
            assert_silent(vector, reply)
    assert not node.errors()


def test_the_log_names_the_denial_and_nothing_of_the_ticket(guarded: tuple[Node, Path]) -> None:
    """Under the reference number of the fault stands the id of the denial, without a person."""
    node, folder = guarded
    vector = named(renew(folder), "saml-altered")
    reference = last_reply(node, vector).fault.reference
    log = node.log.read_text()
    assert any(reference in line and " ticket-signature " in line for line in log.splitlines())
    for word in ("17827210072", "18837210182", "19847210292", "Øvregård", "DigestValue"):
        assert word not in log


def test_a_published_vector_is_refused_when_its_time_is_over(guarded: tuple[Node, Path]) -> None:
    """The set in the repository is for its own moment: a node that trusts its issuers refuses it today."""
    node, folder = guarded
    assert datetime.now(UTC) > PUBLISHED[0].at
    for name in ("trust.toml", *(f"keys/{path.name}" for path in (FOLDER / "keys").iterdir())):
        (folder / name).write_bytes((FOLDER / name).read_bytes())
    time.sleep(1.2)
    for vector in PUBLISHED:
        if vector.is_good:
            reply = send(node, request(vector))
            if vector["kind"] == "saml":
                assert reply.fault.subcodes == [f"{{{WSSE}}}InvalidSecurityToken"], vector
            else:
                assert reply.status == 401, vector
