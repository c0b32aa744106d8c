"""What a token says of the caller: HelseID's claims, IHE's extensions, and what is refused."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from dataclasses import fields
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.client.documents import new_number
from tests.fuzzing import examples
from tests.security import jwts
from tests.security.jwts import AT, ISSUER, MACHINE, NOW
from xds.errors import Denied
from xds.metadata.model import Code
from xds.metadata.national import NATIONAL
from xds.security import claims, tokens
from xds.security.caller import Caller, CallerKind, Decision, Identifier, Unit

PID, OTHER_PID, PATIENT = new_number(), new_number(), new_number()
ENH = "2.16.578.1.12.4.1.4.101"
RESH = "2.16.578.1.12.4.1.4.102"
PURPOSES = "2.16.840.1.113883.1.11.20448"
TR = tokens.TRUST_FRAMEWORK
PID_CLAIM = "helseid://claims/identity/pid"
HPR_CLAIM = "helseid://claims/hpr/hpr_number"
LEVEL = "helseid://claims/identity/security_level"
PARENT = "helseid://claims/client/claims/orgnr_parent"
CHILD = "helseid://claims/client/claims/orgnr_child"

FRAMEWORK: dict[str, Any] = {
    "type": TR,
    "toa": AT - 60,
    "practitioner": {
        "identifier": {"id": PID, "name": "Kari Nordmann", "system": f"urn:oid:{NATIONAL}", "authority": "x"},
        "hpr_nr": {"id": "9144900", "system": "urn:oid:2.16.578.1.12.4.1.4.4"},
        "authorization": {"code": "LE", "text": "Lege", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
        "legal_entity": {"id": "999999999", "name": "Sykehuset AS", "system": f"urn:oid:{ENH}"},
        "point_of_care": {"id": "888888888", "name": "Sykehuset, nord", "system": f"urn:oid:{ENH}"},
        "department": {"id": "4208723", "name": "Medisin", "system": f"urn:oid:{RESH}"},
    },
    "care_relationship": {
        "healthcare_service": {
            "code": "S03",
            "text": "Indremedisin",
            "system": "urn:oid:2.16.578.1.12.4.1.1.8655",
        },
        "purpose_of_use": {"code": "TREAT", "text": "Treatment", "system": f"urn:oid:{PURPOSES}"},
        "purpose_of_use_details": {"code": "15", "system": "https://terminology.example/decisiontemplate"},
        "decision_ref": {"id": "d-1", "description": "Innlagt", "user_selected": False},
    },
    "patients": [
        {
            "point_of_care": {"id": "777777777", "system": f"urn:oid:{ENH}"},
            "department": {"id": "4208724", "system": f"urn:oid:{RESH}"},
        }
    ],
}
PERSONNEL: dict[str, Any] = MACHINE | {
    "sub": "c3ViamVjdA==",
    "name": "Nordmann, Kari",
    PID_CLAIM: PID,
    HPR_CLAIM: "009144900",
    LEVEL: "4",
    "helseid://claims/client/client_name": "Journal",
    "helseid://claims/client/client_tenancy": "multi-tenant",
    PARENT: "999999999",
    CHILD: "666666666",
    "xua-acp": "urn:oid:2.16.578.1.12.4.1.7.2.1.8",
    "homeCommunityId": "urn:oid:2.16.578.1.12.4.1.7.1.1",
    TR: FRAMEWORK,
}


def caller(said: dict[str, Any], *, test: bool = True, **changes: Any) -> Caller:
    """The caller that these claims make, of an issuer for tests or of another."""
    token = tokens.Token(
        jwts.issuer(test=test),
        id="4711",
        claims=MappingProxyType(jwts.changed(said, changes)),
        expires_at=NOW + timedelta(seconds=60),
        not_before=NOW,
        issued_at=NOW,
        attested_at=NOW,
        thumbprint="",
    )
    return claims.caller(token)


def refused(said: dict[str, Any], *, test: bool = True, **changes: Any) -> bool:
    """Whether these claims are refused, by the one rule there is."""
    with pytest.raises(Denied, match=r"^token-content$"):
        caller(said, test=test, **changes)
    return True


def framework(path: str, value: Any) -> dict[str, Any]:
    """The claims with another value at a path of the trust framework; `...` takes it away."""
    said = copy.deepcopy(PERSONNEL)
    *above, last = path.split(".")
    part = said[TR]
    for name in above:
        part = part[name]
    part[last] = value
    if value is ...:
        del part[last]
    return said


def test_personnel_of_helseid() -> None:
    """Every field that HelseID's claims and the trust framework fill."""
    assert caller(PERSONNEL) == Caller(
        kind=CallerKind.PERSONNEL,
        issuer_kind="helseid",
        issuer=ISSUER,
        ticket_id="4711",
        subject="c3ViamVjdA==",
        expires_at=NOW + timedelta(seconds=60),
        person=Identifier(PID, NATIONAL),
        name="Kari Nordmann",
        hpr="9144900",
        role=Code("LE", "2.16.578.1.12.4.1.1.9060"),
        organisation=Unit(Identifier("999999999", ENH), "Sykehuset AS"),
        unit=Unit(Identifier("888888888", ENH), "Sykehuset, nord"),
        department=Unit(Identifier("4208723", RESH), "Medisin"),
        purpose=Code("TREAT", PURPOSES),
        purpose_details=Code("15", "https://terminology.example/decisiontemplate"),
        health_service=Code("S03", "2.16.578.1.12.4.1.1.8655"),
        decision=Decision("d-1", False, "Innlagt"),
        security_level=4,
        patient=None,
        patient_unit=Unit(Identifier("777777777", ENH)),
        patient_department=Unit(Identifier("4208724", RESH)),
        acp="2.16.578.1.12.4.1.7.2.1.8",
        scopes=frozenset({"example:documents/read"}),
        client="client-1",
        home="2.16.578.1.12.4.1.7.1.1",
        attested_at=NOW - timedelta(seconds=60),
    )
    assert caller(PERSONNEL).role.display == "Lege"  # type: ignore[union-attr]


def test_a_machine_of_helseid() -> None:
    """A client without a person: the organisation is the tenant's."""
    said = caller(MACHINE, **{PARENT: "999999999", CHILD: "888888888"})

    assert (said.kind, said.subject, said.client) == (CallerKind.MACHINE, "client-1", "client-1")
    assert said.organisation == Unit(Identifier("999999999", ENH))
    assert said.unit == Unit(Identifier("888888888", ENH))
    assert (said.person, said.hpr, said.patient) == (None, "", None)
    assert caller(MACHINE, sub="client-1").kind is CallerKind.MACHINE


def test_personnel_of_iua() -> None:
    """The extensions ihe_iua and ihe_bppc."""
    said = caller(
        MACHINE,
        sub="kari",
        scope="ITI-67 ITI-68",
        extensions={
            "ihe_iua": {
                "subject_name": "Kari Nordmann",
                "subject_organization": "Sykehuset AS",
                "subject_organization_id": "999999999",
                "subject_role": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9060", "code": "LE"}],
                "purpose_of_use": [
                    {"system": "urn:oid:1.0.14265.1", "code": "1", "display": "Clinical care"}
                ],
                "home_community_id": "urn:oid:1.2.3",
                "national_provider_identifier": "9144900",
                "person_id": f"{PID}^^^&{NATIONAL}&ISO",
            },
            "ihe_bppc": {
                "patient_id": f"{PATIENT}^^^&{NATIONAL}&ISO",
                "doc_id": "urn:oid:2.16.578.1.12.4.1.7.2.2.1",
                "acp": "urn:oid:2.16.578.1.12.4.1.7.2.1.8",
            },
        },
    )

    assert (said.kind, said.person, said.hpr) == (CallerKind.PERSONNEL, Identifier(PID, NATIONAL), "9144900")
    assert (said.name, said.organisation) == ("Kari Nordmann", Unit(Identifier("999999999"), "Sykehuset AS"))
    assert (said.role, said.purpose) == (Code("LE", "2.16.578.1.12.4.1.1.9060"), Code("1", "1.0.14265.1"))
    assert (said.home, said.patient) == ("1.2.3", Identifier(PATIENT, NATIONAL))
    assert (said.acp, said.consent_document) == ("2.16.578.1.12.4.1.7.2.1.8", "2.16.578.1.12.4.1.7.2.2.1")
    assert said.scopes == {"ITI-67", "ITI-68"}


@pytest.mark.parametrize("number", ["pid", "hpr"])
def test_either_number_makes_personnel(number: str) -> None:
    """A national number or an HPR number; without both, a subject is nobody we know."""
    name = {"pid": PID_CLAIM, "hpr": HPR_CLAIM}[number]

    assert caller(MACHINE, sub="s", **{name: PERSONNEL[name]}).kind is CallerKind.PERSONNEL
    assert refused(MACHINE, sub="s")


@pytest.mark.parametrize(
    "number",
    [
        "17855599120",  # of Tenor
        "29698496140",  # of Norsk helsenett
        "13527248013",  # of Dolly, or of some enterprise
    ],
)
def test_a_person_who_does_not_exist_is_somebody_in_tests_only(number: str) -> None:
    """As a person who asks and as a patient; a felles hjelpenummer is one everywhere."""
    patient = {"extensions": {"ihe_bppc": {"patient_id": f"{number}^^^&{NATIONAL}&ISO"}}}
    everywhere = "88888810182"

    assert refused(MACHINE, test=False, sub="s", **{PID_CLAIM: number})
    assert refused(MACHINE, test=False, sub="s", **{PID_CLAIM: everywhere}, **patient)
    assert caller(MACHINE, test=False, sub="s", **{PID_CLAIM: everywhere}).person.value == everywhere
    assert caller(MACHINE, sub="s", **{PID_CLAIM: number}).person == Identifier(number, NATIONAL)
    assert caller(MACHINE, sub="s", **{PID_CLAIM: everywhere}, **patient).patient.value == number


@pytest.mark.parametrize(
    "changes",
    [
        {"helseid://claims/identity/pid_pseudonym": "x"},
        {LEVEL: "4"},
        {"name": "Kari Nordmann"},
        {"idp": "idporten-oidc"},
        {"client_id": None},
        {PID_CLAIM: ""},
        {TR: {"practitioner": {"identifier": {"name": "Kari Nordmann"}}}},
    ],
)
def test_what_is_between_a_person_and_a_machine_is_refused(changes: dict[str, Any]) -> None:
    """A trace of a person without a number, or no client at all."""
    assert refused(MACHINE, **changes)


def test_the_claim_was_once_called_care_relation() -> None:
    """The model text's name and the tokens' name mean the same, and so do ref_id and id."""
    said = copy.deepcopy(PERSONNEL)
    relation = said[TR].pop("care_relationship")
    relation["decision_ref"] = {"ref_id": "d-1"}
    said[TR]["care_relation"] = relation

    assert caller(said).purpose == Code("TREAT", PURPOSES)
    assert caller(said).decision == Decision("d-1")
    said[TR]["care_relationship"] = {"purpose_of_use": {"code": "BTG", "system": f"urn:oid:{PURPOSES}"}}
    assert refused(said)


def test_the_trust_framework_may_be_a_text() -> None:
    """JSON within JSON, as tokens.verify reads it, makes the same caller."""
    text = jwts.token(**{**PERSONNEL, TR: json.dumps(FRAMEWORK)})

    assert claims.caller(tokens.verify(text, jwts.trust(), NOW)) == caller(PERSONNEL)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({TR: framework("practitioner.identifier.name", ...)[TR]}, "Nordmann, Kari"),
        (
            {TR: None, "name": None, "given_name": "Kari", "middle_name": "Ås", "family_name": "Nordmann"},
            "Kari Ås Nordmann",
        ),
        ({TR: None, "name": None, "family_name": "Nordmann"}, "Nordmann"),
        ({TR: None, "name": None}, ""),
    ],
)
def test_a_name_comes_from_the_first_place_that_has_one(changes: dict[str, Any], name: str) -> None:
    """The attestation's, the login's, or its parts."""
    assert caller(PERSONNEL, **changes).name == name


def _organisation(system: str, value: str) -> dict[str, Any]:
    identifier = {"system": system, "type": "ENH", "value": value}
    return {
        "type": "helseid_authorization",
        "practitioner_role": {"organization": {"identifier": identifier}},
    }


MULTI = _organisation("urn:oid:1.0.6523", "NO:ORGNR:999999999:888888888")


@pytest.mark.parametrize(
    "changes",
    [
        {"authorization_details": MULTI},
        {"authorization_details": [{"type": "other"}, MULTI]},
        {"helseid_authorization": MULTI},
        {"helseid_authorization": json.dumps(MULTI)},
        {PARENT: "999999999", CHILD: "888888888"},
        {PARENT: "999999999", CHILD: "888888888", "authorization_details": [MULTI]},
    ],
)
def test_the_organisation_of_a_multi_tenant_client(changes: dict[str, Any]) -> None:
    """Parent and child, in claims of their own or in the organisation claim."""
    said = caller(MACHINE, **changes)

    assert said.organisation == Unit(Identifier("999999999", ENH))
    assert said.unit == Unit(Identifier("888888888", ENH))


@pytest.mark.parametrize(
    "organisation",
    [
        _organisation("urn:oid:1.0.6523", "NO:ORGNR:999999999"),
        _organisation(f"urn:oid:{ENH}", "999999999"),
    ],
)
def test_an_organisation_without_unit(organisation: dict[str, Any]) -> None:
    """A tenant without sub-unit, and a single-tenant client."""
    said = caller(MACHINE, helseid_authorization=organisation)

    assert (said.organisation, said.unit) == (Unit(Identifier("999999999", ENH)), None)


@pytest.mark.parametrize(
    "organisation",
    [
        _organisation("urn:oid:1.0.6523", "999999999"),
        _organisation("urn:oid:1.0.6523", "NO:ORGNR:99999999"),
        _organisation("urn:oid:1.0.6523", "NO:ORGNR:999999999:"),
        _organisation("urn:oid:1.0.6523", "NO:ORGNR:999999999:888888888:7"),
        _organisation("urn:oid:1.0.652301", "NO:ORGNR:999999999"),
        _organisation(f"urn:oid:{ENH}", "NO:ORGNR:999999999"),
        {"type": "helseid_authorization"},
        [MULTI, MULTI],
        "text",
        1,
    ],
)
def test_an_organisation_of_another_form_is_refused(organisation: Any) -> None:
    """The two forms of HelseID and no other."""
    assert refused(MACHINE, helseid_authorization=organisation)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({PARENT: "999999998"}, id="another parent"),
        pytest.param(
            {"authorization_details": _organisation("urn:oid:1.0.6523", "NO:ORGNR:999999998")}, id="tenant"
        ),
        pytest.param({PID_CLAIM: OTHER_PID}, id="another person"),
        pytest.param({HPR_CLAIM: "9144901"}, id="another HPR number"),
        pytest.param({"extensions": {"ihe_bppc": {"acp": "urn:oid:1.2.3"}}}, id="another policy"),
        pytest.param({"extensions": {"ihe_iua": {"home_community_id": "1.2.3"}}}, id="another home"),
        pytest.param({"extensions": {"ihe_iua": {"person_id": OTHER_PID}}}, id="another IUA person"),
    ],
)
def test_what_is_said_in_two_ways_is_refused(changes: dict[str, Any]) -> None:
    """An attestation by another enterprise than the client's tenant, or of another person than the user."""
    assert refused(PERSONNEL, **changes)


def test_the_point_of_care_need_not_be_the_clients_sub_unit() -> None:
    """The attestation says where the care is given; the client may be run elsewhere in the enterprise."""
    assert caller(PERSONNEL).unit == Unit(Identifier("888888888", ENH), "Sykehuset, nord")
    assert caller(framework("practitioner.point_of_care", ...)).unit == Unit(Identifier("666666666", ENH))


def test_a_local_department_has_a_number_without_authority() -> None:
    """Its system is the enterprise's own and no OID, and an authority is one or nothing."""
    said = framework("practitioner.department.system", "https://hospital.example/departments")

    assert caller(said).department == Unit(Identifier("4208723"), "Medisin")


def test_empty_values_say_nothing() -> None:
    """An empty text, list or object is as good as no claim."""
    empty = {"ihe_iua": {"subject_role": [], "person_id": ""}, "ihe_bppc": {"patient_id": "", "acp": ""}}

    assert caller(PERSONNEL, extensions=empty) == caller(PERSONNEL)
    said = caller(framework("practitioner.legal_entity", {}))
    assert said.organisation == Unit(Identifier("999999999", ENH))


@pytest.mark.parametrize(
    ("patients", "patient"),
    [
        (..., None),
        (None, None),
        ([], None),
        ({}, None),
        ([{}], None),
        ([{"identifier": None}], None),
        ([{"identifier": {"id": PATIENT, "system": f"urn:oid:{NATIONAL}"}}], Identifier(PATIENT, NATIONAL)),
        ({"identifier": {"id": "local-1", "system": "urn:oid:1.2.3"}}, Identifier("local-1", "1.2.3")),
    ],
)
def test_a_token_may_name_its_patient(patients: Any, patient: Identifier | None) -> None:
    """HelseID takes no patient's number, so it is rarely there; one is read."""
    assert caller(framework("patients", patients)).patient == patient


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("patients", [{}, {}]),
        ("patients", "x"),
        ("patients", [1]),
        ("patients", [{"identifier": {"id": "12345678901", "system": f"urn:oid:{NATIONAL}"}}]),
        ("practitioner", "x"),
        ("practitioner", [1]),
        ("practitioner.identifier", PID),
        ("practitioner.identifier.id", int(PID)),
        ("practitioner.identifier.id", OTHER_PID),
        ("practitioner.identifier.id", "12345678901"),
        ("practitioner.identifier.name", {"text": "Kari"}),
        ("practitioner.identifier.name", "Kari\nNordmann"),
        ("practitioner.identifier.name", "Kari \u202e Nordmann"),
        ("practitioner.hpr_nr", 9144900),
        ("practitioner.hpr_nr.id", "9144901"),
        ("practitioner.hpr_nr.id", "LE9144900"),
        ("practitioner.authorization", "LE"),
        ("practitioner.authorization.code", 1),
        ("practitioner.authorization.system", ["x"]),
        ("practitioner.legal_entity", ["999999999"]),
        ("practitioner.legal_entity.id", "999999998"),
        ("practitioner.legal_entity.id", "NO999999999"),
        ("practitioner.legal_entity.id", {"value": "999999999"}),
        ("practitioner.point_of_care.id", "88888888"),
        ("practitioner.department", 1),
        ("care_relationship", []),
        ("care_relationship.purpose_of_use", "TREAT"),
        ("care_relationship.purpose_of_use", [{"code": "TREAT"}, {"code": "ETREAT"}]),
        ("care_relationship.decision_ref", "d-1"),
        ("care_relationship.decision_ref.user_selected", "true"),
        ("care_relationship.decision_ref.user_selected", 1),
        ("care_relationship.decision_ref.ref_id", "d-2"),
        ("toa", "today"),
        ("toa", True),
    ],
)
def test_a_trust_framework_of_the_wrong_form_is_refused(path: str, value: Any) -> None:
    """No claim of a wrong type or with a wrong number is passed over, or made a text."""
    assert refused(framework(path, value))


@pytest.mark.parametrize(
    "changes",
    [
        {PID_CLAIM: "12345678901"},
        {PID_CLAIM: int(PID)},
        {PID_CLAIM: [PID]},
        {PID_CLAIM: f"{PID}^^^&2.16.578.1.12.4.1.4.1"},
        {HPR_CLAIM: "abc"},
        {HPR_CLAIM: "٣٤٥"},
        {HPR_CLAIM: "1234567890"},
        {HPR_CLAIM: 9144900},
        {LEVEL: "5"},
        {LEVEL: "0"},
        {LEVEL: "high"},
        {LEVEL: True},
        {LEVEL: [4]},
        {LEVEL: 4.0},
        {PARENT: 999999999},
        {PARENT: "99999999"},
        {PARENT: ["999999999"]},
        {"scope": 1},
        {"scope": {"a": 1}},
        {"scope": [["a"]]},
        {"scope": ["a", 1]},
        {"client_id": {"id": 1}},
        {"sub": 1},
        {"name": ["Kari"]},
        {"xua-acp": "8"},
        {"xua-acp": "urn:oid:x"},
        {"homeCommunityId": "home"},
        {"extensions": "x"},
        {"extensions": {"ihe_iua": []}},
        {"extensions": {"ihe_iua": {"subject_organization": 1}}},
        {"extensions": {"ihe_bppc": {"patient_id": PATIENT}}},
        {TR: "text"},
        {TR: [FRAMEWORK]},
    ],
)
def test_a_claim_of_the_wrong_form_is_refused(changes: dict[str, Any]) -> None:
    """Each claim that is read has one JSON type."""
    assert refused(PERSONNEL, **changes)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, set()),
        ([], set()),
        ("", set()),
        ("a", {"a"}),
        ("a  b", {"a", "b"}),
        (["a", "b", "a"], {"a", "b"}),
    ],
)
def test_scopes_are_a_list_or_a_text(scope: Any, scopes: set[str]) -> None:
    """HelseID sends a list, RFC 9068 one text."""
    assert caller(MACHINE, scope=scope).scopes == scopes


@pytest.mark.parametrize(("level", "read"), [("1", 1), ("2", 2), ("3", 3), ("4", 4), (4, 4), (None, None)])
def test_security_levels(level: Any, read: int | None) -> None:
    """1 to 4, as text or number."""
    assert caller(PERSONNEL, **{LEVEL: level}).security_level == read


def test_names_of_the_client_are_not_read() -> None:
    """client_name and tenancy are for logs: whatever they say makes no difference."""
    other = {"helseid://claims/client/client_name": 1, "helseid://claims/client/client_tenancy": ["x"]}

    assert caller(PERSONNEL, **other) == caller(PERSONNEL)


def test_the_table_has_fields_of_a_caller_only() -> None:
    """Every row fills a field; the six that are not in it come from the token itself."""
    rest = {"kind", "issuer", "issuer_kind", "ticket_id", "subject", "expires_at"}

    assert set(claims.FIELDS) | rest == {field.name for field in fields(Caller)}


# ---- whatever an issuer signs: a Caller or Denied, and nothing else

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from([PID, "999999999", f"urn:oid:{ENH}", f"{PID}^^^&{NATIONAL}&ISO"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["id", "name", "system", "code", "identifier", "type", "value", "ref_id"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
PATHS = sorted({path for sources in claims.FIELDS.values() for path, _ in sources if path})


@settings(max_examples=examples(600), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), JSON), min_size=1, max_size=3))
def test_claims_of_any_form_are_taken_or_refused(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    """Any value at any place that is read."""
    said = copy.deepcopy(PERSONNEL)
    for path, value in changes:
        part = said
        for name in path[:-1]:
            if not isinstance(part.get(name), dict):
                part[name] = {}
            part = part[name]
        part[path[-1]] = value
    with suppress(Denied):
        assert caller(said).kind in (CallerKind.PERSONNEL, CallerKind.MACHINE)
