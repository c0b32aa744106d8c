"""The command from outside: exit status, what it says, its reports; and endpoints that speak nonsense."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from lxml import etree

from tests.nodes import Node
from tests.test_tls import Authority
from tests.waiting import eventually
from xds.cli import main
from xds.client.patients import patient_id
from xds.conformance import people, redact
from xds.conformance.cases import case as made
from xds.conformance.cases import read
from xds.conformance.report import html
from xds.conformance.results import as_json, as_junit
from xds.conformance.runner import Exchange, Outcome, Result, Runner
from xds.conformance.sending import Http, NoReply, Raw, Request
from xds.conformance.target import Target, Tickets
from xds.demo.tickets import TicketService

ROOT = Path(__file__).parents[2]


def test_all_passed_is_0_and_the_reports_say_the_same(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """HTML, JUnit and JSON have every case."""
    files = {kind: tmp_path / f"report.{kind}" for kind in ("html", "junit", "json")}
    options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    chosen = ["--profile", "ihe-repository", "--home", "2.999.1"]
    assert main(["conformance", "--target", node.url, *chosen, *options]) == 0
    told = capsys.readouterr()
    assert re.search(r"^28 passed, 0 failed, 0 skipped$", told.out, re.M)
    # No progress, where there is no terminal.
    assert re.findall(r"nothing is at .*/xca/(\w+)", told.err) == ["initiating", "responding"]
    assert len(told.err.splitlines()) == 2
    found = json.loads(files["json"].read_text())
    assert found["numbers"] == {"passed": 28, "failed": 0, "skipped": 0}
    junit = etree.fromstring(files["junit"].read_bytes())
    assert (junit[0].get("tests"), junit[0].get("failures"), len(junit[0])) == ("28", "0", 28)
    assert _cases(files["html"].read_text()) == {each["id"]: "passed" for each in found["results"]}


def test_the_node_of_the_readme_passes_every_case_that_concerns_it(
    new_node: Callable[..., Node], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tickets and without a community of its own: what it has is checked, the gateways are skipped."""
    service = TicketService(tmp_path)
    node = new_node(access__ticket="required", patients__source="national", trust=service.trust)
    files = ["--json", str(tmp_path / "report.json")]
    assert main(["conformance", "--target", node.url, "--keys", str(tmp_path), *files]) == 0
    assert capsys.readouterr().err.count("nothing is at ") == 2
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["numbers"]["failed"] == 0
    assert found["numbers"]["passed"] > 150
    skipped = {each["reason"] for each in found["results"] if each["outcome"] == "skipped"}
    assert any("no address of initiating" in each for each in skipped)


def test_some_failed_is_1(node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A case of one's own that the node does not pass is told with its reason, everywhere."""
    (tmp_path / "own.toml").write_text(
        '[[case]]\nid = "own"\ntitle = "<b>Own</b>"\nwhy = "w"\nsection = "s"\nactor = "Document Registry"\n'
        'profiles = ["ihe-registry"]\n[[case.step]]\nsend = "ITI-18"\nexpect = { status = "Failure" }\n'
    )
    report, junit = tmp_path / "report.html", tmp_path / "junit.xml"
    arguments = ["--cases", str(tmp_path), "--case", "own", "--html", str(report), "--junit", str(junit)]
    assert main(["conformance", "--registry", node.registry, *arguments]) == 1
    reason = "step 1 (ITI-18): status: wanted Failure, got Success"
    assert reason in capsys.readouterr().out
    assert reason in report.read_text()
    assert "<b>Own" not in report.read_text()
    assert reason in etree.fromstring(junit.read_bytes()).find(".//failure").get("message")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--target", "http://127.0.0.1:9", "--case", "nonsense"], "no case fits"),
        ([], "say what is to be checked"),
        (["--target", "http://127.0.0.1:9", "--case", "query-*", "--case", "qery-*"], "no case fits --case"),
        (["--target", "http://127.0.0.1:9", "--profile", "soap", "--profile", "mdh"], "no profile mdh"),
        (["--target", "ftp://example.test"], "an address is written"),
        (["--registry", "http://127.0.0.1:9", "--profile", "mhd"], "no case could be run"),
        (["--target", "http://127.0.0.1:9", "--patient", "12345678901"], "control digits"),
    ],
)
def test_wrong_use_is_2(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence says what is wrong."""
    assert main(["conformance", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_list_has_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    """With its profiles and its title; nothing is sent."""
    assert main(["conformance", "--list"]) == 0
    out = capsys.readouterr().out
    for each in read():
        assert re.search(rf"^{re.escape(each.id)} ", out, re.M), each.id
    assert f"\n{len(read())} cases: " in out


def test_no_ticket_is_in_a_report(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """Whoever has a report can do nothing with it: neither assertions nor tokens nor proofs are there."""
    trust = TicketService(tmp_path).trust
    node = new_node(access__ticket="required", trust=trust, patients__source="national")
    report = tmp_path / "report.html"
    arguments = [
        "--keys",
        str(tmp_path),
        "--case",
        "xua-ticket",
        "--case",
        "token-good",
        "--case",
        "xua-altered",
    ]
    assert main(["conformance", "--target", node.url, *arguments, "--html", str(report)]) == 0
    text = report.read_text()
    assert "ticket taken out" in text
    assert "Authorization: [taken out]" in text
    for secret in ("SignatureValue", "eyJ", "Assertion ", "DPoP ey"):
        assert secret not in text


def test_a_report_shows_what_came_and_runs_none_of_it() -> None:
    """Markup of an endpoint is text, what is no text is readable, and the file asks nobody for anything."""
    evil = b"<script>alert(1)</script></pre>\x00\xff\x1b[2J"
    step = {"send": "ITI-18", "expect": {"status": "Success"}}
    one = made(
        {"id": 'a"b', "title": "<i>t</i>", "why": "&w", "section": "s", "actor": "Document Registry",
         "profiles": ["soap"], "step": [step]}
    )  # fmt: skip
    exchange = Exchange(
        "ITI-18",
        Request("POST", "http://u:p@h/<x>", {"Authorization": "Bearer abc"}, b"sent"),
        Raw(200, {"x-evil": "<b>"}, evil),
        ("status: <u>",),
    )
    text = html([Result(one, Outcome.FAILED, "<u>", (exchange,), 0.1)], {"Target": "<t>"})
    for markup in ("<script>alert", "<i>t", "<u>", "<b>", "<t>", "<x>", "u:p@", "Bearer abc", "\x1b", "\x00"):
        assert markup not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r'(src|href)="', text)
    assert _cases(text) == {'a"b': "failed"}


def _cases(text: str) -> dict[str, str]:
    """The cases of a report and their states, by a parser; every element that was opened is closed."""
    found: dict[str, str] = {}
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            if given.get("class") == "case":
                found[given["id"] or ""] = given["data-state"] or ""
            if tag not in ("meta", "input"):
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Reader().feed(text)
    assert opened == []
    return found


# ---- endpoints that do not speak

RUBBISH = {
    "nothing and hangs up": (b"", "broken off"),
    "no HTTP": (b"hello there\r\n\r\n", "no HTTP"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", "there is no XML in it"),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<s:Env", "In the middle of the answer"),
    "no XML": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "there is no XML in it"),
    "a web page": (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "got 302"),
    "bad compression": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", "In the middle"),
    "a multipart without parts": (
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related\r\nContent-Length: 5\r\n\r\nhello",
        "no boundary"),
}  # fmt: skip


@pytest.fixture
def endpoint() -> Iterator[Callable[[bytes, float], str]]:
    """Something that listens and says the same to everybody, after some seconds; its address."""
    listening: list[socket.socket] = []

    def start(says: bytes, seconds: float = 0) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        data = b""
                        while b"\r\n\r\n" not in data:
                            data += connection.recv(65536)
                        head, _, body = data.partition(b"\r\n\r\n")
                        length = re.search(rb"(?i)content-length: (\d+)", head)
                        left = int(length[1]) - len(body) if length else 0
                        while left > 0:
                            left -= len(connection.recv(65536))
                        time.sleep(seconds)
                        connection.sendall(says)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for each in listening:
        each.close()


@pytest.mark.parametrize("what", RUBBISH)
def test_rubbish_fails_the_case_with_a_sentence(
    what: str, endpoint: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever comes, the case has failed, and why is said."""
    says, told = RUBBISH[what]
    assert main(["conformance", "--registry", endpoint(says), "--case", "query-no-hits"]) == 1
    out = capsys.readouterr().out
    assert told in out
    assert "1 failed" in out


def test_an_endpoint_that_does_not_answer_in_time_fails_the_case(
    endpoint: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not waited for."""
    arguments = ["--registry", endpoint(b"", 3), "--case", "query-no-hits", "--seconds", "0.5"]
    assert main(["conformance", *arguments]) == 1
    assert "no answer within 0.5 s" in capsys.readouterr().out


def test_who_is_too_slow_again_and_again_is_not_waited_for(
    endpoint: Callable[..., str], tmp_path: Path
) -> None:
    """Five cases have failed, the others of that address are skipped; another address is asked."""
    report = tmp_path / "report.json"
    arguments = ["--registry", endpoint(b"", 60), "--repository", endpoint(b"hello"), "--seconds", "0.2"]
    arguments += ["--profile", "ihe-registry", "--profile", "ihe-repository", "--json", str(report)]
    assert main(["conformance", *arguments]) == 1
    found = json.loads(report.read_text())["results"]
    slow = [each for each in found if "no answer within" in each["reason"]]
    left = [each for each in found if "too slow 5 times in a row" in each["reason"]]
    assert {each["outcome"] for each in slow} == {"failed"}
    assert {each["outcome"] for each in left} == {"skipped"}
    assert len(slow) <= 5 < len(left)
    assert sum("no HTTP" in each["reason"] for each in found) > 5


def test_a_run_that_is_broken_off_writes_its_reports(endpoint: Callable[..., str], tmp_path: Path) -> None:
    """Ctrl-C: what was found is there, the other cases are skipped."""
    report = tmp_path / "report.json"
    arguments = ["--registry", endpoint(b"", 60), "--profile", "ihe-registry", "--json", str(report)]
    with subprocess.Popen(
        ["env", "--default-signal", sys.executable, "-m", "xds.cli", "conformance", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        # It has begun when it asks; Python has its handler long before.
        assert eventually(lambda: bool(psutil.Process(running.pid).net_connections()))
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"Traceback" not in err
    found = json.loads(report.read_text())
    assert found["numbers"]["passed"] == 0
    assert {each["reason"] for each in found["results"]} >= {"broken off before it"}
    assert b"broken off before it" in out


def test_a_client_certificate_is_for_the_target_alone(tmp_path: Path) -> None:
    """An answer may lead anywhere, and a certificate says who asks."""
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("localhost", ExtendedKeyUsageOID.SERVER_AUTH)
    shown: list[object] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_OPTIONAL
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as secure:
                    shown.append(secure.getpeercert())
                    secure.recv(65536)
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        serving = threading.Thread(target=serve)
        serving.start()
        own, own_key = authority.issue("tester", ExtendedKeyUsageOID.CLIENT_AUTH)
        http = Http(ca=authority.file, certificate=own, key=own_key)
        url = f"https://localhost:{listener.getsockname()[1]}/"
        for anonymous in (False, True):
            assert http.send(Request("GET", url, anonymous=anonymous)).body == b"ok"
        serving.join()
    assert [bool(each) for each in shown] == [True, False]


TRICKLES = {
    "a head": b"HTTP/1.1 200 OK\r\nX: ",
    "more to come": b"HTTP/1.1 100 Continue\r\n\r\n",
    "the size of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a head of gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\3",
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n",
}


@pytest.mark.parametrize("what", TRICKLES)
def test_who_answers_without_end_is_left(what: str) -> None:
    """Letter by letter, none of them late: the exchange has its time, and the next one is not disturbed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(TRICKLES[what])
                while True:
                    connection.sendall(TRICKLES[what] if what == "more to come" else b"0")
                    time.sleep(0.1)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        http = Http(seconds=2)
        request = Request("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        threading.Thread(target=trickle, daemon=True).start()
        begun = time.monotonic()
        with pytest.raises(NoReply, match="within 2 s"):
            http.send(request)
        assert time.monotonic() - begun < 60  # and not for as long as it trickles
        threading.Thread(target=answer, daemon=True).start()
        assert http.send(request).body == b"ok"


TRAPS = {
    "JSON without bottom": (b"[" * 100_000, {"json": {"a": "b"}}),
    "issues that are none": (
        b'{"resourceType": "OperationOutcome", "issue": [{"severity": {}, "code": 1}]}', {"issues": ["x"]}),
    "half a character": (b'{"a": "\\ud800"}', {"json": {"a": "b"}}),
    "base64 with other letters": (
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'><s:Body>"
        "<R xmlns='urn:ihe:iti:xds-b:2007'><DocumentResponse><Document>æ</Document></DocumentResponse></R>"
        "</s:Body></s:Envelope>".encode(),
        {"retrieved": {"a": "b"}}),
    "parts without number": (b"\r\n--b" * 100_000, {"action": True}),
}  # fmt: skip


@pytest.mark.parametrize("what", TRAPS)
def test_an_answer_that_is_a_trap_fails_the_case(
    what: str, endpoint: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a sentence, and all reports are written."""
    body, expect = TRAPS[what]
    says = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (
        b"multipart/related; boundary=b" if what.startswith("parts") else b"text/plain", len(body)
    )  # fmt: skip
    wanted = json.dumps(expect).replace(":", " =")
    (tmp_path / "own.toml").write_text(
        '[[case]]\nid = "own"\ntitle = "t"\nwhy = "w"\nsection = "s"\nactor = "any SOAP endpoint"\n'
        f'profiles = ["soap"]\n[[case.step]]\nsend = "http"\nexpect = {wanted}\n'
    )
    files = [text for kind in ("html", "junit", "json") for text in (f"--{kind}", str(tmp_path / kind))]
    arguments = ["--fhir", endpoint(says + body), "--cases", str(tmp_path), "--case", "own", *files]
    assert main(["conformance", *arguments]) == 1
    assert "1 failed" in capsys.readouterr().out
    etree.fromstring((tmp_path / "junit").read_bytes())
    assert json.loads((tmp_path / "json").read_text())["numbers"]["failed"] == 1


def test_a_place_may_be_relative() -> None:
    """`DocumentReference/1` is below the address of the server, as `/DocumentReference/1` is."""
    asked: list[str] = []

    class Noted:
        def send(self, request: Request) -> Raw:
            asked.append(request.url)
            return Raw(200, {}, b"{}")

    for path in ("DocumentReference/1", "/DocumentReference/1", "?a=b", "", "https://other.test/x"):
        step = {"send": "http", "path": path, "expect": {"http": 200}}
        one = made({"id": "a", "title": "t", "why": "w", "section": "s", "actor": "Document Responder",
                    "profiles": ["mhd"], "step": [step]})  # fmt: skip
        Runner(Noted(), Target({"fhir": "http://e.test/fhir"})).one(one)
    assert asked == [
        "http://e.test/fhir/DocumentReference/1",
        "http://e.test/fhir/DocumentReference/1",
        "http://e.test/fhir?a=b",
        "http://e.test/fhir",
        "https://other.test/x",
    ]


def test_a_ticket_that_an_endpoint_quotes_is_taken_out(tmp_path: Path) -> None:
    """As text, escaped, in UTF-16, in a header field and in what is said about a failure."""
    value = "4fQmQ2l1Zc8m0x7Tn5rUe1Yk"
    ticket = tmp_path / "ticket.xml"
    ticket.write_text(f"<s:Assertion xmlns:s='urn:x'><Value>{value}+{value}==</Value></s:Assertion>")
    token = tmp_path / "token"
    token.write_text("opaque-token-1")
    tickets = Tickets(ticket=ticket, token=token)
    text = ticket.read_text()
    for quoted in (text.encode(), escape(text).encode(), text.encode("utf-16"), json.dumps(text).encode()):
        assert value not in redact.text(quoted, tickets.secrets).replace("·", "")
    assert "opaque" not in redact.headers({"X-Token": "opaque-token-1"}, tickets.secrets)

    class Quoting:
        def send(self, request: Request) -> Raw:
            return Raw(401, {"www-authenticate": f'Bearer error="{request.headers["Authorization"]}"'}, b"")

    step = {"send": "http", "path": "/", "expect": {"headers": {"WWW-Authenticate": "^DPoP"}}}
    one = made({"id": "a", "title": "t", "why": "w", "section": "s", "actor": "Document Responder",
                "profiles": ["mhd"], "step": [step]})  # fmt: skip
    target = Target({"fhir": "http://e.test/fhir"}, tickets, patients=["1^^^&2.999&ISO"])
    result = Runner(Quoting(), target).one(one)
    assert "wanted ^DPoP" in result.reason
    assert "opaque" not in result.reason


ELSEWHERE = {
    "https://other.test/fhir/Binary/1": False,
    "http://e.test.other.test/fhir/Binary/1": False,
    "http://e.test@other.test/fhir/Binary/1": False,
    "http://other.test\\@e.test/fhir/Binary/1": False,
    "http://e.test:8080/fhir/Binary/1": False,
    "https://e.test/fhir/Binary/1": False,
    "http://[e.test/fhir/Binary/1": False,
    "http://e.test/fhir/Binary/1": True,
    "http://E.test:80/elsewhere": True,
    "Binary/1": True,
}


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("kind", ["token", "keys"])
def test_a_token_goes_to_no_other_host(url: str, kind: str, tmp_path: Path) -> None:
    """Wherever attachment.url leads: another origin gets neither token nor patient, and that is said."""
    asked: list[Request] = []

    class Luring:
        def send(self, request: Request) -> Raw:
            asked.append(request)
            return Raw(200, {}, json.dumps({"url": url}).encode())

    (tmp_path / "token").write_text("opaque-token-1")
    tickets = Tickets(token=tmp_path / "token") if kind == "token" else Tickets(keys=tmp_path)
    steps = [
        {"send": "http", "path": "/", "expect": {"http": 200}, "bind": {"url": "json:url"}},
        {"send": "http", "path": "{url}", "expect": {"http": 404}},
    ]
    one = made({"id": "a", "title": "t", "why": "w", "section": "s", "actor": "Document Responder",
                "profiles": ["mhd"], "step": steps})  # fmt: skip
    target = Target(
        {"fhir": "http://e.test/fhir"}, tickets, patients=["13116900216^^^&2.16.578.1.12.4.1.4.1&ISO"]
    )
    result = Runner(Luring(), target).one(one)
    assert "Authorization" in asked[0].headers
    given = {"Authorization", "DPoP", "nhn-patient-nin"} & set(asked[1].headers)
    assert bool(given) is ELSEWHERE[url]
    assert (
        "no ticket was sent: the address is of another host" in " ".join(result.exchanges[1].failures)
    ) is not bool(given)


def test_an_address_that_an_endpoint_gives_is_shown_without_its_tokens(tmp_path: Path) -> None:
    """Neither ours, quoted, nor one of its own, nor what is left of a token where a sentence breaks off."""
    own, opaque = "eyJhbGciOiJFUzI1NiJ9.Zkvern0123456789.Zkvernknurr", "Zkvern0" * 60
    (tmp_path / "token").write_text(opaque)
    tickets = Tickets(token=tmp_path / "token")

    class Quoting:
        def send(self, request: Request) -> Raw:
            headers = {"location": f"/login?next=%2Fa%3Ft%3D{own}", "x-a": f"a {opaque}", "x-b": f"b {own}"}
            return Raw(200, headers, json.dumps({"url": f"http://u:p@e.test/{opaque}/{own}"}).encode())

    steps = [
        {"send": "http", "path": "/", "expect": {"http": 200}, "bind": {"url": "json:url"}},
        {
            "send": "http",
            "path": "{url}",
            "expect": {"headers": {"Location": "^x", "X-A": "^x", "X-B": "^x"}},
        },
    ]
    one = made({"id": "a", "title": "t", "why": "w", "section": "s", "actor": "Document Responder",
                "profiles": ["mhd"], "step": steps})  # fmt: skip
    target = Target({"fhir": "http://e.test/fhir"}, tickets, patients=["1^^^&2.999&ISO"])
    found = [Runner(Quoting(), target).one(one)]
    assert len(found[0].exchanges[1].failures) == 3
    for text in (html(found, {}, tickets.secrets), as_json(found, {}, tickets.secrets), as_junit(found)):
        assert "Zkvern" not in text
        assert "e.test" in text or "GET http" in text


def test_a_report_is_written_in_time_whatever_came() -> None:
    """What looks like tokens without being any is not looked behind again and again."""
    begun = time.thread_time()
    redact.text(b"eyJ-" * 40_000)
    redact.headers({"x": "eyJ-" * 16_000})
    assert time.thread_time() - begun < 1


def test_nobody_there_fails_the_case(capsys: pytest.CaptureFixture[str]) -> None:
    """An address at which nobody listens."""
    assert main(["conformance", "--registry", "http://127.0.0.1:9", "--case", "query-no-hits"]) == 1
    assert "Nobody can be reached there" in capsys.readouterr().out


# ---- people, and the package


def test_patients_are_synthetic_and_new() -> None:
    """Numbers that nobody has, each another; under another authority random ids."""
    import random

    chance = random.Random(1)
    numbers = {people.new_number(chance) for _ in range(300)}
    assert len(numbers) > 290
    for each in numbers:
        assert 81 <= int(each[2:4]) <= 92
        assert patient_id(each) == f"{each}^^^&2.16.578.1.12.4.1.4.1&ISO"
    assert re.fullmatch(r"T[0-9a-f]{16}\^\^\^&2\.999&ISO", people.new_patient(chance, "2.999"))


def test_other_patients_are_used_and_announced(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """With an authority of one's own, and a registry that goes by the feed."""
    node = new_node(patients__source="feed", patients__authorities="2.999.7")
    arguments = [
        "--patient-authority",
        "2.999.7",
        "--feed",
        "--case",
        "registry-register",
        "--case",
        "life-cycle-RPLC",
    ]
    assert main(["conformance", "--target", node.url, *arguments]) == 0
    assert main(["conformance", "--target", node.url, *arguments[:2], "--case", "registry-register"]) == 1


def test_the_cases_are_in_the_package() -> None:
    """An installed `xds` has them: setup.cfg names the files."""
    setup = (ROOT / "setup.cfg").read_text()
    assert "conformance/cases/*.toml" in setup
