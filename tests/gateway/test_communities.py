"""The communities file: what it may say, every mistake that can be made in it, and how it is read again."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat

from tests.security.authorities import (
    certificate,
    ec_key,
    one_rsa_key,
    pem,
    private_pem,
    revocation_list,
    rsa_key,
)
from xds.errors import SettingsError
from xds.gateway import communities
from xds.gateway.communities import (
    Communities,
    CommunitiesFile,
    Community,
    read_communities,
    unsafe,
)
from xds.registry.queries import STORED_QUERIES

WRONG = Path(__file__).with_name("communities_files")
PAGE = Path(__file__).parents[2] / "docs" / "gateways.md"
HEADING = "\n## The communities file\n"
NORD, VEST, SOR = (f"2.16.578.1.12.4.5.100.1.{number}" for number in (1, 2, 3))

CA, OURS, RENEWED = ec_key(), ec_key(), ec_key()
WEAK = rsa_key(1024)

#: Files that a communities file of these tests may name.
FILES: dict[str, Callable[[], bytes]] = {
    "ca.pem": lambda: pem(certificate(CA, "ca", authority=True)),
    "ours.pem": lambda: pem(certificate(OURS, "ours", by=("ca", CA))),
    "ours-key.pem": lambda: private_pem(OURS),
    "both.pem": lambda: private_pem(OURS) + pem(certificate(OURS, "ours", by=("ca", CA))),
    "other-key.pem": lambda: private_pem(RENEWED),
    "rsa-key.pem": lambda: private_pem(one_rsa_key()),
    "locked.pem": lambda: private_pem(OURS, b"secret"),
    "locked-old.pem": lambda: private_pem(OURS, b"secret", PrivateFormat.TraditionalOpenSSL),
    "weak.pem": lambda: pem(certificate(WEAK)),
    "weak-key.pem": lambda: private_pem(WEAK),
    "list.pem": lambda: pem(revocation_list(("ca", CA))),
    "empty.pem": lambda: b"",
    "text.pem": lambda: b"Soon there will be a certificate here.\n",
}


class Sheet:
    """A communities file that a test writes over and over, and beside it the files that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "communities.toml"

    def put(self, name: str, content: bytes) -> Path:
        """As an editor does: a new file in the place of the old one."""
        new = self.folder / "new"
        new.write_bytes(content)
        os.replace(new, self.folder / name)
        return self.folder / name

    def write(self, text: str) -> Path:
        """The text, with the files that are not there yet."""
        for name, make in FILES.items():
            if f'"{name}"' in text and not (self.folder / name).exists():
                self.put(name, make())
        return self.put(self.path.name, text.encode())

    def read(self, text: str) -> Communities:
        return read_communities(self.write(text))

    def complaints(self, text: str) -> list[str]:
        return complaints(self.write(text))


def complaints(path: Path) -> list[str]:
    """Each sentence about a file: it begins with the setting and the file's name, which are left out."""
    with pytest.raises(SettingsError) as caught:
        read_communities(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"communities: {path.name}: ") for line in lines)
    return [line.removeprefix(f"communities: {path.name}: ") for line in lines]


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    return Sheet(tmp_path)


def one(name: str = "Nord", home: str = NORD, more: str = "", query: str = "") -> str:
    """The text of one community; `more` are further lines."""
    query = query or "https://xca.nord.example.no/xca"
    return f'[[community]]\nname = "{name}"\nhome = "{home}"\nquery = "{query}"\n{more}\n'


# ---- what the file says


def test_what_stands_in_the_file_is_what_is_read(sheet: Sheet) -> None:
    """Every key, none at its default; paths from the file's folder, stored queries by name."""
    found = sheet.read(
        """
        query_seconds = 20
        retrieve_seconds = 120.5

        [[community]]
        name = "Nord"
        home = "urn:oid:2.16.578.1.12.4.5.100.1.1"
        query = "https://xca.nord.example.no:8443/xca/query"
        retrieve = "https://xca.nord.example.no:8443/xca/retrieve"
        ca = "ca.pem"
        certificate = "ours.pem"
        key = "ours-key.pem"
        query_seconds = 30
        retrieve_seconds = 0.5
        connections = 4
        queries = ["FindDocuments", "GetAll"]
        asynchronous = true
        reply_to = ["https://xca.nord.example.no/answers", "http://127.0.0.1:9000/answers"]
        failures = 3
        pause_seconds = 60
        """
    )
    (nord,) = found.members
    assert (found.query_seconds, found.retrieve_seconds) == (20.0, 120.5)
    assert replace(nord, versions=()) == Community(
        name="Nord",
        home=NORD,
        query="https://xca.nord.example.no:8443/xca/query",
        retrieve="https://xca.nord.example.no:8443/xca/retrieve",
        ca=sheet.folder / "ca.pem",
        certificate=sheet.folder / "ours.pem",
        key=sheet.folder / "ours-key.pem",
        query_seconds=30.0,
        retrieve_seconds=0.5,
        connections=4,
        # ITI TF-2 3.18.4.1.2.4
        queries=frozenset(
            {
                "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
                "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3",
            }
        ),
        asynchronous=True,
        reply_to=("https://xca.nord.example.no/answers", "http://127.0.0.1:9000/answers"),
        failures=3,
        pause_seconds=60.0,
    )
    assert type(nord.query_seconds) is float


def test_what_the_file_does_not_say_has_a_default(sheet: Sheet) -> None:
    """Name, home and query are enough; what is fetched goes to the address of queries."""
    found = sheet.read(one())
    url = "https://xca.nord.example.no/xca"
    assert found == Communities((Community("Nord", NORD, url, url, versions=(None, None, None)),), 12.0, 90.0)
    (nord,) = found.members
    assert (nord.ca, nord.certificate, nord.key) == (None, None, None)
    assert (nord.query_seconds, nord.retrieve_seconds, nord.connections) == (10.0, 60.0, 32)
    assert (nord.queries, nord.asynchronous, nord.reply_to) == (frozenset(), False, ())
    assert (nord.failures, nord.pause_seconds) == (5, 15.0)


@pytest.mark.parametrize("text", ["", "# nobody yet\n", "community = []\n"])
def test_a_file_without_communities_is_no_mistake(sheet: Sheet, text: str) -> None:
    """A gateway may stand there before its first neighbour does."""
    assert sheet.read(text) == Communities()


def test_the_order_is_that_of_the_file(sheet: Sheet) -> None:
    """Answers are joined in it."""
    found = sheet.read(one("Vest", VEST) + one("Nord", NORD) + one("Sør", SOR))
    assert [each.name for each in found.members] == ["Vest", "Nord", "Sør"]


@pytest.mark.parametrize("id", STORED_QUERIES)
def test_every_stored_query_can_be_named(sheet: Sheet, id: str) -> None:
    """By the name that the standard gives it."""
    (nord,) = sheet.read(one(more=f'queries = ["{STORED_QUERIES[id].NAME}"]')).members
    assert nord.queries == {id}


#: Values that are good, with what is read of them.
GOOD: list[tuple[str, str, Any]] = [
    ('ca = "both.pem"', "ca", "both.pem"),
    ("connections = 1", "connections", 1),
    ("connections = 1000", "connections", 1000),
    ("failures = 1", "failures", 1),
    ("query_seconds = 600", "query_seconds", 600.0),
    ("query_seconds = 0.01", "query_seconds", 0.01),
    ("retrieve_seconds = 3600", "retrieve_seconds", 3600.0),
    ("asynchronous = false", "asynchronous", False),
    ('retrieve = "https://xca.nord.example.no"', "retrieve", "https://xca.nord.example.no"),
    ('retrieve = "http://[::1]:8080/a/%20b"', "retrieve", "http://[::1]:8080/a/%20b"),
    ('retrieve = "https://10.0.0.1:65535/"', "retrieve", "https://10.0.0.1:65535/"),
    ('retrieve = "https://xca_1.example.no./a;b=c"', "retrieve", "https://xca_1.example.no./a;b=c"),
]


@pytest.mark.parametrize(("line", "key", "expected"), GOOD)
def test_a_value_is_taken_as_it_stands(sheet: Sheet, line: str, key: str, expected: Any) -> None:
    """To the ends of what is allowed."""
    (nord,) = sheet.read(one(more=line)).members
    assert getattr(nord, key) == (sheet.folder / expected if key == "ca" else expected)


def test_certificate_and_key_may_stand_in_one_file(sheet: Sheet) -> None:
    """As some authorities hand them out."""
    (nord,) = sheet.read(one(more='certificate = "both.pem"\nkey = "both.pem"')).members
    assert nord.certificate == nord.key == sheet.folder / "both.pem"


def test_an_absolute_path_stays(sheet: Sheet, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever the folder of the file."""
    ca = tmp_path_factory.mktemp("elsewhere") / "ca.pem"
    ca.write_bytes(FILES["ca.pem"]())
    (nord,) = sheet.read(one(more=f'ca = "{ca}"')).members
    assert nord.ca == ca


# ---- looking a community up


HOMES = [
    (NORD, "Nord"),
    (f"urn:oid:{NORD}", "Nord"),
    (f"URN:OID:{NORD}", "Nord"),
    (f"urn:OID:{VEST}", "Vest"),
    (SOR, None),
    (f"urn:oid:{SOR}", None),
    ("", None),
    ("urn:oid:", None),
    (f"urn:oid:urn:oid:{NORD}", None),
    (f"urn:uuid:{NORD}", None),
    (f" {NORD}", None),
    (f"{NORD}.1", None),
    (NORD[:-2], None),
]


@pytest.mark.parametrize(("home", "name"), HOMES)
def test_a_community_is_found_by_its_home(sheet: Sheet, home: str, name: str | None) -> None:
    """With or without urn:oid:, in the message and in the file."""
    found = sheet.read(one("Nord", f"urn:oid:{NORD}") + one("Vest", VEST)).get(home)
    assert (found.name if found else None) == name
    assert found is None or found.urn == f"urn:oid:{found.home}"


REPLIES = [
    ("https://xca.nord.example.no/answers", "Nord"),
    ("https://shared.example.no/answers", "Nord"),
    ("https://xca.vest.example.no/answers", "Vest"),
    ("https://xca.nord.example.no/answers/", None),
    ("https://xca.nord.example.no/answers/more", None),
    ("https://xca.nord.example.no/Answers", None),
    ("https://XCA.nord.example.no/answers", None),
    ("https://xca.nord.example.no:443/answers", None),
    ("http://xca.nord.example.no/answers", None),
    ("https://xca.nord.example.no/answers?a", None),
    ("https://xca.nord.example.no/xca", None),
    ("https://169.254.169.254/", None),
    ("", None),
]


@pytest.mark.parametrize(("url", "name"), REPLIES)
def test_an_answer_goes_to_a_listed_address_only(sheet: Sheet, url: str, name: str | None) -> None:
    """To the letter; of two communities that list it, to the first in the file."""
    nord = 'reply_to = ["https://xca.nord.example.no/answers", "https://shared.example.no/answers"]'
    vest = nord.replace("nord", "vest")
    found = sheet.read(one("Nord", NORD, nord) + one("Vest", VEST, vest) + one("Sør", SOR)).may_reply_to(url)
    assert (found.name if found else None) == name


# ---- what is wrong

LIST = 'is not a list of texts: write ["…"], or leave it out'
NO_KEY = "there is no such key: leave it out (docs/gateways.md has those that there are)"
TWICE = "stands twice: each community has its own, and one [[community]]"
PAIR = "certificate, key: go together: write both or none"
QUERIES = (
    "FindDocuments, FindDocumentsByReferenceId, FindFolders, FindSubmissionSets, GetAll, GetAssociations,"
    " GetDocuments, GetDocumentsAndAssociations, GetFolderAndContents, GetFolders, GetFoldersForDocument,"
    " GetRelatedDocuments, GetSubmissionSetAndContents, GetSubmissionSets"
)
TEXT = 'is not a text: write it in "…", without space around it'
ABSENT = (
    "absent.pem cannot be read: No such file or directory: write its path, relative to the folder of this"
    " file, and let the node's user read it"
)

#: The files of the folder, with what is said of each.
MISTAKES: dict[str, list[str]] = {
    "every-key.toml": [
        f"timeout: {NO_KEY}",
        "query_seconds: is not a number of seconds from 0.01 to 600",
        "retrieve_seconds: is not a number of seconds from 0.01 to 3600",
        f"community 1 ( Nord): colour: {NO_KEY}",
        f"community 1 ( Nord): name: {TEXT}",
        "community 1 ( Nord): home: is not an OID: write integers with dots between them and without leading"
        " zeros, at most 64 characters, with or without urn:oid:",
        "community 1 ( Nord): query: is not an https URL: write https://, a host and a path",
        "community 1 ( Nord): retrieve: is a URL with a user: leave out what stands before the @, and the @",
        f"community 1 ( Nord): ca: {ABSENT}",
        f"community 1 ( Nord): certificate: {TEXT}",
        f"community 1 ( Nord): key: {TEXT}",
        "community 1 ( Nord): query_seconds: is not a number of seconds from 0.01 to 600",
        "community 1 ( Nord): retrieve_seconds: is not a number of seconds from 0.01 to 3600",
        "community 1 ( Nord): connections: is not a whole number from 1 to 1000",
        f"community 1 ( Nord): queries: item 2 is not the name of a stored query: {QUERIES}",
        "community 1 ( Nord): asynchronous: is neither true nor false",
        "community 1 ( Nord): reply_to: item 2 is not an https URL: write https://, a host and a path",
        "community 1 ( Nord): failures: is not a whole number from 1 to 1000",
        "community 1 ( Nord): pause_seconds: is not a number of seconds from 0.01 to 3600",
    ],
    "several-communities.toml": [
        "community 1: name: is missing: write it",
        "community 1: home: is missing: write it",
        "community 1: query: is missing: write it",
        f"community 3 (Vest): name: {TWICE}",
        f"community 4 (Nord): home: {TWICE}",
        f"community 5 (Sør): {PAIR}",
        f"community 5 (Sør): certificate: {ABSENT}",
        f"community 6 (Øst): {PAIR}",
        f"community 6 (Øst): key: {ABSENT}",
    ],
    "one-table.toml": ["community: is not a list of tables: write [[community]]"],
    "other-things.toml": [
        f"version: {NO_KEY}",
        f"gateway: {NO_KEY}",
        "community: is not a list of tables: write [[community]]",
    ],
}


def test_every_wrong_file_has_its_mistakes() -> None:
    """A file that nobody expects anything of would prove nothing."""
    assert {each.name for each in WRONG.iterdir()} == set(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_everything_that_is_wrong_is_said_at_once(name: str) -> None:
    """By community and key, so that a file is corrected in one go; a password in a URL is not told."""
    said = complaints(WRONG / name)
    assert sorted(said) == sorted(MISTAKES[name])
    assert not [sentence for sentence in said if "secret" in sentence]


#: A line of a community, and the key that is named.
WRONG_VALUES = [
    ("connections = true", "connections"),
    ("connections = 1001", "connections"),
    ("connections = 2.0", "connections"),
    ('connections = "2"', "connections"),
    ("failures = 0", "failures"),
    ("failures = 1001", "failures"),
    ("query_seconds = true", "query_seconds"),
    ("query_seconds = 0", "query_seconds"),
    ("query_seconds = 0.0", "query_seconds"),
    ("query_seconds = 600.1", "query_seconds"),
    ("query_seconds = inf", "query_seconds"),
    ("retrieve_seconds = -inf", "retrieve_seconds"),
    ("retrieve_seconds = [60]", "retrieve_seconds"),
    ("pause_seconds = 0", "pause_seconds"),
    ("asynchronous = 1", "asynchronous"),
    ("asynchronous = []", "asynchronous"),
    ('queries = "GetAll"', "queries"),
    ("queries = []", "queries"),
    ("queries = [1]", "queries"),
    ('queries = [["GetAll"]]', "queries"),
    ('queries = ["getall"]', "queries"),
    ('queries = ["urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"]', "queries"),
    ('queries = ["FindDocumentsForMultiplePatients"]', "queries"),
    ('reply_to = "https://xca.nord.example.no/answers"', "reply_to"),
    ("reply_to = []", "reply_to"),
    ('reply_to = ["https://xca.nord.example.no/answers?a=b"]', "reply_to"),
    ('reply_to = ["https://*.nord.example.no/"]', "reply_to"),
    ("ca = { path = 1 }", "ca"),
    ('ca = "a\\u0000b.pem"', "ca"),
    ('reply-to = ["https://xca.nord.example.no/answers"]', "reply-to"),
    ("Failures = 4", "Failures"),
]


@pytest.mark.parametrize(("line", "key"), WRONG_VALUES)
def test_a_value_that_is_wrong_is_said_by_its_key(sheet: Sheet, line: str, key: str) -> None:
    """Never taken for something like it."""
    (said,) = sheet.complaints(one(more=line))
    assert said.startswith(f"community 1 (Nord): {key}: ")


#: Addresses that cannot be called, with what is said of them.
WRONG_URLS = [
    ("xca.nord.example.no/xca", "an https URL"),
    ("//xca.nord.example.no/xca", "an https URL"),
    ("file:///etc/passwd", "an https URL"),
    ("https:///xca", "an https URL"),
    ("https://:8443/xca", "an https URL"),
    ("https://xca.nord.example.no:port/xca", "an https URL"),
    ("https://xca.nord.example.no:65536/xca", "an https URL"),
    ("https://xca.nord.example.no:0/xca", "an https URL"),
    ("https://[::1/xca", "an https URL"),
    ("https://[nord]/xca", "an https URL"),
    ("https://xca..example.no/xca", "an https URL"),
    ("https://*.example.no/xca", "an https URL"),
    ("https://xca.nord.example.no/a b", "an https URL"),
    ("https://xca.nørd.example.no/xca", "an https URL"),
    ("https://xca.nord.example.no\\\\@evil.example.no/", "an https URL"),
    ("https://secret@xca.nord.example.no/xca", "a user"),
    ("https://user:secret@xca.nord.example.no/xca", "a user"),
    ("https://@xca.nord.example.no/xca", "a user"),
    ("https://xca.nord.example.no/xca?secret=1", "a query or a fragment"),
    ("https://xca.nord.example.no/xca?", "a query or a fragment"),
    ("https://xca.nord.example.no/xca#secret", "a query or a fragment"),
    ("https://xca.nord.example.no/xca#", "a query or a fragment"),
]


@pytest.mark.parametrize("key", ["query", "retrieve"])
@pytest.mark.parametrize(("url", "problem"), WRONG_URLS)
def test_an_address_is_one_of_https_and_nothing_more(sheet: Sheet, url: str, problem: str, key: str) -> None:
    """Nor is any of it in what is said."""
    text = one(query=url) if key == "query" else one(more=f'retrieve = "{url}"')
    (said,) = sheet.complaints(text)
    assert said.startswith(f"community 1 (Nord): {key}: is ")
    assert problem in said
    assert "secret" not in said


#: Homes that are no OID.
WRONG_HOMES = [
    "",
    "nord",
    "2",
    "2.016",
    "urn:oid:",
    "urn:uuid:2.16",
    f"urn:oid:urn:oid:{NORD}",
    "1." * 32 + "1",
]


@pytest.mark.parametrize("home", WRONG_HOMES)
def test_a_home_is_an_oid(sheet: Sheet, home: str) -> None:
    """Otherwise no message could name it."""
    (said,) = sheet.complaints(one(home=home))
    assert said.startswith("community 1 (Nord): home: is not ")


@pytest.mark.parametrize("name", ["", "\\u001b[2J", "a\\nb", "a\\u2028b", " a", "x" * 101])
def test_a_name_can_be_printed(sheet: Sheet, name: str) -> None:
    """It stands in the log and in metrics; one that cannot is not even told."""
    (said,) = sheet.complaints(one(name))
    assert ": name: is " in said
    assert said.isprintable()


#: Lines that name files, with the key and what is said.
WRONG_FILES = [
    ('ca = "absent.pem"', f"ca: {ABSENT}"),
    ('ca = "."', "ca: . is not a file: name one in PEM"),
    (
        'ca = "empty.pem"',
        "ca: empty.pem holds no certificate in PEM, or a damaged one: name a file of certificates",
    ),
    (
        'ca = "text.pem"',
        "ca: text.pem holds no certificate in PEM, or a damaged one: name a file of certificates",
    ),
    (
        'ca = "ours-key.pem"',
        "ca: ours-key.pem holds no certificate in PEM, or a damaged one: name a file of certificates",
    ),
    (
        'ca = "list.pem"',
        "ca: list.pem holds no certificate in PEM, or a damaged one: name a file of certificates",
    ),
    (
        'certificate = "ours-key.pem"\nkey = "ours-key.pem"',
        "certificate: ours-key.pem holds no certificate in PEM, or a damaged one: name a file of"
        " certificates",
    ),
    (
        'certificate = "ours.pem"\nkey = "ours.pem"',
        "key: holds no key in PEM that can be read: name such a file",
    ),
    (
        'certificate = "ours.pem"\nkey = "empty.pem"',
        "key: holds no key in PEM that can be read: name such a file",
    ),
    (
        'certificate = "ours.pem"\nkey = "other-key.pem"',
        "key: does not belong to the certificate: name the key that it was made for",
    ),
    (
        'certificate = "ours.pem"\nkey = "rsa-key.pem"',
        "key: does not belong to the certificate: name the key that it was made for",
    ),
    (
        'certificate = "ours.pem"\nkey = "locked.pem"',
        "key: is locked with a password: write it to a file without one (openssl pkey)",
    ),
    (
        'certificate = "ours.pem"\nkey = "locked-old.pem"',
        "key: is locked with a password: write it to a file without one (openssl pkey)",
    ),
    (
        'certificate = "weak.pem"\nkey = "weak-key.pem"',
        "certificate: has a key that is too short for TLS: get a new one",
    ),
    ('certificate = "ours.pem"', PAIR),
    ('key = "ours-key.pem"', PAIR),
]


@pytest.mark.parametrize(("lines", "sentence"), WRONG_FILES)
def test_a_file_that_tls_cannot_use_is_said_at_once(sheet: Sheet, lines: str, sentence: str) -> None:
    """Not when the first call goes out, and without asking anybody for a password."""
    assert sheet.complaints(one(more=lines)) == [f"community 1 (Nord): {sentence}"]


def test_a_pipe_is_not_waited_for(sheet: Sheet) -> None:
    """The start of the node must not hang on it."""
    os.mkfifo(sheet.folder / "pipe.pem")
    assert sheet.complaints(one(more='ca = "pipe.pem"')) == [
        "community 1 (Nord): ca: pipe.pem is not a file: name one in PEM"
    ]


#: Contents of a file that is no TOML at all.
NO_TOML = {
    "cut off": b'[[community]]\nname = "a',
    "not UTF-8": b'[[community]]\nname = "\xe5"',
    "a key twice": b'[[community]]\nname = "a"\nname = "b"',
    "very deep": b"a = " + b"[" * 100_000,
    "NUL": b"\x00",
}


@pytest.mark.parametrize("content", NO_TOML.values(), ids=NO_TOML.keys())
def test_what_is_no_toml_is_said(sheet: Sheet, content: bytes) -> None:
    """One sentence with the file's name."""
    (said,) = complaints(sheet.put("own.toml", content))
    assert said.startswith("is not TOML in UTF-8: ")


def test_a_file_that_is_not_there_is_said_with_its_path(tmp_path: Path) -> None:
    """So is a folder in its place."""
    for path, reason in (
        (tmp_path / "none.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        for read in (read_communities, lambda path: CommunitiesFile(path, nothing)):
            with pytest.raises(SettingsError) as caught:
                read(path)
            assert str(caught.value) == (
                f"communities: {path}: cannot be read: {reason}; set communities to the path of this file"
            )


# ---- what a node refuses

HTTP = "is an http URL of another machine: write an https URL, or set environment = test for a test"
OWN = (
    "home: is our own (node.home_community_id): leave this community out, our own registry and repository"
    " are asked by themselves"
)
TEST = [
    Community("Nord", NORD, "http://xca.nord.example.no/xca", "http://xca.nord.example.no/xca"),
    Community(
        "Vest",
        VEST,
        "https://xca.vest.example.no/q",
        "HTTP://xca.vest.example.no/r",
        reply_to=("https://xca.vest.example.no/a", "http://10.0.0.1/a", "http://localhost.example.no/a"),
    ),
    Community(
        "Sør",
        SOR,
        "http://localhost:8080/q",
        "http://127.0.0.2/r",
        reply_to=("http://[::1]:9000/a", "https://xca.sor.example.no/a"),
    ),
]
OPEN = [
    f"communities: community 1 (Nord): query: {HTTP}",
    f"communities: community 2 (Vest): retrieve: {HTTP}",
    f"communities: community 2 (Vest): reply_to: item 2: {HTTP}",
    f"communities: community 2 (Vest): reply_to: item 3: {HTTP}",
]


@pytest.mark.parametrize(
    ("own", "test", "expected"),
    [
        ("2.16.578.1.12.4.5.100.9", False, OPEN),
        ("2.16.578.1.12.4.5.100.9", True, []),
        ("", False, OPEN),
        ("", True, []),
        (VEST, True, [f"communities: community 2 (Vest): {OWN}"]),
        (f"urn:oid:{SOR}", True, [f"communities: community 3 (Sør): {OWN}"]),
        (SOR, False, [*OPEN, f"communities: community 3 (Sør): {OWN}"]),
    ],
)
def test_a_node_calls_nobody_without_tls_nor_itself(own: str, test: bool, expected: list[str]) -> None:
    """Http is for tests and for this machine; our own home is refused in tests too."""
    assert unsafe(Communities(tuple(TEST)), own, test) == expected


# ---- reading again


def nothing(_: Communities) -> list[str]:
    """A check that has nothing against any reading."""
    return []


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are looked at each time, not every few seconds."""
    monkeypatch.setattr(communities, "_LOOK", -1.0)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last call."""
    caplog.set_level(logging.INFO, "xds")

    def take() -> list[str]:
        lines = [f"{each.levelname} {each.getMessage()}" for each in caplog.records]
        caplog.clear()
        return lines

    return take


def names(file: CommunitiesFile) -> str:
    """Asked several times, because most requests come without a change."""
    (found,) = {" ".join(each.name for each in file.communities.members) for _ in range(3)}
    return found


KEPT = "ERROR communities was not taken over, the last good reading stays: communities: "


@pytest.mark.usefixtures("looks")
def test_a_change_is_taken_over_and_a_mistake_is_not(sheet: Sheet, logged: Callable[[], list[str]]) -> None:
    """Without a restart: good, broken, removed, good again; each is logged once."""
    file = CommunitiesFile(sheet.write(one("first")), nothing)
    assert (names(file), logged()) == ("first", [])
    sheet.write(one("second") + one("more", VEST))
    assert (names(file), logged()) == ("second more", ["INFO communities was read again: 2 communities"])
    sheet.write(one("third", more="failures = 0\nconnections = 0"))
    where = "communities.toml: community 1 (third): "
    assert (names(file), logged()) == (
        "second more",
        [
            f"{KEPT}{where}connections: is not a whole number from 1 to 1000\n"
            f"communities: {where}failures: is not a whole number from 1 to 1000"
        ],
    )
    sheet.path.unlink()
    assert (names(file), logged()) == (
        "second more",
        [
            f"{KEPT}{sheet.path}: cannot be read: No such file or directory;"
            " set communities to the path of this file"
        ],
    )
    sheet.write(one("fourth"))
    assert (names(file), logged()) == ("fourth", ["INFO communities was read again: 1 communities"])
    sheet.write("")
    assert (names(file), logged()) == ("", ["INFO communities was read again: 0 communities"])


@pytest.mark.usefixtures("looks")
def test_a_renewed_certificate_makes_another_community(sheet: Sheet, logged: Callable[[], list[str]]) -> None:
    """Certificate, key and authorities are looked at too; the others stay equal."""
    pair = 'certificate = "ours.pem"\nkey = "ours-key.pem"\nca = "ca.pem"'
    file = CommunitiesFile(sheet.write(one("Nord", NORD, pair) + one("Vest", VEST)), nothing)
    seen = [file.communities]
    for name in ("ours.pem", "ours-key.pem", "ca.pem"):
        sheet.put(name, FILES[name]())
        seen.append(file.communities)
    assert logged() == ["INFO communities was read again: 2 communities"] * 3
    assert len({each.members[0] for each in seen}) == 4
    assert len({replace(each.members[0], versions=()) for each in seen}) == 1
    assert len({each.members[1] for each in seen}) == 1
    assert file.communities == seen[-1]


@pytest.mark.usefixtures("looks")
def test_a_touched_file_makes_no_other_communities(sheet: Sheet) -> None:
    """Nothing is connected anew for it."""
    file = CommunitiesFile(sheet.write(one(more='ca = "ca.pem"')), nothing)
    before = file.communities
    sheet.write(one(more='ca = "ca.pem" # the same'))
    assert file.communities == before


@pytest.mark.usefixtures("looks")
def test_a_certificate_may_come_before_its_key(sheet: Sheet, logged: Callable[[], list[str]]) -> None:
    """In between the last good reading stays, and is told of once."""
    file = CommunitiesFile(sheet.write(one(more='certificate = "ours.pem"\nkey = "ours-key.pem"')), nothing)
    before = file.communities
    sheet.put("ours.pem", pem(certificate(RENEWED, "ours", by=("ca", CA))))
    assert [file.communities for _ in range(3)] == [before] * 3
    assert logged() == [
        f"{KEPT}communities.toml: community 1 (Nord): key: does not belong to the certificate: name the key"
        " that it was made for"
    ]
    sheet.put("ours-key.pem", private_pem(RENEWED))
    assert file.communities.members[0] != before.members[0]
    assert logged() == ["INFO communities was read again: 1 communities"]


@pytest.mark.usefixtures("looks")
def test_a_file_that_comes_late_is_noticed(sheet: Sheet, logged: Callable[[], list[str]]) -> None:
    """A refused reading names files that the last good one does not."""
    file = CommunitiesFile(sheet.write(one("first")), nothing)
    sheet.write(one("second", more='ca = "late.pem"'))
    assert names(file) == "first"
    assert len(logged()) == 1
    sheet.put("late.pem", FILES["ca.pem"]())
    assert names(file) == "second"
    assert logged() == ["INFO communities was read again: 1 communities"]


@pytest.mark.usefixtures("looks")
def test_a_reading_that_failed_without_a_change_is_tried_again(
    sheet: Sheet, monkeypatch: pytest.MonkeyPatch, logged: Callable[[], list[str]]
) -> None:
    """Too many open files, a disk that is away for a moment."""
    file = CommunitiesFile(sheet.write(one("first")), nothing)
    sheet.write(one("second"))
    with monkeypatch.context() as patch:

        def fail(_: Path) -> bytes:
            raise OSError(24, "Too many open files")

        patch.setattr(Path, "read_bytes", fail)
        assert names(file) == "first"
    assert len(logged()) == 1
    assert names(file) == "second"
    assert logged() == ["INFO communities was read again: 1 communities"]


@pytest.mark.usefixtures("looks")
def test_what_the_node_refuses_is_not_taken_over(sheet: Sheet, logged: Callable[[], list[str]]) -> None:
    """The rules of the node hold at the start and at each reading; a file with errors is not asked about."""
    asked: list[str] = []

    def check(found: Communities) -> list[str]:
        asked.append(" ".join(each.name for each in found.members))
        return unsafe(found, VEST, False)

    with pytest.raises(SettingsError) as caught:
        CommunitiesFile(sheet.write(one(query="http://xca.nord.example.no/") + one("Vest", VEST)), check)
    assert str(caught.value).splitlines() == [
        f"communities: community 1 (Nord): query: {HTTP}",
        f"communities: community 2 (Vest): {OWN}",
    ]
    file = CommunitiesFile(sheet.write(one("good")), check)
    sheet.write(one("ours", VEST))
    assert names(file) == "good"
    assert logged() == [f"{KEPT}community 1 (ours): {OWN}"]
    asked.clear()
    sheet.write(one("ours", VEST, "failures = 0"))
    assert names(file) == "good"
    assert asked == []


def test_the_files_are_looked_at_every_two_seconds(sheet: Sheet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every request."""
    now = [1000.0]
    monkeypatch.setattr(communities.time, "monotonic", lambda: now[0])
    file = CommunitiesFile(sheet.write(one("first")), nothing)
    sheet.write(one("second"))
    now[0] += 1.9
    assert names(file) == "first"
    now[0] += 0.2
    assert names(file) == "second"


@pytest.mark.usefixtures("looks")
def test_what_was_read_is_not_changed_under_a_request(sheet: Sheet) -> None:
    """A request asks once and keeps what it got."""
    file = CommunitiesFile(sheet.write(one("first")), nothing)
    before = file.communities
    sheet.write(one("second"))
    assert names(file) == "second"
    assert [each.name for each in before.members] == ["first"]


@pytest.mark.usefixtures("looks")
def test_threads_that_look_at_once_all_get_communities(sheet: Sheet) -> None:
    """While the file changes and is wrong now and then: each sees one reading that was good as a whole."""
    file = CommunitiesFile(sheet.write(one("0")), nothing)
    seen: set[str] = set()
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            seen.update(each.name for each in file.communities.members)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        sheet.write(one(str(number), more="" if number % 2 else "failures = 0"))
    sheet.write(one("last"))
    end.set()
    for thread in threads:
        thread.join()
    assert names(file) == "last"
    assert seen <= {"0", "last", *map(str, range(1, 20, 2))}


# ---- the page


def section() -> str:
    """What docs/gateways.md says of the file."""
    return PAGE.read_text(encoding="utf-8").split(HEADING)[1].split("\n## ")[0]


def test_the_example_of_the_page_can_be_read(sheet: Sheet) -> None:
    """Three communities, fit for production."""
    for name, file in (
        ("nord-ca.pem", "ca.pem"),
        ("our-certificate.pem", "ours.pem"),
        ("our-key.pem", "ours-key.pem"),
    ):
        sheet.put(name, FILES[file]())
    found = sheet.read(section().split("```toml")[1].split("```")[0])
    assert len(found.members) == 3
    assert unsafe(found, "2.16.578.1.12.4.5.100.9", test=False) == []


#: Defaults that are not shown as TOML writes the value of the field.
SHOWN = {
    "name": "required",
    "home": "required",
    "query": "required",
    "retrieve": "`query`",
    "ca": "the machine's",
    "certificate": "–",
    "key": "–",
    "queries": "all",
    "asynchronous": "`false`",
    "reply_to": "–",
}


def test_the_page_has_every_key_with_its_default() -> None:
    """First the two of the whole file, then those of a community, in the order of Community."""
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", section(), re.M)
    assert rows == [
        ("query_seconds", "`12`"),
        ("retrieve_seconds", "`90`"),
        *(
            (each.name, SHOWN.get(each.name) or f"`{each.default:g}`")
            for each in fields(Community)
            if each.name != "versions"
        ),
    ]
