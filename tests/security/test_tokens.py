"""Access tokens: each rule of RFC 9068 and of HelseID broken once, and what must be taken."""

from __future__ import annotations

import hmac
import json
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import jose.jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from tests.security import jwts
from tests.security.jwts import AT, AUDIENCE, HEADER, ISSUER, MACHINE, NOW
from xds.errors import Denied
from xds.security import jws, tokens
from xds.security.trust import TicketKind

PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
TRUST = jwts.trust()
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def refusal(token: str, trust: Any = TRUST, now: Any = NOW) -> str:
    """The rule by which a token is refused."""
    with pytest.raises(Denied) as caught:
        tokens.verify(token, trust, now)
    return caught.value.rule


def test_a_good_token_says_what_it_is() -> None:
    """The verified token has its issuer, jti, times and thumbprint."""
    token = tokens.verify(jwts.token(cnf={"jkt": JKT}), TRUST, NOW)

    assert (token.issuer.name, token.id, token.thumbprint) == (ISSUER, "4711", JKT)
    assert (token.issued_at, token.not_before, token.expires_at) == (NOW, NOW, NOW + timedelta(seconds=60))
    assert token.claims["client_id"] == "client-1"


@pytest.mark.parametrize("algorithm", sorted(jws.ALGORITHMS))
def test_every_algorithm_of_the_list_is_taken(algorithm: str) -> None:
    """RS, PS and ES with 256, 384 and 512, each with a key of its own type and curve."""
    trust = jwts.trust(jwts.issuer(keys=(jwts.trusted(jwts.key_for(algorithm)),)))

    assert tokens.verify(jwts.token(algorithm=algorithm), trust, NOW).id == "4711"


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "ES256", "ES384"])
def test_tokens_of_python_jose_are_taken(algorithm: str) -> None:
    """A maker of tokens that shares no code with ours is understood."""
    private = jwts.key_for(algorithm)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = jose.jwt.encode(MACHINE, pem, algorithm, headers={"kid": "one"})
    trust = jwts.trust(jwts.issuer(keys=(jwts.trusted(private),)))

    assert tokens.verify(made, trust, NOW).id == "4711"


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        pytest.param({"typ": "JWT"}, {}, id="typ JWT"),
        pytest.param({"typ": "AT+JWT"}, {}, id="typ in capitals"),
        pytest.param({"typ": "application/at+jwt"}, {}, id="typ with application"),
        pytest.param({"kid": None}, {}, id="no kid, and the issuer has one key"),
        pytest.param({"x5t": "uJGWFsHnnodadODGsCdOcTDVCmM", "x5t#S256": JKT}, {}, id="x5t"),
        pytest.param({}, {"aud": ["elsewhere", AUDIENCE]}, id="two audiences, ours among them"),
        pytest.param({}, {"nbf": None}, id="no nbf"),
        pytest.param({}, {"exp": AT + 60.5}, id="exp with a fraction"),
        pytest.param({}, {"exp": AT - 29}, id="expired within the skew"),
        pytest.param({}, {"nbf": AT + 30, "iat": AT + 30}, id="issued within the skew"),
        pytest.param({}, {"exp": AT + 600}, id="as long as the issuer may"),
        pytest.param({}, {"name": "Kari \\u2013 Nordmann ææ"}, id="escapes that are text"),
    ],
)
def test_what_the_rules_permit_is_taken(header: dict[str, Any], changes: dict[str, Any]) -> None:
    """Each form that RFC 9068, HelseID or the trust file allows."""
    if changes.get("exp", AT) < AT:
        changes = {**changes, "iat": AT - 90, "nbf": AT - 90}

    assert tokens.verify(jwts.token(header, **changes), TRUST, NOW).id == "4711"


@pytest.mark.parametrize(
    ("rule", "header", "changes"),
    [
        ("token-type", {"typ": None}, {}),
        ("token-type", {"typ": "dpop+jwt"}, {}),
        ("token-type", {"typ": "client-authentication+jwt"}, {}),
        ("token-type", {"typ": ["at+jwt"]}, {}),
        ("token-algorithm", {"alg": None}, {}),
        ("token-algorithm", {"alg": "none"}, {}),
        ("token-algorithm", {"alg": "None"}, {}),
        ("token-algorithm", {"alg": "EdDSA"}, {}),
        ("token-algorithm", {"alg": "ES256K"}, {}),
        ("token-algorithm", {"alg": ["RS256"]}, {}),
        ("token-algorithm", {"alg": "ES256"}, {}),  # the key is RSA
        ("token-signature", {"alg": "PS256"}, {}),  # signed as RS256
        ("token-header-field", {"crit": ["exp"]}, {}),
        ("token-header-field", {"crit": []}, {}),
        ("token-header-field", {"b64": False, "crit": ["b64"]}, {}),
        ("token-header-field", {"jwk": jwts.public_jwk(jwts.rsa_key())}, {}),
        ("token-header-field", {"jwk": {"kty": "oct", "k": "AAAA"}}, {}),
        ("token-header-field", {"jku": "https://attacker.example/keys"}, {}),
        ("token-header-field", {"x5u": "https://attacker.example/certificate"}, {}),
        ("token-header-field", {"x5c": ["MIIB"]}, {}),
        ("token-header-field", {"zip": "DEF"}, {}),
        ("token-header-field", {"cty": "JWT"}, {}),
        ("token-header-field", {"enc": "A128GCM"}, {}),
        ("token-key", {"kid": "stale"}, {}),
        ("token-key", {"kid": ""}, {}),
        ("token-key", {"kid": 1}, {}),
        ("token-issuer", {}, {"iss": None}),
        ("token-issuer", {}, {"iss": ISSUER + "/"}),
        ("token-issuer", {}, {"iss": ISSUER.upper()}),
        ("token-issuer", {}, {"iss": [ISSUER]}),
        ("token-audience", {}, {"aud": None}),
        ("token-audience", {}, {"aud": []}),
        ("token-audience", {}, {"aud": "elsewhere"}),
        ("token-audience", {}, {"aud": AUDIENCE.upper()}),
        ("token-audience", {}, {"aud": AUDIENCE + "/repository"}),
        ("token-audience", {}, {"aud": [[AUDIENCE]]}),
        ("token-audience", {}, {"aud": [AUDIENCE, 1]}),
        ("token-audience", {}, {"aud": {AUDIENCE: True}}),
        ("token-content", {}, {"exp": None}),
        ("token-content", {}, {"exp": str(AT + 60)}),
        ("token-content", {}, {"exp": True}),
        ("token-content", {}, {"exp": [AT + 60]}),
        ("token-content", {}, {"exp": 10**18}),
        ("token-content", {}, {"exp": 1e300}),
        ("token-content", {}, {"iat": None}),
        ("token-content", {}, {"iat": "now"}),
        ("token-content", {}, {"nbf": "now"}),
        ("token-content", {}, {"nbf": -(10**17)}),
        ("token-content", {}, {"jti": None}),
        ("token-content", {}, {"jti": ""}),
        ("token-content", {}, {"jti": 4711}),
        ("token-content", {}, {"jti": "a\nb"}),
        ("token-content", {}, {"jti": "a" * 513}),
        ("token-content", {}, {"cnf": {}}),
        ("token-content", {}, {"cnf": "x"}),
        ("token-content", {}, {"cnf": {"jkt": JKT[:-1]}}),
        ("token-content", {}, {"cnf": {"jkt": [JKT]}}),
        ("token-content", {}, {"cnf": {"x5t#S256": JKT}}),
        ("token-content", {}, {"cnf": {"jkt": JKT, "x5t#S256": JKT}}),
        ("token-content", {}, {tokens.TRUST_FRAMEWORK: "{"}),
        ("token-content", {}, {tokens.TRUST_FRAMEWORK: "[]"}),
        ("token-content", {}, {tokens.TRUST_FRAMEWORK: '{"toa":1,"toa":2}'}),
        ("token-content", {}, {tokens.TRUST_FRAMEWORK: {"toa": "today"}}),
        ("token-expired", {}, {"iat": AT - 90, "nbf": AT - 90, "exp": AT - 30}),
        ("token-early", {}, {"nbf": AT + 31}),
        ("token-early", {}, {"iat": AT + 31}),
        ("token-lifetime", {}, {"exp": AT + 601}),
        ("token-lifetime", {}, {"nbf": None, "iat": AT - 541}),
        ("token-lifetime", {}, {"nbf": AT + 20, "exp": AT + 20}),
    ],
)
def test_each_rule_broken_once_is_refused(rule: str, header: dict[str, Any], changes: dict[str, Any]) -> None:
    """A token that is good but for one thing is refused by that thing's rule."""
    text = jwts.jwt(jwts.changed(HEADER, header), jwts.changed(MACHINE, changes))

    assert refusal(text) == rule


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        pytest.param(b'{"alg":"RS256","alg":"RS256","kid":"one","typ":"JWT"}', MACHINE, id="alg twice"),
        pytest.param(HEADER, b'{"iss":"x","iss":"' + ISSUER.encode() + b'"}', id="iss twice"),
        pytest.param(HEADER, b'{"a":{"b":1,"b":1}}', id="twice further in"),
        pytest.param(HEADER, b'{"exp":NaN}', id="NaN"),
        pytest.param(HEADER, b'{"exp":-Infinity}', id="Infinity"),
        pytest.param(HEADER, b'{"exp":1e400}', id="a number that is infinite"),
        pytest.param(HEADER, b'{"exp":' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(HEADER, b'{"a":' + b"[" * 20000 + b"]" * 20000 + b"}", id="20,000 levels"),
        pytest.param(HEADER, b"[]", id="claims are a list"),
        pytest.param(HEADER, b'"text"', id="claims are a text"),
        pytest.param(b"[]", MACHINE, id="header is a list"),
        pytest.param(HEADER, b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param(HEADER, b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param(HEADER, b'{"a":"\\ud800"}', id="half a character"),
        pytest.param(HEADER, b'{"a":1}x', id="something behind"),
        pytest.param(b"{", MACHINE, id="header cut off"),
    ],
)
def test_json_that_could_be_read_in_two_ways_is_refused(header: Any, claims: Any) -> None:
    """However good the signature is."""
    assert refusal(jwts.jwt(header, claims)) == "token-form"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: text + ".", id="four parts"),
        pytest.param(lambda text: text.rpartition(".")[0], id="two parts"),
        pytest.param(lambda text: text + "=", id="padding"),
        pytest.param(lambda text: text + "\n", id="line end"),
        pytest.param(lambda text: " " + text, id="blank"),
        pytest.param(lambda text: text.replace(".", ".+", 1), id="+ of the other alphabet"),
        pytest.param(lambda text: text[:-1] + "æ", id="not ASCII"),
        pytest.param(lambda text: text[:-1] + "\udc80", id="half a character"),
        pytest.param(lambda text: text[:-1] + chr(ord(text[-1]) + 1), id="bits that nothing says"),
        pytest.param(lambda text: json.dumps({"payload": text}), id="JSON serialisation"),
    ],
)
def test_what_is_not_a_compact_jwt_is_refused(change: Any) -> None:
    """Three parts of base64url in the one form that encoding gives, and nothing else."""
    assert refusal(change(jwts.token())) == "token-form"


@pytest.mark.parametrize("form", [PEM, DER], ids=["PEM", "DER"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_keyed_with_the_public_key_is_refused(algorithm: str, form: Any) -> None:
    """HMAC with what everybody knows is no signature (algorithm confusion)."""
    public = jwts.rsa_key().public_key().public_bytes(*form)
    text = f"{jwts.encode(jwts.dump({**HEADER, 'alg': algorithm}))}.{jwts.encode(jwts.dump(MACHINE))}"
    mac = hmac.digest(public, text.encode(), f"sha{algorithm[2:]}")

    assert refusal(f"{text}.{jwts.encode(mac)}") == "token-algorithm"


def test_a_token_without_signature_is_refused() -> None:
    """`alg none` with nothing behind the last dot, and a signature cut off."""
    header, claims, _ = jwts.token().split(".")
    none = jwts.encode(jwts.dump({"alg": "none", "typ": "JWT"}))

    assert refusal(f"{none}.{claims}.") == "token-algorithm"
    assert refusal(f"{header}.{claims}.") == "token-signature"


def test_a_token_changed_after_signing_is_refused() -> None:
    """Other claims or another header than those that were signed."""
    header, claims, signature = jwts.token().split(".")
    other = jwts.encode(jwts.dump({**MACHINE, "client_id": "client-2"}))

    assert refusal(f"{header}.{other}.{signature}") == "token-signature"
    assert (
        refusal(f"{jwts.encode(jwts.dump({**HEADER, 'x5t': 'x'}))}.{claims}.{signature}") == "token-signature"
    )


def test_another_issuers_key_does_not_help() -> None:
    """A key signs for its own issuer only, whatever kid it has there."""
    other = jwts.issuer(name="https://other.example", keys=(jwts.trusted(jwts.rsa_key("other"), "two"),))
    trust = jwts.trust(jwts.issuer(), other)

    assert (
        refusal(jwts.jwt({**HEADER, "kid": "two"}, MACHINE, private=jwts.rsa_key("other")), trust)
        == "token-key"
    )
    assert refusal(jwts.jwt(HEADER, MACHINE, private=jwts.rsa_key("other")), trust) == "token-signature"


def test_kid_decides_which_key_is_used() -> None:
    """A token of one key under the kid of another is refused, and so is one without kid."""
    keys = (jwts.trusted(jwts.rsa_key()), jwts.trusted(jwts.rsa_key("second"), "two"))
    trust = jwts.trust(jwts.issuer(keys=keys))

    assert tokens.verify(jwts.token(), trust, NOW).id == "4711"
    assert refusal(jwts.token({"kid": "two"}), trust) == "token-signature"
    assert refusal(jwts.token({"kid": None}), trust) == "token-key"


def test_a_nameless_key_fits_when_it_is_the_only_one() -> None:
    """A key from a file has no kid: it is taken for any, as long as there is no choice."""
    nameless = jwts.trusted(jwts.rsa_key(), "")
    two = (nameless, jwts.trusted(jwts.rsa_key("second"), ""))

    assert tokens.verify(jwts.token(), jwts.trust(jwts.issuer(keys=(nameless,))), NOW).id == "4711"
    assert refusal(jwts.token(), jwts.trust(jwts.issuer(keys=two))) == "token-key"


@pytest.mark.parametrize(
    "times",
    [{"not_after": NOW - timedelta(seconds=1)}, {"not_before": NOW + timedelta(seconds=1)}],
    ids=["over", "not begun"],
)
def test_a_key_out_of_its_time_is_not_used(times: dict[str, Any]) -> None:
    """The key's own validity counts, not the token's."""
    trust = jwts.trust(jwts.issuer(keys=(jwts.trusted(jwts.rsa_key(), **times),)))

    assert refusal(jwts.token(), trust) == "token-key"


def test_a_key_of_another_strength_or_curve_is_not_used() -> None:
    """RSA below 2048 bits, and ES256 with a key for ES384."""
    weak = jwts.rsa_key("weak", 1024)
    small = jwts.trust(jwts.issuer(keys=(jwts.trusted(weak),)))
    curve = jwts.trust(jwts.issuer(keys=(jwts.trusted(jwts.ec_key("ES384")),)))

    assert refusal(jwts.jwt(HEADER, MACHINE, private=weak), small) == "token-algorithm"
    assert refusal(jwts.token(algorithm="ES256"), curve) == "token-algorithm"
    assert refusal(jwts.token(algorithm="RS256"), curve) == "token-algorithm"


@pytest.mark.parametrize("kind", [kind for kind in TicketKind if not kind.is_token])
def test_an_issuer_of_saml_tickets_issues_no_tokens(kind: TicketKind) -> None:
    """What the trust file believes an issuer for is all that it is believed for."""
    assert refusal(jwts.token(), jwts.trust(jwts.issuer(kind=kind))) == "token-issuer"


def test_a_large_token_is_refused_at_once() -> None:
    """4 MB cost no more than looking at their length."""
    text = jwts.jwt(HEADER, {**MACHINE, "name": "a" * 3_000_000})
    began = time.thread_time()

    assert refusal(text) == "token-size"
    assert tokens.issuer_name(text) == ""
    assert time.thread_time() - began < 0.5


def test_the_issuer_name_is_what_the_token_claims_unverified() -> None:
    """The trust store is asked about this name; no answer rests on it."""
    assert tokens.issuer_name(jwts.token({"kid": "new"}) + "=") == ""
    assert tokens.issuer_name(jwts.token({"kid": "new"})) == ISSUER
    assert tokens.issuer_name(jwts.token({"kid": None}, iss=1)) == ""


PERSON = {"helseid://claims/identity/pid": "00000000000"}


@pytest.mark.parametrize(
    ("age", "changes", "rule"),
    [
        (3600, {tokens.TRUST_FRAMEWORK: {"toa": AT - 3630}}, None),
        (3600, {tokens.TRUST_FRAMEWORK: {"toa": AT - 3631}}, "token-attestation"),
        (3600, {tokens.TRUST_FRAMEWORK: json.dumps({"toa": AT - 3631})}, "token-attestation"),
        (3600, {tokens.TRUST_FRAMEWORK: {"toa": AT + 31}}, "token-early"),
        (3600, {tokens.TRUST_FRAMEWORK: {"toa": AT}, "auth_time": AT - 9999}, None),
        (3600, {"auth_time": AT - 3631}, "token-attestation"),
        (3600, {"auth_time": AT - 3600, **PERSON}, None),
        (3600, PERSON, "token-attestation"),
        (3600, {}, None),  # a machine attests nothing
        (None, {tokens.TRUST_FRAMEWORK: {"toa": AT - 9999}}, None),
        (None, PERSON, None),
    ],
)
def test_the_attestation_must_be_new_enough(
    age: int | None, changes: dict[str, Any], rule: str | None
) -> None:
    """toa counts, or the login; a person's token that has neither is refused when an age is set."""
    trust = jwts.trust(jwts.issuer(attestation=None if age is None else timedelta(seconds=age)))
    text = jwts.token(**changes)

    if rule is None:
        assert tokens.verify(text, trust, NOW).id == "4711"
    else:
        assert refusal(text, trust) == rule


@pytest.mark.parametrize(
    ("later", "rule"), [(-31, "token-early"), (-30, None), (89, None), (90, "token-expired")]
)
def test_times_are_checked_at_every_use(later: int, rule: str | None) -> None:
    """exp is the first second at which a token is over, give or take the skew, remembered or not."""
    token = tokens.verify(jwts.token(), TRUST, NOW)
    check = partial(tokens.check_times, token, NOW + timedelta(seconds=later))

    if rule is None:
        check()
    else:
        with pytest.raises(Denied, match=f"^{rule}$"):
            check()


def test_one_of_the_scopes_is_enough() -> None:
    """Nothing is needed where nothing is wanted; else one of the wanted, to the letter."""
    tokens.check_scopes(frozenset({"a", "b"}), frozenset({"b", "c"}))
    tokens.check_scopes(frozenset(), frozenset())
    for has in (frozenset[str](), frozenset({"B"}), frozenset({"b/more"})):
        with pytest.raises(Denied, match=r"^token-scope$"):
            tokens.check_scopes(has, frozenset({"b", "c"}))


def test_claims_cannot_be_changed() -> None:
    """What was signed stays as it was."""
    token = tokens.verify(jwts.token(), TRUST, NOW)

    with pytest.raises(TypeError):
        token.claims["client_id"] = "other"  # type: ignore[index]


# ---- whatever comes: Denied, and nothing else


@settings(max_examples=examples(300), deadline=None)
@given(st.text() | st.text("abcABC019-_.="))
def test_any_text_is_refused(text: str) -> None:
    """No text that nobody signed is a token, and none breaks the reader."""
    assert refusal(text).startswith("token-")
    tokens.issuer_name(text)


GOOD = jwts.token(cnf={"jkt": JKT})


@settings(max_examples=examples(500), deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 12), st.text(max_size=12))
def test_a_good_token_with_any_change_is_refused(start: int, length: int, text: str) -> None:
    """A signature covers every character of a token."""
    changed = GOOD[:start] + text + GOOD[start + length :]
    if changed != GOOD:
        assert refusal(changed).startswith("token-")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(ISSUER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["iss", "aud", "exp", "iat", "nbf", "jti", "cnf", "auth_time", "scope", tokens.TRUST_FRAMEWORK]
)


@settings(max_examples=examples(300), deadline=None)
@given(st.dictionaries(NAMES, JSON, min_size=1, max_size=2))
def test_signed_claims_of_any_form_are_taken_or_refused(changes: dict[str, Any]) -> None:
    """Even an issuer's own mistakes end in a Token or in Denied."""
    text = jwts.jwt(HEADER, MACHINE | changes)
    with suppress(Denied):
        tokens.verify(text, TRUST, NOW)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "x5t", "x5t#S256", "b64"]), JSON, min_size=1
    )
)
def test_headers_of_any_form_are_taken_or_refused(changes: dict[str, Any]) -> None:
    """A header of any form, signed with the right key, ends in a Token or in Denied."""
    with suppress(Denied):
        tokens.verify(jwts.jwt(HEADER | changes, MACHINE), TRUST, NOW)
