"""Fetching keys goes where the trust file says and nowhere else, and always comes to an end."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.security.addresses import serving, unused_url
from tests.security.authorities import DAY, certificate, ec_key, pem, private_pem
from xds.security import fetch as module
from xds.security.fetch import MOST_BYTES, check_url, fetch


def test_what_the_address_answers_is_fetched() -> None:
    """With its query, and up to the last byte that is allowed."""
    with serving(b"x" * MOST_BYTES) as address:
        assert fetch(address.url + "?a=b") == b"x" * MOST_BYTES
        assert address.asked == ["/keys?a=b"]


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who can set a variable of some shell decides where keys come from."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, unused_url())
    with serving(b"keys") as address:
        assert fetch(address.url) == b"keys"


def _drip_headers(out: Any) -> None:
    out.write(b"HTTP/1.1 200 OK\r\n")
    _drip(out)


def _drip_body(out: Any) -> None:
    out.write(b"HTTP/1.0 200 OK\r\n\r\n")
    _drip(out)


def _drip(out: Any) -> None:
    for _ in range(100):
        out.write(b"x")
        time.sleep(0.05)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "not found": ({"status": 404}, "answers with status 404"),
    "server error": ({"status": 500}, "answers with status 500"),
    "nothing new": ({"status": 204}, "answers with status 204"),
    "redirect": ({"status": 302, "headers": {"Location": "/elsewhere"}}, "answers with a redirect"),
    "huge": ({"answer": b"x" * (MOST_BYTES + 1)}, "answers with more than 1048576 bytes"),
    "silent": ({"delay": 5.0}, "took too long"),
    "slow headers": ({"drip": _drip_headers}, "took too long"),
    "slow body": ({"drip": _drip_body}, "took too long"),
    "broken off": (
        {"drip": lambda out: out.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nkeys")},
        "broke off",
    ),
    "no HTTP": ({"drip": lambda out: out.write(b"220 ready\r\n")}, "broke off"),
    "endless header": ({"drip": lambda out: out.write(b"HTTP/1.1 200 " + b"x" * 99999)}, "broke off"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_answer_is_an_error(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with half a sentence, and none takes longer than it may (here half a second)."""
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.5)
    how, sentence = BAD[case]
    with serving() as address:
        for name, value in how.items():
            setattr(address, name, value)
        started = time.monotonic()
        with pytest.raises(OSError, match=sentence):
            fetch(address.url)
        assert time.monotonic() - started < 5
        assert address.asked == ["/keys"]


def test_an_address_that_nobody_answers_is_an_error() -> None:
    """As is one that the name service does not know."""
    for url in (unused_url(), "https://nowhere.invalid/keys"):
        with pytest.raises(OSError, match="cannot be reached"):
            fetch(url)


def test_an_address_must_have_a_certificate_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an authority of the system, or of SSL_CERT_FILE, and for its own name; one without TLS has none."""
    with serving() as address, pytest.raises(OSError, match=r"TLS certificate|cannot be reached"):
        fetch(address.url.replace("http:", "https:"))
    key = ec_key()
    now = datetime.now(UTC)
    (tmp_path / "key.pem").write_bytes(private_pem(key))
    for names in (["127.0.0.1"], ["127.0.0.2"]):
        made = certificate(key, "here", before=now - DAY, after=now + DAY, addresses=names)
        (tmp_path / "certificate.pem").write_bytes(pem(made))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
        with serving(b"keys", context) as address:
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            with pytest.raises(OSError, match="has a TLS certificate that is not trusted"):
                fetch(address.url)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
            if names == ["127.0.0.1"]:
                assert fetch(address.url) == b"keys"
            else:
                with pytest.raises(OSError, match="has a TLS certificate that is not trusted"):
                    fetch(address.url)


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/keys",
        "https://issuer.example:8443/keys?format=jwks",
        "http://localhost:8080/keys",
        "http://127.0.0.1/keys",
        "http://[::1]:8080/keys",
    ],
)
def test_https_is_taken_and_http_to_this_machine(url: str) -> None:
    """An issuer's own name, or a demo on the same machine."""
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.json",
        "https://",
        "https://[::1",
        "https://issuer.example:99999/",
        "https://issuer.example:x/",
        "http://issuer.example/keys",
        "http://127.0.0.1.issuer.example/",
        "http://localhost.issuer.example/",
        "http://10.0.0.1/",
        "ftp://issuer.example/",
        "file:///etc/passwd",
        "https://user:secret@issuer.example/",
        "https://@issuer.example/",
        "https://issuer.example/#part",
        "https://issuer.example/a b",
        "https://issuer.example/\r\nHost: other",
        "https://ïssuer.example/",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """Both when the trust file is read and when it is fetched."""
    with pytest.raises(ValueError, match="URL"):
        check_url(url)
    with pytest.raises(OSError, match="URL"):
        fetch(url)


def test_the_address_on_this_machine_may_be_ipv6() -> None:
    """Nobody listens there, but it is tried."""
    with pytest.raises(OSError, match="cannot be reached"):
        fetch("http://[::1]:1/keys")
