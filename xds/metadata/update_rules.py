"""The rules of metadata updates (ITI-57, XDS Metadata Update) and restricted updates (ITI-92, RMU).

metadata/updates.py judges the message by these; what only the registry knows is in registry/update_rules.py.
docs/errors.md lists them all and docs/metadata-update.md says where the standard leaves a choice.
A rule's sentence must never hold anything from a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import Code
from xds.metadata.rules import Rule

_MU: Final = "XDS Metadata Update 3.57.4.1.3"
_RMU: Final = "Restricted Metadata Update 3.92.4.1.3"


def update_rule(sentence: str, code: Code = Code.METADATA_UPDATE_ERROR) -> Rule:
    """A rule of ITI-57."""
    return Rule(sentence, _MU, code)


def restricted_rule(sentence: str, code: Code) -> Rule:
    """A rule of ITI-92."""
    return Rule(sentence, _RMU, code)


#: Rule id -> rule; the registry finds some of them broken only when it knows what is registered.
RULES: Final[Mapping[str, Rule]] = {
    "update-operation": update_rule(
        "Every object of an update must belong to an operation, and there must be one: a new version with its"
        " HasMember, UpdateAvailabilityStatus, or SubmitAssociation with its association. Take out all else.",
        Code.METADATA_UPDATE_OPERATION_ERROR,
    ),
    "update-manual-propagation": update_rule(
        "An association must not be submitted for a new version whose associations are propagated: send"
        " AssociationPropagation no with that version.",
        Code.METADATA_UPDATE_OPERATION_ERROR,
    ),
    "update-logical-id": update_rule(
        "A new version must name its logical object in lid, by the urn:uuid: id that is registered, and must"
        " have another id: first versions are registered by ITI-41, ITI-42 and ITI-61."
    ),
    "update-member": update_rule(
        "A new version must be the target of one HasMember from the SubmissionSet, with PreviousVersion."
    ),
    "update-previous-version": update_rule(
        "The HasMember of a new version must have a Slot PreviousVersion with one value, the number of the"
        " version that was read."
    ),
    "update-propagation": update_rule(
        "AssociationPropagation must be yes or no, or be left out, which means yes."
    ),
    "update-once": update_rule(
        "An update must not change an object twice: send one version, and one new status."
    ),
    "update-source": update_rule(
        "The source of UpdateAvailabilityStatus and SubmitAssociation must be the SubmissionSet."
    ),
    "update-status-values": update_rule(
        "OriginalStatus and NewStatus must each have one value, the full URN of Approved or Deprecated, and"
        " must differ."
    ),
    "update-submitted": update_rule(
        "The target of SubmitAssociation must be one new association of the message: a HasMember from a"
        " Folder to a DocumentEntry, or a relationship between two DocumentEntries."
    ),
    "update-association-ends": update_rule(
        "A submitted association must link two different objects: a Folder to a DocumentEntry by HasMember,"
        " or a DocumentEntry to another by a relationship (a snapshot to its on-demand entry), each named by"
        " its urn:uuid: id or being a new version of the message."
    ),
    "update-resolved": update_rule(
        "An object that is not in the message must be named by the urn:uuid: id of one in the registry.",
        Code.UNRESOLVED_REFERENCE,
    ),
    "update-status-target": update_rule(
        "UpdateAvailabilityStatus must name the latest version of a DocumentEntry or Folder, a HasMember"
        " between these two, or a relationship; nothing else changes its status."
    ),
    "restricted-home-required": restricted_rule(
        "The SubmissionSet must name the community whose metadata is to be changed, in the attribute home.",
        Code.MISSING_HOME_COMMUNITY_ID,
    ),
    "restricted-document": restricted_rule(
        "A restricted update must hold a new version of a DocumentEntry.", Code.INVALID_REQUEST
    ),
    "restricted-folder": restricted_rule(
        "A restricted update changes DocumentEntries only: take the Folder out.", Code.OBJECT_TYPE_ERROR
    ),
    "restricted-operation": restricted_rule(
        "A restricted update must hold no associations but the HasMember of each new version: statuses and"
        " associations are changed by ITI-57.",
        Code.UNMODIFIABLE_METADATA,
    ),
    "restricted-logical-id": restricted_rule(
        "A DocumentEntry must name its logical object in lid, by the urn:uuid: id that is registered, and"
        " must have another id: first versions cannot be sent by restricted update.",
        Code.INVALID_REQUEST,
    ),
    "restricted-member": restricted_rule(
        "A new version must be the target of one HasMember from the SubmissionSet, with PreviousVersion.",
        Code.METADATA_ANNOTATION_ERROR,
    ),
    "restricted-previous-version": restricted_rule(
        "The HasMember of a new version must have a Slot PreviousVersion with one value, the number of the"
        " version that was read.",
        Code.METADATA_ANNOTATION_ERROR,
    ),
    "restricted-propagation": restricted_rule(
        "AssociationPropagation must be yes or be left out.", Code.METADATA_ANNOTATION_ERROR
    ),
}
