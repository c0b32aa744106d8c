"""Answers of other communities, as they are read: what is passed on, what is left out, what is refused.

What is expected follows from ITI TF-2 3.38.4.1.3 and 3.39.4.1.3, and from what a hostile one would send.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.blackbox import messages as m
from xds.errors import Code
from xds.gateway import answers
from xds.gateway.answers import Listed, TooMany, Unreadable, read_handed, read_listed
from xds.metadata import names
from xds.transport.limits import Limits
from xds.transport.message import Message, read_message
from xds.transport.staged import StagingFolder
from xds.transport.xml import parse

HOME = "urn:oid:2.16.578.1.12.4.5.100.1"
OTHER = "urn:oid:2.16.578.1.12.4.5.100.2"
UUID = "urn:uuid:11111111-1111-4111-8111-111111111111"
SECOND = "urn:uuid:22222222-2222-4222-8222-222222222222"


def message(body: str, folder: Path) -> Message:
    """A message with this Body, as it would come in."""
    data = m.envelope(body, "urn:ihe:iti:2007:CrossGatewayQueryResponse")
    return read_message(io.BytesIO(data), m.media_type(m.SOAP12), Limits(), StagingFolder(folder))


def error(code: str, severity: str = "Error", location: str = HOME, context: str = "Words") -> str:
    return (
        f'<rs:RegistryError errorCode="{code}" codeContext="{context}" location="{location}"'
        f' severity="urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:{severity}"/>'
    )


def queried(objects: str = "", errors: str = "", status: str = names.SUCCESS, more: str = "") -> str:
    listed = f"<rs:RegistryErrorList>{errors}</rs:RegistryErrorList>" if errors else ""
    return (
        f'<query:AdhocQueryResponse xmlns:query="{names.QUERY}" xmlns:rs="{names.RS}" xmlns:rim="{names.RIM}"'
        f' {more} status="{status}">{listed}<rim:RegistryObjectList>{objects}</rim:RegistryObjectList>'
        "</query:AdhocQueryResponse>"
    )


def read(body: str, folder: Path, *, leaf: bool = True, most: int = 100, most_bytes: int = 10**6) -> Listed:
    return read_listed(message(body, folder), HOME, leaf=leaf, most=most, most_bytes=most_bytes)


def test_objects_come_by_themselves_and_say_whose_they_are(tmp_path: Path) -> None:
    """As they came, with the namespaces that they use; home is written with its prefix."""
    bare = HOME.removeprefix("urn:oid:")
    listed = read(
        queried(
            f'<rim:ExtrinsicObject id="{UUID}" home="{bare}"><rim:Slot name="x"/></rim:ExtrinsicObject>'
            f'<rim:RegistryPackage id="{SECOND}" home="URN:OID:{bare}"/>'
            f'<rim:Association id="{SECOND}"/><rim:ObjectRef id="{names.AUTHOR_DOCUMENT}"/>',
            more='xmlns:unused="urn:unused"',
        ),
        tmp_path,
    )
    first, second, third, fourth = map(parse, listed.objects)
    assert [each.get("home") for each in (first, second)] == [HOME, HOME]
    assert [each.get("home") for each in (third, fourth)] == [None, None]
    assert listed.documents == (bytes.fromhex("11111111111141118111111111111111"),)
    assert b"unused" not in b"".join(listed.objects)


@pytest.mark.parametrize(
    "objects",
    [
        f'<rim:ExtrinsicObject id="{UUID}"/>',
        f'<rim:ExtrinsicObject id="{UUID}" home="{OTHER}"/>',
        f'<rim:RegistryPackage id="{UUID}" home=""/>',
        f'<rim:Association id="{UUID}" home="{OTHER}"/>',
        f'<rim:ObjectRef id="{UUID}" home="{OTHER}"/>',
        f'<rim:RegistryPackage id="{UUID}" home="{HOME}"><rim:RegistryObjectList>'
        f'<rim:ExtrinsicObject id="{SECOND}" home="{OTHER}"/></rim:RegistryObjectList></rim:RegistryPackage>',
    ],
)
def test_what_is_not_its_own_is_left_out(tmp_path: Path, objects: str) -> None:
    """With an error that names the objects (XDSMissingHomeCommunityId)."""
    listed = read(queried(objects), tmp_path)
    assert list(listed.objects) == []
    (told,) = listed.errors
    assert (told.code, told.location, told.rule) == (
        Code.MISSING_HOME_COMMUNITY_ID,
        HOME,
        "community-home",
    )
    assert UUID in told.context


def test_references_must_say_whose_they_are(tmp_path: Path) -> None:
    """Where nothing but references was asked for."""
    listed = read(queried(f'<rim:ObjectRef id="{UUID}"/>'), tmp_path, leaf=False)
    assert [each.rule for each in listed.errors] == ["community-home"]
    listed = read(queried(f'<rim:ObjectRef id="{UUID}" home="{HOME}"/>'), tmp_path, leaf=False)
    assert len(listed.documents) == len(listed.objects) == 1


@pytest.mark.parametrize(
    "body",
    [
        queried("<rim:Slot name='x'/>"),
        queried("<rim:ExtrinsicObject home='" + HOME + "'/>"),
        queried('<a xmlns="urn:other" id="1"/>'),
        queried(status="urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Unavailable"),
        queried(status=""),
        f'<rs:RegistryResponse xmlns:rs="{names.RS}" status="{names.SUCCESS}"/>',
        queried(more=f'xmlns:long="urn:{"x" * 300}"'),
        queried(more=" ".join(f'xmlns:n{number}="urn:{number}"' for number in range(40))),
    ],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, body: str) -> None:
    """All of it: one part would make the joined answer invalid, or as large as somebody likes."""
    with pytest.raises(Unreadable):
        read(body, tmp_path)


def test_an_answer_has_bounds(tmp_path: Path) -> None:
    """In objects and in bytes."""
    some = f'<rim:ObjectRef id="{UUID}" home="{HOME}"/>' * 3
    assert len(read(queried(some), tmp_path, most=3).objects) == 3
    with pytest.raises(TooMany):
        read(queried(some), tmp_path, most=2)
    with pytest.raises(TooMany):
        read(queried(some), tmp_path, most_bytes=100)
    many = read(queried(errors=error("XDSRegistryError") * 500, status=names.FAILURE), tmp_path)
    assert len(many.errors) == answers._MOST_ERRORS


def test_errors_are_passed_on_in_the_communitys_words(tmp_path: Path) -> None:
    """Known and unknown codes, each located at the community; where it said they were stands in the text."""
    listed = read(
        queried(
            errors=error("XDSRegistryBusy")
            + error("XDSRepresentationBelowMinimumAgeError", location="somewhere")
            + error("XDSRegistryError", "Warning"),
            status=names.PARTIAL_SUCCESS,
        ),
        tmp_path,
    )
    assert [(each.code, each.foreign_code, each.location, each.warning) for each in listed.errors] == [
        (Code.REGISTRY_BUSY, "", HOME, False),
        (Code.REGISTRY_ERROR, "XDSRepresentationBelowMinimumAgeError", HOME, False),
        (Code.REGISTRY_ERROR, "", HOME, True),
    ]
    assert [each.context for each in listed.errors] == ["Words", "Words (somewhere)", "Words"]


def test_a_patient_that_a_community_does_not_know_has_nothing_there(tmp_path: Path) -> None:
    """ITI TF-2 3.38.4.1.3: that is no error of the joined answer."""
    listed = read(queried(errors=error("XDSUnknownPatientId"), status=names.FAILURE), tmp_path)
    assert (listed.status, listed.errors) == (names.SUCCESS, ())


@pytest.mark.parametrize("status", [names.FAILURE, names.PARTIAL_SUCCESS])
def test_a_community_that_gives_no_reason_is_told_of(tmp_path: Path, status: str) -> None:
    """Nobody could tell what is missing."""
    objects = f'<rim:ObjectRef id="{UUID}" home="{HOME}"/>'
    listed = read(queried(objects, status=status), tmp_path)
    assert [each.rule for each in listed.errors] == ["community-reason"]
    assert len(listed.objects) == (status == names.PARTIAL_SUCCESS)


def retrieved(documents: str, status: str = names.SUCCESS) -> str:
    return (
        f'<xds:RetrieveDocumentSetResponse xmlns:xds="{names.XDS}"><rs:RegistryResponse xmlns:rs="{names.RS}"'
        f' status="{status}"/>{documents}</xds:RetrieveDocumentSetResponse>'
    )


def document(text: str = "YWJj", unique_id: str = "1.2.3", mime: str = "text/plain") -> str:
    return (
        "<xds:DocumentResponse><xds:RepositoryUniqueId>1.2</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{unique_id}</xds:DocumentUniqueId><xds:mimeType>{mime}</xds:mimeType>"
        f"<xds:Document>{text}</xds:Document></xds:DocumentResponse>"
    )


def test_documents_are_files(tmp_path: Path) -> None:
    """Inline base64 too; PartialSuccess without a reason is told of."""
    got = message(retrieved(document(), names.PARTIAL_SUCCESS), tmp_path)
    handed = read_handed(got, HOME)
    (one,) = handed.documents
    assert one.staged.path.read_bytes() == b"abc"
    assert [each.rule for each in handed.errors] == ["community-reason"]
    got.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "documents",
    [
        document("not base64!"),
        document(unique_id="1" * 300),
        document(mime="text/" + "x" * 300),
        document().replace("<xds:Document>YWJj</xds:Document>", ""),
    ],
)
def test_a_document_that_cannot_be_passed_on_is_no_answer(tmp_path: Path, documents: str) -> None:
    """Whatever is wrong with it: no trace is left when the message is discarded."""
    got = message(retrieved(documents), tmp_path)
    with pytest.raises(Unreadable):
        read_handed(got, HOME)
    got.discard()
    assert list(tmp_path.iterdir()) == []
