"""The access tokens and DPoP proofs: good ones in the shape of HelseID's, and every way to pass for one.

Each hostile vector is good but for the one thing that its sentence names.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from making import people as p
from making.signatures import Signer, b64, jws, private, signed_parts
from making.vectors import ACCEPTED, Keys, Vector

Json = dict[str, Any]

METHOD, PATH = "GET", "/fhir/DocumentReference"
SCOPE = "nhn:xds-vectors/read"
_CLAIMS = "helseid://claims/"
_TRUST_FRAMEWORK = "nhn:tillitsrammeverk:parameters"


def _code(code: str, text: str, system: str) -> Json:
    return {"code": code, "text": text, "system": system, "assigner": ""}


def _unit(
    number: str, name: str, system: str = p.ENH, authority: str = "https://www.skatteetaten.no"
) -> Json:
    return {"id": number, "name": name, "system": f"urn:oid:{system}", "authority": authority}


def trust_framework(now: datetime) -> Json:
    """The trust framework's claim (norwegian-profile 4.11)."""
    return {
        "type": _TRUST_FRAMEWORK,
        "toa": int(now.timestamp()) - 300,
        "practitioner": {
            "identifier": _unit(p.CLINICIAN, p.CLINICIAN_NAME, p.FNR),
            "hpr_nr": {
                "id": p.CLINICIAN_HPR,
                "system": f"urn:oid:{p.HPR}",
                "authority": "https://www.helsedirektoratet.no",
            },
            "authorization": _code("LE", "Lege", "urn:oid:2.16.578.1.12.4.1.1.9060"),
            "legal_entity": _unit(p.ENTERPRISE, p.ENTERPRISE_NAME),
            "point_of_care": _unit(p.UNIT, p.UNIT_NAME),
            "department": _unit(p.DEPARTMENT, p.DEPARTMENT_NAME, p.RESH, "https://www.nhn.no"),
        },
        "care_relationship": {
            "healthcare_service": _code("S03", "Indremedisin", "urn:oid:2.16.578.1.12.4.1.1.8655"),
            "purpose_of_use": _code("TREAT", "Treatment", "urn:oid:2.16.840.1.113883.1.11.20448"),
            "decision_ref": {"id": "d-0001", "user_selected": False},
        },
        "patients": [{"point_of_care": _unit(p.UNIT, p.UNIT_NAME)}],
    }


def machine(now: datetime, proof_key: Signer | None, **changes: Any) -> Json:
    """Claims of a system without a user; without a proof key the token is a Bearer token."""
    at = int(now.timestamp())
    claims: Json = {
        "iss": p.HELSEID,
        "aud": p.AUDIENCE,
        "nbf": at,
        "iat": at,
        "exp": at + 600,
        "jti": secrets.token_hex(16),
        "client_id": "2b0c3c53-5f0e-4f0c-9d5e-0c6f3b7a1e42",
        "client_amr": "private_key_jwt",
        "scope": [SCOPE],
        _CLAIMS + "client/client_name": "Fjellheimen journal",
        _CLAIMS + "client/claims/orgnr_parent": p.ENTERPRISE,
    }
    if proof_key is not None:
        claims["cnf"] = {"jkt": proof_key.thumbprint}
    return {name: value for name, value in (claims | changes).items() if value is not None}


def personnel(now: datetime, proof_key: Signer | None, **changes: Any) -> Json:
    """Claims of a clinician at a screen."""
    given, family = p.CLINICIAN_NAME.split()
    user: Json = {
        "sub": b64(hashlib.sha256(p.CLINICIAN.encode()).digest()),
        "sid": secrets.token_hex(16).upper(),
        "auth_time": int(now.timestamp()) - 600,
        "idp": "urn:xds:vectors:id-provider",
        "amr": ["pwd"],
        "name": p.CLINICIAN_NAME,
        "given_name": given,
        "family_name": family,
        _CLAIMS + "identity/pid": p.CLINICIAN,
        _CLAIMS + "identity/security_level": "4",
        _CLAIMS + "identity/assurance_level": "high",
        _CLAIMS + "identity/network": "helsenett",
        _CLAIMS + "hpr/hpr_number": p.CLINICIAN_HPR,
        _TRUST_FRAMEWORK: trust_framework(now),
    }
    return machine(now, proof_key, **(user | changes))


def header(signer: Signer, alg: str = "RS256", **changes: Any) -> Json:
    """The JOSE header of a token; a change to None leaves a field out."""
    fields = {"alg": alg, "kid": kid(signer), "typ": "at+jwt"} | changes
    return {name: value for name, value in fields.items() if value is not None}


def kid(signer: Signer) -> str:
    """The key id of an issuer's key, in its JWKS and in its tokens."""
    return signer.thumbprint[:16]


def proof_header(key: Signer, alg: str = "ES256", **changes: Any) -> Json:
    """The JOSE header of a proof."""
    fields = {"typ": "dpop+jwt", "alg": alg, "jwk": key.public} | changes
    return {name: value for name, value in fields.items() if value is not None}


def proof_claims(now: datetime, url: str, token: str, **changes: Any) -> Json:
    """The claims of a proof (RFC 9449 4.2)."""
    claims = {
        "jti": str(uuid.uuid4()),
        "htm": METHOD,
        "htu": url,
        "iat": int(now.timestamp()),
        "ath": b64(hashlib.sha256(token.encode()).digest()),
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def vectors(now: datetime, keys: Keys, base_url: str) -> Iterator[Vector]:
    """All of them; the URLs begin with `base_url`."""
    url = base_url + PATH
    issuer, client = keys.helseid, keys.client

    def vector(
        name: str,
        what: str,
        expected: str,
        token: str,
        proof: str | None,
        scheme: str = "DPoP",
        caller: Mapping[str, str] | None = None,
        sends: int = 1,
    ) -> Vector:
        more = {"scheme": scheme, "method": METHOD, "url": url} | ({} if proof is None else {"proof": proof})
        return Vector(name, "jwt", what, expected, token.encode(), more, sends, caller or {})

    def proven(name: str, what: str, expected: str, token: str, key: Signer = client, **more: Any) -> Vector:
        """With a good proof."""
        proof = jws(proof_header(key), proof_claims(now, url, token), key)
        return vector(name, what, expected, token, proof, **more)

    def claiming(name: str, what: str, expected: str, **changes: Any) -> Vector:
        """A well-signed token with other claims."""
        claims = personnel(now, client, **changes)
        return proven(name, what, expected, jws(header(issuer), claims, issuer))

    def headed(name: str, what: str, expected: str, **changes: Any) -> Vector:
        """A well-signed token with another header."""
        return proven(name, what, expected, jws(header(issuer, **changes), personnel(now, client), issuer))

    def proving(name: str, what: str, expected: str, fields: Json, claims: Json, **more: Any) -> Vector:
        """A good token with another proof; `fields` and `claims` are changes."""
        token = jws(header(issuer), personnel(now, client), issuer)
        key = more.pop("key", client)
        alg = more.pop("alg", "")
        proof = jws(proof_header(key, **fields), proof_claims(now, url, token, **claims), key, alg=alg)
        return vector(name, what, expected, token, proof, **more)

    # -- good ones
    clinician = {
        "kind": "personnel",
        "person": p.CLINICIAN,
        "name": p.CLINICIAN_NAME,
        "hpr": p.CLINICIAN_HPR,
        "purpose": "TREAT",
        "organisation": p.ENTERPRISE,
        "unit": p.UNIT,
    }
    good = jws(header(issuer), personnel(now, client), issuer)
    yield proven(
        "good-personnel", "A clinician, with the trust framework's claim.", ACCEPTED, good, caller=clinician
    )
    yield proven(
        "good-machine",
        "A system without a user.",
        ACCEPTED,
        jws(header(issuer), machine(now, client), issuer),
        caller={"kind": "machine", "organisation": p.ENTERPRISE},
    )
    yield proven(
        "good-multi-tenant",
        "A clinician at a tenant of a supplier's system: parent, child and supplier in claims of their own.",
        ACCEPTED,
        jws(
            header(issuer),
            personnel(
                now,
                client,
                **{
                    _CLAIMS + "client/client_tenancy": "multi-tenant",
                    _CLAIMS + "client/claims/orgnr_child": p.UNIT,
                    _CLAIMS + "client/claims/orgnr_supplier": p.SUPPLIER,
                },
            ),
            issuer,
        ),
        caller=clinician,
    )
    yield proven(
        "good-pss",
        "Signed with PS256.",
        ACCEPTED,
        jws(header(issuer, "PS256"), personnel(now, client), issuer),
        caller=clinician,
    )
    yield proven(
        "good-ec",
        "Signed with ES256 by another key of the issuer.",
        ACCEPTED,
        jws(header(keys.helseid_ec, "ES256"), personnel(now, client), keys.helseid_ec),
        caller=clinician,
    )
    yield proven(
        "good-typ-jwt",
        "typ is JWT, which HelseID allows as well.",
        ACCEPTED,
        jws(header(issuer, typ="JWT"), personnel(now, client), issuer),
        caller=clinician,
    )
    yield proven(
        "good-aud-list",
        "For two audiences, of which ours is one.",
        ACCEPTED,
        jws(header(issuer), personnel(now, client, aud=["urn:xds:vectors:another", p.AUDIENCE]), issuer),
        caller=clinician,
    )
    yield vector(
        "good-bearer",
        "A Bearer token, of an issuer for which the trust file says bearer.",
        ACCEPTED,
        jws(header(keys.helseid_bearer), personnel(now, None, iss=p.HELSEID_BEARER), keys.helseid_bearer),
        None,
        "Bearer",
        clinician,
    )

    # -- the token's header and signature
    yield proven(
        "alg-none",
        "alg is none, and there is no signature.",
        "token-algorithm",
        jws(header(issuer, "none"), personnel(now, client), issuer),
    )
    yield proven(
        "alg-confusion",
        "HS256 with the issuer's public key, which everybody knows, as secret.",
        "token-algorithm",
        jws(header(issuer, "HS256"), personnel(now, client), issuer),
    )
    yield proven(
        "alg-other-kind",
        "alg is ES256, and kid is that of an RSA key.",
        "token-algorithm",
        jws(header(issuer, "ES256"), personnel(now, client), keys.helseid_ec),
    )
    head, body, end = good.split(".")
    altered = b64(json.dumps(personnel(now, client, **{_CLAIMS + "identity/pid": p.CITIZEN})).encode())
    yield proven(
        "altered", "Another person was written into the token.", "token-signature", f"{head}.{altered}.{end}"
    )
    yield proven("unsigned", "The signature was cut off.", "token-signature", f"{head}.{body}.")
    yield headed("typ-wrong", "typ is that of a logout token.", "token-type", typ="logout+jwt")
    yield headed("typ-none", "There is no typ.", "token-type", typ=None)
    yield headed("kid-stale", "kid names a key that the issuer no longer has.", "token-key", kid="2019-01")
    yield proven(
        "key-of-another-issuer",
        "Signed with the key of another issuer that is trusted too, under that key's kid.",
        "token-key",
        jws(header(keys.helseid_bearer), personnel(now, client), keys.helseid_bearer),
    )
    yield proven(
        "key-of-a-stranger",
        "Signed with a stranger's key, under the kid of the issuer's.",
        "token-signature",
        jws(header(issuer), personnel(now, client), keys.stranger),
    )
    yield proven(
        "jwk-embedded",
        "Signed with a stranger's key, which the token's header holds.",
        "token-header-field",
        jws(header(issuer, jwk=keys.stranger.public), personnel(now, client), keys.stranger),
    )
    yield headed(
        "jku", "The header names an address of keys.", "token-header-field", jku="https://keys.example.test/"
    )
    yield headed(
        "x5c", "The header holds the signer's certificate.", "token-header-field", x5c=[issuer.base64]
    )
    yield headed(
        "crit",
        "The header has a critical extension that nobody knows (RFC 7515 4.1.11).",
        "token-header-field",
        crit=["urn:xds:vectors:extension"],
        **{"urn:xds:vectors:extension": True},
    )

    yield proven("form", "No JWT, but a word.", "token-form", "opensesame")
    claims = json.dumps(personnel(now, client))
    twice = b64((claims[:-1] + f', "aud": "{p.AUDIENCE}"' + "}").encode())
    yield proven(
        "claim-twice",
        "A claim stands twice, and readers differ in which one counts; signed.",
        "token-form",
        signed_parts(f"{head}.{twice}", issuer),
    )

    # -- its claims
    at = int(now.timestamp())
    yield claiming(
        "issuer-unknown", "The issuer is not in the trust file.", "token-issuer", iss="urn:xds:vectors:nobody"
    )
    yield claiming(
        "issuer-of-saml", "The issuer is trusted, but for SAML.", "token-issuer", iss=p.KJERNEJOURNAL
    )
    yield claiming("aud-wrong", "For another audience.", "token-audience", aud="urn:xds:vectors:another")
    yield claiming("aud-missing", "For no audience in particular.", "token-audience", aud=None)
    yield claiming("aud-longer", "The audience begins with ours.", "token-audience", aud=p.AUDIENCE + "-2")
    yield claiming(
        "expired", "Expired half an hour ago.", "token-expired", nbf=at - 3600, iat=at - 3600, exp=at - 1800
    )
    yield claiming("exp-missing", "Never expires.", "token-content", exp=None)
    yield claiming("exp-text", "exp is a text.", "token-content", exp=str(at + 600))
    yield claiming("not-yet-valid", "Valid in twenty minutes.", "token-early", nbf=at + 1200, exp=at + 1800)
    yield claiming("lifetime-too-long", "Valid for a year.", "token-lifetime", exp=at + 365 * 86400)
    yield claiming(
        "two-persons",
        "pid is one person, and the trust framework's practitioner another.",
        "token-content",
        **{_CLAIMS + "identity/pid": p.CITIZEN},
    )
    old = trust_framework(now) | {"toa": at - 3 * 3600}
    yield claiming(
        "attestation-too-old",
        "The attestation is three hours old.",
        "token-attestation",
        **{_TRUST_FRAMEWORK: old},
    )

    yield claiming(
        "attestation-none", "A person, and nothing says since when.", "token-attestation",
        auth_time=None, **{_TRUST_FRAMEWORK: {**old, "toa": None}},
    )  # fmt: skip
    yield claiming("jti-missing", "Without jti.", "token-content", jti=None)
    yield claiming(
        "bound-otherwise", "Bound to a certificate and not to a key.", "token-content",
        cnf={"x5t#S256": client.thumbprint},
    )  # fmt: skip
    yield claiming("scope-wrong", "With another scope.", "token-scope", scope=["nhn:xds-vectors/write"])

    # -- how it comes
    yield vector(
        "bearer-for-dpop",
        "A token that is bound to a key, sent as Bearer without a proof.",
        "token-scheme",
        good,
        None,
        "Bearer",
    )
    bearer = jws(header(keys.helseid_bearer), personnel(now, None, iss=p.HELSEID_BEARER), keys.helseid_bearer)
    yield proven("bearer-with-proof", "A Bearer token, sent as Bearer with a proof.", "token-scheme", bearer,
                 scheme="Bearer")  # fmt: skip
    yield proven("dpop-for-bearer", "A Bearer token, sent as DPoP with a proof.", "token-scheme", bearer)
    yield vector("proof-missing", "No proof.", "proof-missing", good, None)
    yield proven(
        "not-bound",
        "A token without cnf, of an issuer for which the trust file says dpop, with a proof.",
        "token-scheme",
        jws(header(issuer), personnel(now, None), issuer),
    )

    # -- the proof
    yield proving("proof-method", "For POST.", "proof-request", {}, {"htm": "POST"})
    yield proving("proof-url", "For another address.", "proof-request", {}, {"htu": base_url + "/fhir/List"})
    yield proving(
        "proof-host", "For another host.", "proof-request", {}, {"htu": "https://another.example.test" + PATH}
    )
    yield proving(
        "proof-ath",
        "For another token.",
        "proof-token",
        {},
        {"ath": b64(hashlib.sha256(b"another").digest())},
    )
    yield proving("proof-no-ath", "For no token in particular.", "proof-token", {}, {"ath": None})
    yield proving(
        "proof-key", "By another key than the token names.", "proof-binding", {}, {}, key=keys.other_client
    )
    yield proving(
        "proof-signature",
        "Signed with another key than its header holds.",
        "proof-signature",
        {"jwk": client.public},
        {},
        key=keys.other_client,
    )
    yield proving("proof-symmetric", "alg is HS256.", "proof-algorithm", {"alg": "HS256"}, {})
    secret = secrets.token_bytes(32)
    yield proving(
        "proof-symmetric-key",
        "The key is a symmetric one.",
        "proof-key",
        {"jwk": {"kty": "oct", "k": b64(secret)}},
        {},
    )
    yield proving("proof-alg-none", "alg is none.", "proof-algorithm", {"alg": "none"}, {})
    yield proving(
        "proof-private-key",
        "The header holds a private part beside the public key (not that key's own: no secret is published).",
        "proof-key",
        {"jwk": private(keys.client)},
        {},
    )
    yield proving("proof-typ", "typ is that of a token.", "proof-form", {"typ": "at+jwt"}, {})
    yield proving("proof-old", "Made two minutes ago.", "proof-time", {}, {"iat": at - 120})
    yield proving("proof-future", "Made in two minutes.", "proof-time", {}, {"iat": at + 120})
    yield proving("proof-no-iat", "Made nobody knows when.", "proof-time", {}, {"iat": None})
    yield vector("proof-form", "No JWT, but a word.", "proof-form", good, "opensesame")
    yield proving(
        "proof-key-use",
        "The key is one for encryption.",
        "proof-key",
        {"jwk": client.public | {"use": "enc"}},
        {},
    )
    yield proving(
        "proof-key-kind",
        "alg is RS256, and the key an EC key.",
        "proof-algorithm",
        {"alg": "RS256"},
        {},
        alg="ES256",
    )
    yield proving("proof-no-jti", "Without jti.", "proof-form", {}, {"jti": None})
    yield proving("proof-replay", "Sent twice.", "proof-used", {}, {}, sends=2)
