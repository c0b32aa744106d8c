"""What an integrator finds in the folder of `xds serve --capture`: every exchange, and no ticket."""

from __future__ import annotations

import errno
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import falcon
import pytest
from falcon import testing

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, Request, send
from tests.nodes import Node
from xds.config import check_to_serve, load
from xds.demo.tickets import TicketService
from xds.errors import SettingsError
from xds.security.denials import WSSE
from xds.transport import redact
from xds.transport.capture import Capture


class Captured:
    """A node that wants tickets and keeps what it is told."""

    def __init__(self, node: Node, service: TicketService, folder: Path) -> None:
        self.node = node
        self.service = service
        self.folder = folder
        self._seen: set[Path] = set()

    def header(self) -> str:
        """A ticket that opens the node."""
        ticket = self.service.saml("personnel", patient=m.PATIENT)
        return f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{ticket}</w:Security>'

    def new(self, pairs: int = 1) -> list[Path]:
        """The files since the last call, in order; the answer's is written after it was sent."""
        for _ in range(200):
            found = sorted(set(self.folder.glob("*.http")) - self._seen)
            if len(found) >= 2 * pairs:
                break
            time.sleep(0.02)
        assert len(found) == 2 * pairs, found
        self._seen |= set(found)
        assert [each.name.split("-", 2)[2] for each in found] == ["1-request.http", "2-answer.http"] * pairs
        return found


@pytest.fixture(scope="module")
def captured(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """A node with all that it needs."""
    folder = tmp_path_factory.mktemp("captured")
    service = TicketService(tmp_path_factory.mktemp("tickets"))
    node = new_node(access__ticket="required", trust=service.trust, node__capture=folder / "kept")
    return Captured(node, service, folder / "kept")


def secrets(ticket: str) -> list[str]:
    """What of a ticket nobody may find: its id, its signature, and who it is about."""
    found = re.findall(r'ID="([^"]+)"|SignatureValue>([^<]+)<|NameID[^>]*>([^<]+)<', ticket)
    assert len(found) >= 3
    return ["".join(each).strip() for each in found]


def test_a_submission_its_query_and_its_document_are_kept_without_the_ticket(captured: Captured) -> None:
    """MTOM up and down: the pairs are what the validator judges, and the document is in them whole."""
    document, header = m.Document(), captured.header()
    provided = send(captured.node, m.mtom([document], header=header))
    assert provided.outcome == SUCCESS
    sent = captured.new()
    found = send(
        captured.node, m.plain(m.get_documents(document.unique_id), "ITI-18", header=captured.header())
    )
    assert found.outcome == SUCCESS
    asked = captured.new()
    fetched = send(captured.node, m.mtom_retrieve(document.unique_id, header=captured.header()))
    assert fetched.outcome == SUCCESS
    got = captured.new()
    assert document.content in sent[0].read_bytes()
    assert document.content in got[1].read_bytes()
    assert asked[0].read_bytes().startswith(b"POST /xds/registry HTTP/1.1\r\n")
    assert asked[1].read_bytes().startswith(b"HTTP/1.1 200 OK\r\n")
    assert found.body in asked[1].read_bytes()
    for path in (*sent, *asked, *got):
        for secret in secrets(header):
            assert secret.encode() not in path.read_bytes(), path
        assert path.stat().st_mode & 0o077 == 0
    judged = captured.node.command(
        "validate", "--json", "--patients", "open", *map(str, (*sent, *asked, *got))
    )
    assert [(each["kind"], each["valid"], each["findings"]) for each in json.loads(judged.stdout)] == [
        ("soap", True, [])
    ] * 6, judged.stdout + judged.stderr
    assert captured.folder.stat().st_mode & 0o077 == 0


def test_what_is_refused_is_kept_too(captured: Captured) -> None:
    """A fault, an address that is not there, and a request over FHIR whose token is bad."""
    assert send(captured.node, m.plain(m.find_documents(), "ITI-18")).status == 500
    assert b"Fault" in captured.new()[1].read_bytes()
    assert send(captured.node, Request("/nowhere", "text/plain", b"hello")).status == 404
    assert captured.new()[1].read_bytes().startswith(b"HTTP/1.1 404 Not Found\r\n")
    token = captured.service.token()
    headers = (("Authorization", f"DPoP {token}"), ("DPoP", token))
    request = Request(f"/fhir/DocumentReference?access_token={token}", None, b"", headers, "GET")
    assert send(captured.node, request).status == 401
    asked, answered = captured.new()
    assert b"Authorization: [ticket taken out]\r\n" in asked.read_bytes()
    assert b"eyJ" not in asked.read_bytes()
    assert b"www-authenticate" in answered.read_bytes().lower()
    judged = captured.node.command("validate", "--json", str(asked), str(answered))
    assert [each["kind"] for each in json.loads(judged.stdout)] == ["http", "fhir"]
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("codec", ["utf-16", "utf-8"])
def test_what_may_hide_a_ticket_is_not_kept(captured: Captured, codec: str) -> None:
    """In UTF-16 it is let in as it is in UTF-8, and only the latter is kept."""
    request = m.plain(m.find_documents(), "ITI-18", header=captured.header())
    text = bytes(request.body).decode()
    sent = re.sub(r"^<\?xml[^>]*>", "", text).encode(codec)
    assert send(
        captured.node, Request(request.path, request.content_type.replace("utf-8", codec), sent)
    ).outcome
    kept = captured.new()[0].read_bytes()
    assert (b"[not kept" in kept) == (codec == "utf-16")
    assert (b"AdhocQueryRequest" in kept) == (codec == "utf-8")


def test_what_is_no_transaction_is_left_out(captured: Captured) -> None:
    """Health and figures are asked every few seconds, and the validator's page promises to keep nothing."""
    for path in ("/health/live", "/health/ready", "/metrics", "/tools/validate"):
        assert send(captured.node, Request(path, None, b"", method="GET")).status == 200
    send(captured.node, Request("/nowhere", "text/plain", b""))
    assert b"/nowhere" in captured.new()[0].read_bytes()


def test_no_node_keeps_messages_but_in_a_test_environment(tmp_path: Path) -> None:
    """Health records would lie in a folder."""
    environment = {"XDS_NODE__CAPTURE": str(tmp_path), "XDS_NODE__REPOSITORY_UNIQUE_ID": m.REPOSITORY_ID}
    with pytest.raises(SettingsError, match=r"node\.capture"):
        check_to_serve(load(None, environment))


def test_the_command_line_says_it_as_the_setting_does(captured: Captured) -> None:
    """`--capture` is checked like everything else before the node starts."""
    refused = captured.node.command("serve", "--capture", "\x07")
    assert refused.returncode == 1
    assert "XDS_NODE__CAPTURE" in refused.stderr


def test_what_cannot_be_written_fails_no_request(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """The folder became a file: requests are answered, and the log says what is missing."""
    node = new_node(node__capture=tmp_path / "kept")
    (tmp_path / "kept").rmdir()
    (tmp_path / "kept").touch()
    assert send(node, m.plain(m.find_documents(), "ITI-18")).outcome == SUCCESS
    assert "capture failed: " in node.log.read_text()


def test_what_is_half_written_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while the redacted copy is made: no request fails, and no piece stays."""

    def full(_: object) -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(redact, "pieces", full)
    app = falcon.App(middleware=[Capture(tmp_path)])
    assert testing.TestClient(app).simulate_get("/nowhere").status_code == 404
    assert list(tmp_path.iterdir()) == []


def test_a_forgotten_node_does_not_fill_the_disk(tmp_path: Path) -> None:
    """After so many bytes nothing more is kept."""

    class Echo:
        def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.data = req.stream.read(10_000)

    app = falcon.App(middleware=[Capture(tmp_path / "kept", most=500)])
    app.add_route("/echo", Echo())
    client = testing.TestClient(app)
    for _ in range(5):
        assert client.simulate_post("/echo", body=b"x" * 400).content == b"x" * 400
    assert len(list((tmp_path / "kept").iterdir())) == 2
