"""Events of an access log, judged by IHE's patterns and by the Norwegian profile.

The good ones are structures A, B and C of the profiles with synthetic values; every other is one of them with
a change, and must break the rule of its row there and no other.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.audit.test_profiles import EXAMPLES, A, B, C, Change, add, changed, cut, put
from xds.validate.audit_events import SENTENCES, TRANSACTIONS, judge
from xds.validate.desk import Settings
from xds.validate.judging import judge as judge_file

PAGE = Path(__file__).parents[2] / "docs/validate.md"
_CARE = "extension[2].extension"
WRONG: list[tuple[str, Change, str, str]] = [
    (A, put("entity[0].what.reference", "#nobody"), "audit-reference", "entity[0].what.reference"),
    (A, cut("agent[1].who"), "audit-who", "agent[1].who"),
    (A, put("agent[1].who", {}), "audit-who", "agent[1].who"),
    (B, cut("agent[3].network"), "audit-network", "agent[3].network"),
    (B, cut("agent[4].network.type"), "audit-network", "agent[4].network"),
    (B, put("action", "E"), "audit-transaction", "subtype[0]"),
    (B, put("type.code", "110112"), "audit-transaction", "subtype[0]"),
    (B, put("type.system", "http://terminology.hl7.org/CodeSystem/audit-event-type"), "audit-transaction",
     "subtype[0]"),
    (B, cut("agent[0].policy"), "audit-token-policy", "agent[0].policy"),
    (B, add("agent[0].policy", "another"), "audit-token-policy", "agent[0].policy"),
    (B, cut("agent[0].who.identifier"), "audit-token-user", "agent[0].who.identifier"),
    (B, cut("agent[0].who.identifier.system"), "audit-token-user", "agent[0].who.identifier"),
    (B, put("agent[0].altId", "x"), "audit-token-forbidden", "agent[0].altId"),
    (B, put("agent[0].network", {"address": "10.0.0.1", "type": "2"}), "audit-token-forbidden",
     "agent[0].network"),
    (B, cut("extension[0]"), "audit-patient-extension", "extension"),
    (B, put("extension[0].valueReference.reference", "#prac"), "audit-patient-extension",
     "extension[0].valueReference"),
    (B, cut("contained[pat].identifier"), "audit-patient-extension", "extension[0].valueReference"),
    (B, put("extension[1].valueReference.reference", "#pat"), "audit-encounter-extension",
     "extension[1].valueReference"),
    (B, cut(f"{_CARE}[3]"), "audit-care-relation", "extension[2]"),
    (B, put(f"{_CARE}[3]", {"url": "toa", "valueString": "1"}), "audit-care-relation", "extension[2]"),
    (B, put(f"{_CARE}[0].url", "toa"), "audit-care-relation", "extension[2]"),
    (B, put("purposeOfEvent[0].coding[0].system", "urn:oid:2.16.840.1.113883.1.11.20448"), "audit-purpose",
     "purposeOfEvent[0].coding"),
    (B, add("purposeOfEvent", {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9151", "code": "2"}]}),
     "audit-purpose", "purposeOfEvent[1].coding"),
    (B, put("agent[0].who.reference", "#prac"), "audit-practitioner-role", "agent[0].who.reference"),
    (B, cut("agent[0].who.reference"), "audit-practitioner-role", "agent"),
    (B, cut("contained[role].location"), "audit-practitioner-role", "contained.where(id='role').location"),
    (B, cut("contained[role].practitioner"), "audit-practitioner-role",
     "contained.where(id='role').practitioner"),
    (B, put("contained[role].organization.reference", "#poc"), "audit-practitioner-role",
     "contained.where(id='role').organization"),
    (B, put("contained[prac].identifier", [{"system": "urn:oid:2.999", "value": "1"}]), "audit-practitioner",
     "contained.where(id='prac').identifier"),
    (B, put("contained[prac].name", [{"family": "Prøvelege"}]), "audit-practitioner",
     "contained.where(id='prac').name"),
    (B, put("contained[legal].identifier[0]", {"system": "urn:oid:2.999", "id": "999999901"}),
     "audit-identifier-value", "contained.where(id='legal').identifier[0]"),
]  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_good_event_has_nothing_found(name: str) -> None:
    """Of the three structures, by itself and within the answer of a search."""
    assert judge(EXAMPLES[name]) == []
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": EXAMPLES[name]}]}
    for resource in (EXAMPLES[name], bundle):
        report = judge_file(name, json.dumps(resource).encode(), Settings())
        assert (report.kind, report.status) == ("fhir", 0), report.findings


@pytest.mark.parametrize(("example", "change", "rule", "where"), WRONG)
def test_what_is_wrong_is_told_by_its_rule(example: str, change: Change, rule: str, where: str) -> None:
    """There, and nothing else; by the command too, where R4 permits it."""
    event = changed(example, change)
    assert [(each.rule, each.location) for each in judge(event)] == [(rule, f"AuditEvent.{where}")]
    report = judge_file("event", json.dumps(event).encode(), Settings())
    assert report.status == 1
    assert {each.rule for each in report.findings} <= {rule, "r4"}


def test_every_rule_is_broken_by_some_row() -> None:
    """A rule that nothing breaks proves nothing."""
    assert {rule for _, _, rule, _ in WRONG} == set(SENTENCES)


def test_what_does_not_claim_the_profile_is_not_held_to_it() -> None:
    """A citizen is no PractitionerRole, and the event of a citizen does not say it is."""
    assert judge(EXAMPLES[C]) == []
    assert judge(changed(B, cut("meta"), cut("extension"))) == []
    assert judge(changed(C, put("meta", {"profile": EXAMPLES[B]["meta"]["profile"]}))) != []


def test_a_claim_may_name_a_version() -> None:
    """As every canonical may."""
    claimed = [f"{EXAMPLES[B]['meta']['profile'][0]}|0.9.8"]
    found = judge(changed(B, put("meta", {"profile": claimed}), cut("extension[0]")))
    assert [each.rule for each in found] == ["audit-patient-extension"]


@pytest.mark.parametrize(
    ("reference", "good"),
    [
        ({"reference": "Patient/1/_history/2"}, True),
        ({"reference": "https://x.example.org/fhir/Patient/1"}, True),
        ({"reference": "urn:uuid:0b9a2c3e-1111-4222-8333-444455556666"}, True),
        ({"reference": "urn:uuid:0b9a2c3e-1111-4222-8333-444455556666", "type": "Group"}, False),
        ({"reference": "Group/1/_history/2"}, False),
    ],
)
def test_what_is_elsewhere_is_taken_for_what_is_asked(reference: dict[str, str], good: bool) -> None:
    """Unless the reference says that it is something else."""
    found = judge(changed(B, put("extension[0].valueReference", reference)))
    assert (found == []) is good


@pytest.mark.parametrize("policy", ["urn:ietf:params:oauth:jti:4711", "x" * 32])
def test_a_token_is_named_by_its_jti_or_its_end(policy: str) -> None:
    """BALP: the last 32 characters of an opaque token."""
    kind = "agent[0].type.coding[0].code"
    assert judge(changed(B, put(kind, "UserOauthAgent"), put("agent[0].policy", [policy]))) == []
    for wrong in ("urn:ietf:params:oauth:jti:", policy + "\N{BULLET}" if policy[0] == "x" else "4711"):
        found = judge(changed(B, put(kind, "UserOauthAgent"), put("agent[0].policy", [wrong])))
        assert [each.rule for each in found] == ["audit-token-policy"]


def test_a_finding_quotes_no_value() -> None:
    """Ids of resources within the event alone."""
    event: dict[str, Any] = changed(B, put("agent[0].who.reference", "#Hemmelig"), cut("agent[0].policy"))
    assert "Hemmelig" not in repr(judge(event))


def test_the_page_has_the_rules_of_the_code() -> None:
    """Word for word, both ways."""
    rows = re.findall(r"^\| `(audit-[a-z-]+)` \| (.*) \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert {name: (sentence, source) for name, sentence, source in rows} == SENTENCES


def test_transactions_are_those_of_the_node() -> None:
    """Whatever the node does has its row; authorisation servers have events of their own."""
    import xds.transactions as soap
    from xds.fhir.resources import INTERACTIONS

    numbers = {each.number for each in vars(soap).values() if hasattr(each, "number")}
    numbers |= {each.number for each in INTERACTIONS if re.fullmatch(r"ITI-\d+", each.number)}
    assert numbers - {"ITI-8", "ITI-44", "ITI-20"} <= set(TRANSACTIONS)
