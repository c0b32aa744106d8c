"""Good tickets, tokens and proofs are mutated: nothing altered is let in, and no exception escapes.

300 examples of each property; `make fuzz` draws more.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.fuzzing import examples
from tests.security.vectors import FOLDER, PUBLISHED, Judge, Vector, judge, maker, named
from xds.errors import Denied, Fault
from xds.security.caller import Caller
from xds.security.denials import DENIALS, WSSE, Oauth, Wss
from xds.security.gate import HttpRequest

bounded = settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SAML: Final = [each for each in PUBLISHED if each["kind"] == "saml" and each.is_good]
TOKENS: Final = [each for each in PUBLISHED if each["kind"] == "jwt" and each.is_good]
#: Those that come as plain XML.
PLAIN: Final = [each for each in SAML if each["file"].endswith(".xml")]
SOAP_TYPE: Final = PLAIN[0]["content_type"]

_SAML_NS: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
_DS: Final = "http://www.w3.org/2000/09/xmldsig#"
#: What means something to a reader of tickets, or has deceived one.
WORDS: Final = [
    b"<!-- -->", b"<?x?>", b"<![CDATA[", b"]]>", b"&amp;", b"&#0;", b"&#x41;", b"&x;", b"&lt;!--",
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\r\n", b"\t", b"'", b'"', b"<", b">", b"/>",
    b"</saml:NameID>", b"xmlns=''",
    b'<!DOCTYPE x [<!ENTITY x "y">]>', b'<?xml version="1.1"?>', b'<?xml version="1.0" encoding="UTF-7"?>',
    b'<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>', b' ID="_x"', b' xml:id="_x"',
    b' xmlns:x="relative"', b' xmlns:xml="urn:x"',
    b' xsi:nil="true"', b"9999999999-01-01T00:00:00Z", b"0000-00-00T24:60:60Z",
    b"9999-12-31T23:59:59.9+14:00",
    b"19847210292", b"18837210182", b"\\ud800", b"\\u0000", b"urn:oid:", b"2.0", b"1e999", b"NaN", b"-1",
]  # fmt: skip


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """A gate that trusts the issuers of the published set, at the time of it."""
    with judge(tmp_path_factory.mktemp("gate"), FOLDER / "trust.toml", lambda: PUBLISHED[0].at) as made:
        yield made


@pytest.fixture(scope="module")
def callers(gate: Judge) -> dict[str, Caller]:
    """What the gate makes of each good vector."""
    found = {str(each): gate.caller(each) for each in SAML + TOKENS}
    gate.forget()
    return found


def tried(ask: Callable[[], Caller], codes: type[Wss | Oauth]) -> Caller | None:
    """Who was let in, if anybody; whatever else happens has to be a refusal that the node can answer."""
    try:
        return ask()
    except Denied as denial:
        refused = denial
    except Fault:
        if codes is Oauth:
            raise
        return None
    assert isinstance(DENIALS[refused.rule].code, codes)
    return None


@dataclass(frozen=True)
class Signing:
    """A gate that trusts issuers whose keys are at hand; `at` is its time, `keys` are by issuer."""

    judge: Judge
    at: datetime
    making: Any
    keys: dict[str, Any]
    client: Any


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signing]:
    """For content that only an issuer could sign."""
    folder, making, at = tmp_path_factory.mktemp("signing"), maker(), PUBLISHED[0].at
    keys = making.generate.new_keys(at)
    making.generate.write_trust(folder, keys)
    by_issuer = {name: getattr(keys, by[0]) for name, _, by, _ in making.generate.ISSUERS}
    with judge(folder, folder / "trust.toml", lambda: at) as made:
        yield Signing(made, at, making, by_issuer, keys.client)


# -- SOAP: bytes

LETTERS: Final = (string.ascii_letters + string.digits).encode()


@st.composite
def edits(draw: st.DrawFn, size: int, words: list[bytes]) -> list[tuple[str, int, int, bytes]]:
    """One to three edits of bytes: what to do, where from, where to, and with which bytes."""
    places = st.integers(0, size - 1)
    # Mostly letters and digits for others, because what is not well-formed does not come far.
    kind = st.sampled_from(["letter"] * 8 + ["flip", "cut", "insert", "replace", "repeat", "move", "end"])
    found = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(places)
        length = draw(st.one_of(st.integers(1, 8), st.integers(1, 400)))
        content = draw(st.one_of(st.sampled_from(words), st.binary(min_size=1, max_size=4)))
        found.append((draw(kind), start, start + length, content))
    return found


def edited(data: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    """`data` after the edits."""
    for kind, start, end, content in changes:
        part = data[start:end]
        match kind:
            case "letter":
                if found := re.compile(rb'(?:="|>)([^<">]+)').search(data, start):
                    place = found.start(1) + content[0] % len(found[1])
                    data = data[:place] + LETTERS[content[0] % 62 :][:1] + data[place + 1 :]
            case "flip":
                data = (
                    data[:start] + bytes(byte ^ 1 << content[0] % 8 for byte in part[:1]) + data[start + 1 :]
                )
            case "cut":
                data = data[:start] + data[end:]
            case "insert":
                data = data[:start] + content + data[start:]
            case "replace":
                data = data[:start] + content + data[start + len(content) :]
            case "repeat":
                data = data[:end] + part + data[end:]
            case "move":
                rest = data[:start] + data[end:]
                place = content[0] * len(rest) // 255
                data = rest[:place] + part + rest[place:]
            case "end":
                data = data[:start]
    return data


@bounded
@given(st.data())
def test_a_message_with_other_bytes_is_refused_or_means_the_same(
    gate: Judge, callers: dict[str, Caller], data: st.DataObject
) -> None:
    """Flipped, cut, inserted, repeated and moved bytes, anywhere in the envelope or its MIME package."""
    vector = data.draw(st.sampled_from(SAML))
    body = vector.content
    changed = edited(body, data.draw(edits(len(body), WORDS)))
    found = tried(lambda: gate.caller_of_message(changed, vector["content_type"]), Wss)
    assert found in (None, callers[str(vector)])


@bounded
@given(st.binary(max_size=400), st.sampled_from([SOAP_TYPE, "text/xml", "multipart/related; boundary=x"]))
def test_any_bytes_are_no_ticket(gate: Judge, data: bytes, content_type: str) -> None:
    """What is no message at all is refused."""
    assert tried(lambda: gate.caller_of_message(data, content_type), Wss) is None


# -- SOAP: elements


def elements(root: etree._Element) -> list[etree._Element]:
    """The wsse:Security block and all elements in it; empty when it was lost on the way."""
    security = next(root.iter(f"{{{WSSE}}}Security"), None)
    return [] if security is None else list(security.iter("*"))


def _duplicate(one: etree._Element, other: etree._Element, text: str) -> None:
    one.addnext(copy.deepcopy(one))


def _remove(one: etree._Element, other: etree._Element, text: str) -> None:
    one.getparent().remove(one)


def _into(one: etree._Element, other: etree._Element, text: str) -> None:
    if other not in one.iter():
        other.append(one)


def _copy_into(one: etree._Element, other: etree._Element, text: str) -> None:
    other.insert(0, copy.deepcopy(one))


def _before(one: etree._Element, other: etree._Element, text: str) -> None:
    if other not in one.iter():
        other.addprevious(one)


def _wrap(one: etree._Element, other: etree._Element, text: str) -> None:
    wrapper = etree.Element(f"{{{_DS}}}Object")
    one.addprevious(wrapper)
    wrapper.append(one)


def _rename(one: etree._Element, other: etree._Element, text: str) -> None:
    one.tag = other.tag


def _namespace(one: etree._Element, other: etree._Element, text: str) -> None:
    space = {_SAML_NS: _DS, _DS: _SAML_NS}.get(etree.QName(one).namespace or "", "urn:x")
    one.tag = f"{{{space}}}{etree.QName(one).localname}"


def _text(one: etree._Element, other: etree._Element, text: str) -> None:
    one.text = text


def _swap_texts(one: etree._Element, other: etree._Element, text: str) -> None:
    one.text, other.text = other.text, one.text


def _attribute(one: etree._Element, other: etree._Element, text: str) -> None:
    if one.attrib:
        one.set(next(iter(one.attrib)), text)


def _swap_attributes(one: etree._Element, other: etree._Element, text: str) -> None:
    mine, theirs = dict(one.attrib), dict(other.attrib)
    for element, attributes in ((one, theirs), (other, mine)):
        element.attrib.clear()
        element.attrib.update(attributes)


def _same_id(one: etree._Element, other: etree._Element, text: str) -> None:
    assertion = next(one.getroottree().iter(f"{{{_SAML_NS}}}Assertion"), one)
    name = ("ID", "Id", "id", "{http://www.w3.org/XML/1998/namespace}id")[len(text) % 4]
    other.set(name, assertion.get("ID", text))


def _no_attributes(one: etree._Element, other: etree._Element, text: str) -> None:
    one.attrib.clear()


def _remark(one: etree._Element, other: etree._Element, text: str) -> None:
    value = one.text or ""
    remark = etree.Comment("x") if len(text) % 2 else etree.ProcessingInstruction("x", "y")
    one.text = value[: len(value) // 2]
    remark.tail = value[len(value) // 2 :]
    one.insert(0, remark)


CHANGES: Final = [
    _duplicate, _remove, _into, _copy_into, _before, _wrap, _rename, _namespace, _text, _swap_texts,
    _attribute, _swap_attributes, _same_id, _no_attributes, _remark,
]  # fmt: skip
#: Texts that XML can hold.
TEXTS: Final = st.one_of(
    st.sampled_from(
        ["", "19847210292", "true", "2.0", "#", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"]
    ),
    st.sampled_from([word.decode("utf-8", "replace") for word in WORDS if b"\x00" not in word]),
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"),
        max_size=8,
    ),
)


@bounded
@given(st.data())
def test_a_ticket_with_other_elements_is_refused_or_means_the_same(
    gate: Judge, callers: dict[str, Caller], data: st.DataObject
) -> None:
    """Elements doubled, moved, wrapped, renamed, put under other namespaces; ids and attributes exchanged."""
    vector = data.draw(st.sampled_from(PLAIN))
    root = etree.fromstring(vector.content)
    for _ in range(data.draw(st.integers(1, 3))):
        there = elements(root)
        if len(there) < 2:
            break
        # The block itself stays: without it there is nothing to test.
        one = there[data.draw(st.integers(1, len(there) - 1))]
        other = there[data.draw(st.integers(0, len(there) - 1))]
        data.draw(st.sampled_from(CHANGES))(one, other, data.draw(TEXTS))
    found = tried(lambda: gate.caller_of_message(etree.tostring(root), SOAP_TYPE), Wss)
    assert found in (None, callers[str(vector)])


@bounded
@given(st.data())
def test_a_ticket_with_parts_of_another_is_refused_or_is_one_of_the_two(
    gate: Judge, callers: dict[str, Caller], data: st.DataObject
) -> None:
    """An element of a good ticket, its signature for one, in the place of one of another good ticket."""
    one, other = data.draw(st.sampled_from(PLAIN)), data.draw(st.sampled_from(PLAIN))
    root, donor = etree.fromstring(one.content), etree.fromstring(other.content)
    there, given_ = elements(root)[1:], elements(donor)[1:]
    place = there[data.draw(st.integers(0, len(there) - 1))]
    same = [each for each in given_ if each.tag == place.tag]
    part = data.draw(st.sampled_from(same or given_))
    if data.draw(st.booleans()):
        place.getparent().replace(place, part)
    else:
        place.addnext(part)
    found = tried(lambda: gate.caller_of_message(etree.tostring(root), SOAP_TYPE), Wss)
    assert found in (None, callers[str(one)], callers[str(other)])


@bounded
@given(
    st.sampled_from(PLAIN),
    st.sampled_from(["SYSTEM", "PUBLIC 'p'"]),
    st.sampled_from(['<!ENTITY e "x">', '<!ENTITY % e "x"> %e;', '<!ENTITY e SYSTEM "file:///etc/hostname">',
                     '<!ATTLIST saml:Assertion ID ID #IMPLIED>', ""]),
    st.sampled_from(["", "\ufeff", " ", "<!-- -->", "<?x?>", "\n\n"]),
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-16-be"]),
)  # fmt: skip
def test_no_document_type_is_let_in(
    gate: Judge, vector: Vector, outside: str, inside: str, before: str, codec: str
) -> None:
    """Declarations of entities and attributes, in each encoding that is read, however they are hidden."""
    text = vector.content.decode().partition("\n")[2].replace("<saml:NameID>", "<saml:NameID>&e;", 1)
    for kind in (
        f"<!DOCTYPE s:Envelope [{inside}]>",
        f'<!DOCTYPE s:Envelope {outside} "http://127.0.0.1:9/x">',
    ):
        data = (before + kind + text).encode(codec)
        assert tried(lambda data=data: gate.caller_of_message(data, SOAP_TYPE), Wss) is None


@bounded
@given(st.data())
def test_odd_content_in_a_well_signed_ticket_raises_nothing_but_a_denial(
    signing: Signing, data: st.DataObject
) -> None:
    """An issuer that we trust writes what it likes: times, names, codes and identifiers of any form."""
    saml = signing.making.saml
    make = data.draw(st.sampled_from([saml.kjernejournal, saml.helsenorge, saml.hso, saml.xua, saml.system]))
    ticket = make(signing.at)
    values = [
        (name, data.draw(st.sampled_from([value, *[saml.text(data.draw(TEXTS))] * 2, saml.NIL])))
        for name, value in ticket.attributes
    ]
    ticket = replace(ticket, attributes=tuple(values))
    text = ticket.unsigned()
    for _ in range(data.draw(st.integers(0, 2))):
        found = data.draw(st.sampled_from(re.findall(r'(?<=")[^"<>]*(?=")|(?<=>)[^<>]+(?=<)', text)))
        text = text.replace(found, escape(data.draw(TEXTS), {'"': "&quot;"}), 1)
    try:
        signed = signing.making.signatures.sign(text, signing.keys[ticket.issuer])
    except etree.LxmlError:
        return
    message = saml.envelope(saml.security(signed)).encode()
    found = tried(lambda: signing.judge.caller_of_message(message, SOAP_TYPE), Wss)
    assert found is None or found.issuer == ticket.issuer


# -- FHIR

#: Members that mean something in a JOSE header or among claims.
NAMES: Final = [
    "alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "x5u", "b64", "zip", "cty", "iss", "aud", "exp", "nbf",
    "iat", "jti", "cnf", "scope", "sub", "htm", "htu", "ath", "nonce", "helseid://claims/identity/pid",
    "nhn:tillitsrammeverk:parameters",
]  # fmt: skip
JSON: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(
            ["none", "HS256", "RS256", "ES256", "at+jwt", "dpop+jwt", "POST", "urn:xds:vectors:helseid"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)


def decoded(part: str) -> Any:
    """The JSON of a part of a JWS; None when it is none."""
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None


def encoded(value: Any) -> str:
    """A part of a JWS."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@st.composite
def mutated(draw: st.DrawFn, jws: str) -> str:
    """A JWS with other characters, other parts, or other members in its header or claims."""
    parts = jws.split(".")
    match draw(st.sampled_from(["bytes", "parts", "member", "twice", "again"])):
        case "bytes":
            words = [*WORDS, b".", b"=", b"-", b"_", b" ", b"A"]
            return edited(jws.encode(), draw(edits(len(jws), words))).decode("latin-1")
        case "parts":
            chosen = draw(
                st.lists(st.sampled_from([*parts, "", "e30", encoded({"alg": "none"})]), max_size=5)
            )
            return ".".join(chosen)
        case "member":
            place = draw(st.integers(0, 1))
            changed = decoded(parts[place]) | draw(
                st.dictionaries(st.sampled_from(NAMES), JSON, min_size=1, max_size=2)
            )
            parts[place] = encoded(changed)
        case "twice":  # a member that stands twice: which one counts?
            place = draw(st.integers(0, 1))
            text = json.dumps(decoded(parts[place]))
            name = draw(st.sampled_from(NAMES))
            text = f'{text[:-1]}, "{name}": {json.dumps(draw(JSON))}}}'
            parts[place] = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
        case "again":  # padding and other bits that a lenient reader does not see
            place = draw(st.integers(0, 2))
            parts[place] += draw(st.sampled_from(["=", "==", "A", "\n", " ", "%3D"]))
    return ".".join(parts)


def ask(gate: Judge, vector: Vector, token: str, proof: str | None) -> Caller | None:
    """Who is let in with these."""
    request = HttpRequest(vector["method"], vector["url"], f"{vector['scheme']} {token}", proof)
    return tried(lambda: gate.fhir.caller(request), Oauth)


@bounded
@given(st.data())
def test_a_mutated_token_is_refused_or_means_the_same(
    gate: Judge, callers: dict[str, Caller], data: st.DataObject
) -> None:
    """The proof stays as it was; its replay does not matter here, so tokens without one are most of it."""
    vector = data.draw(st.sampled_from([*TOKENS, *[named(PUBLISHED, "jwt-good-bearer")] * 5]))
    token = vector.content.decode()
    found = ask(gate, vector, data.draw(mutated(token)), vector.proof)
    assert found in (None, callers[str(vector)])


@bounded
@given(st.data())
def test_a_mutated_proof_is_refused_or_is_good_once(
    gate: Judge, callers: dict[str, Caller], data: st.DataObject
) -> None:
    """Whatever is done to a proof, it does not become a second one: it is let in at most once."""
    vector = data.draw(st.sampled_from([each for each in TOKENS if each.proof]))
    proof = data.draw(mutated(vector.proof or ""))
    token = vector.content.decode()
    assert ask(gate, vector, token, proof) in (None, callers[str(vector)])
    assert ask(gate, vector, token, proof) is None


_WORD: Final = st.text(max_size=60)
_SCHEME: Final = st.sampled_from(["DPoP", "Bearer", "bearer", "Basic"])


@bounded
@given(
    st.one_of(st.none(), _WORD, st.builds("{} {}".format, _SCHEME, _WORD)),
    st.one_of(st.none(), _WORD),
)
def test_any_headers_are_no_token(gate: Judge, authorization: str | None, dpop: str | None) -> None:
    """What is no token at all is refused."""
    request = HttpRequest("GET", "https://xds.example.test/fhir/List", authorization, dpop)
    assert tried(lambda: gate.fhir.caller(request), Oauth) is None


@bounded
@given(st.data())
def test_odd_claims_in_a_well_signed_token_raise_nothing_but_a_denial(
    signing: Signing, data: st.DataObject
) -> None:
    """An issuer that we trust, and a client that holds its key, write what they like."""
    make, jws, issuer = (
        signing.making.jwt_vectors,
        signing.making.signatures.jws,
        signing.keys["urn:xds:vectors:helseid"],
    )
    odd = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=2)
    claims = data.draw(st.sampled_from([make.personnel, make.machine]))(signing.at, signing.client)
    if data.draw(st.booleans()):
        framework = claims.get("nhn:tillitsrammeverk:parameters", {})
        for part in [framework, *(each for each in framework.values() if isinstance(each, dict))]:
            if part and data.draw(st.booleans()):
                part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    token = jws(make.header(issuer), claims | data.draw(odd), issuer)
    url = TOKENS[0]["url"]
    proof = jws(
        make.proof_header(signing.client) | data.draw(st.one_of(st.just({}), odd)),
        make.proof_claims(signing.at, url, token) | data.draw(st.one_of(st.just({}), odd)),
        signing.client,
        alg="ES256",
    )
    found = ask(signing.judge, TOKENS[0], token, proof)
    assert found is None or found.issuer == claims["iss"]


@bounded
@given(st.integers(0, 3000), st.sampled_from(["[", '{"a":']), st.integers(0, 2))
def test_deep_json_is_refused(gate: Judge, depth: int, opening: str, place: int) -> None:
    """Nesting that would exhaust a recursive reader, in the header, the claims, or the proof."""
    closing = {"[": "]", '{"a":': "}"}[opening]
    text = opening * depth + "1" + closing * depth
    deep = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
    vector = named(PUBLISHED, "jwt-good-personnel")
    parts, proof = vector.content.decode().split("."), vector.proof
    if place < 2:
        parts[place] = deep
    else:
        proof = f"{deep}.{deep}.AAAA"
    assert ask(gate, vector, ".".join(parts), proof) is None
