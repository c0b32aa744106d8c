"""The trust file: what it may say, what it means, and every mistake that can be made in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

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
    private_pem,
    revocation_list,
    rsa_key,
)
from xds.errors import SettingsError
from xds.security.trust import Confirmation, TicketKind
from xds.security.trust_file import LIFETIME_MINUTES, SETTINGS, Source, read_trust

EC = ec_key()
CA = ec_key()
LEAF = certificate(EC, by=("ca", CA), serial=17)
ROOT = certificate(CA, "ca", authority=True)

#: Files that a trust file of these tests may name.
FILES: dict[str, Callable[[], bytes]] = {
    "signer.pem": lambda: pem(certificate(EC)),
    "leaf.pem": lambda: pem(LEAF),
    "root.pem": lambda: pem(ROOT),
    "keys.json": lambda: jwks(jwk(EC, "one")),
    "metadata.xml": lambda: metadata(entity(ISSUER, key_descriptor(certificate(EC)))),
    "revoked.crl": lambda: der(revocation_list(("ca", CA), 17)),
    "old.crl": lambda: der(revocation_list(("ca", CA), until=NOW - DAY)),
    "private.pem": lambda: pem(certificate(EC)) + private_pem(EC),
    "private.json": lambda: jwks(jwk(EC, d="AAAA")),
    "weak.pem": lambda: pem(certificate(rsa_key(1024))),
    "curve.pem": lambda: pem(certificate(ec_key(ec.SECP256K1()))),
    "empty.pem": lambda: b"",
}
SAML = f'name = "{ISSUER}"\nkind = "xua"\naudiences = ["us"]\n'
TOKEN = SAML.replace("xua", "helseid")
KEYS = 'certificates = ["signer.pem"]\n'


def write(folder: Path, text: str, *files: str) -> Path:
    """The trust file, and beside it the files that it names."""
    for name, make in FILES.items():
        if f'"{name}"' in text or name in files:
            (folder / name).write_bytes(make())
    path = folder / "trust.toml"
    path.write_text(text)
    return path


def test_what_stands_in_the_file_is_what_is_believed(tmp_path: Path) -> None:
    """Every key of both families, none at its default."""
    path = write(
        tmp_path,
        f"""
        [[issuer]]
        name = "{ISSUER}"
        kind = "hso"
        audiences = ["us", "https://us.example/"]
        certificates = ["signer.pem"]
        jwks = "https://issuer.example/keys"
        metadata = "metadata.xml"
        revocation_lists = ["root.pem", "revoked.crl"]
        lifetime_minutes = 10
        attestation_minutes = 20
        skew_seconds = 0
        confirmation = ["holder-of-key", "sender-vouches"]
        once = true
        test = true

        [[issuer]]
        name = "https://tokens.example"
        kind = "helseid"
        audiences = ["us"]
        jwks = "keys.json"
        token = "bearer"
        scopes = ["nhn:xds/read"]
        """,
    )
    saml, token = read_trust(path, NOW)
    issuer = saml.issuer
    assert (issuer.name, issuer.kind) == (ISSUER, TicketKind.HSO)
    assert issuer.audiences == {"us", "https://us.example/"}
    assert (issuer.lifetime, issuer.attestation) == (timedelta(minutes=10), timedelta(minutes=20))
    assert issuer.skew == timedelta(0)
    assert issuer.confirmations == {Confirmation.HOLDER_OF_KEY, Confirmation.SENDER_VOUCHES}
    assert issuer.once
    assert issuer.test
    assert saml.sources == (
        Source("certificates", (tmp_path / "signer.pem",)),
        Source("jwks", url="https://issuer.example/keys"),
        Source("metadata", (tmp_path / "metadata.xml",)),
        Source("revocation_lists", (tmp_path / "root.pem", tmp_path / "revoked.crl")),
    )
    files = [saml.contents[source] for source in saml.sources if source.files]
    assert [[key.public for key in content.keys] for content in files] == [
        [EC.public_key()],
        [EC.public_key()],
        [],
    ]
    assert files[2].revoked == {("CN=ca", 17)}
    assert files[2].until == NOW + 7 * DAY
    assert not token.issuer.dpop
    assert token.issuer.scopes == {"nhn:xds/read"}


@pytest.mark.parametrize("kind", TicketKind)
def test_what_the_file_does_not_say_has_a_default(kind: TicketKind, tmp_path: Path) -> None:
    """Lifetime by kind, attestation for two kinds, one minute of skew, bearer, DPoP, not for tests."""
    (entry,) = read_trust(write(tmp_path, "[[issuer]]\n" + SAML.replace("xua", kind) + KEYS), NOW)
    issuer, hour = entry.issuer, timedelta(hours=1)
    assert issuer.lifetime == timedelta(minutes=LIFETIME_MINUTES[kind])
    assert issuer.attestation == (hour if kind in ("kjernejournal", "helseid") else None)
    assert issuer.skew == timedelta(seconds=60)
    assert issuer.confirmations == {Confirmation.BEARER}
    assert (issuer.once, issuer.dpop, issuer.scopes, issuer.test) == (False, True, frozenset(), False)
    assert (issuer.keys, issuer.authority) == ((), None)


def test_an_authority_is_known_by_root_and_subject(tmp_path: Path) -> None:
    """The subject is brought to one spelling, also from what `openssl x509 -nameopt RFC2253` prints."""
    for subject, expected in (
        ("CN=signer", "CN=signer"),
        (
            "CN=A\\, B,organizationIdentifier=NTRNO-123456785,O=B,C=NO",
            "CN=A\\, B,2.5.4.97=NTRNO-123456785,O=B,C=NO",
        ),
        ("CN=A,serialNumber=1,O=B", "CN=A,2.5.4.5=1,O=B"),
    ):
        toml = subject.replace("\\", "\\\\")
        text = f'[[issuer]]\n{SAML}authority = ["root.pem"]\nsubject = "{toml}"\n'
        (entry,) = read_trust(write(tmp_path, text), NOW)
        assert entry.subject == expected
        assert entry.contents[entry.sources[0]].roots == (ROOT,)


def test_a_revocation_list_of_the_authority_needs_no_other_certificate(tmp_path: Path) -> None:
    """The root is known already."""
    text = f'[[issuer]]\n{SAML}authority = ["root.pem"]\nsubject = "CN=signer"\n'
    (entry,) = read_trust(write(tmp_path, text + 'revocation_lists = ["revoked.crl"]'), NOW)
    assert entry.contents[entry.sources[1]].revoked == {("CN=ca", 17)}


WRONG_VALUES = [
    (SAML.replace(f'"{ISSUER}"', "1"), "name: is not a text"),
    (SAML.replace(f'"{ISSUER}"', '""'), "name: is not a text"),
    (SAML.replace(f'"{ISSUER}"', '" a"'), "name: is not a text"),
    (SAML.replace(f'"{ISSUER}"', '"a\\u0000"'), "name: is not a text"),
    (SAML.replace('"xua"', '"saml"'), "kind: is not one of: kjernejournal, helsenorge, hso, xua"),
    (SAML.replace('"xua"', '["xua"]'), "kind: is not one of"),
    (SAML.replace('["us"]', "[]"), "audiences: is not a list of texts"),
    (SAML.replace('["us"]', '"us"'), "audiences: is not a list of texts"),
    (SAML.replace('["us"]', "[1]"), "audiences: is not a text"),
    (SAML.replace('audiences = ["us"]\n', ""), "audiences: is missing"),
    (SAML.replace('kind = "xua"\n', ""), "kind: is missing"),
    (SAML.replace(f'name = "{ISSUER}"\n', ""), "name: is missing"),
    (SAML + "audience = 1\n", "audience: there is no such key"),
    (SAML + "lifetime_minutes = 0\n", "lifetime_minutes: is not a whole number from 1 to 1440"),
    (SAML + "lifetime_minutes = 1441\n", "lifetime_minutes: is not a whole number from 1 to 1440"),
    (SAML + "lifetime_minutes = 1.5\n", "lifetime_minutes: is not a whole number"),
    (SAML + "lifetime_minutes = true\n", "lifetime_minutes: is not a whole number"),
    (SAML + "attestation_minutes = -1\n", "attestation_minutes: is not a whole number from 1 to 1440"),
    (SAML + "skew_seconds = 301\n", "skew_seconds: is not a whole number from 0 to 300"),
    (SAML + 'skew_seconds = "60"\n', "skew_seconds: is not a whole number"),
    (SAML + "confirmation = []\n", "confirmation: is not a list of these: bearer, holder-of-key, sender"),
    (SAML + 'confirmation = ["none"]\n', "confirmation: is not a list of these: bearer"),
    (SAML + 'confirmation = "bearer"\n', "confirmation: is not a list of these: bearer"),
    (SAML + 'once = "yes"\n', "once: is neither true nor false"),
    (SAML + "test = 1\n", "test: is neither true nor false"),
    (SAML + 'token = "bearer"\n', "token: is for tokens only"),
    (SAML + 'scopes = ["a"]\n', "scopes: is for tokens only"),
    (TOKEN + 'token = "none"\n', "token: is not one of: dpop, bearer"),
    (TOKEN + "token = []\n", "token: is not one of: dpop, bearer"),
    (TOKEN + "scopes = [1]\n", "scopes: is not a text"),
    (TOKEN + "once = true\n", "once: is for SAML only"),
    (TOKEN + 'confirmation = ["bearer"]\n', "confirmation: is for SAML only"),
    (TOKEN + 'metadata = "metadata.xml"\n', "metadata: is for SAML only"),
    (TOKEN + 'authority = ["root.pem"]\nsubject = "CN=signer"\n', "authority: is for SAML only"),
    (SAML + 'jwks = "http://issuer.example/keys"\n', "jwks: is not an https URL"),
    (SAML + 'metadata = "ftp://issuer.example/"\n', "metadata: is not an https URL"),
    (SAML + 'jwks = "https://me:secret@issuer.example/"\n', "jwks: is a URL with a user"),
    (SAML + 'subject = "CN=signer"\n', "authority, subject: go together"),
    (SAML + 'authority = ["root.pem"]\nsubject = "signer"\n', "subject: is not a name"),
]
WRONG_KEYS = [
    ("", "has no keys: write certificates, jwks, metadata, or authority with subject"),
    ('revocation_lists = ["root.pem", "revoked.crl"]', "has no keys: write"),
    ('authority = ["root.pem"]', "authority, subject: go together"),
    (KEYS + 'authority = ["root.pem"]\nsubject = "CN=signer"', "authority: goes without certificates"),
    ('authority = ["signer.pem"]\nsubject = "CN=signer"', "signer.pem is not the certificate of an author"),
    ("certificates = []", "certificates: is not a list of texts"),
    ('certificates = "signer.pem"', "certificates: is not a list of texts"),
    ('certificates = ["missing.pem"]', "certificates: missing.pem cannot be read: No such file"),
    ('certificates = ["."]', "is not a file"),
    ('certificates = ["/dev/null"]', "certificates: null is not a file"),
    ('certificates = ["https://issuer.example/a.pem"]', "certificates: has an address"),
    ('certificates = ["empty.pem"]', "certificates: empty.pem is empty"),
    ('certificates = ["signer.pem", "private.pem"]', "private.pem is a private key"),
    ('jwks = "private.json"', "private.json is a private key.*must not have it"),
    ('certificates = ["weak.pem"]', "weak.pem has an RSA key of 1024 bits: ask"),
    ('certificates = ["curve.pem"]', "curve.pem has a key on another curve"),
    ('certificates = ["keys.json"]', "keys.json is not a certificate"),
    ('jwks = "metadata.xml"', "metadata.xml is not JSON"),
    ('jwks = ["keys.json"]', "jwks: is not a text"),
    ('metadata = "keys.json"', "metadata: keys.json is not XML"),
    (KEYS + 'revocation_lists = ["revoked.crl"]', "revoked.crl is signed by nobody who is known"),
    (KEYS + 'revocation_lists = ["root.pem"]', "revocation_lists: has no revocation list"),
    (KEYS + 'revocation_lists = ["root.pem", "old.crl"]', "old.crl is out of date"),
    (KEYS + 'revocation_lists = ["private.pem"]', "private.pem is a private key"),
]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [(values + KEYS, sentence) for values, sentence in WRONG_VALUES]
    + [(SAML + keys, sentence) for keys, sentence in WRONG_KEYS],
)
def test_a_mistake_is_named_with_its_issuer_and_key(table: str, sentence: str, tmp_path: Path) -> None:
    """One mistake, one sentence."""
    path = write(tmp_path, "[[issuer]]\n" + table)
    with pytest.raises(SettingsError, match=rf"^trust\.toml: issuer 1( \(.*\))?: .*{sentence}"):
        read_trust(path, NOW)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"there is no issuer: write an \[\[issuer\]\] table"),
        ("issuer = []", "there is no issuer"),
        ("issuer = 1", r"issuer: is not a list of tables: write \[\[issuer\]\]"),
        ("issuer = [1]", "issuer: is not a list of tables"),
        ("[issuer]\n" + SAML + KEYS, "issuer: is not a list of tables"),
        ("[[issuers]]\n" + SAML + KEYS, "issuers: there is no such table"),
        ("[[issuer]]\nname = 1\nname = 2", "is not TOML"),
        ("issuer = ", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML"),
        (
            "[[issuer]]\n" + SAML + KEYS + "[[issuer]]\n" + TOKEN + KEYS,
            r"issuer 2 \(.*\): name: stands twice",
        ),
    ],
)
def test_a_mistake_in_the_file_as_a_whole_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    """The same, where there is no issuer to name, or a second one of the same name."""
    with pytest.raises(SettingsError, match=rf"^trust\.toml: {sentence}"):
        read_trust(write(tmp_path, text), NOW)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    """With what the system says."""
    with pytest.raises(SettingsError, match=r"trust\.toml: cannot be read: No such file"):
        read_trust(tmp_path / "trust.toml")
    (tmp_path / "trust.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"trust\.toml: is not TOML in UTF-8"):
        read_trust(tmp_path / "trust.toml")


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    """Of every issuer, also those in the files that it names."""
    text = "[[issuer]]\n" + SAML + 'once = 1\nskew_seconds = 900\ncertificates = ["weak.pem"]\n'
    text += '[[issuer]]\nkind = "helseid"\ncolour = "blue"\njwks = "private.json"\n'
    with pytest.raises(SettingsError) as caught:
        read_trust(write(tmp_path, text), NOW)
    lines = str(caught.value).splitlines()
    found = [line.removeprefix("trust.toml: ").replace(f" ({ISSUER})", "").split(": ")[:2] for line in lines]
    assert found == [
        ["issuer 1", "skew_seconds"],
        ["issuer 1", "once"],
        ["issuer 1", "certificates"],
        ["issuer 2", "colour"],
        ["issuer 2", "name"],
        ["issuer 2", "audiences"],
        ["issuer 2", "jwks"],
    ]


ODD = [
    "0",
    "1.5",
    "nan",
    "true",
    '""',
    '"a/b"',
    '"\\u0000"',
    "[]",
    "[[]]",
    '[""]',
    "[1]",
    "{}",
    "2026-11-01",
    "[{}]",
]


#: Where such a value is right.
NOT_ODD = {
    ("once", "true"), ("test", "true"), ("name", '"a/b"'), ("skew_seconds", "0"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key in SETTINGS for value in ODD if (key, value) not in NOT_ODD]
)
def test_no_odd_value_of_any_key_is_taken_or_breaks_anything(key: str, value: str, tmp_path: Path) -> None:
    """Whatever TOML can say."""
    given = {"name": '"a"', "kind": '"xua"', "audiences": '["us"]', "certificates": '["signer.pem"]'}
    text = "".join(f"{name} = {text}\n" for name, text in (given | {key: value}).items())
    with pytest.raises(SettingsError, match=f"{key}: "):
        read_trust(write(tmp_path, "[[issuer]]\n" + text, "signer.pem"), NOW)


def test_rsa_keys_of_2048_bits_are_strong_enough(tmp_path: Path) -> None:
    """The least that is believed, by certificate and by key set."""
    (tmp_path / "rsa.pem").write_bytes(pem(certificate(one_rsa_key())))
    (tmp_path / "rsa.json").write_bytes(jwks(jwk(one_rsa_key())))
    text = "[[issuer]]\n" + SAML + 'certificates = ["rsa.pem"]\njwks = "rsa.json"\n'
    (entry,) = read_trust(write(tmp_path, text), NOW)
    assert [len(content.keys) for content in entry.contents.values()] == [1, 1]


def test_the_page_has_a_row_for_every_key() -> None:
    """docs/trust.md is what an operator writes the file by."""
    page = (Path(__file__).parents[2] / "docs/trust.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `") and "xds_" not in line]
    assert rows == list(SETTINGS)
