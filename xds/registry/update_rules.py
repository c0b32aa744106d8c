"""The rules of metadata updates (ITI-57) and restricted updates (ITI-92) that only the registry can judge.

update.py and what it calls report by `broken`, which knows also the rules of an update's message and those of
registration: an update is held to all three. docs/errors.md lists them.
A rule's sentence must never hold anything from a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import Code, RegistryError
from xds.metadata import update_rules
from xds.metadata.rules import Rule
from xds.metadata.update_rules import restricted_rule, update_rule
from xds.registry import rules

RULES: Final[Mapping[str, Rule]] = {
    "update-logical-known": update_rule(
        "The lid must be the logicalID of an object of the same kind in the registry.",
        Code.METADATA_VERSION_ERROR,
    ),
    "update-version": update_rule(
        "PreviousVersion must be the version of the latest one registered: somebody else has updated the"
        " object. Read it again and repeat the change on what is there now.",
        Code.METADATA_VERSION_ERROR,
    ),
    "update-approved": update_rule(
        "The latest version of an object must be Approved to be updated: send UpdateAvailabilityStatus first,"
        " in a request of its own."
    ),
    "update-unique-id": update_rule("A new version must have the uniqueId of the version before it."),
    "update-object-type": update_rule("A new version must have the objectType of the version before it."),
    "update-reconciliation": update_rule(
        "An Approved association must not link objects of two patients: move both in one request, or send"
        " AssociationPropagation no.",
        Code.PATIENT_ID_RECONCILIATION_ERROR,
    ),
    "update-original-status": update_rule("OriginalStatus must be the status that the object has now."),
    "update-patient": update_rule(
        "What an update changes must belong to the patient of its SubmissionSet, or to the one from whom it"
        " moves a document or folder there.",
        Code.PATIENT_ID_DOES_NOT_MATCH,
    ),
    "update-association-approved": update_rule(
        "A submitted association must link Approved objects in their latest versions."
    ),
    "update-association-patient": update_rule(
        "A submitted association must link two objects of one patient."
    ),
    "update-association-once": update_rule(
        "There must be one Approved association between two objects, in either direction and of any type:"
        " deprecate the one there is."
    ),
    "restricted-home": restricted_rule(
        "The home of the SubmissionSet must be this community's own: updates are not forwarded from here."
        " A node without node.home_community_id takes none.",
        Code.UNKNOWN_COMMUNITY,
    ),
    "restricted-patient-id": restricted_rule(
        "A restricted update must not move a document to another patient.",
        Code.PATIENT_ID_RECONCILIATION_ERROR,
    ),
    "restricted-unique-id": restricted_rule(
        "A restricted update must not change the uniqueId.", Code.METADATA_IDENTIFIER_ERROR
    ),
    "restricted-object-type": restricted_rule(
        "A restricted update must not change the objectType.", Code.OBJECT_TYPE_ERROR
    ),
    "restricted-unmodifiable": restricted_rule(
        "A restricted update must not change this attribute: send it as it is registered.",
        Code.UNMODIFIABLE_METADATA,
    ),
}

_EVERY: Final = {**rules.RULES, **update_rules.RULES, **RULES}


def broken(rule_id: str, location: str = "", detail: str = "") -> RegistryError:
    """The error of a broken rule at a location."""
    return _EVERY[rule_id].error(rule_id, location, detail=detail)
