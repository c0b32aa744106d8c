"""Good messages are valid, whatever is hostile is a finding, and the command says it by its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.blackbox import messages as m
from tests.fhir.messages import Bundle
from tests.metadata import samples
from tests.registry.test_masking import OWN, answered, text_of
from tests.validate.test_equal import http
from xds.cli import main
from xds.metadata.ebrim import write_object
from xds.metadata.entries import registry_object
from xds.validate.desk import Settings
from xds.validate.findings import Severity
from xds.validate.judging import JUDGES, judge
from xds.validate.kinds import KINDS, content_type
from xds.validate.wire import taken_apart

OPEN = Settings(patients="open")
ROOT = Path(__file__).parents[2]
_document = m.Document()

GOOD = {
    "ITI-41, MTOM": http(m.mtom([_document])),
    "ITI-41, MTOM without a head": m.mtom([_document]).body,
    "ITI-42": http(m.plain(m.register([_document]), "ITI-42")),
    "ITI-42 without a head": m.plain(m.register([_document]), "ITI-42").body,
    "ITI-18": http(m.plain(m.find_documents(), "ITI-18")),
    "a bare body of ITI-18": (ROOT / "tests/wsdl/bodies/iti18-request-find-documents.xml").read_bytes(),
    "ITI-43": http(m.mtom_retrieve(_document.unique_id)),
    **{
        f"an answer, {path.stem}": path.read_bytes()
        for path in sorted((ROOT / "tests/wsdl/bodies").glob("iti18-response-*.xml"))
        if path.stem != "iti18-response-leaf-class"  # of which most is left out
    },
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_message_is_valid(name: str) -> None:
    """Nothing is found but remarks."""
    report = judge(name, bytes(GOOD[name]), OPEN)
    assert [each for each in report.findings if each.severity is Severity.ERROR] == []
    assert report.status == 0


def test_a_good_bundle_is_valid() -> None:
    """ITI-65, as JSON."""
    bundle = Bundle()
    bundle.document(b"first")
    report = judge("bundle", json.dumps(bundle.json).encode(), OPEN)
    assert (report.kind, report.status, report.findings) == ("fhir", 0, ())


def test_everything_wrong_is_told_at_once_with_its_place_and_its_line() -> None:
    """Addressing and metadata, of which a node would tell the first alone."""
    good = m.plain(m.register([m.Document(without=("classCode", "typeCode"))]), "ITI-42").body
    assert isinstance(good, bytes)
    action = b"urn:ihe:iti:2007:RegisterDocumentSet-b"
    report = judge("x", good.replace(action, b"urn:other"), OPEN)
    found = {(each.rule, each.location) for each in report.findings}
    assert {("fault", "wsa:Action"), ("DE-classCode-required", "Document01/classCode")} <= found
    assert ("DE-typeCode-required", "Document01/typeCode") in found
    metadata = next(each for each in report.findings if each.rule == "DE-classCode-required")
    assert metadata.line > 0
    assert metadata.source == "ITI TF-3 4.3.1-3"
    assert report.status == 1


RIM = b'xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"'


def _answer(listed: bytes) -> bytes:
    return (
        b'<query:AdhocQueryResponse xmlns:query="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0" '
        b'status="urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success">'
        b"<rim:RegistryObjectList %b>%b</rim:RegistryObjectList></query:AdhocQueryResponse>" % (RIM, listed)
    )


def test_a_masked_entry_is_a_remark_in_an_answer_alone() -> None:
    """What a node writes of a blocked document is valid; a sender must tell everything."""
    shown = answered(text_of(samples.document_entry()))
    report = judge("x", _answer(shown), Settings())
    assert [(each.severity, each.location) for each in report.findings] == [(Severity.INFORMATION, OWN)]
    assert "masked (sperret)" in report.findings[0].remedy
    sent = b"<rim:RegistryObjectList %b>%b</rim:RegistryObjectList>" % (RIM, shown)
    assert judge("x", sent, Settings()).status == 1


def test_an_entry_without_status_is_told_in_an_answer() -> None:
    """Senders give none, a registry must."""
    entry = write_object(registry_object(samples.document_entry()))
    rules = {each.rule for each in judge("x", _answer(entry), Settings()).findings}
    assert "DE-availabilityStatus-required" in rules


HOSTILE = {
    "a bomb": b'<!DOCTYPE x [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><Envelope>&b;</Envelope>',
    "deep XML": b"<a>" * 5000,
    "deep JSON": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "no UTF-8": b"<Envelope>\xff\xfe\xfd</Envelope>",
    "no UTF-8 in JSON": b'{"resourceType": "\xff"}',
    "bad MIME": b"--x\r\nContent-Type: application/xop+xml\r\n\r\n<a/>",
    "MIME without anything": b"--\r\n",
    "no base64": b"Content-Type: multipart/related\r\n\r\n--x",
    "chunks that are none": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n<Envelope/>",
    "HL7 v2 of nothing": b"MSH|",
    "a token of nothing": b"a.b.c",
    "an empty assertion": b'<Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion"/>',
    "an empty CDA": b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>',
    "an empty resource": b"{}",
    "a name that is an array": b'{"resourceType": "Parameters", "parameter": [{"name": []}]}',
    "nothing": b"",
    "a head alone": b"POST / HTTP/1.1\r\nAuthorization: \r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_a_finding(name: str) -> None:
    """Never an exception, and never valid; some is nothing that is known."""
    assert judge(name, HOSTILE[name], OPEN).status in (1, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_a_finding_whatever_it_is_taken_for(name: str, kind: str) -> None:
    """With `--kind` everybody may see everything."""
    assert judge(name, HOSTILE[name], Settings(patients="open", kind=kind)).status == 1


BEGINNINGS = {
    "JSON with a byte order mark": (b'\xef\xbb\xbf{"resourceType": "Patient"}', "byte order mark"),
    "JSON that is an array": (b'[{"resourceType": "Patient"}]', "JSON"),
    "FHIR in UTF-16": ('<Patient xmlns="http://hl7.org/fhir"/>'.encode("utf-16"), "UTF-16"),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_what_is_wrong_with_a_file_is_not_told_as_its_content_type(name: str) -> None:
    """It has none: what is told is what the file begins with."""
    data, sentence = BEGINNINGS[name]
    report = judge("x", data, OPEN)
    assert report.kind == "fhir"
    assert sentence in report.findings[0].remedy
    assert "Content-Type" not in report.findings[0].remedy


def test_a_message_of_the_feed_is_as_long_as_a_node_reads_one() -> None:
    """A longer one is not parsed, which would take minutes."""
    began = time.process_time()
    report = judge("x", b"MSH|^~\\&|A\r" + b"PID|1\r" * 1_000_000, OPEN)
    assert "65536 bytes" in report.findings[0].remedy
    assert time.process_time() - began < 5


def test_after_so_many_errors_no_more_is_looked_for() -> None:
    """And that is said."""
    kind = "urn:uuid:7edca82f-054d-47f2-a32e-9b2a5b5186c1"
    empty = b"".join(
        b'<rim:ExtrinsicObject id="a%d" objectType="%b"/>' % (each, kind.encode()) for each in range(5000)
    )
    report = judge("x", b"<rim:RegistryObjectList %b>%b</rim:RegistryObjectList>" % (RIM, empty), OPEN)
    assert sum(each.severity is Severity.ERROR for each in report.findings) == 10_000
    assert "After 10,000 errors" in report.findings[-1].remedy


def test_what_is_too_large_is_a_finding() -> None:
    """By the limits of a node."""
    from xds.transport.limits import Limits

    small = Settings(limits=Limits(root_bytes=100, total_bytes=1000, document_bytes=100))
    assert judge("x", b"<Envelope>" + b"a" * 500, small).status == 1
    assert judge("x", b"<Envelope>" + b"a" * 5000, small).status == 1


def test_a_header_that_does_not_end_takes_no_longer_than_it_is_long() -> None:
    """Blanks in it are looked at once, and nobody keeps for later what is no header or boundary."""
    began = time.process_time()
    for data in (b"Content-Type:" + b" " * 1_000_000, b"Content-Type: " + b"a" * 1_000_000 + b"\r\n\r\n<a/>"):
        assert taken_apart(data).content_type == ""
    assert time.process_time() - began < 5
    assert len(content_type(taken_apart(b"--" + b"x" * 1_000_000))) < 5000


def test_every_kind_has_a_judge() -> None:
    """The two tables are of the same kinds."""
    assert list(KINDS) == list(JUDGES)


def test_the_command_ends_well_whatever_it_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that are no UTF-8, links that lead nowhere or round, a pipe; nothing is nothing that is valid."""
    folder, page = tmp_path / "given", tmp_path / "page.html"
    folder.mkdir()
    assert main(["validate", str(folder)]) == 2
    assert "there is no file" in capsys.readouterr().err
    (folder / os.fsdecode(b"<i>\xff")).write_bytes(bytes(GOOD["ITI-18"]))
    (folder / "round").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "nothing")
    os.mkfifo(folder / "pipe")
    options = ["--patients", "open", str(folder)]
    assert main(["validate", "--json", "--html", str(page), *options]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["name"].endswith("<i>?")
    assert "&lt;i&gt;?" in page.read_text(encoding="utf-8")
    assert main(["validate", "--html", str(folder), *options]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    """Exit status 0, 1 and 2; JSON and a page; standard input."""
    good, bad, strange = (tmp_path / name for name in ("good.xml", "bad.xml", "strange.txt"))
    good.write_bytes(bytes(GOOD["ITI-18"]))
    bad.write_bytes(b"<Envelope><script>alert(1)</script>")
    strange.write_bytes(b"hello there")

    def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "xds.cli", "validate", "--patients", "open", *arguments]
        return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)

    assert run(str(good)).returncode == 0
    page = tmp_path / "page.html"
    found = run("--json", "--html", str(page), str(good), str(bad))
    assert found.returncode == 1
    assert [each["valid"] for each in json.loads(found.stdout)] == [True, False]
    assert "<script>" not in page.read_text()
    assert run("-", given=bytes(GOOD["ITI-18"])).returncode == 0
    unknown = run(str(strange))
    assert unknown.returncode == 2
    assert b"looks like" in unknown.stdout
    missing = run(str(tmp_path / "none"))
    assert missing.returncode == 2
    assert b"Traceback" not in missing.stderr
