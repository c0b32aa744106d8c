"""The command `xds explain`: who is seen as whom, by which rules, and why each document is visible or not.

`xds.cli` registers it with `add_commands`. It reads the node's own database and asks no running node, so it
is for the operator. What it shows goes to the terminal and nowhere else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from xds.client.patients import patient_id
from xds.client.terminal import show_json, table
from xds.commands.privacy import user
from xds.config import Settings, audit_node, audit_receiver_names
from xds.errors import DataTypeError, Denied, Fault, XdsError

if TYPE_CHECKING:
    from xds.access.explain import Explanation
    from xds.security.caller import Caller
    from xds.store.database import Database

ReadSettings = Callable[[argparse.Namespace], Settings]
OpenDatabase = Callable[[Settings], "AbstractContextManager[Database]"]


def explain(arguments: argparse.Namespace, read_settings: ReadSettings, open_database: OpenDatabase) -> int:
    """Print the decision of gate 2."""
    from xds.access import explain as access
    from xds.access.policy import PolicyFile
    from xds.access.rule_table import national_rules
    from xds.audit.facts import Deed
    from xds.audit.operators import Operator
    from xds.metadata.datatypes import CX
    from xds.security.caller import Identifier

    settings = read_settings(arguments)
    moment = arguments.at or datetime.now(UTC)
    caller = _caller(arguments.caller, settings, moment)
    cx = CX.parse(arguments.patient)
    options = {
        "youth": settings["access.youth"],
        "time_limits": settings["access.time_limits"],
        "environment": settings["environment"],
    }
    with open_database(settings) as database:
        found = access.explain(
            database,
            PolicyFile(settings["access.policy"]).policies,
            national_rules(),
            options,
            caller,
            Identifier(cx.id, cx.authority),
            moment,
        )
        operator = Operator(
            database, audit_node(settings), audit_receiver_names(settings), user(), "xds explain", "explain"
        )
        operator.trail(f"as {caller.subject}").seen(Deed(patient=arguments.patient))
    if arguments.document is not None:
        # The newest version decides; a first version has the entryUUID that is the logicalID of all.
        asked = arguments.document.lower()
        documents = tuple(each for each in found.documents if asked in (each.entry_uuid, each.logical_id))
        if not documents:
            raise XdsError("The patient has no document entry with this entryUUID.")
        found = replace(found, documents=documents)
    if arguments.json:
        show_json(_json(found))
        return 0
    _show(found, caller)
    return 0


def _caller(path: Path, settings: Settings, moment: datetime) -> Caller:
    """Who the ticket says asks; one that is not good now is explained all the same, and that is said."""
    from xds.security import show
    from xds.security.trust_store import TrustStore

    try:
        data = path.read_bytes()
    except OSError as error:
        raise XdsError(f"The ticket cannot be read: {error.strerror}.") from None
    try:
        if settings["trust"]:
            try:
                return show.verified(data, TrustStore(settings["trust"]), moment)
            except Denied as denial:
                print(
                    f"xds: this node would turn the ticket away ({denial.rule}); as if it were good:",
                    file=sys.stderr,
                )
        else:
            print("xds: there is no trust file, so the ticket was not verified", file=sys.stderr)
        return show.unverified(data)
    except (Denied, Fault):
        raise XdsError("The file is no ticket that can be read: see `xds ticket show`.") from None


def _show(found: Explanation, caller: Caller) -> None:
    from xds.access.explain import CRITERIA, RELATIONS, STATES, words_for

    situation = found.situation

    def line(norwegian: str, english: str) -> None:
        print(f"  {norwegian}\n  {english}\n")

    print("HVEM SPØR / WHO ASKS")
    line(*RELATIONS[situation.relation])
    shown = (
        ("dag / day", str(situation.day)),
        ("utsteder / issuer", f"{caller.issuer} ({caller.issuer_kind})"),
        ("formål / purpose", situation.purpose or "-"),
        ("tilgangsgrunnlag / acp", situation.acp or "?"),
        ("pasientens alder / patient's age", _age(situation.patient_age)),
        ("spørrerens alder / caller's age", _age(situation.caller_age)),
        ("sikkerhetsnivå / security level", str(situation.level)),
        ("rolle / role", situation.role or "-"),
    )
    print("\n".join(f"  {name}: {value}" for name, value in shown))
    print("\nTILGANGSPOLICY / POLICY")
    for action, (permitted, policy) in found.policies.items():
        said = ("tillatt / permitted" if permitted else "nektet / denied") + (
            f": {policy}" if policy else ": ingen policy passer / no policy applies"
        )
        print(f"  {action}: {said}")
    if not found.same_patient:
        print("  billetten gjelder en annen pasient / the ticket is for another patient")
    print("\nREGEL / RULE")
    rule = found.decision.rule
    if rule is None:
        line("ingen regel passer: nei", "no rule fits: no")
    else:
        print(f"  {rule.id} ({rule.source})")
        line(rule.nb, rule.en)
        if rule.opens:
            line("åpner det som er sperret, og det logges", "opens what is blocked, and this is logged")
    for other, criteria in found.misfits:
        said = "; ".join(" / ".join(CRITERIA[each]) for each in criteria)
        print(f"  - {other}: {said}")
    print("\nDOKUMENTER / DOCUMENTS")
    rows = [
        (
            each.entry_uuid,
            each.class_code,
            " ".join(each.codes),
            " / ".join(STATES[each.state]),
            "; ".join(" / ".join(words_for(reason)) for reason in each.reasons),
        )
        for each in found.documents
    ]
    print(table(("ENTRYUUID", "CLASS", "CODES", "STATE", "WHY"), rows) if rows else "  ingen / none")


def _age(years: int | None) -> str:
    return "ukjent / unknown" if years is None else str(years)


def _json(found: Explanation) -> object:
    rule = found.decision.rule
    return {
        "relation": str(found.situation.relation),
        "purpose": found.situation.purpose,
        "acp": found.situation.acp,
        "patientAge": found.situation.patient_age,
        "callerAge": found.situation.caller_age,
        "policies": {
            str(action): {"permitted": permitted, "policy": policy}
            for action, (permitted, policy) in found.policies.items()
        },
        "ticketIsForThisPatient": found.same_patient,
        "rule": None if rule is None else rule.id,
        "otherRules": {other: list(criteria) for other, criteria in found.misfits},
        "documents": [
            {
                "entryUUID": each.entry_uuid,
                "class": each.class_code,
                "codes": list(each.codes),
                "approved": each.approved,
                "state": each.state,
                "reasons": [reason.what for reason in each.reasons],
            }
            for each in found.documents
        ],
    }


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    read_settings: ReadSettings,
    open_database: OpenDatabase,
) -> None:
    """Add `explain` to the command line."""
    text = "Say why somebody sees a patient's documents, or does not, in Norwegian and English."
    command = commands.add_parser("explain", help=text, description=text)
    command.add_argument("--config", type=Path, help="settings file (TOML); XDS_… variables win over it")
    command.add_argument(
        "--caller", type=Path, metavar="TICKET", required=True, help="a file with the ticket"
    )
    command.add_argument("--patient", type=_patient, metavar="ID", required=True, help="whose documents")
    command.add_argument("--document", metavar="ENTRYUUID", help="only this document")
    command.add_argument("--at", type=_moment, metavar="TIME", help="as of this time (ISO 8601), not of now")
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=lambda arguments: explain(arguments, read_settings, open_database))


def _patient(text: str) -> str:
    try:
        return patient_id(text)
    except DataTypeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _moment(text: str) -> datetime:
    from xds.access.decision import day_of

    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        day_of(moment)  # which the ends of the calendar have not
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("write a time such as 2026-05-17T12:00:00+02:00") from None
    return moment
