"""ITI-44: HL7 v3 messages by SOAP to a node, and what its registry then knows (ITI TF-2 3.44)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from lxml import etree

from tests.blackbox import messages as m
from tests.blackbox.wire import SOAP11, SOAP12, Reply, Request, send
from tests.nodes import Node
from tests.transactions.feed import OURS, STRANGE, cx, is_known, new_id, shown

HL7 = "urn:hl7-org:v3"
NS = {"h": HL7}
ADDED, REVISED, RESOLVED = "PRPA_IN201301UV02", "PRPA_IN201302UV02", "PRPA_IN201304UV02"


@pytest.fixture(scope="module")
def feed(new_node: Callable[..., Node]) -> Node:
    """A node that knows whom its feed announces."""
    return new_node(patients__source="feed", patients__authorities=OURS)


def ii(id: str, authority: str = OURS) -> str:
    return f'<id root="{authority}" extension="{id}" assigningAuthorityName="Sykehuset"/>'


def message(name: str, patient: str, prior: str = "", others: str = "") -> str:
    """One of the three messages, as a hospital's system sends it; ids are elements."""
    replaced = (
        '<replacementOf typeCode="RPLC"><priorRegistration classCode="REG" moodCode="EVN">'
        '<statusCode code="obsolete"/><subject1 typeCode="SBJ"><priorRegisteredRole classCode="PAT">'
        f"{prior}</priorRegisteredRole></subject1></priorRegistration></replacementOf>"
    )
    return (
        f'<{name} xmlns="{HL7}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ITSVersion="XML_1.0">'
        '<id root="22a0f9e0-4454-11dc-a6be-3603d6866807"/><creationTime value="20261120103000"/>'
        f'<interactionId root="2.16.840.1.113883.1.6" extension="{name}"/><processingCode code="T"/>'
        '<processingModeCode code="T"/><acceptAckCode code="AL"/>'
        '<receiver typeCode="RCV"><device classCode="DEV" determinerCode="INSTANCE">'
        '<id root="1.2.840.114350.1.13.999.234"/><telecom value="https://xds.example"/></device></receiver>'
        '<sender typeCode="SND"><device classCode="DEV" determinerCode="INSTANCE">'
        '<id root="1.2.840.114350.1.13.999.567" extension="PAS &amp; mer"/></device></sender>'
        f'<controlActProcess classCode="CACT" moodCode="EVN"><code code="PRPA_TE{name[7:13]}UV02"/>'
        '<subject typeCode="SUBJ"><registrationEvent classCode="REG" moodCode="EVN"><id nullFlavor="NA"/>'
        '<statusCode code="active"/><subject1 typeCode="SBJ"><patient classCode="PAT">'
        f'{patient}<statusCode code="active"/><patientPerson classCode="PSN" determinerCode="INSTANCE">'
        "<name><given>Tuva</given><family>Kvakkelund</family></name>"
        '<birthTime value="19550517" xsi:type="TS"/>'
        f'<asOtherIDs classCode="PAT">{others}<scopingOrganization classCode="ORG" '
        f'determinerCode="INSTANCE"><id root="{STRANGE}"/></scopingOrganization></asOtherIDs></patientPerson>'
        '<providerOrganization classCode="ORG" determinerCode="INSTANCE"><id root="1.2.3.4"/>'
        '<contactParty classCode="CON"/></providerOrganization></patient></subject1>'
        '<custodian typeCode="CST"><assignedEntity classCode="ASSIGNED"><id root="1.2.3.4"/>'
        f"</assignedEntity></custodian>{replaced if prior else ''}"
        f"</registrationEvent></subject></controlActProcess></{name}>"
    )


def ask(node: Node, name: str, *content: str, soap: str = SOAP12, **more: str) -> Reply:
    body = content[0] if content and content[0].startswith("<PRPA") else message(name, *content, **more)
    return send(node, Request("/pix/feed", m.media_type(soap), m.envelope(body, f"{HL7}:{name}", soap=soap)))


def outcome(reply: Reply) -> tuple[str, list[tuple[str, str]]]:
    """typeCode, and of each error its code and rule; the answer is valid by the node's schema."""
    assert reply.status == 200
    content = _valid(reply)
    details = content.findall("h:acknowledgement/h:acknowledgementDetail[@typeCode='E']", NS)
    errors = []
    for each in details:
        rule = re.search(r"\[([\w-]+)\]$", each.findtext("h:text", "", NS))
        assert rule
        errors.append((each.find("h:code", NS).get("code"), rule[1]))
    return content.find("h:acknowledgement/h:typeCode", NS).get("code"), errors


def _valid(reply: Reply) -> etree._Element:
    (content,) = reply.envelope().find("{*}Body")
    schema = etree.XMLSchema(etree.parse("wsdl/schema/hl7v3.xsd"))
    assert schema.validate(content), schema.error_log
    return content


@pytest.mark.parametrize("soap", [SOAP12, SOAP11])
def test_an_added_patient_is_known(feed: Node, soap: str) -> None:
    """Root and extension are the authority and the id of CX; before, the patient is unknown."""
    id = new_id()
    assert not is_known(feed, cx(id))
    assert outcome(ask(feed, ADDED, ii(id), soap=soap)) == ("CA", [])
    assert is_known(feed, cx(id))
    assert outcome(ask(feed, ADDED, ii(id), soap=soap)) == ("CA", [])


def test_the_acknowledgement_answers_the_message(feed: Node) -> None:
    """Its own id, sender and receiver changed round, the message's id as target, no further answer asked."""
    reply = ask(feed, ADDED, ii(new_id()))
    content = _valid(reply)
    assert content.tag == f"{{{HL7}}}MCCI_IN000002UV01"
    assert reply.header("Action") == f"{HL7}:MCCI_IN000002UV01"
    assert content.get("ITSVersion") == "XML_1.0"

    def ids(path: str) -> dict[str, str]:
        return dict(content.find(path, NS).attrib)

    assert re.fullmatch(r"[0-9a-f-]{36}", ids("h:id")["root"])
    assert re.fullmatch(r"\d{14}\+0000", content.find("h:creationTime", NS).get("value"))
    assert ids("h:interactionId") == {"root": "2.16.840.1.113883.1.6", "extension": "MCCI_IN000002UV01"}
    codes = [content.find(f"h:{each}", NS).get("code") for each in ("processingCode", "acceptAckCode")]
    assert codes == ["T", "NE"]
    assert ids("h:receiver/h:device/h:id") == {
        "root": "1.2.840.114350.1.13.999.567",
        "extension": "PAS & mer",
    }
    assert ids("h:sender/h:device/h:id") == {"root": "1.2.840.114350.1.13.999.234"}
    assert ids("h:acknowledgement/h:targetMessage/h:id") == {"root": "22a0f9e0-4454-11dc-a6be-3603d6866807"}


def test_of_several_ids_those_of_known_authorities_count(feed: Node) -> None:
    """Of the patient and of its other ids alike; ids without an extension are nobody's."""
    first, second, third, strange = (new_id() for _ in range(4))
    reply = ask(
        feed,
        ADDED,
        ii(strange, STRANGE) + ii(first) + ii(second) + f'<id root="{OURS}"/><id nullFlavor="UNK"/>',
        others=ii(third) + ii(strange, STRANGE),
    )
    assert outcome(reply) == ("CA", [])
    assert [is_known(feed, cx(id)) for id in (first, second, third)] == [True] * 3
    assert not is_known(feed, cx(strange, STRANGE))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("", ("KEY204", "feed-patient-id")),
        (f'<id root="{OURS}"/>', ("KEY204", "feed-patient-id")),
        ('<id extension="1"/>', ("KEY204", "feed-patient-id")),
        (ii("1", STRANGE), ("KEY204", "feed-patient-id")),
        (ii(" 1"), ("SYN102", "feed-patient-id-form")),
        (ii("1&#10;2"), ("SYN102", "feed-patient-id-form")),
    ],
)
def test_a_message_without_a_usable_id_is_an_error(feed: Node, ids: str, expected: tuple[str, str]) -> None:
    """CE with a sentence and the place."""
    reply = ask(feed, ADDED, ids)
    assert outcome(reply) == ("CE", [expected])
    assert _valid(reply).findtext(".//h:location", "", NS).endswith("/subject1/patient/id")


def test_a_revision_is_accepted_and_changes_nothing(feed: Node) -> None:
    """It never changes an id, and a registry keeps no demographics."""
    id = new_id()
    assert outcome(ask(feed, REVISED, ii(id))) == ("CA", [])
    assert not is_known(feed, cx(id))


def added(feed: Node, *ids: str) -> tuple[str, ...]:
    for id in ids:
        assert outcome(ask(feed, ADDED, ii(id))) == ("CA", [])
    return ids


def test_resolved_duplicates_move_what_is_seen(feed: Node) -> None:
    """Documents of both are found under the survivor, as its own (ITI TF-2 3.18.4.1.2.3.9)."""
    old, new = added(feed, new_id(), new_id())
    assert is_known(feed, cx(old))
    assert is_known(feed, cx(new))
    assert outcome(ask(feed, RESOLVED, ii(new), ii(old))) == ("CA", [])
    assert shown(feed, cx(old)) == []
    assert shown(feed, cx(new)) == [cx(new)] * 2
    assert not is_known(feed, cx(old))
    assert outcome(ask(feed, ADDED, ii(old))) == ("CE", [("KEY204", "registry-patient-merged")])


def test_duplicates_that_must_not_be_resolved_are_an_error(feed: Node) -> None:
    """The same rules as for A40, and as many errors as there are."""
    one, two, three, four = added(feed, *(new_id() for _ in range(4)))
    unknown = new_id()
    assert outcome(ask(feed, RESOLVED, ii(four), ii(three))) == ("CA", [])
    known, pair = "registry-patient-known", "feed-one-pair"
    expected = {
        (ii(one), ii(one)): [("KEY204", "registry-merge-self")],
        (ii(one), ii(three)): [("KEY204", "registry-merge-subsumed")],
        (ii(three), ii(one)): [("KEY204", "registry-merge-surviving")],
        (ii(one), ii(unknown)): [("KEY204", known)],
        (ii(unknown), ii(one)): [("KEY204", known)],
        (ii(two), ii(one, STRANGE)): [("KEY204", "feed-patient-id")],
        (ii(two, STRANGE), ii(one, STRANGE)): [("KEY204", "feed-patient-id")] * 2,
        (ii(two) + ii(four), ii(one)): [("SYN102", pair)],
        (ii(four), ii(one) + ii(two)): [("SYN102", pair)],
        (ii(two), ""): [("KEY204", "feed-patient-id")],
    }
    for (surviving, subsumed), errors in expected.items():
        assert outcome(ask(feed, RESOLVED, surviving, subsumed)) == ("CE", errors)
    assert [is_known(feed, cx(id)) for id in (one, two, three, four)] == [True, True, False, True]


def test_a_national_number_changes_without_being_announced(new_node: Callable[..., Node]) -> None:
    """D-nummer into fødselsnummer, both synthetic; a number that is none changes into nothing."""
    node = new_node(patients__source="national")
    dnr, fnr = (f"2.16.578.1.12.4.1.4.{series}" for series in (2, 1))
    old, new = "57855599114", "17855599120"
    assert is_known(node, cx(old, dnr))
    assert outcome(ask(node, RESOLVED, ii("17855599121", fnr), ii(old, dnr))) == (
        "CE",
        [("KEY204", "registry-patient-known")],
    )
    assert outcome(ask(node, RESOLVED, ii(new, fnr), ii(old, dnr))) == ("CA", [])
    assert shown(node, cx(new, fnr)) == [cx(new, fnr)]
    assert not is_known(node, cx(old, dnr))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<id root="22a0f9e0-4454-11dc-a6be-3603d6866807"/>', ""),
        (' ITSVersion="XML_1.0"', ""),
        ('<processingCode code="T"/>', ""),
        ('<acceptAckCode code="AL"/>', '<acceptAckCode code="AL"/><acceptAckCode code="AL"/>'),
        ("</controlActProcess>", "</controlActProcess><controlActProcess/>"),
    ],
)
def test_a_message_that_cannot_be_acknowledged_is_a_fault(feed: Node, old: str, new: str) -> None:
    """What the wrapper lacks cannot be answered in an acknowledgement."""
    content = message(ADDED, ii(new_id()))
    assert old in content
    reply = ask(feed, ADDED, content.replace(old, new, 1))
    assert reply.status in (400, 500)
    assert reply.fault.code == f"{{{SOAP12}}}Sender"
    assert "ITI-44" in reply.fault.reason


def test_the_action_must_be_that_of_the_message(feed: Node) -> None:
    """An addition is not taken for a merge, nor the other way round."""
    reply = ask(feed, RESOLVED, message(ADDED, ii(new_id())))
    assert reply.fault.code == f"{{{SOAP12}}}Sender"


def test_a_message_without_devices_is_answered(feed: Node) -> None:
    """To nobody in particular."""
    content = re.sub(r"<(receiver|sender) .*?</\1>", r"<\1/>", message(ADDED, ii(new_id())))
    reply = ask(feed, ADDED, content)
    assert outcome(reply) == ("CA", [])
    assert _valid(reply).find("h:receiver/h:device/h:id", NS).attrib == {"nullFlavor": "NI"}


def test_neither_answer_nor_log_says_who_it_is_about(feed: Node) -> None:
    """Not the ids, nor name or birth."""
    old, new = new_id(), new_id()
    reply = ask(feed, RESOLVED, ii(new), ii(old))
    assert outcome(reply)[0] == "CE"
    log = feed.log.read_text()
    reference = re.search(r"Reference ([0-9a-f]{12})", reply.body.decode())
    assert reference
    assert reference[1] in log
    for secret in (old, new, "Kvakkelund", "19550517"):
        assert secret not in reply.body.decode()
        assert secret not in log
