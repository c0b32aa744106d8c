"""DPoP proofs: each rule of RFC 9449 4.3 broken once, HelseID's list of invalid proofs among them."""

from __future__ import annotations

import hmac
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from tests.security import jwts
from tests.security.jwts import AT, METHOD, NOW, URL
from xds.errors import Denied
from xds.security import jws, proof

TOKEN = "aaaa.bbbb.cccc"
CLIENT = jwts.public_jwk(jwts.ec_key("ES256", "client"))
JKT = jwts.thumbprint(CLIENT)
PRIVATE = {**CLIENT, "d": "AAAA"}
RSA = jwts.public_jwk(jwts.rsa_key("client"))
SECRET = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]


def refusal(text: str, thumbprint: str = JKT, **changes: Any) -> str:
    """The rule by which a proof is refused."""
    values = {"token": TOKEN, "method": METHOD, "url": URL, "now": NOW} | changes
    with pytest.raises(Denied) as caught:
        proof.check(text, thumbprint=thumbprint, **values)
    return caught.value.rule


def check(text: str, thumbprint: str = JKT, url: str = URL) -> tuple[str, Any]:
    """Check a proof for the usual request."""
    return proof.check(text, TOKEN, thumbprint, METHOD, url, NOW)


@pytest.mark.parametrize("algorithm", sorted(jws.ALGORITHMS))
def test_every_algorithm_of_the_list_is_taken(algorithm: str) -> None:
    """RS, PS and ES with 256, 384 and 512; HelseID names these nine for DPoP."""
    jwk = jwts.public_jwk(jwts.key_for(algorithm, "client"))

    assert check(jwts.proof(TOKEN, algorithm=algorithm), jwts.thumbprint(jwk))


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """The RSA key of RFC 7638 3.1 is refused for its signature, not for its thumbprint."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    text = jwts.proof(TOKEN, {"jwk": jwk}, "RS256")

    assert refusal(text, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs") == "proof-signature"


def test_a_proof_has_a_name_of_its_own_and_an_end() -> None:
    """The name is of key and jti together; it must be remembered as long as any node may take the proof."""
    name, until = check(jwts.proof(TOKEN))

    assert check(jwts.proof(TOKEN, iat=AT - 1)) == (name, until - timedelta(seconds=1))
    assert until == NOW + timedelta(seconds=20)  # 10 s of validity, 5 s of skew here and 5 s on another node
    assert check(jwts.proof(TOKEN, jti="p-2"))[0] != name
    other = jwts.thumbprint(RSA)
    assert check(jwts.proof(TOKEN, algorithm="RS256"), other)[0] != name


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        pytest.param({"kid": "any"}, {}, id="kid"),
        pytest.param(
            {"jwk": {**CLIENT, "use": "sig", "alg": "ES256", "kid": "a", "ext": True}}, {}, id="jwk with more"
        ),
        pytest.param({}, {"iat": AT - 15}, id="15 seconds old"),
        pytest.param({}, {"iat": AT + 5}, id="5 seconds ahead"),
        pytest.param({}, {"iat": AT + 0.5}, id="iat with a fraction"),
        pytest.param({}, {"jti": "a" * 512}, id="long jti"),
        pytest.param({}, {"nonce": "abc", "exp": AT}, id="claims nobody asked for"),
    ],
)
def test_what_the_rules_permit_is_taken(header: dict[str, Any], changes: dict[str, Any]) -> None:
    """Forms and times at the edge."""
    assert check(jwts.proof(TOKEN, header, **changes))


@pytest.mark.parametrize(
    ("rule", "header", "changes"),
    [
        # HelseID's InvalidDPoPProofParameters
        ("proof-request", {}, {"htu": None}),
        ("proof-request", {}, {"htm": None}),
        ("proof-time", {}, {"iat": AT - 16}),
        ("proof-time", {}, {"iat": AT + 6}),
        ("proof-token", {}, {"ath": None}),
        ("proof-algorithm", {"alg": None}, {}),
        ("proof-key", {"jwk": None}, {}),
        ("proof-form", {}, {"jti": None}),
        ("proof-algorithm", {"alg": "HS256"}, {}),
        ("proof-key", {"jwk": PRIVATE}, {}),
        ("proof-form", {"typ": "jwt+dpop"}, {}),
        ("proof-binding", {"jwk": jwts.public_jwk(jwts.ec_key("ES256", "other"))}, {}),
        # and more of each
        ("proof-form", {"typ": None}, {}),
        ("proof-form", {"typ": "at+jwt"}, {}),
        ("proof-form", {"typ": ["dpop+jwt"]}, {}),
        ("proof-form", {"crit": ["exp"]}, {}),
        ("proof-form", {"x5c": []}, {}),
        ("proof-form", {"b64": False}, {}),
        ("proof-algorithm", {"alg": "none"}, {}),
        ("proof-algorithm", {"alg": "EdDSA"}, {}),
        ("proof-algorithm", {"alg": {"ES256": 1}}, {}),
        ("proof-algorithm", {"alg": "ES384"}, {}),  # the curve is P-256
        ("proof-algorithm", {"alg": "RS256"}, {}),
        ("proof-key", {"jwk": "x"}, {}),
        ("proof-key", {"jwk": {}}, {}),
        ("proof-key", {"jwk": {"kty": "oct", "k": "AAAA"}}, {}),
        ("proof-key", {"jwk": {"kty": "oct"}}, {}),
        ("proof-key", {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": CLIENT["x"]}}, {}),
        ("proof-key", {"jwk": {**CLIENT, "kty": ["EC"]}}, {}),
        ("proof-key", {"jwk": {**CLIENT, "x": 1}}, {}),
        ("proof-key", {"jwk": {**CLIENT, "y": None}}, {}),
        ("proof-key", {"jwk": {**CLIENT, "use": "enc"}}, {}),
        ("proof-key", {"jwk": {**CLIENT, "use": ["sig"]}}, {}),
        ("proof-key", {"jwk": {**CLIENT, "alg": "ES512"}}, {}),
        *(("proof-key", {"jwk": {**RSA, name: "AAAA"}}, {}) for name in SECRET),
        ("proof-request", {}, {"htm": "POST"}),
        ("proof-request", {}, {"htm": "get"}),
        ("proof-request", {}, {"htm": ["GET"]}),
        ("proof-request", {}, {"htu": [URL]}),
        ("proof-request", {}, {"htu": ""}),
        ("proof-token", {}, {"ath": "x"}),
        ("proof-token", {}, {"ath": ["x"]}),
        ("proof-time", {}, {"iat": None}),
        ("proof-time", {}, {"iat": str(AT)}),
        ("proof-time", {}, {"iat": True}),
        ("proof-time", {}, {"iat": 10**18}),
        ("proof-time", {}, {"iat": AT * 1000}),
        ("proof-form", {}, {"jti": ""}),
        ("proof-form", {}, {"jti": 1}),
        ("proof-form", {}, {"jti": "a" * 513}),
    ],
)
def test_each_rule_broken_once_is_refused(rule: str, header: dict[str, Any], changes: dict[str, Any]) -> None:
    """A proof that is good but for one thing is refused by that thing's rule."""
    assert refusal(jwts.proof(TOKEN, header, **changes)) == rule


def test_a_signature_that_does_not_fit_is_refused() -> None:
    """Another key's, another message's, or none (SetAnInvalidSignature)."""
    signed = jwts.proof(TOKEN).rpartition(".")[0]

    assert (
        refusal(jwts.proof(TOKEN, {"jwk": CLIENT}, private=jwts.ec_key("ES256", "other")))
        == "proof-signature"
    )
    assert refusal(f"{signed}.{jwts.proof(TOKEN, jti='x').rpartition('.')[2]}") == "proof-signature"
    assert refusal(f"{signed}.{jwts.encode(bytes(64))}") == "proof-signature"
    assert refusal(f"{signed}.{jwts.encode(bytes(61))}") == "proof-signature"
    assert refusal(f"{signed}.") == "proof-signature"


def test_a_mac_with_the_public_key_is_refused() -> None:
    """The jwk is known to everybody, so it proves nothing as a secret."""
    heads = {"alg": "HS256", "typ": "dpop+jwt", "jwk": CLIENT}
    text = f"{jwts.encode(jwts.dump(heads))}.{jwts.proof(TOKEN).split('.')[1]}"
    mac = hmac.digest(jwts.dump(CLIENT), text.encode(), "sha256")

    assert refusal(f"{text}.{jwts.encode(mac)}") == "proof-algorithm"


# The keys are new in each process, so they must not be in the names of the tests.
@pytest.mark.parametrize(
    "thumbprint",
    ["", JKT[:-1], JKT.lower(), jwts.thumbprint(RSA)],
    ids=["none", "cut off", "in lower case", "another key's"],
)
def test_the_key_must_be_the_tokens(thumbprint: str) -> None:
    """A token that names no key, or another, is proved by none (SetAnInvalidJktValueInToken)."""
    assert refusal(jwts.proof(TOKEN), thumbprint) == "proof-binding"


def test_a_proof_is_for_one_token() -> None:
    """ath is the digest of the very token that came along."""
    assert refusal(jwts.proof(TOKEN), token=TOKEN + "c") == "proof-token"
    assert refusal(jwts.proof(TOKEN), token="æ\udc80") == "proof-token"


@pytest.mark.parametrize(
    ("jwk", "rule"),
    [
        pytest.param(jwts.public_jwk(jwts.rsa_key("weak", 1024)), "proof-key", id="RSA 1024"),
        pytest.param(
            {**RSA, "n": jwts.encode(bytes(128) + b"\xff" * 128)}, "proof-key", id="RSA 1024, padded"
        ),
        pytest.param({**RSA, "n": jwts.encode(b"\xff" * 1025)}, "proof-key", id="RSA 8200"),
        pytest.param({**RSA, "n": RSA["n"] + "="}, "proof-key", id="n with padding"),
        pytest.param({**RSA, "n": "æ"}, "proof-key", id="n not ASCII"),
        pytest.param({**RSA, "n": ""}, "proof-key", id="n empty"),
        pytest.param({**RSA, "e": "AQ"}, "proof-key", id="e is 1"),
        pytest.param({**RSA, "e": "BA"}, "proof-key", id="e is even"),
        pytest.param({**RSA, "e": jwts.encode(b"\xff" * 5)}, "proof-key", id="e of 40 bits"),
        pytest.param({**CLIENT, "x": jwts.encode(bytes(32))}, "proof-key", id="not on the curve"),
        pytest.param({**CLIENT, "x": jwts.encode(b"\xff" * 40)}, "proof-key", id="x too long"),
        pytest.param({**CLIENT, "x": ""}, "proof-key", id="x empty"),
        pytest.param({**CLIENT, "crv": "P-192"}, "proof-key", id="P-192"),
        pytest.param({**CLIENT, "crv": "secp256k1"}, "proof-key", id="secp256k1"),
    ],
)
def test_a_weak_or_broken_key_is_refused_though_the_token_names_it(jwk: dict[str, Any], rule: str) -> None:
    """Not even an issuer can bind a token to such a key."""
    algorithm = "RS256" if jwk["kty"] == "RSA" else "ES256"
    text = jwts.proof(TOKEN, {"jwk": jwk}, algorithm)

    assert refusal(text, jwts.thumbprint(jwk)) == rule


@pytest.mark.parametrize(
    ("htu", "url"),
    [
        (URL, URL),
        (URL + "?_id=1", URL),
        (URL + "#top", URL),
        (URL, URL + "?_id=1#top"),
        ("HTTPS://Node.Example/fhir/DocumentReference", URL),
        ("https://node.example:443/fhir/DocumentReference", URL),
        ("http://node.example/x", "http://node.example:80/x"),
        ("https://node.example", "https://node.example/"),
        ("https://node.example?x", "https://node.example/"),
        ("https://node.example/%c3%a6", "https://node.example/%C3%A6"),
        ("https://node.example/%7Ea%2D", "https://node.example/~a-"),
        ("https://[::1]:8080/a", "https://[::1]:8080/a"),
    ],
)
def test_equal_urls_are_equal(htu: str, url: str) -> None:
    """Case of scheme and host, default port, empty path, percent-encoding; not query, fragment."""
    assert check(jwts.proof(TOKEN, htu=htu), url=url)


@pytest.mark.parametrize(
    ("htu", "url"),
    [
        ("http://node.example/fhir/DocumentReference", URL),
        ("https://node.example:8443/fhir/DocumentReference", URL),
        ("https://node.example:80/fhir/DocumentReference", URL),
        ("https://other.example/fhir/DocumentReference", URL),
        ("https://node.example.attacker.example/fhir/DocumentReference", URL),
        ("https://node.example@attacker.example/fhir/DocumentReference", URL),
        ("https://attacker@node.example/fhir/DocumentReference", URL),
        ("https://node.example/fhir/documentreference", URL),
        ("https://node.example/fhir/DocumentReference/", URL),
        ("https://node.example/fhir/x/../DocumentReference", URL),
        ("https://node.example//fhir/DocumentReference", URL),
        ("https://node.example/fhir%2FDocumentReference", URL),
        ("https://node.example/fhir", URL),
        ("/fhir/DocumentReference", URL),
        (" " + URL, URL),
        (URL + "\n", URL),
        ("https://node.example\t/fhir/DocumentReference", URL),
        ("https:\\\\node.example\\fhir\\DocumentReference", URL),
        ("https://node.example/æ", "https://node.example/æ"),
        ("https://", "https://"),
        ("https://node.example:999999/", "https://node.example:999999/"),
        ("ftp://node.example/", "ftp://node.example/"),
    ],
)
def test_different_urls_are_different(htu: str, url: str) -> None:
    """And what is no absolute URL equals nothing, not even itself."""
    assert refusal(jwts.proof(TOKEN, htu=htu), url=url) == "proof-request"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        TOKEN,
        "a" * 8193,
        jwts.jwt({"a": "b" * 8000}, {}),
        jwts.proof(TOKEN) + ".",
        "æ.æ.æ",
    ],
    ids=["empty", "dot", "two dots", "letters", "token", "long", "long JWT", "four parts", "not ASCII"],
)
def test_what_is_no_jwt_is_refused(text: str) -> None:
    """Before anything in it is looked at."""
    assert refusal(text) == "proof-form"


def test_the_skew_can_be_set() -> None:
    """A wider skew moves both ends of the window, and the end of what must be remembered."""
    minute = timedelta(seconds=60)
    text = jwts.proof(TOKEN, iat=AT - 70)

    _, until = proof.check(text, TOKEN, JKT, METHOD, URL, NOW, minute)
    assert until == NOW + timedelta(seconds=60)
    assert refusal(text) == "proof-time"
    assert refusal(jwts.proof(TOKEN, iat=AT - 71), skew=minute) == "proof-time"
    assert refusal(jwts.proof(TOKEN, iat=AT + 61), skew=minute) == "proof-time"


# ---- whatever comes: Denied, and nothing else


@settings(max_examples=examples(300), deadline=None)
@given(st.text() | st.text("abcABC019-_.="))
def test_any_text_is_refused(text: str) -> None:
    """No text that nobody signed is a proof, and none breaks the reader."""
    assert refusal(text).startswith("proof-")


GOOD = jwts.proof(TOKEN)


@settings(max_examples=examples(500), deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 12), st.text(max_size=12))
def test_a_good_proof_with_any_change_is_refused(start: int, length: int, text: str) -> None:
    """A signature covers every character of a proof."""
    changed = GOOD[:start] + text + GOOD[start + length :]
    if changed != GOOD:
        assert refusal(changed).startswith("proof-")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "use", "alg", "key_ops", "kid"])
WORDS = st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "AQAB", CLIENT["x"], RSA["n"]])


@settings(max_examples=examples(400), deadline=None)
@given(st.dictionaries(MEMBERS, JSON | WORDS))
def test_a_key_of_any_form_is_taken_or_refused(members: dict[str, Any]) -> None:
    """Even if a token named such a key."""
    jwk = CLIENT | members
    try:
        thumbprint = jwts.thumbprint(jwk)
    except KeyError:
        thumbprint = JKT
    with suppress(Denied):
        check(jwts.proof(TOKEN, {"jwk": jwk}), thumbprint)


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(st.sampled_from(["htm", "htu", "ath", "iat", "jti"]), JSON, min_size=1, max_size=2))
def test_signed_claims_of_any_form_are_taken_or_refused(changes: dict[str, Any]) -> None:
    """A client's own mistakes end in a name or in Denied."""
    with suppress(Denied):
        check(jwts.proof(TOKEN, **changes))
