"""The sample ticket service: what it issues is what gate 1 takes, and it names nobody who may exist."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jose.jwt
import pytest
from lxml import etree

from tests.client.documents import new_number
from xds.demo.keys import AUDIENCE, issuer
from xds.demo.tickets import CLINICIAN, GUARDIAN, HPR, PATIENT, SAMPLES, TicketRefused, TicketService
from xds.metadata.national import with_control_digits
from xds.security import attributes, claims, proof, saml, tokens
from xds.security.caller import Caller, CallerKind
from xds.security.trust import TicketKind
from xds.security.trust_store import TrustStore
from xds.transport import xml

NOW = datetime.now(UTC).replace(microsecond=0)
SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
ACP = "2.16.578.1.12.4.1.7.2.1."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> TicketService:
    """A service with keys of its own."""
    return TicketService(tmp_path_factory.mktemp("service") / "tickets")


def caller(service: TicketService, ticket: str) -> Caller:
    """What gate 1 makes of an assertion."""
    saml.prepare()
    signed, verified = saml.verify(xml.parse(ticket.encode()), TrustStore(service.trust).trust, NOW)
    return attributes.caller(
        signed, verified.issuer, expires_at=verified.expires_at, attested_at=verified.authenticated_at
    )


KINDS: list[tuple[str, dict[str, str], CallerKind, TicketKind, dict[str, str]]] = [
    ("personnel", {}, CallerKind.PERSONNEL, TicketKind.KJERNEJOURNAL, {}),
    ("personnel", {"acp": "7", "purpose": "ETREAT"}, CallerKind.PERSONNEL, TicketKind.KJERNEJOURNAL,
     {"acp": f"{ACP}7", "purpose": "ETREAT"}),
    ("personnel", {"hpr": ""}, CallerKind.PERSONNEL, TicketKind.KJERNEJOURNAL, {"hpr": "", "role": ""}),
    ("citizen", {}, CallerKind.CITIZEN, TicketKind.HELSENORGE,
     {"person": PATIENT, "purpose": "13", "hpr": "", "role": ""}),
    ("citizen", {"person": GUARDIAN}, CallerKind.CITIZEN, TicketKind.HELSENORGE,
     {"person": GUARDIAN, "patient": GUARDIAN, "purpose": "13", "hpr": "", "role": ""}),
    ("representative", {}, CallerKind.REPRESENTATIVE, TicketKind.HELSENORGE,
     {"person": GUARDIAN, "acp": f"{ACP}2", "purpose": "13", "hpr": "", "role": ""}),
    ("representative", {"acp": "1"}, CallerKind.REPRESENTATIVE, TicketKind.HELSENORGE,
     {"person": GUARDIAN, "acp": f"{ACP}1", "purpose": "13", "hpr": "", "role": ""}),
    ("representative", {"acp": "3"}, CallerKind.REPRESENTATIVE, TicketKind.HELSENORGE,
     {"person": GUARDIAN, "acp": f"{ACP}3", "purpose": "13", "hpr": "", "role": ""}),
    ("hso", {}, CallerKind.PERSONNEL, TicketKind.HSO, {"purpose": "1"}),
    ("xua", {"acp": "4"}, CallerKind.PERSONNEL, TicketKind.XUA, {"acp": f"{ACP}4"}),
    ("system", {}, CallerKind.MACHINE, TicketKind.SYSTEM,
     {"person": "", "patient": "", "purpose": "", "hpr": "", "role": ""}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "said", "caller_kind", "ticket_kind", "expected"),
    KINDS,
    ids=["-".join((kind, *said, *said.values())) for kind, said, *_ in KINDS],
)
def test_each_kind_of_ticket_is_good_and_says_what_was_asked_for(
    service: TicketService,
    kind: str,
    said: dict[str, str],
    caller_kind: CallerKind,
    ticket_kind: TicketKind,
    expected: dict[str, str],
):
    """Signature, times and audience hold, and the Caller is the one of norwegian-profile 4.2."""
    found = caller(service, service.saml(kind, now=NOW, **said))
    assert (found.kind, found.issuer) == (caller_kind, issuer(ticket_kind))
    assert found.expires_at == NOW + timedelta(hours=1)
    assert {
        "person": found.person.value if found.person else "",
        "patient": found.patient.value if found.patient else "",
        "hpr": found.hpr,
        "role": found.role.code if found.role else "",
        "purpose": found.purpose.code if found.purpose else "",
        "acp": found.acp,
    } == {
        "person": CLINICIAN,
        "patient": PATIENT,
        "hpr": HPR,
        "role": "LE",
        "purpose": "TREAT",
        "acp": "",
    } | expected


def test_every_part_of_a_personnel_ticket_arrives(service: TicketService):
    """Organisation, point of care, department, service, details, decision, level, scope, client and home."""
    found = caller(service, service.saml("personnel", now=NOW))
    assert found.name == "Tuva Fjell"
    assert [
        (unit.identifier.value, unit.identifier.authority, unit.name)
        for unit in (found.organisation, found.unit, found.department)
        if unit and unit.identifier
    ] == [
        ("310000019", "2.16.578.1.12.4.1.4.101", "Eksempelsykehuset HF"),
        ("310000027", "2.16.578.1.12.4.1.4.101", "Eksempelsykehuset, Øya"),
        ("999001", "2.16.578.1.12.4.1.4.102", "Medisinsk avdeling"),
    ]
    assert found.health_service
    assert found.health_service.code == "S03"
    assert found.purpose_details
    assert found.purpose_details.scheme == "https://terminology.dips.com/decisiontemplate"
    assert found.decision
    assert found.decision.user_selected is False
    assert (found.security_level, found.home) == (4, "2.16.578.1.12.4.5.100.1")
    assert found.scopes == {"journaldokumenter_helsepersonell"}
    assert found.attested_at == NOW


@pytest.mark.parametrize("kind", [each for each in SAMPLES if each != "system"])
def test_a_person_has_the_level_of_security_without_which_nobody_is_let_in(service: TicketService, kind: str):
    """Every ticket of a person states level 4."""
    assert caller(service, service.saml(kind, now=NOW)).security_level == 4


def test_a_system_has_the_scopes_that_the_access_policy_asks_for(service: TicketService):
    """Registering and deleting; and no level, for nobody has logged in."""
    found = caller(service, service.saml("system", now=NOW))
    assert found.scopes == {"nhn:phr-repo/mhd/create", "nhn:phr-repo/delete-docs-and-refs"}
    assert found.security_level is None


def test_a_patient_may_have_an_id_of_another_authority(service: TicketService):
    """It is sent as it is; only national numbers are those of people who may exist."""
    for kind in ("personnel", "hso", "xua"):
        found = caller(service, service.saml(kind, patient="A-17^^^&1.2.3&ISO", now=NOW))
        assert found.patient
        assert (found.patient.value, found.patient.authority) == ("A-17", "1.2.3")


def test_markup_in_a_name_stays_text(service: TicketService):
    """A name with every special character of XML comes back as it was."""
    name = """Ask <b>& "Å" O'Berg"""
    for kind in ("personnel", "citizen", "hso", "xua"):
        assert caller(service, service.saml(kind, name=name, now=NOW)).name == name


def test_the_signature_is_as_the_real_issuers_make_it(service: TicketService):
    """Right after the Issuer, over the assertion alone, rsa-sha256 and exclusive canonicalisation (4.5)."""
    for kind in SAMPLES:
        root = xml.parse(service.saml(kind).encode())
        assert [etree.QName(child).localname for child in root][:3] == ["Issuer", "Signature", "Subject"]
        (reference,) = root.findall(f"{DS}Signature/{DS}SignedInfo/{DS}Reference")
        assert reference.get("URI") == f"#{root.get('ID')}"
        algorithms = [str(each.get("Algorithm")) for each in root.iter() if each.get("Algorithm")]
        assert [each.rpartition("/")[2] for each in algorithms] == [
            "xml-exc-c14n#",
            "xmldsig-more#rsa-sha256",
            "xmldsig#enveloped-signature",
            "xml-exc-c14n#",
            "xmlenc#sha256",
        ]


#: (kind, a piece of the ticket, whether it is there): norwegian-profile 4.2 to 4.5, and 4.9.
ODDITIES = [
    ("personnel", 'Name="urn:oasis:names:tc:xspa:1.0:subject:purposeOfUse"', True),
    ("personnel", 'Name="urn:oasis:names:tc:xacml:2.0:action:purpose"', True),
    ("personnel", '&lt;Role xmlns="urn:hl7-org:v3" xsi:type="CE"', True),
    ("personnel", 'xsi:nil="true"', True),
    ("personnel", "nameid-format:unspecified", True),
    ("citizen", 'Name="urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"', True),
    ("citizen", '&lt;PurposeOfUse xmlns="urn:hl7-org:v3" type="CE" code="13"', True),
    ("citizen", 'Name="SecurityLevel"', True),
    ("citizen", "urn:ihe:iti:xua:2012:acp", False),
    ("representative", 'FriendlyName="Patient Privacy Policy Identifier"', True),
    ("representative", 'xsi:Type="anyURI"', True),
    ("hso", 'Name="hso:subject:organization:id"', True),
    ("hso", "AuthnStatement", False),
    ("xua", '<Role xmlns="urn:hl7-org:v3"', True),
    ("xua", "<saml2:AttributeStatement>", True),
]


@pytest.mark.parametrize(("kind", "piece", "there"), ODDITIES)
def test_the_oddities_of_the_real_tickets_are_there(
    service: TicketService, kind: str, piece: str, there: bool
):
    """What a reader of Norwegian tickets must be able to take."""
    assert (piece in service.saml(kind)) is there


def test_a_token_is_good_and_says_what_was_asked_for(service: TicketService):
    """An access token for a person, of a multi-tenant client (norwegian-profile 4.10, 4.11)."""
    text = service.token(purpose="ETREAT", acp="8", now=NOW)
    token = tokens.verify(text, TrustStore(service.trust).trust, NOW)
    found = claims.caller(token)
    assert (found.kind, found.issuer) == (CallerKind.PERSONNEL, issuer(TicketKind.HELSEID))
    assert found.person
    assert (found.person.value, found.hpr, found.name) == (CLINICIAN, HPR, "Tuva Fjell")
    assert found.organisation
    assert found.organisation.identifier
    assert found.organisation.identifier.value == "310000019"
    assert found.purpose
    assert (found.purpose.code, found.acp) == ("ETREAT", f"{ACP}8")
    assert (found.expires_at, found.attested_at) == (NOW + timedelta(hours=1), NOW)


def test_a_machine_has_a_token_without_a_person(service: TicketService):
    """Client credentials: an organisation, and nobody in it."""
    text = service.token(machine=True, now=NOW)
    found = claims.caller(tokens.verify(text, TrustStore(service.trust).trust, NOW))
    assert (found.kind, found.person, found.hpr, found.name) == (CallerKind.MACHINE, None, "", "")


def test_a_proof_is_good_for_its_request_alone(service: TicketService):
    """The key is the one that the token names; the URL counts without its query (RFC 9449, 4.2)."""
    text = service.token(now=NOW)
    bound_to = tokens.verify(text, TrustStore(service.trust).trust, NOW).thumbprint
    made = service.proof("POST", "https://node.example/fhir/x?a=b#c", text, now=NOW)
    proof.check(made, text, bound_to, "POST", "https://node.example/fhir/x", NOW)
    assert bound_to == service.proof_key().thumbprint()


def test_another_library_reads_the_token(service: TicketService):
    """python-jose verifies it with the published keys."""
    text = service.token()
    published = json.loads((service.trust.parent / "token-keys.json").read_text())
    assert not {"d", "p", "q"} & published["keys"][0].keys()
    read = jose.jwt.decode(text, published, algorithms=["RS256"], audience=AUDIENCE)
    assert read["iss"] == issuer(TicketKind.HELSEID)


def _number(first_six: str) -> str:
    """A number with good control digits that begins with this date."""
    return next(filter(None, (with_control_digits(f"{first_six}{n}") for n in range(900, 1000))))


#: Nobody was born in 2039 yet, so even these are nobody's.
REAL = _number("311239")
LOCAL = _number("315239")
HELP = next(filter(None, (with_control_digits(f"8{n:08d}") for n in range(100))))
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("personnel", {"person": REAL}, "synthetic people only"),
    ("personnel", {"patient": REAL}, "synthetic people only"),
    ("personnel", {"patient": f"{REAL}^^^&1.2.3&ISO"}, "synthetic people only"),
    ("citizen", {"person": REAL}, "synthetic people only"),
    ("representative", {"person": REAL}, "synthetic people only"),
    ("hso", {"person": LOCAL}, "synthetic people only"),
    ("hso", {"patient": LOCAL}, "local help number"),
    ("xua", {"patient": HELP}, "synthetic people only"),
    ("xua", {"person": "a name"}, "synthetic people only"),
    ("personnel", {"patient": "1"}, "11 digits"),
    ("personnel", {"patient": "17855599120^^^&x&ISO"}, "."),
    ("personnel", {"patient": "12345678901^^^&2.16.578.1.12.4.1.4.1&ISO"}, "synthetic people only"),
    ("personnel", {"purpose": "MARKETING"}, "TREAT, ETREAT, COC, BTG"),
    ("personnel", {"acp": "2"}, "may carry: 4, 5, 6, 7, 8"),
    ("personnel", {"acp": "45"}, "may carry"),
    ("representative", {"acp": "7"}, "may carry: 1, 2, 3"),
    ("citizen", {"acp": "1"}, "may carry: none"),
    ("citizen", {"person": GUARDIAN, "patient": PATIENT}, "about themselves"),
    ("representative", {"person": PATIENT}, "about somebody else"),
    ("personnel", {"hpr": "12a"}, "at most 9 digits"),
    ("personnel", {"minutes": 0}, "1 to 1440 minutes"),
    ("personnel", {"minutes": 1441}, "1 to 1440 minutes"),
    ("doctor", {}, "no such kind"),
]


@pytest.mark.parametrize(("kind", "said", "words"), REFUSED)
def test_what_may_be_somebody_or_makes_no_sense_is_not_issued(
    service: TicketService, kind: str, said: dict[str, Any], words: str
):
    """A sentence, which does not repeat the number."""
    with pytest.raises(TicketRefused) as caught:
        service.saml(kind, **said)
    assert words in str(caught.value)
    assert all(number not in str(caught.value) for number in (REAL, LOCAL, HELP))


@pytest.mark.parametrize(
    "said", [{"person": REAL}, {"purpose": "X"}, {"acp": "1"}, {"hpr": "x"}, {"minutes": -1}]
)
def test_a_token_is_refused_likewise(service: TicketService, said: dict[str, Any]):
    """The same people, purposes and policies."""
    with pytest.raises(TicketRefused):
        service.token(**said)


def test_synthetic_people_of_both_series_may_be_named(service: TicketService):
    """Tenor adds 80 to the month, Norsk helsenett 65; a D-number adds 40 to the day besides."""
    for number in (new_number(), _number("017055"), _number("418155")):
        assert caller(service, service.saml("citizen", person=number, now=NOW)).subject == number


def test_the_folder_has_files_for_this_user_alone_and_the_same_keys_ever_after(tmp_path: Path):
    """Mode 0600, made once, nothing half-done left over; what was issued before stays good."""
    folder = tmp_path / "new" / "folder"
    before = TicketService(folder).saml("xua", now=NOW)
    found = {path.name: (path.stat().st_mode & 0o777, path.read_bytes()) for path in folder.iterdir()}
    assert found.keys() == {
        "saml-key.pem", "saml-certificate.pem", "token-key.pem", "token-keys.json", "proof-key.pem",
        "trust.toml",
    }  # fmt: skip
    assert {mode for mode, _ in found.values()} == {0o600}
    again = TicketService(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: data for name, (_, data) in found.items()
    }
    assert caller(again, before).kind is CallerKind.PERSONNEL


def test_services_that_begin_at_once_have_the_same_keys(tmp_path: Path):
    """Four processes in one new folder: each ticket and token is good by the one trust file."""
    program = (
        "import sys; from pathlib import Path; from xds.demo.tickets import TicketService\n"
        "s = TicketService(Path(sys.argv[1])); print(s.saml('hso').replace('\\n', '')); print(s.token())"
    )
    folder = tmp_path / "tickets"
    command = [sys.executable, "-c", program, str(folder)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    store = TrustStore(folder / "trust.toml")
    now = datetime.now(UTC)
    for ticket, token in said:
        saml.verify(xml.parse(ticket.encode()), store.trust, now)
        tokens.verify(token, store.trust, now)
    assert [path for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_key_is_said(tmp_path: Path):
    """A sentence that says what to do."""
    TicketService(tmp_path)
    (tmp_path / "saml-key.pem").write_text("nothing")
    with pytest.raises(TicketRefused, match="damaged"):
        TicketService(tmp_path)


def test_its_issuers_are_marked_as_made_for_tests(service: TicketService):
    """So a node outside test environments refuses them, and no name can be taken for a real issuer's."""
    issuers = TrustStore(service.trust).trust.issuers
    assert issuers.keys() == {issuer(kind) for kind in TicketKind}
    assert all(each.test for each in issuers.values())
    assert all(name.startswith("urn:xds:demo:") for name in issuers)
    assert issuers[issuer(TicketKind.HELSEID)].dpop
