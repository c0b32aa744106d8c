"""The SAML vectors: good tickets of each kind, and every way to pass for one.

Each hostile vector is a good ticket but for the one thing that its sentence names. Where a thing has to be
signed to be a test of anything else than the signature, it is signed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from making import people as p
from making import saml
from making.saml import SAML, Ticket, envelope, security
from making.signatures import (
    DS,
    ECDSA_SHA256,
    ENVELOPED,
    EXCLUSIVE,
    HMAC_SHA256,
    PLACE,
    RSA_PSS_SHA256,
    RSA_SHA1,
    SHA1,
    canonical,
    certificate_info,
    identity,
    sign,
    signature,
)
from making.vectors import ACCEPTED, MALFORMED, Keys, Vector

ACP = "2.16.578.1.12.4.1.7.2.1"
XENC = "http://www.w3.org/2001/04/xmlenc#"


def _vector(name: str, what: str, expected: str, text: str, **more: Any) -> Vector:
    return Vector(name, "saml", what, expected, text.encode(), {"content_type": saml.CONTENT_TYPE}, **more)


def good(now: datetime, keys: Keys) -> Iterator[Vector]:
    """Tickets that must be accepted."""
    clinician = {
        "kind": "personnel",
        "person": p.CLINICIAN,
        "name": p.CLINICIAN_NAME,
        "hpr": p.CLINICIAN_HPR,
        "patient": p.PATIENT,
        "purpose": "TREAT",
    }
    citizen = {
        "kind": "citizen",
        "person": p.CITIZEN,
        "name": p.CITIZEN_NAME,
        "patient": p.CITIZEN,
        "purpose": "13",
    }

    def one(name: str, what: str, signed: str, caller: dict[str, str], patient: str = p.PATIENT) -> Vector:
        return _vector(name, what, ACCEPTED, envelope(security(signed), patient), caller=caller)

    for names, what in (
        ("old", "with the attribute names of before 2024 only"),
        ("new", "with the attribute names of 2024 only"),
        ("hybrid", "with both sets of attribute names"),
    ):
        signed = sign(saml.kjernejournal(now, names).unsigned(), keys.kjernejournal)
        yield one(f"good-kjernejournal-{names}", f"Personnel by Kjernejournal, {what}.", signed, clinician)
    yield one(
        "good-helsenorge-own",
        "A citizen by Helsenorge, who asks about themselves.",
        sign(saml.helsenorge(now).unsigned(), keys.helsenorge),
        citizen,
        p.CITIZEN,
    )
    yield one(
        "good-helsenorge-representative",
        "A citizen by Helsenorge, who asks as parent of a child.",
        sign(saml.helsenorge(now, p.CHILD, ACP + ".1").unsigned(), keys.helsenorge),
        citizen | {"kind": "representative", "patient": p.CHILD, "acp": ACP + ".1"},
        p.CHILD,
    )
    yield one(
        "good-hso",
        "Personnel of Helse Sør-Øst, with hso: attributes and no AuthnStatement.",
        sign(saml.hso(now).unsigned(), keys.hso),
        clinician | {"purpose": "1"},
    )
    yield one(
        "good-xua",
        "Personnel in plain IHE words (ITI TF-2 3.40).",
        sign(saml.xua(now).unsigned(), keys.xua),
        clinician,
    )
    yield one(
        "good-system",
        "A system without a person.",
        sign(saml.system(now).unsigned(), keys.system),
        {"kind": "machine"},
    )
    plain = saml.kjernejournal(now)
    yield one(
        "good-ec",
        "Signed with ECDSA on P-256.",
        sign(plain.unsigned(), keys.kjernejournal_ec, method=ECDSA_SHA256),
        clinician,
    )
    yield one(
        "good-pss",
        "Signed with RSASSA-PSS.",
        sign(plain.unsigned(), keys.kjernejournal, method=RSA_PSS_SHA256),
        clinician,
    )
    yield one(
        "good-no-key-info",
        "The signature has no ds:KeyInfo: the key is known from the trust file alone.",
        sign(plain.unsigned(), keys.kjernejournal, key_info=""),
        clinician,
    )
    yield _vector(
        "good-timestamp",
        "With a wsu:Timestamp that has not expired.",
        ACCEPTED,
        envelope(security(saml.timestamp(now) + sign(plain.unsigned(), keys.kjernejournal))),
        caller=clinician,
    )
    moved = sign(plain.unsigned(), keys.kjernejournal).replace(
        keys.kjernejournal.base64,
        '<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:certificate@example.org"/>',
    )
    content_type, body = saml.mtom(
        envelope(security(moved)), "certificate@example.org", base64.b64decode(keys.kjernejournal.base64)
    )
    yield Vector(
        "good-xop-certificate",
        "saml",
        "MTOM: the stack has moved the signature's certificate into a MIME part (XOP).",
        ACCEPTED,
        body,
        {"content_type": content_type},
        caller=clinician,
    )


def hostile(now: datetime, keys: Keys) -> Iterator[Vector]:
    """Tickets that must be refused."""
    base = saml.kjernejournal(now)
    signer = keys.kjernejournal

    def refused(name: str, what: str, rule: str, header: str, **more: Any) -> Vector:
        return _vector(name, what, rule, envelope(header), **more)

    def ticket(name: str, what: str, rule: str, assertion: str, **more: Any) -> Vector:
        return refused(name, what, rule, security(assertion), **more)

    def changed(name: str, what: str, rule: str, **changes: Any) -> Vector:
        """Signed by the right key, with other content."""
        return ticket(name, what, rule, sign(replace(base, **changes).unsigned(), signer))

    def otherwise(name: str, what: str, rule: str, **changes: Any) -> Vector:
        """The right content, signed in another way."""
        return ticket(name, what, rule, sign(base.unsigned(), signer, **changes))

    # -- the header
    yield refused("header-none", "No wsse:Security header at all.", "ticket-missing", "")
    yield ticket(
        "header-user-name",
        "A UsernameToken instead of an assertion.",
        "ticket-kind",
        "<wsse:UsernameToken><wsse:Username>tuvaov</wsse:Username></wsse:UsernameToken>",
    )
    yield refused(
        "header-two",
        "Two wsse:Security headers, each with a good assertion.",
        "ticket-header-many",
        security(sign(base.unsigned(), signer)) * 2,
    )
    yield ticket(
        "two-assertions",
        "Two good assertions in one header.",
        "ticket-many",
        sign(base.unsigned(), signer) + sign(base.unsigned(), signer),
    )
    yield ticket(
        "timestamp-expired",
        "The wsu:Timestamp expired an hour ago.",
        "timestamp-expired",
        saml.timestamp(now, -65, -60) + sign(base.unsigned(), signer),
    )
    yield ticket(
        "timestamp-two",
        "Two wsu:Timestamps, of which one has not expired.",
        "timestamp-form",
        saml.timestamp(now) + saml.timestamp(now, -65, -60) + sign(base.unsigned(), signer),
    )
    yield ticket(
        "saml-1-1",
        "An assertion of SAML 1.1.",
        "ticket-kind",
        '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:1.0:assertion" MajorVersion="1" MinorVersion="1"'
        f' AssertionID="{saml.new_id()}" Issuer="{base.issuer}" IssueInstant="{base.at(0)}"/>',
    )
    yield ticket(
        "encrypted",
        "An encrypted assertion: refused clearly, because nobody here has a key for it.",
        "ticket-encrypted",
        f'<saml:EncryptedAssertion xmlns:saml="{SAML}"><xenc:EncryptedData xmlns:xenc="{XENC}"'
        f' Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/>'
        f"<xenc:CipherData><xenc:CipherValue>{base64.b64encode(bytes(range(256))).decode()}</xenc:CipherValue>"
        "</xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>",
    )

    # -- the XML
    yield _vector(
        "dtd",
        "A document type declaration with an entity.",
        MALFORMED,
        envelope(security(sign(base.unsigned(), signer)), before='<!DOCTYPE s:Envelope [<!ENTITY x "y">]>\n'),
    )
    yield ticket(
        "huge-attribute",
        "Well signed, with an attribute value of 300,000 characters.",
        "ticket-size",
        sign(
            replace(
                base, attributes=(*base.attributes, ("urn:xds:vectors:filler", saml.text("x" * 300_000)))
            ).unsigned(),
            signer,
        ),
    )
    commented = sign(base.unsigned(), signer)
    name = f"<saml:NameID>{p.CLINICIAN}</saml:NameID>"
    assert name in commented
    yield ticket(
        "comment-in-name",
        "A comment in the middle of the NameID, which canonicalisation leaves out of what is signed.",
        "ticket-remarks",
        commented.replace(name, name.replace(p.CLINICIAN, f"{p.CLINICIAN[:6]}<!-- -->{p.CLINICIAN[6:]}")),
    )
    yield ticket(
        "instruction-in-name",
        "A processing instruction in the middle of the NameID, signed.",
        "ticket-remarks",
        sign(replace(base, name_id=f"{p.CLINICIAN[:6]}<?x y?>{p.CLINICIAN[6:]}").unsigned(), signer),
    )
    own = saml.new_id()
    for name, case in (("", "ID"), ("-mixed-case", "Id"), ("-lower-case", "id"), ("-xml", "xml:id")):
        yield ticket(
            f"duplicate-id{name}",
            f"A second element of the assertion has the same id, as {case}; all of it is signed.",
            "ticket-ids",
            sign(
                replace(base, id=own)
                .unsigned()
                .replace("<saml:AttributeStatement>", f'<saml:AttributeStatement {case}="{own}">'),
                signer,
            ),
        )
    yield ticket(
        "no-id",
        "The assertion has no ID, and the signature refers to the whole document.",
        "ticket-ids",
        _whole(re.sub(r' ID="[^"]*"', "", base.unsigned()), signer),
    )

    # -- the signature
    yield ticket("unsigned", "No signature.", "ticket-unsigned", base.unsigned().replace(PLACE, ""))
    altered = sign(base.unsigned(), signer)
    yield ticket(
        "altered",
        "Another patient was written into the assertion after it was signed.",
        "ticket-signature",
        altered.replace(p.PATIENT, p.CITIZEN),
    )
    yield ticket(
        "altered-time",
        "The end of its validity was put off by an hour after it was signed.",
        "ticket-signature",
        altered.replace(base.at(60), base.at(70)),
    )
    yield ticket(
        "signature-value-altered",
        "One letter of the SignatureValue is another.",
        "ticket-signature",
        re.sub(r"(<ds:SignatureValue>.{9})(.)", lambda m: m[1] + ("B" if m[2] == "A" else "A"), altered),
    )
    yield from _wrapped(base, signer, ticket, refused)
    unsigned = base.unsigned()
    yield ticket(
        "signature-over-timestamp",
        "The signature in the assertion is good, but covers the wsu:Timestamp beside it.",
        "ticket-signature-form",
        saml.timestamp(now)
        + unsigned.replace(
            PLACE, signature(signer, canonical(saml.timestamp(now)), "#timestamp", transforms=(EXCLUSIVE,))
        ),
    )
    part = f'<saml:Issuer xmlns:saml="{SAML}" Id="part">{base.issuer}</saml:Issuer>'
    yield ticket(
        "signature-over-part",
        "The signature covers one element within the assertion only.",
        "ticket-signature-form",
        unsigned.replace(
            f"<saml:Issuer>{base.issuer}</saml:Issuer>", f'<saml:Issuer Id="part">{base.issuer}</saml:Issuer>'
        ).replace(PLACE, signature(signer, canonical(part), "#part", transforms=(EXCLUSIVE,))),
    )
    yield ticket(
        "signature-of-document",
        "The reference is empty: it would mean the whole envelope.",
        "ticket-signature-form",
        _whole(base.unsigned(), signer),
    )
    yield ticket(
        "signature-detached",
        "The signature stands beside the assertion and not in it.",
        "ticket-unsigned",
        (bare := base.unsigned().replace(PLACE, ""))
        + signature(signer, canonical(bare), "#" + identity(bare), transforms=(EXCLUSIVE,)),
    )
    plain = base.unsigned()
    yield ticket(
        "signature-two",
        "Two signatures, the issuer's and a stranger's.",
        "ticket-signature-form",
        sign(plain, signer).replace(
            "<saml:Subject>",
            signature(keys.stranger, canonical(plain.replace(PLACE, "")), "#" + identity(plain))
            + "<saml:Subject>",
        ),
    )
    yield ticket(
        "signature-with-object",
        "The signature holds an Object, in which anything could stand.",
        "ticket-signature-form",
        altered.replace("</ds:Signature>", "<ds:Object><x/></ds:Object></ds:Signature>"),
    )
    for name, what, transform in (
        ("xslt", "XSLT", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
        ("xpath", "XPath", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
        ("base64", "base64", DS + "base64"),
    ):
        yield otherwise(
            f"transform-{name}",
            f"One more transform, {what}, which could leave out anything.",
            "ticket-signature-form",
            transforms=(ENVELOPED, transform, EXCLUSIVE),
        )
    yield otherwise(
        "hmac-public-key",
        "HMAC with the issuer's public key, which everybody knows, as secret.",
        "ticket-algorithm",
        method=HMAC_SHA256,
    )
    yield otherwise("sha1-signature", "Signed with RSA-SHA1.", "ticket-algorithm", method=RSA_SHA1)
    yield otherwise("sha1-digest", "The digest of the reference is SHA-1.", "ticket-algorithm", digest=SHA1)

    # -- the key
    yield ticket(
        "key-of-another-issuer",
        "Signed with the key of another issuer that is trusted too.",
        "ticket-signature",
        sign(base.unsigned(), keys.helsenorge),
    )
    yield ticket(
        "key-embedded-only",
        "Signed with a key that is known from the message alone.",
        "ticket-signature",
        sign(base.unsigned(), keys.stranger),
    )
    yield ticket(
        "key-embedded-stranger",
        "Signed with a stranger's key, with the issuer's own certificate in ds:KeyInfo.",
        "ticket-signature",
        sign(base.unsigned(), keys.stranger, key_info=certificate_info(signer)),
    )

    # -- what it says
    yield changed(
        "issuer-unknown",
        "The issuer is not in the trust file.",
        "ticket-issuer",
        issuer="urn:xds:vectors:nobody",
    )
    yield changed(
        "issuer-of-tokens", "The issuer is trusted, but for access tokens.", "ticket-issuer", issuer=p.HELSEID
    )
    yield changed(
        "audience-wrong", "For another audience.", "ticket-audience", audience="urn:xds:vectors:another"
    )
    yield ticket(
        "audience-none",
        "For no audience in particular.",
        "ticket-audience",
        sign(re.sub("<saml:AudienceRestriction>.*</saml:AudienceRestriction>", "", base.unsigned()), signer),
    )
    yield changed(
        "expired",
        "Expired half an hour ago.",
        "ticket-expired",
        issued=-60,
        not_before=-60,
        not_on_or_after=-30,
    )
    yield changed(
        "not-yet-valid", "Valid in twenty minutes.", "ticket-early", not_before=20, not_on_or_after=60
    )
    yield changed("lifetime-too-long", "Valid for a year.", "ticket-lifetime", not_on_or_after=60 * 24 * 365)
    yield changed("login-too-old", "The person logged in three hours ago.", "ticket-attestation", login=-180)
    yield changed(
        "sender-vouches",
        "The subject is confirmed by sender-vouches, which the trust file does not allow.",
        "ticket-confirmation",
        method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches",
    )
    yield ticket(
        "version-1-1",
        "The assertion says that it is of SAML 1.1.",
        "ticket-form",
        sign(base.unsigned().replace('Version="2.0"', 'Version="1.1"'), signer),
    )
    moon = '<x:Moon xmlns:x="urn:xds:vectors:moon"/>'
    for name, what, old, new in (
        ("no-name-id", "The subject has no NameID.", "<saml:NameID>.*</saml:NameID>", ""),
        ("no-conditions", "Good for anybody, for ever.", "<saml:Conditions.*</saml:Conditions>", ""),
        ("no-end", "Never expires.", '( NotBefore="[^"]*") NotOnOrAfter="[^"]*"', r"\1"),
        ("time-without-zone", "A time without a zone.", '(NotBefore="[^"]*)Z"', r'\1"'),
        (
            "condition-unknown",
            "A condition that nobody knows (SAML core 2.5.1.1).",
            "</saml:Conditions>",
            f"{moon}</saml:Conditions>",
        ),
    ):
        yield ticket(name, what, "ticket-form", sign(re.sub(old, new, base.unsigned()), signer))
    yield changed(
        "two-patients",
        "By its old name the attribute is one patient, by its new name another.",
        "ticket-content",
        attributes=tuple(
            (name, saml.text(p.cx(p.CITIZEN)) if name == saml.OLD_PATIENT else value)
            for name, value in base.attributes
        ),
    )
    yield ticket(
        "citizen-for-another",
        "A citizen asks about another, and no ACP says why they may.",
        "ticket-content",
        sign(saml.helsenorge(now, p.CHILD).unsigned(), keys.helsenorge),
    )
    yield changed(
        "two-persons",
        "The NameID is one person, and the provider identifier another.",
        "ticket-content",
        attributes=(
            ("urn:ihe:iti:xua:2017:subject:provider-identifier", saml.text(saml.instance(p.CITIZEN, p.FNR))),
            *(each for each in base.attributes if not each[0].endswith("provider-identifier")),
        ),
    )
    yield ticket(
        "replay",
        "Sent twice, by an issuer whose tickets are good for one request (once = true).",
        "ticket-used",
        sign(saml.once(now).unsigned(), keys.xua),
        sends=2,
    )


def _whole(assertion: str, signer: Any) -> str:
    return assertion.replace(PLACE, signature(signer, canonical(assertion.replace(PLACE, "")), ""))


def _wrapped(
    base: Ticket, signer: Any, ticket: Callable[..., Vector], refused: Callable[..., Vector]
) -> Iterator[Vector]:
    """Signature wrapping (Somorovsky et al., "On Breaking SAML: Be Whoever You Want to Be", 2012), the eight
    shapes fitted to an assertion that stands in a header and not in a SAML response.

    The original and its signature are good all the time; what differs is where they stand, and the assertion
    about another patient that a careless reader takes instead.
    """
    original = sign(base.unsigned(), signer)
    made = re.search("<ds:Signature .*</ds:Signature>", original)[0]
    bare = original.replace(made, "")
    within = f"{made[: -len('</ds:Signature>')]}%s</ds:Signature>"
    evil = replace(base, id=saml.new_id()).unsigned().replace(p.PATIENT, p.CITIZEN)
    twin = evil.replace(identity(evil), identity(original))
    end = "</saml:Assertion>"

    def holding(assertion: str, inner: str) -> str:
        return assertion.removesuffix(end) + inner + end

    carried = evil.replace(PLACE, made)
    alone = evil.replace(PLACE, "")
    confirmed = f'<saml:SubjectConfirmation Method="{base.method}"'
    data = f"<saml:SubjectConfirmationData>{original}</saml:SubjectConfirmationData>"
    shapes = {
        "1": ("in the signature, which the forged one has taken over", evil.replace(PLACE, within % bare)),
        "2": (
            "without its signature at the end of the forged one, which has taken the signature over",
            holding(carried, bare),
        ),
        "3": ("after the forged one", alone + original),
        "4": ("with its signature in the forged one", holding(alone, original)),
        "5": ("without its signature after the forged one, which has taken it over", carried + bare),
        "6": (
            "in the signature, which a forged one with the same ID has taken over",
            twin.replace(PLACE, within % bare),
        ),
        "8": (
            "in an Object of the signature, which the forged one has taken over",
            evil.replace(PLACE, within % f"<ds:Object>{bare}</ds:Object>"),
        ),
        "advice": (
            "with its signature in the Advice of the forged one",
            alone.replace("</saml:Conditions>", f"</saml:Conditions><saml:Advice>{original}</saml:Advice>"),
        ),
        "subject": (
            "with its signature in the SubjectConfirmationData of the forged one",
            alone.replace(f"{confirmed}/>", f"{confirmed}>{data}</saml:SubjectConfirmation>"),
        ),
    }
    for number, (where, assertion) in shapes.items():
        what = f"Signature wrapping: the original assertion stands {where}."
        yield ticket(f"xsw-{number}", what, "ticket-many", assertion)
    yield refused(
        "xsw-7",
        "Signature wrapping: the forged assertion stands in another header block, before the original.",
        "ticket-many",
        f'<x:Extensions xmlns:x="urn:xds:vectors:extensions">{evil.replace(PLACE, "")}</x:Extensions>'
        + security(original),
    )
