"""Settings: file and environment, every error at once, and what a node refuses to start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from xds.config import SETTINGS, Authorities, check_to_serve, load
from xds.demo.tickets import TicketService
from xds.errors import SettingsError

GOOD = {
    "XDS_ENVIRONMENT": "test",
    "XDS_ACCESS__TICKET": "none",
    "XDS_NODE__REPOSITORY_UNIQUE_ID": "urn:oid:1.2.3",
}


def test_without_anything_the_defaults_hold() -> None:
    """Production, tickets required, this machine only."""
    settings = load(None, {})
    assert settings["environment"] == "production"
    assert settings["access.ticket"] == "required"
    assert settings["node.listen"] == ("127.0.0.1", 8080)
    assert settings.limits.document_bytes == 100_000_000


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Both spell the same keys."""
    file = tmp_path / "xds.toml"
    file.write_text(
        'environment = "test"\n[node]\nworkers = 2\nlisten = "0.0.0.0:9000"\n[limits]\nparts = 7\n'
    )
    settings = load(file, {"XDS_NODE__WORKERS": "3"})
    assert settings["environment"] == "test"
    assert settings["node.workers"] == 3
    assert settings["node.listen"] == ("0.0.0.0", 9000)
    assert settings.limits.parts == 7


def test_an_oid_may_have_its_prefix() -> None:
    """It is kept without."""
    assert load(None, GOOD)["node.repository_unique_id"] == "1.2.3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.2:1", ("127.0.0.2", 1)),
        ("[::]:65535", ("::", 65535)),
        ("[::1]:8080", ("::1", 8080)),
    ],
)
def test_a_node_listens_on_an_ip_address(text: str, expected: tuple[str, int]) -> None:
    """IPv4 or IPv6, the latter in brackets as in a URL (RFC 3986, 3.2.2)."""
    assert load(None, {"XDS_NODE__LISTEN": text})["node.listen"] == expected


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "localhost:8080", "127.0.0.1:0", "127.0.0.1:65536", "1.2.3:80", "[::1%lo]:80"]
)
def test_nothing_else_is_listened_on(text: str) -> None:
    """Names are not looked up, and a port is a number from 1 to 65535."""
    with pytest.raises(SettingsError, match=r"XDS_NODE__LISTEN (is not host:port|names no IP address)"):
        load(None, {"XDS_NODE__LISTEN": text})


@pytest.mark.parametrize("value", ["true", "2.5", "nan", "inf", "[1]", '"two"'])
def test_a_number_is_a_whole_number(tmp_path: Path, value: str) -> None:
    """Of TOML's types an integer, or the text of one; nothing is rounded."""
    file = tmp_path / "xds.toml"
    file.write_text(f"[node]\nworkers = {value}\n")
    with pytest.raises(SettingsError, match=r"node\.workers is not a whole number"):
        load(file, {})


def test_every_error_is_reported_at_once(tmp_path: Path) -> None:
    """By the name under which the value was given."""
    file = tmp_path / "xds.toml"
    file.write_text('[node]\nlisten = "nowhere"\nwokers = 2\n[store]\ndocuments = "ftp://bucket"\n')
    with pytest.raises(SettingsError) as caught:
        load(
            file,
            {"XDS_NODE__WORKERS": "many", "XDS_NODE__HOME_COMMUNITY_ID": "Norway", "XDS_NODE__WORKRES": "1"},
        )
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].split(" ")[0] for line in lines] == [
        "node.wokers",
        "XDS_NODE__WORKRES",
        "node.listen",
        "XDS_NODE__WORKERS",
        "XDS_NODE__HOME_COMMUNITY_ID",
        "store.documents",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("STORE__DATABASE", "sqlite:////tmp/a?mode=ro"), ("STORE__DOCUMENTS", "file:///tmp/a?b")],
)
def test_a_question_mark_in_a_url_is_refused(key: str, value: str) -> None:
    """What follows it would be read as parameters and not as a path."""
    with pytest.raises(SettingsError, match=rf"XDS_{key} holds a `\?`"):
        load(None, {f"XDS_{key}": value})


def test_the_url_of_a_server_may_have_parameters() -> None:
    """They say e.g. how the server proves who it is (libpq's sslmode)."""
    url = "postgresql+psycopg://xds@db.example.org/xds?sslmode=verify-full"
    assert load(None, {"XDS_STORE__DATABASE": url})["store.database"] == url


@pytest.mark.parametrize("text", ["not toml", None])
def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path, text: str | None) -> None:
    """Missing, or not TOML."""
    file = tmp_path / "xds.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match="settings file"):
        load(file, {})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"XDS_ACCESS__TICKET": "required"}, "access.ticket = required needs a trust file"),
        ({"XDS_ACCESS__TICKET": "required", "XDS_TRUST": "/nowhere"}, "nowhere: cannot be read"),
        ({"XDS_ACCESS__DENIAL": "registry-error"}, "set node.home_community_id"),
        ({"XDS_ENVIRONMENT": "production"}, "access.ticket = none is refused"),
        ({"XDS_NODE__REPOSITORY_UNIQUE_ID": ""}, "node.repository_unique_id"),
        ({"XDS_TLS__CERTIFICATE": "/nowhere"}, "tls.certificate and tls.key"),
        ({"XDS_TLS__CLIENT_CA": "/nowhere"}, "tls.client_ca needs"),
        ({"XDS_TLS__CLIENT_CA": "/nowhere"}, "tls.client_ca: there is no such file"),
        ({"XDS_ENVIRONMENT": "production", "XDS_PATIENTS__SOURCE": "open"}, "patients.source = open"),
        (
            {"XDS_ENVIRONMENT": "production", "XDS_PATIENTS__MLLP_LISTEN": "0.0.0.0:2575"},
            "patients.mllp_listen is open to everybody",
        ),
        ({"XDS_PATIENTS__MLLP_LISTEN": "0.0.0.0:8080"}, "patients.mllp_listen must have another port"),
        ({"XDS_PATIENTS__AUTHORITIES": "1.2.3"}, "patients.authorities has no meaning"),
        ({"XDS_PATIENTS__AUTHORITIES": "PAS=1.2.3"}, "patients.authorities has no meaning"),
        ({"XDS_PATIENTS__AUTHORITIES": "2.16.578.1.12.4.1.4.1"}, "patients.authorities has no meaning"),
    ],
)
def test_a_node_does_not_start_unsafe(changes: dict[str, str], key: str) -> None:
    """Fail closed: nobody is served without a ticket, unless peers are known or it is a test."""
    check_to_serve(load(None, GOOD))
    with pytest.raises(SettingsError) as caught:
        check_to_serve(load(None, GOOD | changes))
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "changes", "said"),
    [
        (("", ""), {}, "issuers with test = true are believed with environment = test only"),
        (
            ('audiences = ["urn:xds:demo"]', 'audiences = ["urn:xds:demo"]\nlifetime_minutes = 0'),
            {"XDS_ENVIRONMENT": "test"},
            "lifetime_minutes",
        ),
        (("test = true", ""), {}, "token = dpop needs node.public_url"),
        (
            ('kind = "xua"', 'kind = "xua"\nconfirmation = ["sender-vouches"]'),
            {},
            "confirmation sender-vouches needs tls.client_ca",
        ),
    ],
    ids=["test-issuers", "wrong-file", "dpop-without-url", "sender-vouches"],
)
def test_a_node_does_not_start_with_unsafe_trust(
    edit: tuple[str, str], changes: dict[str, str], said: str, tmp_path: Path
) -> None:
    """Tickets required in production: the trust file must be right, real, and possible to check."""
    trust = TicketService(tmp_path).trust
    trust.write_text(trust.read_text().replace(*edit))
    required = GOOD | {"XDS_ENVIRONMENT": "production", "XDS_ACCESS__TICKET": "required"}
    with pytest.raises(SettingsError) as caught:
        check_to_serve(load(None, required | {"XDS_TRUST": str(trust)} | changes))
    assert said in str(caught.value)


def test_a_node_starts_in_production_with_a_trust_file_of_its_own(tmp_path: Path) -> None:
    """Real issuers, and the URL that clients use."""
    trust = TicketService(tmp_path).trust
    trust.write_text(trust.read_text().replace("test = true", ""))
    given = {
        "XDS_ENVIRONMENT": "production",
        "XDS_ACCESS__TICKET": "required",
        "XDS_TRUST": str(trust),
        "XDS_NODE__PUBLIC_URL": "https://xds.example.no",
    }
    check_to_serve(load(None, GOOD | given))


def test_settings_have_a_purpose_in_words() -> None:
    """One sentence each, for docs/settings.md and whoever reads the table."""
    assert all(setting.purpose.endswith(".") for setting in SETTINGS)


@pytest.mark.parametrize("address", ["127.0.0.1:2575", "[::1]:2575"])
def test_a_patient_feed_on_a_loopback_address_needs_no_certificates(address: str) -> None:
    """A proxy on the same machine looks at them."""
    production = {"XDS_ENVIRONMENT": "production", "XDS_PATIENTS__MLLP_LISTEN": address}
    with pytest.raises(SettingsError) as caught:
        check_to_serve(load(None, GOOD | production))
    assert "mllp" not in str(caught.value)


def test_authorities_are_a_list_of_oids(tmp_path: Path) -> None:
    """With commas in the environment, as a list in the file."""
    expected = Authorities(frozenset({"1.2.3", "1.2.4"}))
    given = load(None, {"XDS_PATIENTS__AUTHORITIES": "1.2.3, urn:oid:1.2.4"})
    assert given["patients.authorities"] == expected
    file = tmp_path / "xds.toml"
    file.write_text('[patients]\nauthorities = ["1.2.3", "1.2.4"]\n')
    assert load(file, {})["patients.authorities"] == expected
    with pytest.raises(SettingsError, match="is not an OID"):
        load(None, {"XDS_PATIENTS__AUTHORITIES": "1.2.3,Norge"})


def test_an_authority_may_have_the_name_that_hl7_v2_gives_it(tmp_path: Path) -> None:
    """NAMESPACE=OID beside plain OIDs; several names may stand for one OID, one name never for two."""
    expected = Authorities(frozenset({"1.2.3", "1.2.4"}), {"PAS": "1.2.4", "Gamle PAS": "1.2.4"})
    given = load(None, {"XDS_PATIENTS__AUTHORITIES": "1.2.3, PAS=1.2.4, Gamle PAS = urn:oid:1.2.4"})
    assert given["patients.authorities"] == expected
    file = tmp_path / "xds.toml"
    file.write_text('[patients]\nauthorities = ["1.2.3", "PAS=1.2.4", "Gamle PAS=1.2.4"]\n')
    assert load(file, {})["patients.authorities"] == expected
    for wrong, said in (
        ("PAS=", "NAMESPACE=OID"),
        ("=1.2.3", "NAMESPACE=OID"),
        ("PAS=Norge", "is not an OID"),
        ("PAS=1.2.3,PAS=1.2.4", "one namespace two OIDs"),
    ):
        with pytest.raises(SettingsError, match=said):
            load(None, {"XDS_PATIENTS__AUTHORITIES": wrong})


def test_national_numbers_may_be_named_by_a_namespace() -> None:
    """A hospital's system sends `FNR` where the standard wants the OID."""
    check_to_serve(load(None, GOOD | {"XDS_PATIENTS__AUTHORITIES": "FNR=2.16.578.1.12.4.1.4.1"}))
