"""The endpoint in process: what goes back over HTTP, what is logged, what is left behind."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import falcon.testing
import pytest

from tests.transport import node as test_node
from tests.transport.messages import AXIS2, CXF, STACKS, WSA, ZEEP, envelope, include, xop
from xds.errors import Fault
from xds.transport import xml
from xds.transport.limits import Limits
from xds.transport.message import Message

WSDL = """<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"><service name="s"><port name="p" binding="b">
<a12:address xmlns:a12="http://schemas.xmlsoap.org/wsdl/soap12/" location="http://localhost/"/></port>
<port name="q" binding="c"><a:address xmlns:a="http://schemas.xmlsoap.org/wsdl/soap/" location="http://localhost/"/></port></service>
</definitions>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "staging"


@pytest.fixture
def client(tmp_path: Path, folder: Path) -> falcon.testing.TestClient:
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "a.xsd").write_text("<schema/>")
    (tmp_path / "secret.xsd").write_text("secret")
    (tmp_path / "registry.wsdl").write_text(WSDL)
    return falcon.testing.TestClient(
        test_node.make(folder, Limits(total_bytes=5_000_000), tmp_path / "registry.wsdl")
    )


def post(
    client: falcon.testing.TestClient, body: bytes | str, content_type: str = "application/soap+xml"
) -> falcon.testing.Result:
    return client.simulate_post("/soap", body=body, headers={"Content-Type": content_type})


def reason(result: falcon.testing.Result) -> str:
    root = xml.parse(result.content)
    return (
        root.findtext(".//{http://www.w3.org/2003/05/soap-envelope}Text")
        or root.findtext(".//faultstring")
        or ""
    )


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_gets_its_document_back(
    client: falcon.testing.TestClient, folder: Path, name: str
) -> None:
    """In the form it asked in, and nothing stays staged."""
    posted = STACKS[name]
    result = post(client, posted.body, posted.content_type)

    assert result.status_code == 200
    assert result.headers["content-type"].startswith(
        "multipart/related" if posted.mtom else ("text/xml", "application/soap+xml")
    )
    assert int(result.headers["content-length"]) == len(result.content)
    assert list(folder.iterdir()) == []


BAD = {
    "malformed XML": (b"<a>", "application/soap+xml", 500, "not well-formed"),
    "nothing": (b"", "application/soap+xml", 500, "empty"),
    "entity bomb": (b'<!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>', "text/xml", 500, "DOCTYPE"),
    "external entity": (
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "text/xml", 500, "DOCTYPE",
    ),
    "cid to http": (
        envelope(include("http://127.0.0.1:9/")).encode(), "application/soap+xml", 500, "never followed",
    ),
    "10,000 parts": (
        xop(envelope(), *((str(i), b"") for i in range(10_000))).body,
        AXIS2.content_type.split(";")[0] + "; boundary=B", 500, "limits.parts",
    ),
    "truncated multipart": (CXF.body[:-10], CXF.content_type, 500, "cut short"),
    "wrong content type": (ZEEP.body, "application/json", 415, "Content-Type"),
    "not SOAP": (b"<a/>", "application/soap+xml", 500, "not a SOAP"),
    "unknown action": (envelope(action="urn:none").encode(), "application/soap+xml", 500, "wsa:Action"),
    "oversized": (b"x" * 5_000_001, "application/soap+xml", 500, "limits.total_bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_fault_with_a_reason_and_a_reference(
    client: falcon.testing.TestClient, folder: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Never a stack trace, never a bare 500; the log has one line, with the same reference."""
    body, content_type, status, expected = BAD[name]
    with caplog.at_level(logging.INFO, "xds.transport"):
        result = post(client, body, content_type)
    text = reason(result)

    assert result.status_code == status
    assert expected in text
    assert "Traceback" not in result.text
    (line,) = [record.getMessage() for record in caplog.records if record.name == "xds.transport"]
    assert line.partition(" ")[0] in text
    assert f"status={status}" in line
    assert list(folder.iterdir()) == []


def test_an_unexpected_error_shows_a_reference_and_logs_no_value(
    client: falcon.testing.TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it came from is logged once; what it said is not, as it may quote the message."""
    with caplog.at_level(logging.INFO, "xds.transport"):
        result = post(client, envelope(action="urn:test:crash"))
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]

    assert result.status_code == 500
    assert "error in this node" in reason(result)
    assert "secret" not in result.text
    (error,) = errors
    assert "in handle" in error
    assert "builtins.ValueError\n" in error
    assert error.partition(" ")[0] in reason(result)


def test_one_line_is_logged_for_a_request(
    client: falcon.testing.TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Reference, endpoint, action if it is a known one, status, milliseconds, bytes."""
    with caplog.at_level(logging.INFO, "xds.transport"):
        post(client, ZEEP.body)
        post(client, CXF.body, CXF.content_type)
        post(client, envelope(action="urn:x:13116900216"))
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]

    assert len(lines) == 3
    assert all(" endpoint=test action=urn:test:echo status=200 ms=" in line for line in lines[:2])
    assert lines[0].endswith(f" in={len(ZEEP.body)}")
    assert "action" not in lines[2]
    assert "13116900216" not in "".join(lines)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_405_with_a_sentence(client: falcon.testing.TestClient, method: str) -> None:
    """In plain text."""
    result = client.simulate_request(method, "/soap")

    assert result.status_code == 405
    assert "POST" in result.headers["allow"]
    assert result.headers["content-type"].startswith("text/plain")


def test_errors_of_the_framework_are_one_line_of_text(client: falcon.testing.TestClient) -> None:
    """No JSON, no page."""
    result = client.simulate_get("/nothing")

    assert (result.status_code, result.text) == (404, "404 Not Found.\n")


@pytest.mark.parametrize("query", ["wsdl", "WSDL"])
def test_the_wsdl_has_the_address_it_was_asked_at(client: falcon.testing.TestClient, query: str) -> None:
    """Every address, for both versions."""
    result = client.simulate_get(
        "/soap", query_string=query, headers={"Host": "node.example:8443"}, protocol="https"
    )
    root = xml.parse(result.content)

    locations = [element.get("location") for element in root.iter() if str(element.tag).endswith("}address")]
    assert locations == ["https://node.example:8443/soap"] * 2


@pytest.mark.parametrize("host", ['x"><evil/>', "a b", "a/b", "user@host", "x\x00"])
def test_a_strange_host_gets_no_wsdl(client: falcon.testing.TestClient, host: str) -> None:
    """It would become an address that clients call."""
    assert client.simulate_get("/soap", query_string="wsdl", headers={"Host": host}).status_code == 400


def test_schemas_are_served_by_name_only(client: falcon.testing.TestClient) -> None:
    """What is in the folder, no path out of it."""
    assert client.simulate_get("/schema/a.xsd").text == "<schema/>"
    for path in (
        "/schema/b.xsd",
        "/schema/../secret.xsd",
        "/schema/%2e%2e%2fsecret.xsd",
        "/schema/..%2fsecret.xsd",
    ):
        result = client.simulate_get(path)
        assert (result.status_code, "secret" in result.text) == (404, False)


def test_a_fault_in_the_body_names_the_message_it_answers(client: falcon.testing.TestClient) -> None:
    """Also when the work itself is refused."""
    root = xml.parse(post(client, envelope(action="urn:none")).content)

    assert root.findtext(f".//{{{WSA}}}RelatesTo") == ZEEP.message_id
    assert root.findtext(f".//{{{WSA}}}ProblemAction/{{{WSA}}}Action") == "urn:none"


def test_a_refused_message_is_not_kept(client: falcon.testing.TestClient) -> None:
    """A fault leaves nothing in a circle, which would keep the message until the collector comes by."""

    def kept() -> dict[int, Message | Fault]:
        return {id(each): each for each in gc.get_objects() if isinstance(each, Message | Fault)}

    wrong = envelope(action="urn:test:nobody-has-this")
    post(client, wrong)
    gc.collect()
    gc.disable()
    try:
        before = kept()  # by a thread of an earlier test, for instance
        for _ in range(5):
            assert "reference" in post(client, wrong).text
        left = kept()
    finally:
        gc.enable()
    assert left.keys() <= before.keys()
