"""Why gate 2 turns a request away: the rules that a sender is told; docs/errors.md lists them.

A sentence holds nothing from a message; the id of the policy or of the national rule follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import Code, RegistryError
from xds.metadata.rules import Rule

RULES: Final[Mapping[str, Rule]] = {
    "access-policy": Rule(
        "Access denied: a policy of this node must permit what the request does, to this kind of caller, with"
        " this role, purpose, security level and scope, and none may deny it.",
        "norwegian-profile 5",
        Code.REGISTRY_ERROR,
        Code.REPOSITORY_ERROR,
    ),
    "access-rule": Rule(
        "Access denied: one of the national rules must fit the caller's relation to the patient, the ages of"
        " both today, the purpose of use, the access policy (acp), the security level and the role.",
        "norwegian-profile 3.3",
        Code.REGISTRY_ERROR,
        Code.REPOSITORY_ERROR,
    ),
    "access-patient": Rule(
        "Access denied: the patient of the request must be the one that the ticket is for: ask for a ticket"
        " for this patient.",
        "norwegian-profile 4.5",
        Code.REGISTRY_ERROR,
        Code.REPOSITORY_ERROR,
    ),
}


def broken(rule_id: str, location: str = "", transaction: str = "", detail: str = "") -> RegistryError:
    """The error of a broken rule at a location."""
    return RULES[rule_id].error(rule_id, location, transaction, detail)
