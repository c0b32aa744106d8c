"""The page of a node in a test environment: what it says, and what it must not do.

tests/test_tls.py sees that a node in production has none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import falcon
import pytest
import urllib3
from falcon import testing

from tests.nodes import Node
from tests.validate.test_desk import GOOD
from xds.transport.limits import Limits
from xds.validate.desk import Settings
from xds.validate.page import ADDRESS, ValidatePage

BAD = b"<Envelope><script>alert(1)</script>"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node in a test environment."""
    made = Node(tmp_path_factory.mktemp("page"))
    made.start()
    yield made
    made.stop()


def post(node: Node, **fields: object) -> urllib3.BaseHTTPResponse:
    """The answer to the form."""
    return urllib3.request("POST", f"{node.url}/tools/validate", fields=fields)


def test_the_form_can_be_used_without_a_script_and_loads_nothing(node: Node) -> None:
    """Labels, a language, a strict policy."""
    reply = urllib3.request("GET", f"{node.url}/tools/validate")
    html = reply.data.decode()
    assert reply.status == 200
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in html
    assert 'lang="en"' in html
    for name in ("text", "file", "kind"):
        assert f'<label for="{name}">' in html
        assert f'id="{name}"' in html


def test_what_is_pasted_or_sent_is_judged_and_left_nowhere(node: Node) -> None:
    """Good and bad; escaped; neither in the log nor in a file of the node."""
    assert "What was sent: valid" in post(node, text=bytes(GOOD["ITI-18"])).data.decode()
    assert "What was sent: valid" in post(node, text="", file=("x", GOOD["ITI-41, MTOM"])).data.decode()
    reply = post(node, text=BAD)
    assert "What was sent: not valid" in reply.data.decode()
    assert "<script>" not in reply.data.decode()
    assert "Envelope" not in node.log.read_text()
    assert not any(each.is_file() for each in (node.folder / "documents" / "staging").rglob("*"))


def test_what_is_no_form_or_too_large_is_refused(node: Node) -> None:
    """400 and 413, with a line of text."""
    url = f"{node.url}/tools/validate"
    assert urllib3.request("POST", url, body=b"x", headers={"Content-Type": "text/plain"}).status == 400
    assert urllib3.request(
        "POST", url, body=b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"}
    ).status in (200, 400)
    assert post(node, text="", kind="other").status == 400
    assert post(node, text="x" * 5_000_000).status == 413
    assert not node.errors()


def client() -> testing.TestClient:
    """The page by itself."""
    app = falcon.App()
    app.add_route(ADDRESS, ValidatePage(Settings(), Limits()))
    return testing.TestClient(app)


def test_nothing_of_a_form_that_is_none_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The parser of forms would log what it did not expect."""
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with caplog.at_level(logging.DEBUG):
        assert client().simulate_post(ADDRESS, body=b"--Zkvern", headers=headers).status_code == 400
    assert caplog.records == []


def test_a_form_full_of_faults_makes_no_page_that_nobody_can_read() -> None:
    """The first are shown, and that there are more."""
    rim = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
    kind = "urn:uuid:7edca82f-054d-47f2-a32e-9b2a5b5186c1"
    empty = "".join(f'<ExtrinsicObject id="a{each}" objectType="{kind}"/>' for each in range(300))
    text = f'<RegistryObjectList xmlns="{rim}">{empty}</RegistryObjectList>'
    body, content_type = urllib3.encode_multipart_formdata({"text": text})
    html = client().simulate_post(ADDRESS, body=body, headers={"Content-Type": content_type}).text
    assert html.count("<tr class=") == 1001
    assert "Only the first 1000 findings" in html
