"""Public keys in every form in which an issuer publishes them, and nothing but public keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from tests.security.authorities import (
    DAY,
    ISSUER,
    NOW,
    certificate,
    der,
    ec_key,
    entity,
    jwk,
    jwks,
    key_descriptor,
    metadata,
    one_rsa_key,
    pem,
    private_der,
    private_pem,
    revocation_list,
    rsa_key,
    x5c,
)
from xds.security.keys import (
    fingerprint,
    read_certificates,
    read_jwks,
    read_metadata,
    read_revoked,
    read_roots,
    wrap,
)
from xds.security.trust import Key

EC = ec_key()
CA = ec_key()


def test_a_certificate_gives_its_key_and_its_times() -> None:
    """PEM and DER say the same."""
    made = certificate(one_rsa_key())
    expected = Key(one_rsa_key().public_key(), made, "", NOW - DAY, NOW + 365 * DAY)
    assert read_certificates(pem(made)) == (expected,) == read_certificates(der(made))


def test_one_file_may_hold_several_certificates_and_public_keys() -> None:
    """What stands between the blocks is no matter, as openssl writes the names there."""
    first, second, bare = certificate(EC, "a"), certificate(one_rsa_key(), "b"), ec_key(ec.SECP384R1())
    data = b"subject=a\n" + pem(first) + b"\r\nsubject=b\n" + pem(second, bare.public_key())
    keys = read_certificates(data)
    assert [key.certificate for key in keys[:2]] == [first, second]
    assert [key.public for key in keys] == [
        EC.public_key(),
        one_rsa_key().public_key(),
        bare.public_key(),
    ]
    assert (keys[2].not_before, keys[2].not_after, keys[2].id) == (None, None, "")


def test_a_bare_key_has_a_certificate_that_carries_it_and_is_always_the_same() -> None:
    """A key that is read again must be equal to what it was, or nothing could tell that nothing changed."""
    for key in (EC, one_rsa_key()):
        wrapped = wrap(key.public_key())
        assert wrapped.public_key() == key.public_key()
        assert wrapped.not_valid_before_utc < NOW < wrapped.not_valid_after_utc
        assert wrap(key.public_key()) == wrapped
    assert fingerprint(wrap(EC.public_key())) != fingerprint(wrap(one_rsa_key().public_key()))


def test_a_self_signed_certificate_may_say_that_it_is_an_authority() -> None:
    """`openssl req -x509` says so of every certificate it makes."""
    assert len(read_certificates(pem(certificate(EC, authority=True)))) == 1


@pytest.mark.parametrize("usage", ["digital_signature", "content_commitment"])
def test_a_certificate_for_signing_is_taken(usage: str) -> None:
    """Both usages are for signatures; Norwegian enterprise seals have the second alone."""
    assert len(read_certificates(pem(certificate(EC, usage=usage)))) == 1


PRIVATE = "is a private key"
NOT_READ = "not a certificate that can be read"
BAD_CERTIFICATES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is empty"),
    "blanks": (lambda: b" \n", "is empty"),
    "garbage": (lambda: b"\x00\xff garbage", NOT_READ),
    "garbage in PEM": (
        lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        NOT_READ,
    ),
    "no base64": (lambda: b"-----BEGIN PUBLIC KEY-----\nAAA\n-----END PUBLIC KEY-----\n", "is not base64"),
    "no key": (
        lambda: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "a public key that cannot be read",
    ),
    "half written": (lambda: pem(certificate(EC), certificate(EC))[:-100], "a PEM block that is not whole"),
    "private": (lambda: private_pem(EC), PRIVATE),
    "private, old form": (lambda: private_pem(EC, form=PrivateFormat.TraditionalOpenSSL), PRIVATE),
    "private, encrypted": (lambda: private_pem(EC, b"secret"), PRIVATE),
    "private, beside its certificate": (lambda: pem(certificate(EC)) + private_pem(EC), PRIVATE),
    "private, DER": (lambda: private_der(EC), PRIVATE),
    "private, DER, encrypted": (lambda: private_der(EC, b"secret"), PRIVATE),
    "request": (
        lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "neither a certificate nor a public key",
    ),
    "weak": (lambda: pem(certificate(rsa_key(1024))), "RSA key of 1024 bits"),
    "weak, bare": (lambda: pem(rsa_key(1024).public_key()), "RSA key of 1024 bits"),
    "curve": (lambda: pem(certificate(ec_key(ec.SECP256K1()))), "another curve"),
    "old curve": (lambda: pem(ec_key(ec.SECP192R1()).public_key()), "another curve"),
    "kind of key": (lambda: pem(ed25519.Ed25519PrivateKey.generate().public_key()), "neither RSA nor"),
    "chain": (
        lambda: pem(certificate(EC, by=("ca", CA)), certificate(CA, "ca", authority=True)),
        "certificate of an authority",
    ),
    "intermediate": (
        lambda: pem(certificate(CA, "intermediate", by=("root", EC), authority=True)),
        "certificate of an authority",
    ),
    "usage": (lambda: pem(certificate(EC, usage="key_encipherment")), "not for signing"),
}


@pytest.mark.parametrize("case", BAD_CERTIFICATES)
def test_what_is_no_certificate_of_a_signer_is_refused(case: str) -> None:
    """Each with a sentence that says what to do."""
    make, sentence = BAD_CERTIFICATES[case]
    with pytest.raises(ValueError, match=sentence):
        read_certificates(make())


def test_a_root_must_be_an_authority() -> None:
    """A signer's own certificate or a bare key is no root."""
    root = certificate(CA, "ca", authority=True)
    assert read_roots(pem(root)) == (root,)
    for wrong in (certificate(CA, "ca"), CA.public_key()):
        with pytest.raises(ValueError, match="not the certificate of an authority"):
            read_roots(pem(wrong))
    with pytest.raises(ValueError, match="1024 bits"):
        read_roots(pem(certificate(rsa_key(1024), authority=True)))


# -- JWK sets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_a_set_gives_its_keys_by_kid(curve: ec.EllipticCurve) -> None:
    """RSA and EC keys, with their use or without."""
    second = ec_key(curve)
    data = jwks(jwk(one_rsa_key(), "one", use="sig", alg="RS256"), jwk(second, "two"))
    assert [(key.id, key.public) for key in read_jwks(data)] == [
        ("one", one_rsa_key().public_key()),
        ("two", second.public_key()),
    ]


def test_a_certificate_in_a_set_gives_the_times() -> None:
    """The first of x5c is the key's own; the others are not taken."""
    own, other = certificate(one_rsa_key(), by=("ca", CA)), certificate(CA, "ca", authority=True)
    (key,) = read_jwks(jwks(jwk(one_rsa_key(), "one", x5c=x5c(own, other))))
    assert key == Key(one_rsa_key().public_key(), own, "one", NOW - DAY, NOW + 365 * DAY)


@pytest.mark.parametrize(
    "other",
    [
        {"use": "enc"},
        {"alg": "RSA-OAEP"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": ["RS256"]},
        {"key_ops": ["encrypt"]},
        {"kty": "OKP", "crv": "Ed25519"},
        {"kty": None},
        {"kty": ["RSA"]},
        {"kty": "EC", "crv": "secp256k1"},
        {"kty": "EC", "crv": ["P-256"]},
    ],
    ids=str,
)
def test_other_keys_of_a_set_are_skipped(other: dict[str, Any]) -> None:
    """A new kind of key in the issuer's set must not cost us the keys that we know."""
    (key,) = read_jwks(jwks(jwk(one_rsa_key(), "other", **other), jwk(EC, "known")))
    assert key.id == "known"


BAD_SETS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is not JSON"),
    "HTML": (lambda: b"<html>", "is not JSON"),
    "not UTF-8": (lambda: b'{"keys": "\xff"}', "is not JSON"),
    "deep": (lambda: b"[" * 100_000, "is not JSON"),
    "long number": (lambda: b'{"keys": ' + b"9" * 5000 + b"}", "is not JSON"),
    "a list": (lambda: b"[]", "is not a JWK set"),
    "one key": (lambda: json.dumps(jwk(EC)).encode(), "is not a JWK set"),
    "keys no objects": (lambda: b'{"keys": [1]}', "is not a JWK set"),
    "empty": (lambda: jwks(), "has no RSA or EC key"),
    "only others": (lambda: jwks(jwk(EC, use="enc")), "has no RSA or EC key"),
    "private EC": (lambda: jwks(jwk(EC, d="AAAA")), PRIVATE),
    "private RSA, for encryption": (
        lambda: jwks(jwk(EC), jwk(one_rsa_key(), use="enc", p="AAAA")),
        PRIVATE,
    ),
    "symmetric": (lambda: jwks(jwk(EC), {"kty": "oct", "k": "AAAA"}), PRIVATE),
    "weak": (lambda: jwks(jwk(rsa_key(1024))), "RSA key of 1024 bits"),
    "no modulus": (lambda: jwks(jwk(one_rsa_key(), n=None)), "are not those of a public key"),
    "modulus with padding": (
        lambda: jwks(jwk(one_rsa_key(), n="AA==")),
        "are not those of a public key",
    ),
    "even exponent": (lambda: jwks(jwk(one_rsa_key(), e="AQAA")), "are not those of a public key"),
    "huge modulus": (lambda: jwks(jwk(one_rsa_key(), n="A" * 9999)), "are not those of a public key"),
    "point elsewhere": (lambda: jwks(jwk(EC, x="AAAA")), "are not those of a public key"),
    "kid no text": (lambda: jwks(jwk(EC) | {"kid": 1}), "a kid that is not a text"),
    "kid twice": (lambda: jwks(jwk(EC, "one"), jwk(CA, "one")), "two keys with the same kid"),
    "x5c of another": (lambda: jwks(jwk(EC, x5c=x5c(certificate(CA)))), "is not that of the key"),
    "x5c empty": (lambda: jwks(jwk(EC, x5c=[])), "not a list of certificates"),
    "x5c text": (lambda: jwks(jwk(EC, x5c="AAAA")), "not a list of certificates"),
    "x5c garbage": (lambda: jwks(jwk(EC, x5c=["Å"])), "a certificate in it that cannot be read"),
}


@pytest.mark.parametrize("case", BAD_SETS)
def test_what_is_no_key_set_is_refused(case: str) -> None:
    """Each with a sentence, and a private key above all."""
    make, sentence = BAD_SETS[case]
    with pytest.raises(ValueError, match=sentence):
        read_jwks(make())


# -- metadata --------------------------------------------------------------------------------------


def test_metadata_of_two_entities_gives_the_keys_of_the_one_that_is_asked_for() -> None:
    """Signing keys and those for any use; not those for encryption, nor those of another role or entity."""
    any_use, other, encrypts = certificate(EC, "any"), certificate(CA, "other"), certificate(ec_key(), "enc")
    data = metadata(
        entity("https://other.example", key_descriptor(other)),
        entity(
            ISSUER,
            key_descriptor(certificate(one_rsa_key(), "signs"))
            + key_descriptor(any_use, use="")
            + key_descriptor(encrypts, use="encryption"),
        ),
    )
    assert [key.public for key in read_metadata(data, ISSUER)] == [
        one_rsa_key().public_key(),
        EC.public_key(),
    ]
    assert [key.certificate for key in read_metadata(data, "https://other.example")] == [other]


def test_the_chain_in_a_key_descriptor_is_not_taken_for_keys() -> None:
    """Only the signer's own certificate of it."""
    own, root = certificate(EC, by=("ca", CA)), certificate(CA, "ca", authority=True)
    (key,) = read_metadata(metadata(entity(ISSUER, key_descriptor(own, root))), ISSUER)
    assert key.certificate == own


@pytest.mark.parametrize("where", ["group", "entity"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-03T12:00:00Z", datetime(2026, 11, 3, 12, tzinfo=UTC)),
        ("2026-11-03T12:00:00", datetime(2026, 11, 3, 12, tzinfo=UTC)),
        ("2026-11-03T12:00:00+01:00", datetime(2026, 11, 3, 11, tzinfo=UTC)),
        ("2999-01-01T00:00:00Z", NOW + 365 * DAY),
    ],
)
def test_valid_until_bounds_the_keys(where: str, text: str, expected: datetime) -> None:
    """Of the entity and of its group alike; a certificate that ends earlier still does."""
    attribute = f' validUntil="{text}"'
    one = entity(ISSUER, key_descriptor(certificate(EC)), attributes=attribute * (where == "entity"))
    (key,) = read_metadata(metadata(one, attributes=attribute * (where == "group")), ISSUER)
    assert key.not_after == expected


BAD_METADATA: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is not XML that is read here"),
    "HTML": (lambda: b"<html><br></html>", "is not XML that is read here"),
    "DTD": (lambda: b"<!DOCTYPE x><x/>", "is not XML that is read here"),
    "other XML": (lambda: b"<x/>", "no EntityDescriptor whose entityID"),
    "other entity": (
        lambda: metadata(entity("https://other.example", key_descriptor(certificate(EC)))),
        "no EntityDescriptor whose entityID",
    ),
    "entity twice": (
        lambda: metadata(*[entity(ISSUER, key_descriptor(certificate(EC)))] * 2),
        "two EntityDescriptors",
    ),
    "other role": (
        lambda: metadata(entity(ISSUER, key_descriptor(certificate(EC)), role="SPSSODescriptor")),
        "has no certificate",
    ),
    "for encryption": (
        lambda: metadata(entity(ISSUER, key_descriptor(certificate(EC), use="encryption"))),
        "has no certificate",
    ),
    "certificate": (
        lambda: metadata(entity(ISSUER, key_descriptor(certificate(EC)))).replace(b"MII", b"AII"),
        "cannot be read",
    ),
    "weak": (lambda: metadata(entity(ISSUER, key_descriptor(certificate(rsa_key(1024))))), "1024 bits"),
    "validUntil": (
        lambda: metadata(entity(ISSUER, key_descriptor(certificate(EC)), attributes=' validUntil="soon"')),
        "validUntil that is not",
    ),
    "validUntil at the end of time": (
        lambda: metadata(
            entity(
                ISSUER,
                key_descriptor(certificate(EC)),
                attributes=' validUntil="9999-12-31T23:59:59-12:00"',
            )
        ),
        "validUntil that is not",
    ),
}


@pytest.mark.parametrize("case", BAD_METADATA)
def test_what_is_no_metadata_of_the_issuer_is_refused(case: str) -> None:
    """Each with a sentence."""
    make, sentence = BAD_METADATA[case]
    with pytest.raises(ValueError, match=sentence):
        read_metadata(make(), ISSUER)


# -- revocation lists ------------------------------------------------------------------------------


@cache
def authority() -> x509.Certificate:
    return certificate(CA, "ca", authority=True)


def test_a_revocation_list_gives_the_serial_numbers_by_issuer() -> None:
    """PEM and DER say the same."""
    made = revocation_list(("ca", CA), 17, 4711)
    for data in (pem(made), der(made)):
        found = read_revoked(data, NOW, [certificate(EC), authority()])
        assert found.revoked == {("CN=ca", 17), ("CN=ca", 4711)}
        assert found.next_update == NOW + 7 * DAY


def test_a_part_of_all_certificates_may_have_a_list_of_its_own() -> None:
    """A distribution point for user certificates is how large authorities split their lists."""
    point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    made = revocation_list(("ca", CA), 17, extension=point)
    assert read_revoked(der(made), NOW, [authority()]).revoked == {("CN=ca", 17)}


BAD_LISTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is empty"),
    "garbage": (lambda: b"garbage", "cannot|can be read"),
    "certificate": (lambda: pem(authority()), "is not one revocation list"),
    "two": (lambda: pem(*[revocation_list(("ca", CA))] * 2), "is not one revocation list"),
    "private key": (lambda: private_pem(EC), PRIVATE),
    "of nobody": (lambda: pem(revocation_list(("other", CA))), "signed by nobody who is known"),
    "signed by another": (lambda: pem(revocation_list(("ca", EC))), "signed by nobody who is known"),
    "out of date": (
        lambda: pem(revocation_list(("ca", CA), until=NOW - DAY / 24)),
        "is out of date",
    ),
    "weak digest": (
        lambda: pem(revocation_list(("ca", CA), algorithm=hashes.SHA224())),
        "an algorithm that is not believed",
    ),
    "delta": (lambda: pem(revocation_list(("ca", CA), extension=x509.DeltaCRLIndicator(1))), "is a part of"),
    "indirect": (
        lambda: pem(
            revocation_list(
                ("ca", CA),
                extension=x509.IssuingDistributionPoint(None, None, False, False, None, True, False),
            )
        ),
        "is a part of",
    ),
    "some reasons": (
        lambda: pem(
            revocation_list(
                ("ca", CA),
                extension=x509.IssuingDistributionPoint(
                    None, None, False, False, frozenset({x509.ReasonFlags.key_compromise}), False, False
                ),
            )
        ),
        "is a part of",
    ),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_a_revocation_list_that_cannot_be_relied_on_is_refused(case: str) -> None:
    """Who can give us a wrong list can give a stolen key its life back."""
    make, sentence = BAD_LISTS[case]
    with pytest.raises(ValueError, match=sentence):
        read_revoked(make(), NOW, [authority()])


def test_an_authority_that_may_not_sign_lists_signs_none() -> None:
    """keyUsage without cRLSign."""
    only_certificates = certificate(CA, "ca", authority=True, usage="key_cert_sign")
    with pytest.raises(ValueError, match="nobody who is known"):
        read_revoked(pem(revocation_list(("ca", CA))), NOW, [only_certificates])


# -- whatever may come -----------------------------------------------------------------------------


@cache
def _good() -> list[bytes]:
    own = certificate(EC, usage="digital_signature")
    return [
        der(own),
        pem(own),
        pem(EC.public_key()),
        jwks(jwk(EC, "one", x5c=x5c(own))),
        metadata(entity(ISSUER, key_descriptor(own), attributes=' validUntil="2027-01-01T00:00:00Z"')),
        der(revocation_list(("ca", CA), 17)),
    ]


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_no_reader_raises_anything_but_value_error(data: st.DataObject) -> None:
    """Whatever bytes a file or an address gives."""
    damaged = bytearray(data.draw(st.sampled_from(range(6)).map(lambda n: _good()[n])))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged) - 1))
        end = start + data.draw(st.integers(0, 3))
        damaged[start:end] = data.draw(st.binary(max_size=3))
        if not damaged:
            break
    readers: list[Callable[[bytes], Any]] = [
        read_certificates,
        read_roots,
        read_jwks,
        lambda given: read_metadata(given, ISSUER),
        lambda given: read_revoked(given, NOW, [authority()]),
    ]
    for read in readers:
        with suppress(ValueError):
            read(bytes(damaged))


def test_base64_in_a_certificate_may_have_line_ends() -> None:
    """As metadata writes it."""
    text = base64.encodebytes(der(certificate(EC))).decode()
    (key,) = read_jwks(jwks(jwk(EC, x5c=[text])))
    assert key.public == EC.public_key()
