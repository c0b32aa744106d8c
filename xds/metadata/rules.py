"""The rules of gate 0: what valid metadata is, one line per rule, under an id that never changes.

Validation reports by these ids and docs/errors.md lists them; each layer with rules of its own has such a
mapping named RULES, made of the same `Rule`.
A rule's sentence says what is wanted and what to do, and must never hold anything from a message.

An id is `<what>-<attribute>-<problem>` for an attribute (DE document entry, SS submission set, FD folder,
AS association; problems: required, prohibited, single, type, length; code and system in code_rules.py), else
words that name the thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xds.errors import Code, RegistryError
from xds.metadata.attributes import AUTHOR_SLOTS, TABLES, Attribute, Coding, Table
from xds.metadata.datatypes import CHECKS

#: Who checks, and so which codes: the Repository's where it is a repository that answers (ITI TF-3 4.2.4.1).
_REPOSITORY_TRANSACTIONS: Final = ("ITI-39", "ITI-41", "ITI-43", "ITI-80", "ITI-86")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a sentence with the remedy, the section it comes from, the code it is reported under.

    `repository_code` stands instead of `code` when a repository finds the error.
    """

    sentence: str
    source: str
    code: Code
    repository_code: Code | None = None

    @property
    def codes(self) -> tuple[Code, ...]:
        """Every code the rule is reported under."""
        return (self.code,) if self.repository_code is None else (self.code, self.repository_code)

    def error(
        self,
        rule_id: str,
        location: str,
        transaction: str = "",
        detail: str = "",
        *,
        warning: bool = False,
    ) -> RegistryError:
        """The rule broken at `location`; `detail` follows the sentence, with no metadata but unique ids."""
        at_repository = self.repository_code is not None and transaction in _REPOSITORY_TRANSACTIONS
        code = self.repository_code if at_repository and self.repository_code is not None else self.code
        return RegistryError(code, f"{self.sentence} {detail}".rstrip(), location, rule_id, warning)


def _metadata(sentence: str, source: str) -> Rule:
    return Rule(sentence, source, Code.REGISTRY_METADATA_ERROR, Code.REPOSITORY_METADATA_ERROR)


def _place(attribute: Attribute) -> str:
    """Where to put the attribute, in words."""
    match attribute.coding:
        case Coding.XML:
            return f"the XML attribute {attribute.key}"
        case Coding.SLOT:
            return f"the Slot {attribute.key}"
        case Coding.NAME | Coding.DESCRIPTION:
            return f"{attribute.coding.value}/LocalizedString/@value"
        case Coding.IDENTIFIER:
            return f"an ExternalIdentifier with identificationScheme {attribute.key}"
        case Coding.NODE:
            return f"a Classification with classificationNode {attribute.key}"
        case _:
            return f"a Classification with classificationScheme {attribute.key}"


#: Who registers; LIM is limited metadata.
_SENDERS: Final = ("ITI-41", "ITI-42", "ITI-61", "LIM")


def _attribute_rules(table: Table) -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for attribute in table.attributes:
        name = attribute.name
        start = f"{table.prefix}-{name}-"
        place = _place(attribute)
        if senders := [column for column in _SENDERS if attribute.required(column)]:
            limit = "" if senders[:3] == [*_SENDERS[:3]] else f" ({', '.join(senders)})"
            limit = limit.replace("LIM", "limited metadata")
            rules[f"{start}required"] = _metadata(
                f"{table.name}.{name} is required{limit}: give it in {place}.", "ITI TF-3 4.3.1-3"
            )
        elif attribute.required("query"):
            rules[f"{start}required"] = _metadata(
                f"{table.name}.{name} is required in an answer: a registry gives it in {place}.",
                "ITI TF-3 4.3.1-3",
            )
        if any(attribute.prohibited(column) for column in _SENDERS):
            rules[f"{start}prohibited"] = _metadata(
                f"{table.name}.{name} must not be sent in this transaction: take out {place}.",
                "ITI TF-3 4.3.1-3",
            )
        if not attribute.many and attribute.coding in (Coding.SLOT, Coding.CODE, Coding.IDENTIFIER):
            rules[f"{start}single"] = _metadata(
                f"{table.name}.{name} must have one value only: {place}, once.", table.source
            )
        if attribute.type in CHECKS:
            rules[f"{start}type"] = _metadata(
                f"{table.name}.{name} does not follow its data type, {attribute.type}.",
                "ITI TF-3 table 4.2.3.1.7-2",
            )
        if attribute.maximum:
            rules[f"{start}length"] = _metadata(
                f"{table.name}.{name} must be at most {attribute.maximum} characters long.", table.source
            )
        if attribute.coding is Coding.AUTHOR:
            rules |= _author_rules(table.prefix)
    return rules


def _author_rules(prefix: str) -> dict[str, Rule]:
    source = "ITI TF-3 4.2.3.1.4"
    rules = {
        f"{prefix}-author-identity": _metadata(
            "An author must have at least one of authorPerson, authorInstitution and "
            "authorTelecommunication.",
            source,
        )
    }
    for name, data_type, _, many in AUTHOR_SLOTS:
        if not many:
            rules[f"{prefix}-{name}-single"] = _metadata(
                f"{name} must have one value only: send a Classification for each author.", source
            )
        if data_type in CHECKS:
            rules[f"{prefix}-{name}-type"] = _metadata(
                f"{name} does not follow its data type, {data_type}.", source
            )
    return rules


_EBRIM = "ITI TF-3 4.2.3.1"
_SCHEMA = "ebRIM 3.0 schema"
_CONTENT = "ITI TF-3 4.2.1.5"
_MEMBERS = "ITI TF-3 4.2.2.1"
_RELATIONS = "ITI TF-3 4.2.2.2; ITI TF-2 3.42.4.1.3.5"

#: Rule id -> rule, in the order in which one object's errors are reported.
RULES: Final[Mapping[str, Rule]] = {
    "object-kind": _metadata(
        "A submission must hold ExtrinsicObjects, RegistryPackages and Associations only: take this object "
        "out.",
        "ITI TF-3 4.2.1",
    ),
    "object-id-length": _metadata(
        "An object's id must not be longer than 256 characters. Nothing else of the message was looked at.",
        _SCHEMA,
    ),
    "object-id-unique": _metadata(
        "Every object of a submission must have an id of its own.", "ITI TF-2 3.42.4.1.3.7"
    ),
    "object-lid-first": _metadata(
        "The lid of a first version must be left out or equal the id: new versions go by metadata update.",
        "XDS Metadata Update",
    ),
    "classification-nested": _metadata(
        "A Classification must stand inside the object it classifies; only the label of a SubmissionSet or "
        "Folder may stand beside it, with classifiedObject naming a RegistryPackage of the message.",
        "ITI TF-3 4.2.1.2.1",
    ),
    "package-label": _metadata(
        "A RegistryPackage must carry one label, a Classification whose classificationNode makes it a "
        "SubmissionSet or a Folder.",
        "ITI TF-3 4.2.1.2.1, 4.2.1.3.1",
    ),
    "slot-unique": _metadata(
        "A Slot name must stand once in an object: put all values into one ValueList.", "ITI TF-3 4.2.3.1"
    ),
    "value-length": _metadata(
        "A slot value, a code and an identifier must be at most 256 characters long, a localized text 1024.",
        _SCHEMA,
    ),
    **{rule_id: rule for table in TABLES for rule_id, rule in _attribute_rules(table).items()},
    "DE-objectType-stable": _metadata(
        "objectType must be that of stable documents; on-demand documents are registered by ITI-61.",
        "ITI TF-2 3.42.4.1.2",
    ),
    "DE-objectType-demand": _metadata(
        "objectType must be that of on-demand documents; stable ones are registered by ITI-41 or ITI-42.",
        "ITI TF-2 3.61.4.1.2",
    ),
    "DE-serviceTime-order": _metadata(
        "serviceStartTime must not be later than serviceStopTime.", "ITI TF-2 3.42.4.1.3.3"
    ),
    "DE-sourcePatientInfo-once": _metadata(
        "sourcePatientInfo must have PID-7 and PID-8 once at most each.", "ITI TF-3 table 4.2.3.1.7-2"
    ),
    "AS-associationType-known": _metadata(
        "associationType must be the full URN of an association type of the standard.", "ITI TF-3 4.2.2"
    ),
    "AS-associationType-submission": _metadata(
        "UpdateAvailabilityStatus and SubmitAssociation must be sent by metadata update (ITI-57).",
        "XDS Metadata Update",
    ),
    "AS-associationDocumentation-relationship": _metadata(
        "Association documentation must stand on relationships between documents only, not on HasMember.",
        "ITI TF-3 4.2.2",
    ),
    "classification-owner": _metadata(
        "classifiedObject must be the id of the object around the Classification.", f"{_EBRIM}.2"
    ),
    "classification-form": _metadata(
        "A Classification must have either a classificationScheme or a classificationNode.", f"{_EBRIM}.10"
    ),
    "code-value": _metadata("A coded attribute must give its code in nodeRepresentation.", f"{_EBRIM}.2"),
    "code-scheme": _metadata(
        "A coded attribute must have one Slot codingScheme with one value.", f"{_EBRIM}.2"
    ),
    "code-display": _metadata(
        "A display name that is given must not be empty: fill Name/LocalizedString/@value or leave Name out.",
        f"{_EBRIM}.2",
    ),
    "identifier-owner": _metadata(
        "registryObject must be the id of the object around the ExternalIdentifier.", f"{_EBRIM}.3"
    ),
    "identifier-name": _metadata(
        "An ExternalIdentifier must carry the Name that the standard fixes for it, such as "
        "XDSDocumentEntry.uniqueId.",
        f"{_EBRIM}.3",
    ),
    "submission-set-one": _metadata("A submission must have exactly one SubmissionSet.", _CONTENT),
    "document-one": _metadata(
        "ITI-61 must register at least one on-demand DocumentEntry.", "ITI TF-2 3.61.4.1.2"
    ),
    "uniqueId-message": Rule(
        "The objects of a message must have different uniqueIds: give this one its own.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.REGISTRY_DUPLICATE_UNIQUE_ID_IN_MESSAGE,
        Code.REPOSITORY_DUPLICATE_UNIQUE_ID_IN_MESSAGE,
    ),
    "patientId-message": Rule(
        "The SubmissionSet and all its new DocumentEntries and Folders must have the same patientId.",
        "ITI TF-2 3.42.4.1.3.3.2",
        Code.PATIENT_ID_DOES_NOT_MATCH,
    ),
    "member-document": _metadata(
        "Every new DocumentEntry must be a member of the SubmissionSet: send a HasMember from the set to it "
        "with SubmissionSetStatus Original.",
        _CONTENT,
    ),
    "member-folder": _metadata(
        "Every new Folder must be a member of the SubmissionSet: send a HasMember from the set to it.",
        _CONTENT,
    ),
    "member-resolved": Rule(
        "HasMember must name objects of the message by their id there, and all others by a urn:uuid: id.",
        _MEMBERS,
        Code.UNRESOLVED_REFERENCE,
    ),
    "member-source": _metadata("The source of HasMember must be the SubmissionSet or a Folder.", _MEMBERS),
    "member-of-set": _metadata(
        "A member of a SubmissionSet must be a DocumentEntry, a new Folder, or a HasMember that puts a "
        "DocumentEntry into a Folder.",
        _MEMBERS,
    ),
    "member-of-folder": _metadata("A member of a Folder must be a DocumentEntry.", f"{_MEMBERS}.3"),
    "member-status": _metadata(
        "SubmissionSetStatus must be Original for a DocumentEntry of the message and Reference for one that "
        "is registered already.",
        f"{_MEMBERS}.1",
    ),
    "member-companion": _metadata(
        "A HasMember that puts a DocumentEntry into a Folder must itself be a member of the SubmissionSet: "
        "send a second HasMember from the set to it.",
        f"{_MEMBERS}.4",
    ),
    "member-once": _metadata(
        "A HasMember must link two objects once: take the second one between the same two out.", _MEMBERS
    ),
    "relationship-source": Rule(
        "The source of a relationship must be a DocumentEntry of the message.",
        _RELATIONS,
        Code.UNRESOLVED_REFERENCE,
    ),
    "relationship-target": Rule(
        "The target of a relationship must be another DocumentEntry of the message, or be named by a "
        "urn:uuid: id.",
        _RELATIONS,
        Code.UNRESOLVED_REFERENCE,
    ),
    "relationship-registered": Rule(
        "The target of a replacement or snapshot must be registered already: name it by its urn:uuid: id.",
        _RELATIONS,
        Code.UNRESOLVED_REFERENCE,
    ),
    "relationship-snapshot": _metadata(
        "The source of IsSnapshotOf must be a stable DocumentEntry, registered by ITI-41 or ITI-42.",
        "ITI TF-3 4.2.2.2.6",
    ),
    "relationship-addendum": _metadata(
        "An addendum must belong to the original document: a transformation (XFRM) is not appended to.",
        _RELATIONS,
    ),
}
