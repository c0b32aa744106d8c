"""Gate 0: is the metadata of a submission valid? Every error at once, in an order that does not change.

The transactions that submit call `check` before anything is stored, then `submission` for the typed values.
It judges by the message alone (what needs the registry is the registry's to check), reads the tables of
`attributes`, `rules` and `code_rules`, and must never repair, nor quote a value other than object ids and
unique ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from xds.errors import DataTypeError, RegistryError
from xds.metadata import attributes, entries, names
from xds.metadata.attributes import Attribute, Children, Coding, Table
from xds.metadata.code_rules import RULES as CODE_RULES
from xds.metadata.code_rules import CodeFinding, CodeRules
from xds.metadata.datatypes import CHECKS, dtm_low
from xds.metadata.ebrim import OWNER, adopt_siblings, is_uuid
from xds.metadata.model import RegistryObject, Submission
from xds.metadata.rules import RULES

#: "query": objects as a registry gives them, each judged by itself.
Transaction = Literal["ITI-41", "ITI-42", "ITI-61", "ITI-57", "ITI-92", "query"]
#: They hold new versions and commands; metadata/updates.py has the rules of these.
_UPDATES: Final = ("ITI-57", "ITI-92")

_VALUE_LENGTH: Final = 256
_TEXT_LENGTH: Final = 1024
#: Errors of one message after which no more is looked for.
MOST: Final = 10_000
#: Wrong values of one attribute that are told apart in its error.
_DETAILS: Final = 10

_TYPES: Final = frozenset({names.HAS_MEMBER, *names.RELATIONSHIPS})
_UPDATE_TYPES: Final = frozenset({names.UPDATE_AVAILABILITY_STATUS, names.SUBMIT_ASSOCIATION})
#: Relationships whose target is in the registry, never in the message (ITI TF-3 4.2.2.2).
_TO_REGISTERED: Final = frozenset({*names.REPLACEMENTS, names.IS_SNAPSHOT_OF})
_STATUS: Final = "SubmissionSetStatus"
#: Transactions in which a message may be labelled as limited; it is then judged by the column LIM, but for
#: what this node cannot do without: nobody could find the document, or tell its bytes from others.
_LIMITED_IN: Final = frozenset({"ITI-41", "ITI-42"})
_NEEDED: Final = frozenset({"patientId", "hash", "size", "repositoryUniqueId"})
#: The objectType that a transaction must not register, and the rule that says so.
_OTHER_TYPES: Final = {
    "ITI-41": (names.ON_DEMAND, "DE-objectType-stable"),
    "ITI-42": (names.ON_DEMAND, "DE-objectType-stable"),
    "ITI-61": (names.STABLE, "DE-objectType-demand"),
}
#: What a SubmissionSet's member is -> the status its HasMember carries (ITI TF-3 4.2.2.1.1).
_STATUSES: Final = {"DocumentEntry": ("Original",), "registered": ("Reference",)}

#: What a rule check yields: rule id, location, detail. The location of an object's own parts is below its id.
_Finding = tuple[str, str, str]
_Findings = Iterator[_Finding]


def check(
    objects: Sequence[RegistryObject], *, transaction: Transaction, codes: CodeRules | None = None
) -> tuple[RegistryError, ...]:
    """Every error of a submission: object by object in message order and table order, then the whole.

    After MOST errors no more is looked for: half a million empty elements would have as many.

    A rule is reported once at a location, with what is wrong with the first values that break it.
    With `codes`, an object's codes are judged after all else of it; some of these findings are warnings.
    Whether limited metadata is accepted at all is the registry's to say.
    Slots that no table knows are never an error, whatever their name: they are stored and given back, so that
    a sender's local additions survive. ITI TF-3 4.2.3.1.6 wants them URN-named, and a registry may insist
    (ITI TF-2 3.42.4.1.3.2); this one does not (docs/transactions.md).
    """
    message = _Message(adopt_siblings(objects), transaction)
    found: dict[tuple[str, str, bool], list[str]] = {}
    errors = 0  # warnings do not count: an error behind them must be found
    for finding in _all(message, codes):
        rule_id, location, detail = finding[:3]
        warning = isinstance(finding, CodeFinding) and finding.warning
        errors += not warning and (rule_id, location, warning) not in found
        if errors > MOST:
            break
        details = found.setdefault((rule_id, location, warning), [])
        if detail and len(details) < _DETAILS and detail not in details:
            details.append(detail)
    return tuple(
        (RULES.get(rule_id) or CODE_RULES[rule_id]).error(
            rule_id, location, transaction, "; ".join(details), warning=warning
        )
        for (rule_id, location, warning), details in found.items()
    )


def submission(objects: Sequence[RegistryObject]) -> Submission:
    """The typed content of a message in which `check` found nothing."""
    found: dict[str, list[RegistryObject]] = {table.name: [] for table in attributes.TABLES}
    for obj in adopt_siblings(objects):
        table = attributes.table_of(obj)
        if table is not None:
            found[table.name].append(obj)
    return Submission(
        entries.submission_set(found["SubmissionSet"][0]),
        tuple(map(entries.document_entry, found["DocumentEntry"])),
        tuple(map(entries.folder, found["Folder"])),
        tuple(map(entries.association, found["Association"])),
    )


class _Message:
    """The objects of one message with what the rules ask about them."""

    __slots__ = ("by_id", "children", "limited", "objects", "tables", "transaction")

    def __init__(self, objects: tuple[RegistryObject, ...], transaction: Transaction) -> None:
        self.objects: Final = objects
        self.transaction: Final = transaction
        self.limited: Final = transaction in _LIMITED_IN and any(map(attributes.is_limited, objects))
        self.tables: Final = [attributes.table_of(obj) for obj in objects]
        self.children: Final = [Children(obj) for obj in objects]
        #: id -> table name of the first object with that id.
        self.by_id: Final[dict[str, str]] = {}
        for obj, table in zip(objects, self.tables, strict=True):
            if obj.id and table is not None:
                self.by_id.setdefault(obj.id, table.name)

    def of(self, *tables: Table) -> Iterator[tuple[Table, Children]]:
        """The objects of these tables in message order."""
        for table, children in zip(self.tables, self.children, strict=True):
            if table is not None and table in tables:
                yield table, children

    def associations(self, *types: str) -> Iterator[RegistryObject]:
        """The associations of these types in message order."""
        for obj in self.objects:
            if obj.kind == "Association" and obj.attributes.get("associationType") in types:
                yield obj

    def column(self, attribute: Attribute, obj: RegistryObject) -> str:
        """The column of the tables by which an attribute of this object is judged."""
        if self.transaction in _UPDATES and obj.attributes.get("objectType") == names.ON_DEMAND:
            return "ITI-61"  # a new version of what was registered so
        return "LIM" if self.limited and attribute.name not in _NEEDED else self.transaction

    def kind(self, reference: str) -> str:
        """What a reference names: a table's name, "registered" for a UUID that is not here, else nothing."""
        return self.by_id.get(reference) or ("registered" if is_uuid(reference) else "")


def _all(message: _Message, codes: CodeRules | None) -> Iterator[_Finding | CodeFinding]:
    # Every location starts with an id, so ids of any length would be written as often as there are errors.
    long = [number for number, obj in enumerate(message.objects, 1) if len(obj.id) > _VALUE_LENGTH]
    if long:
        yield from (("object-id-length", f"RegistryObjectList[{number}]", "") for number in long)
        return
    seen: set[str] = set()
    for obj, table, children in zip(message.objects, message.tables, message.children, strict=True):
        if obj.id:
            if obj.id in seen:
                yield "object-id-unique", obj.id, ""
            seen.add(obj.id)
        yield from _object(obj, table, children, message)
        if codes is not None and table is not None:
            yield from codes.check(table, children)
    if message.transaction == "query":
        return
    for rule in _ANYWHERE if message.transaction in _UPDATES else _WHOLE:
        yield from rule(message)


# ---- one object


def _object(obj: RegistryObject, table: Table | None, children: Children, message: _Message) -> _Findings:
    here = obj.id
    if table is None:
        if obj.kind == "Classification":
            yield "classification-nested", here, ""
        elif obj.kind == "RegistryPackage":
            yield "package-label", here, ""
            yield from _parts(obj, here)
        else:
            yield "object-kind", here, ""
        return
    lid = obj.attributes.get("lid")
    versioned = message.transaction in (*_UPDATES, "query") and table in (
        attributes.DOCUMENT_ENTRY,
        attributes.FOLDER,
    )
    if lid is not None and lid != here and not versioned:
        yield "object-lid-first", f"{here}/logicalID", ""
    yield from _parts(obj, here)
    for attribute in table.attributes:
        yield from _attribute(attribute, table, children, message.column(attribute, obj))
    if table is attributes.DOCUMENT_ENTRY:
        yield from _document_entry(children, message.transaction)
    elif table is attributes.ASSOCIATION:
        yield from _association(obj, children, message.transaction)
    yield from _nested(obj, table)


def _parts(obj: RegistryObject, here: str) -> _Findings:
    """Slot names and lengths of an object and of everything in it."""
    names_seen: set[str] = set()
    for slot in obj.slots:
        if slot.name in names_seen:
            yield "slot-unique", f"{here}/{slot.name}", ""
        names_seen.add(slot.name)
        for value in slot.values:
            if len(value) > _VALUE_LENGTH:
                yield "value-length", f"{here}/{slot.name}", ""
                break
    for text in (*obj.name, *obj.description):
        if len(text.value) > _TEXT_LENGTH:
            yield "value-length", f"{here}/{'title' if text in obj.name else 'comments'}", ""
    for child in obj.classifications:
        place = f"{here}/{_LABELS.get(child.attributes.get('classificationScheme', ''), 'Classification')}"
        if len(child.attributes.get("nodeRepresentation", "")) > _VALUE_LENGTH:
            yield "value-length", place, ""
        yield from _parts(child, place)
    for child in obj.external_identifiers:
        place = (
            f"{here}/{_LABELS.get(child.attributes.get('identificationScheme', ''), 'ExternalIdentifier')}"
        )
        if len(child.attributes.get("value", "")) > _VALUE_LENGTH:
            yield "value-length", place, ""
        yield from _parts(child, place)


#: Scheme UUID -> IHE's name of the attribute, for locations.
_LABELS: Final = {
    a.key: a.name
    for table in attributes.TABLES
    for a in table.attributes
    if a.coding in (Coding.CODE, Coding.AUTHOR, Coding.IDENTIFIER)
}


def _attribute(attribute: Attribute, table: Table, children: Children, column: str) -> _Findings:
    rule = f"{table.prefix}-{attribute.name}-"
    place = f"{children.obj.id}/{attribute.name}"
    if attribute.coding is Coding.AUTHOR:
        for author in children.classifications.get(attribute.key, ()):
            yield from _author(author, table.prefix, f"{children.obj.id}/")
        return
    texts: tuple[str, ...] = ()
    if attribute.coding is Coding.CODE:
        count = len(children.classifications.get(attribute.key, ()))
    elif attribute.coding is Coding.NODE:
        count = int(attribute.key in children.nodes)
    else:
        texts = children.texts(attribute)
        count = len(texts)
    if not count:
        if attribute.required(column):
            yield f"{rule}required", place, ""
        return
    if attribute.prohibited(column):
        yield f"{rule}prohibited", place, ""
    if count > 1 and f"{rule}single" in RULES:
        yield f"{rule}single", place, ""
    typed = CHECKS.get(attribute.type)
    if typed is not None:
        yield from _typed(typed, texts, f"{rule}type", place)
    if attribute.maximum and any(len(text) > attribute.maximum for text in texts):
        yield f"{rule}length", place, ""


def _typed(typed: Callable[[str], object], texts: Sequence[str], rule_id: str, place: str) -> _Findings:
    for number, text in enumerate(texts, 1):
        try:
            typed(text)
        except DataTypeError as error:
            position = f" (value {number})" if len(texts) > 1 else ""
            yield rule_id, place, f"{error}{position}"


def _author(author: RegistryObject, prefix: str, here: str) -> _Findings:
    slots = attributes.slot_values(author)
    if not any(slots.get(name) for name in attributes.AUTHOR_IDENTITIES):
        yield f"{prefix}-author-identity", f"{here}author", ""
    for name, data_type, _, many in attributes.AUTHOR_SLOTS:
        values = slots.get(name, ())
        if len(values) > 1 and not many:
            yield f"{prefix}-{name}-single", f"{here}{name}", ""
        typed = CHECKS.get(data_type)
        if typed is not None:
            yield from _typed(typed, values, f"{prefix}-{name}-type", f"{here}{name}")


def _document_entry(children: Children, transaction: Transaction) -> _Findings:
    here = children.obj.id
    other, rule_id = _OTHER_TYPES.get(transaction, ("", ""))
    if other and children.obj.attributes.get("objectType") == other:
        yield rule_id, f"{here}/objectType", ""
    start, stop = (_time(children.slots.get(name, ())) for name in ("serviceStartTime", "serviceStopTime"))
    # Compared as far as both are known: care that began at noon may well have ended "that day".
    known = min(len(start), len(stop))
    if start[:known] > stop[:known]:
        yield "DE-serviceTime-order", f"{here}/serviceStartTime", ""
    fields = Counter(value.partition("|")[0] for value in children.slots.get("sourcePatientInfo", ()))
    if fields["PID-7"] > 1 or fields["PID-8"] > 1:
        yield "DE-sourcePatientInfo-once", f"{here}/sourcePatientInfo", ""


def _time(values: Sequence[str]) -> str:
    """The first value when it is a time, else nothing."""
    try:
        dtm_low(values[0])
    except (DataTypeError, IndexError):
        return ""
    return values[0]


def _association(obj: RegistryObject, children: Children, transaction: Transaction) -> _Findings:
    kind = obj.attributes.get("associationType")
    if kind in _UPDATE_TYPES:
        if transaction not in _UPDATES:
            yield "AS-associationType-submission", f"{obj.id}/associationType", ""
    elif kind is not None and kind not in _TYPES:
        yield "AS-associationType-known", f"{obj.id}/associationType", ""
    if kind == names.HAS_MEMBER and names.ASSOCIATION_DOCUMENTATION in children.classifications:
        yield "AS-associationDocumentation-relationship", f"{obj.id}/associationDocumentation", ""


def _nested(obj: RegistryObject, table: Table) -> _Findings:
    """The Classifications and ExternalIdentifiers of an object, in the order they stand in it."""
    coded = {a.key for a in table.attributes if a.coding is Coding.CODE}
    identifiers = {a.key: a for a in table.attributes if a.coding is Coding.IDENTIFIER}
    for child in obj.classifications:
        scheme = child.attributes.get("classificationScheme", "")
        place = f"{obj.id}/{_LABELS.get(scheme, 'Classification')}"
        if child.attributes.get(OWNER["Classification"]) != obj.id:
            yield "classification-owner", place, ""
        if bool(scheme) == bool(child.attributes.get("classificationNode")):
            yield "classification-form", place, ""
        if scheme in coded:
            yield from _code(child, place)
    for child in obj.external_identifiers:
        attribute = identifiers.get(child.attributes.get("identificationScheme", ""))
        place = f"{obj.id}/{attribute.name if attribute else 'ExternalIdentifier'}"
        if child.attributes.get(OWNER["ExternalIdentifier"]) != obj.id:
            yield "identifier-owner", place, ""
        if attribute is not None and [text.value for text in child.name] != [
            table.identifier_name(attribute)
        ]:
            yield "identifier-name", place, ""


def _code(child: RegistryObject, place: str) -> _Findings:
    if not child.attributes.get("nodeRepresentation"):
        yield "code-value", place, ""
    schemes = attributes.slot_values(child).get("codingScheme", ())
    if len(schemes) != 1 or not schemes[0]:
        yield "code-scheme", place, ""
    # IHE asks senders for a display name, and forbids a registry to judge it (ITI TF-2 3.42.4.1.3.3.3):
    # absence is accepted, a name without text is not.
    if any(not text.value for text in child.name):
        yield "code-display", place, ""


# ---- the whole message


def _one_submission_set(message: _Message) -> _Findings:
    sets = [children.obj.id for _, children in message.of(attributes.SUBMISSION_SET)]
    if len(sets) != 1:
        yield "submission-set-one", sets[1] if sets else "", ""


def _some_document(message: _Message) -> _Findings:
    if message.transaction == "ITI-61" and not any(message.of(attributes.DOCUMENT_ENTRY)):
        yield "document-one", "", ""


def _unique_ids(message: _Message) -> _Findings:
    seen: set[str] = set()
    for table, children in message.of(*_IDENTIFIED):
        own = dict.fromkeys(_identifier(table, children, "uniqueId"))
        for unique_id in own:
            if unique_id in seen:
                yield "uniqueId-message", f"{children.obj.id}/uniqueId", f"({unique_id})"
        seen.update(own)


def _patient_ids(message: _Message) -> _Findings:
    expected = next(
        (
            patient
            for table, children in message.of(attributes.SUBMISSION_SET)
            for patient in _identifier(table, children, "patientId")
        ),
        None,
    )
    for table, children in message.of(*_IDENTIFIED):
        for patient in _identifier(table, children, "patientId"):
            if expected is not None and patient != expected:
                yield "patientId-message", f"{children.obj.id}/patientId", ""


_IDENTIFIED: Final = (attributes.DOCUMENT_ENTRY, attributes.SUBMISSION_SET, attributes.FOLDER)


def _identifier(table: Table, children: Children, name: str) -> tuple[str, ...]:
    """The values of patientId or uniqueId that are there; empty ones are reported as such, not compared."""
    found = children.identifiers.get(table.scheme(name), ())
    return tuple([value for value in [i.attributes.get("value") for i in found] if value])


_MEMBERS: Final = ((attributes.DOCUMENT_ENTRY, "member-document"), (attributes.FOLDER, "member-folder"))


def _members(message: _Message) -> _Findings:
    sets = {children.obj.id for _, children in message.of(attributes.SUBMISSION_SET)}
    links = [
        (link, link.attributes.get("sourceObject", ""), link.attributes.get("targetObject", ""))
        for link in message.associations(names.HAS_MEMBER)
    ]
    in_set = {target for _, source, target in links if source in sets}
    into_folders = {link.id for link, source, _ in links if message.kind(source) in ("Folder", "registered")}
    for table, rule_id in _MEMBERS:
        for _, children in message.of(table):
            if sets and children.obj.id not in in_set:
                yield rule_id, children.obj.id, ""
    linked: set[tuple[str, str]] = set()
    for link, source, target in links:
        if source and target and (source, target) in linked:
            yield "member-once", link.id, ""
        linked.add((source, target))
        source_kind, target_kind = message.kind(source), message.kind(target)
        for end, kind in (("sourceObject", source_kind), ("targetObject", target_kind)):
            if not kind and link.attributes.get(end):
                yield "member-resolved", f"{link.id}/{end}", ""
        if not source_kind or not target_kind:
            continue
        if source_kind == "SubmissionSet":
            if target_kind in _STATUSES:
                # Elsewhere the slot means nothing, and senders put it there all the same.
                if attributes.slot_values(link).get(_STATUS) != _STATUSES[target_kind]:
                    yield "member-status", f"{link.id}/submissionSetStatus", ""
            elif target_kind != "Folder" and target not in into_folders:
                yield "member-of-set", f"{link.id}/targetObject", ""
        elif source_kind in ("Folder", "registered"):
            if target_kind not in ("DocumentEntry", "registered"):
                yield "member-of-folder", f"{link.id}/targetObject", ""
            if sets and link.id not in in_set:
                yield "member-companion", link.id, ""
        else:
            yield "member-source", f"{link.id}/sourceObject", ""


def _relationships(message: _Message) -> _Findings:
    transformations = {a.attributes.get("sourceObject") for a in message.associations(names.XFRM)}
    on_demand = {
        children.obj.id
        for _, children in message.of(attributes.DOCUMENT_ENTRY)
        if children.obj.attributes.get("objectType") == names.ON_DEMAND
    }
    for link in message.associations(*names.RELATIONSHIPS):
        source, target = link.attributes.get("sourceObject"), link.attributes.get("targetObject")
        if source and message.kind(source) != "DocumentEntry":
            yield "relationship-source", f"{link.id}/sourceObject", ""
        kind = link.attributes["associationType"]
        if kind == names.IS_SNAPSHOT_OF and source in on_demand:
            yield "relationship-snapshot", f"{link.id}/sourceObject", ""
        if not target:
            continue
        if kind in _TO_REGISTERED:
            if message.kind(target) != "registered":
                yield "relationship-registered", f"{link.id}/targetObject", ""
        elif target == source or message.kind(target) not in ("DocumentEntry", "registered"):
            yield "relationship-target", f"{link.id}/targetObject", ""
        elif kind == names.APND and target in transformations:
            yield "relationship-addendum", f"{link.id}/targetObject", ""


#: Rules about the message as a whole, in the order of their errors; the first hold for updates too.
_ANYWHERE: Final[tuple[Callable[[_Message], _Findings], ...]] = (
    _one_submission_set,
    _unique_ids,
    _patient_ids,
)
_WHOLE: Final = (*_ANYWHERE, _some_document, _members, _relationships)
