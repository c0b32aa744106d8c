"""ITI-65 Provide Document Bundle: a submission as a FHIR transaction, all or nothing.

The bundle becomes the objects and documents of ITI-41, and goes on as one: the same rules, the same writing,
the same log. publish.py makes such submissions of single documents with the parts here. Nothing is fetched
from elsewhere, and nothing is stored before everything is valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4, uuid5

import orjson

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Subject
from xds.audit.trail import Trail
from xds.errors import DataTypeError, RegistryError, RegistryFailure
from xds.fhir import datatypes as dt
from xds.fhir import mapping
from xds.fhir.interaction import Answer, Interaction, Json, Request
from xds.fhir.mapping import FOLDER, SUBMISSION_SET, Findings, Reader
from xds.fhir.outcomes import Issue, Refused, issue_of, outcome
from xds.fhir.r4.validation import problems
from xds.fhir.rules import broken
from xds.metadata import names
from xds.metadata.entries import Entry, registry_object
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, SubmissionSet
from xds.metadata.validation import check
from xds.registry.search import Search, Term
from xds.registry.view import Visibility
from xds.store import schema
from xds.store.keys import uuid_urn
from xds.transactions import about
from xds.transactions import iti41_provide_and_register_document_set as iti41
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions.transaction import Node
from xds.transport.staged import Staged

#: Ids that a sender leaves open are made of the submission set's and the entry's own: a bundle that is sent
#: again is the same submission, and changes nothing (docs/decisions/0007-idempotent-repeat.md).
_NAMESPACE: Final = UUID("1b0f3f4e-5b0c-5e0e-9c0e-6a1f0a6b65a5")
#: Elements that MHD does not allow (0..0), by type of resource; and what changes the meaning of all others in
#: a way that is not known here.
_PROHIBITED: Final[Mapping[str, Sequence[str]]] = {
    "DocumentReference": ("docStatus", "implicitRules"),
    "List": ("encounter", "orderedBy", "emptyReason", "implicitRules"),
}
#: Of entries of a List.
_PROHIBITED_OF_ENTRIES: Final = ("flag", "deleted", "date")
#: What can be repeated in R4, and not in MHD.
_SINGLE: Final = ("category", "content")
#: What XDS has no place for.
_NOT_SAVED: Final[Mapping[str, Sequence[str]]] = {
    "DocumentReference": ("custodian", "text", "language"),
    "List": ("text", "language"),
}


# ---- a submission that is being put together


@dataclass(frozen=True, slots=True)
class Target:
    """A registered object that is named by a submission, by `id`, a UUID or a uniqueId; and the rule that is
    broken when there is none.
    """

    kind: int
    id: str
    place: str
    rule: str


@dataclass(slots=True)
class Draft:
    """A submission before the registry was asked about what it names.

    `places` gives the FHIRPath of each object by its id as sent; `targets` what stands for a registered
    object, by the id that links have in its place. `grown` are the registered folders that get documents,
    `patched` the documents that are said to be superseded, each with its place; `made` the ids made here.
    """

    the_set: SubmissionSet
    entries: list[DocumentEntry] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    links: list[Association] = field(default_factory=list)
    documents: dict[str, Staged] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    grown: dict[str, str] = field(default_factory=dict)
    patched: dict[str, str] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    def new_id(self, name: str) -> str:
        """An id that is the same whenever the same submission is made."""
        own = _made_id(self.the_set.unique_id, name)
        self.made.add(own)
        return own

    def link(self, type: str, source: str, target: str, status: str | None = None) -> str:
        """Link two objects; what the set holds it holds as `status` says. Gives the link's id."""
        own = self.new_id(f"{type}|{source}|{target}")
        self.links.append(
            Association(entry_uuid=own, type=type, source=source, target=target, submission_set_status=status)
        )
        self.places.setdefault(own, self.places.get(source, ""))
        return own

    def member(self, target: str, status: str | None = None) -> None:
        """Put something into the set, once."""
        if target not in self.members:
            self.members.add(target)
            self.link(names.HAS_MEMBER, self.the_set.entry_uuid, target, status)

    def file(self, folder: str, document: str) -> None:
        """Put a document into a folder; the set holds that link too (ITI TF-3 4.2.2.1.4)."""
        link = self.link(names.HAS_MEMBER, folder, document)
        self.link(names.HAS_MEMBER, self.the_set.entry_uuid, link)

    def registered(self, target: Target) -> str:
        """What stands for a registered object in links until the registry has said which one it is."""
        own = self.new_id(f"registered|{target.kind}|{target.id}")
        self.targets[own] = target
        return own

    def objects(self) -> list[RegistryObject]:
        """All objects in ebRIM's terms, in order."""
        everything: tuple[Entry, ...] = (self.the_set, *self.entries, *self.folders, *self.links)
        return [_said(registry_object(each)) for each in everything]


def _made_id(unique_id: str, name: str) -> str:
    return f"urn:uuid:{uuid5(_NAMESPACE, f'{unique_id}|{name}')}"


def _said(obj: RegistryObject) -> RegistryObject:
    """The object without empty values: what is not said is missed by its name."""
    return replace(
        obj,
        attributes={name: value for name, value in obj.attributes.items() if value},
        slots=tuple(each for each in obj.slots if any(each.values)),
        classifications=tuple(each for each in obj.classifications if not _is_empty_code(each)),
        external_identifiers=tuple(each for each in obj.external_identifiers if each.attributes.get("value")),
    )


def _is_empty_code(child: RegistryObject) -> bool:
    said = child.attributes.get("nodeRepresentation") or any(any(each.values) for each in child.slots)
    return "classificationScheme" in child.attributes and not said


#: How the answer is made: of the submission as registered, its warnings, and what the caller may see.
MakeAnswer = Callable[[Draft, Sequence[RegistryError], Visibility], Answer]


@dataclass(frozen=True, slots=True)
class Asked:
    """A submission that is valid by itself, and how its answer is made."""

    draft: Draft
    warnings: tuple[RegistryError, ...]
    reference: str
    answer: MakeAnswer

    @property
    def subject(self) -> Subject:
        """For the access log."""
        the_set = self.draft.the_set
        return Subject(
            patients=(the_set.patient_id,),
            submission_set=the_set.unique_id,
            documents=about.entries(self.draft.entries),
        )

    @property
    def provided(self) -> iti41.Provided:
        """As ITI-41 has it."""
        remarks = iti42.Remarks(self.warnings, self.reference)
        return iti41.Provided(tuple(self.draft.objects()), self.draft.documents, remarks)


def asked(
    node: Node,
    draft: Draft,
    errors: Sequence[RegistryError],
    reference: str,
    answer: MakeAnswer,
) -> Asked:
    """The submission, when it is valid by itself. Raises RegistryFailure with everything that is wrong."""
    objects = draft.objects()
    found = [*errors]
    for obj in objects:
        if obj.id in draft.documents:
            found += iti41.compare(obj, draft.documents[obj.id])
    found += check(objects, transaction="ITI-41", codes=node.codes)
    home = node.registry.options
    named: tuple[SubmissionSet | DocumentEntry | Folder, ...]
    named = (draft.the_set, *draft.entries, *draft.folders)
    for one in named:
        if one.home and not home.is_home(one.home):
            found.append(broken("mhd-home", f"{one.entry_uuid}/homeCommunityId"))
    placed = located(found, draft.places)
    if not all(each.warning for each in placed):
        raise RegistryFailure(*placed)
    return Asked(draft, placed, reference, answer)


def located(errors: Sequence[RegistryError], places: Mapping[str, str]) -> tuple[RegistryError, ...]:
    """The errors with FHIRPath in the place of ids and attributes."""
    found = []
    for each in errors:
        own, _, attribute = each.location.partition("/")
        if (place := places.get(own)) is None:
            found.append(each)
            continue
        elements = mapping.DOCUMENT_ELEMENTS if each.location.count("/") and _is_document(place) else {}
        element = elements.get(attribute) or mapping.LIST_ELEMENTS.get(attribute, "")
        found.append(replace(each, location=f"{place}.{element}" if element else place))
    return tuple(dict.fromkeys(found))


def _is_document(place: str) -> bool:
    return "ofType(DocumentReference)" in place or place.startswith("DocumentReference")


def do(node: Node, asked: Asked, access: Access, trail: Trail) -> Answer:
    """Register it, as ITI-41 does, once the registry has said what it names."""
    draft = asked.draft
    _resolve(node, draft, access.visibility)
    try:
        iti41.do(node, asked.provided, access, trail)
    except RegistryFailure as failure:
        # Ids of what was published before, and those made of its uniqueId, are taken when that is, which is
        # what the sender must hear of.
        again = any(each.rule == "registry-set-unique-id" for each in failure.errors)
        told = [
            each
            for each in failure.errors
            if each.rule != "registry-entry-uuid-new"
            or not (again or each.location.partition("/")[0] in draft.made)
        ]
        raise RegistryFailure(*located(told or failure.errors, draft.places)) from None
    return asked.answer(draft, asked.warnings, access.visibility)


def _resolve(node: Node, draft: Draft, visibility: Visibility) -> None:
    """Put the latest version of every registered object that is named into the links."""
    found: dict[str, str] = {}
    errors = []
    for stand_in, target in draft.targets.items():
        page = node.registry.search(
            Search(kind=target.kind, terms=(Term("identifier", (target.id,)),), size=2), visibility
        )
        own = [each for each in page.hits if not each.masked]
        if len(own) != 1:
            errors.append(broken(target.rule, target.place))
        else:
            found[stand_in] = uuid_urn(own[0].entry_uuid)
    if errors:
        raise RegistryFailure(*errors)
    members = {
        (folder, uuid_urn(link.target))
        for folder in draft.grown
        for link in node.registry.links(
            [bytes.fromhex(found[folder][9:].replace("-", ""))], (names.HAS_MEMBER,), visibility
        )
    }
    kept = []
    dropped = set()
    for each in draft.links:
        source, end = found.get(each.source, each.source), found.get(each.target, each.target)
        # It is in the folder already, unless this is the repeat of what put it there.
        if (each.source, end) in members and not node.registry.owners_of_objects([each.entry_uuid]):
            dropped.add(each.entry_uuid)
        elif each.target not in dropped:
            kept.append(replace(each, source=source, target=end))
    draft.links[:] = kept
    replaced = {each.target for each in kept if each.type in names.REPLACEMENTS}
    errors += [
        broken("mhd-patch", place) for each, place in draft.patched.items() if found[each] not in replaced
    ]
    if errors:
        raise RegistryFailure(*errors)
    for stand_in, uuid in found.items():
        if (place := draft.places.get(stand_in)) is not None:
            draft.places[uuid] = place


def asks(asked: Asked) -> Action:
    """A submission that changes what is there is an update, as in ITI-42."""
    changes = {*names.REPLACEMENTS, names.XFRM, names.APND}
    return Action.UPDATE if any(each.type in changes for each in asked.draft.links) else Action.CREATE


def patient(node: Node, asked: Asked) -> str:
    """Whom the submission is about."""
    return asked.draft.the_set.patient_id


# ---- parts that publish.py uses too


def checked(resource: Json) -> None:
    """Raises Refused (422) with everything in which a resource is not R4."""
    found = problems(resource)
    if found:
        raise Refused(
            422,
            *(Issue(each.code, each.text, each.expression) for each in found),
            reason="cannot be read: not R4",
        )


def prohibited(resource: Json, place: str) -> Iterator[RegistryError]:
    """Elements that MHD does not allow; and, as warnings, those that nobody keeps."""
    kind = resource.get("resourceType", "")
    for name in _PROHIBITED.get(kind, ()):
        if name in resource:
            yield broken("mhd-prohibited", f"{place}.{name}")
    for where in _modified(resource, place):
        yield broken("mhd-prohibited", where)
    if kind == "List":
        for number, each in enumerate(resource.get("entry", ())):
            for name in _PROHIBITED_OF_ENTRIES:
                if name in each:
                    yield broken("mhd-prohibited", f"{place}.entry[{number}].{name}")
        if mapping.list_code(resource) == FOLDER and "source" in resource:
            yield broken("mhd-prohibited", f"{place}.source")
        if mapping.list_code(resource) == SUBMISSION_SET:
            for url in (mapping.DESIGNATION, mapping.SOURCE_ID):
                if len(list(dt.extensions(resource, url))) > 1:
                    yield broken("mhd-single", f"{place}.extension")
    if kind == "DocumentReference":
        for where in _not_kept(resource, place):
            yield broken("mhd-not-saved", where, warning=True)
        for name in _SINGLE:
            if len(resource.get(name, ())) > 1:
                yield broken("mhd-single", f"{place}.{name}[1]")
    for name in _NOT_SAVED.get(kind, ()):
        if name in resource:
            yield broken("mhd-not-saved", f"{place}.{name}", warning=True)
    if resource.get("status") != "current":
        yield broken("mhd-status", f"{place}.status")


def _modified(element: Json, place: str) -> Iterator[str]:
    """Where there are modifier extensions, none of which is understood here."""
    for name, value in element.items():
        if name == "modifierExtension":
            yield f"{place}.{name}"
        elif isinstance(value, dict):
            yield from _modified(value, f"{place}.{name}")
        elif isinstance(value, list):
            for number, each in enumerate(value):
                if isinstance(each, dict):
                    yield from _modified(each, f"{place}.{name}[{number}]")


#: Extensions of a DocumentReference that mean something here.
_EXTENSIONS: Final = frozenset((*mapping.HOMES, mapping.SLOT, dt.ORIGINAL))


def _not_kept(resource: Json, place: str) -> Iterator[str]:
    """What a DocumentReference says that XDS has no place for: references to what has no identifier, ids of
    other kinds, further codings, and extensions of others.
    """
    context = resource.get("context", {})
    for name in ("encounter", "related"):
        for number, each in enumerate(context.get(name, ())):
            if not each.get("identifier"):
                yield f"{place}.context.{name}[{number}]"
    own = resource.get("masterIdentifier", {}).get("value")
    for number, each in enumerate(resource.get("identifier", ())):
        value = str(each.get("value", ""))
        if value != own and not value.lower().startswith("urn:uuid:"):
            yield f"{place}.identifier[{number}]"
    for name in ("type", "category", "securityLabel"):
        given = resource.get(name, ())
        for each in [given] if isinstance(given, dict) else given:
            if len(each.get("coding", ())) > 1:
                yield f"{place}.{name}.coding[1]"
    for number, each in enumerate(resource.get("extension", ())):
        if each.get("url") not in _EXTENSIONS:
            yield f"{place}.extension[{number}]"


def of_findings(findings: Findings) -> Iterator[RegistryError]:
    """Values of the wrong form."""
    for place, sentence in findings.wrong:
        yield broken("mhd-value", place, f"({sentence})")


def new_unique_id(seed: str = "") -> str:
    """A uniqueId below 2.25, which is nobody else's; the same for the same seed."""
    return f"2.25.{(uuid5(_NAMESPACE, seed) if seed else uuid4()).int}"


def relations(
    draft: Draft,
    entry: DocumentEntry,
    resource: Json,
    place: str,
    here: Callable[[str], str],
    base: str,
) -> Iterator[RegistryError]:
    """Link a document to what it replaces, transforms, appends to or signs; `here` gives the id of another
    document of the bundle by its fullUrl, or nothing.
    """
    kinds: dict[str, set[str]] = {}
    for number, each in enumerate(resource.get("relatesTo", ())):
        where = f"{place}.relatesTo[{number}].target"
        own = here(each["target"].get("reference", "")) or registered(
            draft, each["target"], "mhd-related", where, base
        )
        if not own or "code" not in each:
            yield broken("mhd-related", where)
            continue
        kinds.setdefault(own, set()).add(mapping.ASSOCIATIONS[each["code"]])
    for own, types in kinds.items():
        if types >= {names.RPLC, names.XFRM}:  # of one target: a transformation that replaces it
            types = types - {names.RPLC, names.XFRM} | {names.XFRM_RPLC}
        for type_ in sorted(types):
            draft.places[draft.link(type_, entry.entry_uuid, own)] = f"{place}.relatesTo"


def registered(draft: Draft, reference: Json, rule: str, place: str, base: str) -> str:
    """What stands for a registered object that a Reference names, by address or identifier; or nothing.

    It is a folder where the rule is mhd-folder, and else a document.
    """
    is_folder = rule == "mhd-folder"
    number = schema.KIND_FOLDER if is_folder else schema.KIND_DOCUMENT_ENTRY
    kind = "List" if is_folder else "DocumentReference"
    target = str(reference.get("reference", "")).removeprefix(f"{base}/")
    if target.startswith(f"{kind}/"):
        own = target.removeprefix(f"{kind}/").partition("/")[0]
        return draft.registered(Target(number, f"urn:uuid:{own.lower()}", place, rule))
    if identifier := reference.get("identifier"):
        try:
            return draft.registered(Target(number, dt.read_unique_id(identifier), place, rule))
        except DataTypeError:
            return ""
    return ""


# ---- the bundle


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of the bundle: its number, what it is, and what it says."""

    number: int
    role: str
    resource: Json
    full_url: str
    method: str
    url: str

    @property
    def place(self) -> str:
        """Its resource, as FHIRPath."""
        kind = self.resource.get("resourceType", "Resource")
        return f"Bundle.entry[{self.number}].resource.ofType({kind})"


#: Type of resource and method -> what the entry is; Lists are told apart by their code.
_ROLES: Final[Mapping[tuple[str, str], str]] = {
    ("DocumentReference", "POST"): "document reference",
    ("Binary", "POST"): "binary",
    ("Parameters", "PATCH"): "patch",
    ("Patient", "POST"): "patient",
    ("Patient", "PUT"): "patient",
    ("Patient", "GET"): "patient",
    ("", "GET"): "patient",
    ("List", "POST"): "list",
    ("List", "PUT"): "list",
}


_CONDITIONS: Final = frozenset(("ifNoneMatch", "ifModifiedSince", "ifMatch", "ifNoneExist"))


def read(node: Node, request: Request) -> Asked:
    """The submission in a bundle. Raises Refused, and RegistryFailure with everything that is wrong."""
    received = request.body()
    bundle = received.resource
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        raise RegistryFailure(broken("mhd-bundle", "Bundle.type"))
    _check_size(bundle)
    contents = _taken_out(bundle)
    if documents := [broken("mhd-fhir-document", place) for place in _fhir_documents(bundle)]:
        raise RegistryFailure(*documents)
    checked(bundle)
    digest = _digest(bundle, received.staged)
    return _Reading(node, request, received.staged, contents, list(_entries(bundle)), digest).asked()


def _digest(bundle: Json, staged: Mapping[str, Staged]) -> str:
    """What a bundle says, as a text of which ids are made."""
    digest = sha256(orjson.dumps(bundle, option=orjson.OPT_SORT_KEYS))
    for name in sorted(staged):
        digest.update(f"{name} {staged[name].sha256}\n".encode())
    return digest.hexdigest()


def _fhir_documents(bundle: Json) -> Iterator[str]:
    """Where there are Bundles in it, which may hold resources that nobody reads here."""
    entries = bundle.get("entry")
    for number, each in enumerate(entries if isinstance(entries, list) else ()):
        resource = each.get("resource") if isinstance(each, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Bundle":
            yield f"Bundle.entry[{number}].resource.ofType(Bundle)"


#: Entries of one bundle, and what its Lists and DocumentReferences may name in all.
MOST_ENTRIES: Final = 3_000
MOST_NAMED: Final = 10_000


def _check_size(bundle: Json) -> None:
    """Raises Refused (413) for more than anybody submits at once, before anything that grows with it."""
    entries = bundle.get("entry")
    entries = entries if isinstance(entries, list) else []
    resources = [each.get("resource") for each in entries if isinstance(each, dict)]
    named = sum(
        len(some)
        for each in resources
        if isinstance(each, dict)
        for name in ("entry", "relatesTo", "contained", "author")
        if isinstance(some := each.get(name), list)
    )
    if len(entries) > MOST_ENTRIES or named > MOST_NAMED:
        sentence = (
            f"A bundle has at most {MOST_ENTRIES:,} entries, and names {MOST_NAMED:,} others: send several."
        )
        raise Refused(413, Issue("too-costly", sentence, "Bundle.entry"))


def _taken_out(bundle: Json) -> dict[int, str]:
    """The names of the documents in the Binaries, by entry; they are no base64 any more."""
    found = {}
    entries = bundle.get("entry")
    for number, each in enumerate(entries if isinstance(entries, list) else ()):
        resource = each.get("resource") if isinstance(each, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Binary":
            data = resource.pop("data", None)
            if isinstance(data, str):
                found[number] = data
    return found


def _entries(bundle: Json) -> Iterator[_Entry]:
    for number, each in enumerate(bundle.get("entry", ())):
        resource, how = each.get("resource", {}), each.get("request", {})
        method = how.get("method", "")
        role = _ROLES.get((resource.get("resourceType", ""), method), "")
        if role == "list":
            code = mapping.list_code(resource)
            role = {SUBMISSION_SET: "set" if method == "POST" else "", FOLDER: "folder"}.get(code, "")
        if role == "patient":
            is_one = method != "GET" or "Patient" in re.split("[/?]", how.get("url", ""))
            role = role if is_one else ""
        elif how.keys() & _CONDITIONS:
            role = ""
        yield _Entry(number, role, resource, each.get("fullUrl", ""), method, how.get("url", ""))


class _Reading:
    """One bundle being read: its entries by role, and everything that is wrong with them."""

    def __init__(
        self,
        node: Node,
        request: Request,
        staged: Mapping[str, Staged],
        contents: Mapping[int, str],
        entries: Sequence[_Entry],
        digest: str,
    ) -> None:
        self._node = node
        self._request = request
        self._staged = staged
        self._contents = contents
        self._entries = entries
        self._digest = digest
        self._findings = Findings()
        self._errors: list[RegistryError] = []
        #: fullUrl -> entry; the id of an object by its entry's number.
        self._by_url: dict[str, _Entry] = {}
        self._by_end: dict[str, _Entry] = {}
        self._ids: dict[int, str] = {}
        self._used: dict[str, int] = {}

    def _of(self, role: str) -> list[_Entry]:
        return [each for each in self._entries if each.role == role]

    def asked(self) -> Asked:
        """The submission."""
        for each in self._entries:
            if not each.role:
                self._errors.append(broken("mhd-entry", f"Bundle.entry[{each.number}]"))
            if each.role in ("patient", "binary", "patch"):
                self._errors += [
                    broken("mhd-prohibited", one) for one in _modified(each.resource, each.place)
                ]
            if each.method in ("POST", "PUT") and (not each.full_url or each.full_url in self._by_url):
                self._errors.append(broken("mhd-full-url", f"Bundle.entry[{each.number}].fullUrl"))
            self._by_url.setdefault(each.full_url, each)
            self._by_end.setdefault("/".join(each.full_url.rsplit("/", 2)[-2:]), each)
        sets = self._of("set")
        if len(sets) != 1:
            raise RegistryFailure(broken("mhd-one-set", "Bundle.entry"), *self._errors)
        draft = Draft(self._set(sets[0]))
        draft.new_id("set")
        for each in (sets[0], *self._of("document reference"), *self._of("folder")):
            self._errors += prohibited(each.resource, each.place)
        documents = self._of("document reference")
        for each in documents:
            self._ids[each.number] = draft.new_id(f"entry|{each.full_url}")
            entry = mapping.read_document_reference(self._reader(each), self._ids[each.number])
            self._ids[each.number] = entry.entry_uuid
            draft.entries.append(entry)
            draft.places[entry.entry_uuid] = each.place
            self._document(draft, each, entry)
        for each, entry in zip(documents, draft.entries, strict=True):
            self._errors += relations(
                draft, entry, each.resource, each.place, self._here, self._request.place.base
            )
        draft.places[draft.the_set.entry_uuid] = sets[0].place
        for each in self._of("folder"):
            self._folder(draft, each)
        for entry in draft.entries:
            draft.member(entry.entry_uuid, "Original")
        self._items(draft, sets[0])
        self._leftovers()
        for each in self._of("patch"):
            self._patch(draft, each)
        self._errors += of_findings(self._findings)
        return asked(self._node, draft, self._errors, self._request.reference, self._answer)

    def _reader(self, each: _Entry) -> Reader:
        return Reader(each.resource, each.place, self._findings, self._resource)

    def _named(self, reference: str) -> _Entry | None:
        """The entry that a reference names: by its fullUrl, or relative to that of the whole."""
        if reference in self._by_url:
            return self._by_url[reference]
        return self._by_end.get(reference)

    def _resource(self, reference: str) -> Json | None:
        found = self._named(reference)
        return None if found is None else found.resource

    def _here(self, reference: str) -> str:
        """The id of a DocumentReference of the bundle; empty when it is none."""
        found = self._named(reference) if reference else None
        return self._ids.get(found.number, "") if found and found.role == "document reference" else ""

    def _set(self, each: _Entry) -> SubmissionSet:
        the_set = mapping.read_set_list(self._reader(each), "")
        unique_id = the_set.unique_id or new_unique_id(self._digest)
        own = the_set.entry_uuid or _made_id(unique_id, "set")
        self._ids[each.number] = own
        return replace(the_set, unique_id=unique_id, entry_uuid=own)

    def _document(self, draft: Draft, each: _Entry, entry: DocumentEntry) -> None:
        """The bytes of a DocumentReference, which are in a Binary or in a part of the message."""
        attachment = each.resource["content"][0]["attachment"]
        place = f"{each.place}.content[0].attachment"
        if "data" in attachment:
            self._errors.append(broken("mhd-document-inside", f"{place}.data"))
        url = attachment.get("url", "")
        binary = self._named(url) if url else None
        name = url if binary is None else self._contents.get(binary.number, "")
        if binary is not None and binary.role == "binary" and not name:
            self._errors.append(broken("mhd-document-data", f"{binary.place}.data"))
        elif name not in self._staged or (binary is None and not name.startswith("cid:")):
            self._errors.append(broken("mhd-document", f"{place}.url"))
        elif name in self._used:
            self._errors.append(broken("mhd-document-once", f"{place}.url"))
        else:
            draft.documents[entry.entry_uuid] = self._staged[name]
        self._used[name] = each.number
        if binary is not None:
            self._ids[binary.number] = entry.entry_uuid

    def _leftovers(self) -> None:
        """Binaries and parts that are nobody's document."""
        for each in self._of("binary"):
            if self._contents.get(each.number, "") not in self._used:
                self._errors.append(broken("mhd-document-once", each.place))
        if any(name.startswith("cid:") and name not in self._used for name in self._staged):
            self._errors.append(broken("mhd-document-once", "Bundle"))

    def _folder(self, draft: Draft, each: _Entry) -> None:
        if each.method == "PUT":
            own = registered(
                draft, {"reference": each.url}, "mhd-folder", each.place, self._request.place.base
            )
            if not own:
                self._errors.append(broken("mhd-folder", each.place))
                return
            draft.grown[own] = each.place
        else:
            folder = mapping.read_folder_list(self._reader(each), draft.new_id(f"entry|{each.full_url}"))
            own = folder.entry_uuid
            draft.folders.append(
                replace(folder, unique_id=folder.unique_id or new_unique_id(f"{own}|folder"))
            )
            draft.member(own)
        self._ids[each.number] = own
        draft.places[own] = each.place
        for number, item in enumerate(each.resource.get("entry", ())):
            where = f"{each.place}.entry[{number}].item"
            document = self._here(item["item"].get("reference", "")) or registered(
                draft, item["item"], "mhd-item", where, self._request.place.base
            )
            if document:
                draft.file(own, document)
            else:
                self._errors.append(broken("mhd-item", where))

    def _items(self, draft: Draft, the_set: _Entry) -> None:
        """What the set holds beside the documents of the bundle: folders, and documents by reference."""
        for number, item in enumerate(the_set.resource.get("entry", ())):
            where = f"{the_set.place}.entry[{number}].item"
            reference = item["item"].get("reference", "")
            named = self._named(reference) if reference else None
            if named is not None and named.role in ("document reference", "folder"):
                continue  # they are in it already
            document = registered(draft, item["item"], "mhd-item", where, self._request.place.base)
            if document:
                draft.member(document, "Reference")
            else:
                self._errors.append(broken("mhd-item", where))

    def _patch(self, draft: Draft, each: _Entry) -> None:
        """A PATCH says what a replacement does anyway."""
        parts = [
            {
                part.get("name"): part.get("valueCode") or part.get("valueString")
                for part in operation.get("part", ())
            }
            for operation in each.resource.get("parameter", ())
            if operation.get("name") == "operation"
        ]
        says_it = parts == [{"type": "replace", "path": "DocumentReference.status", "value": "superseded"}]
        own = registered(draft, {"reference": each.url}, "mhd-patch", each.place, self._request.place.base)
        if says_it and own:
            draft.patched[own] = each.place
        else:
            self._errors.append(broken("mhd-patch", each.place))

    def _answer(self, draft: Draft, warnings: Sequence[RegistryError], visibility: Visibility) -> Answer:
        """The Bundle that tells where everything is, in the order of the request."""
        base = self._request.place.base
        entries = []
        told: dict[str, list[RegistryError]] = {}
        for one in warnings:
            told.setdefault(_entry_of(one.location), []).append(one)
        for each in self._entries:
            own = self._ids.get(each.number, "").removeprefix("urn:uuid:")
            kind = {"set": "List", "folder": "List", "binary": "Binary"}.get(each.role, "DocumentReference")
            response: Json = {"status": "201 Created", "location": f"{base}/{kind}/{own}"}
            if each.role == "patch":
                response = {"status": "200 OK", "location": f"{base}/{each.url.removeprefix(base + '/')}"}
            elif each.role == "patient":
                own = each.full_url if each.method == "POST" else each.url
                response = {"status": "200 OK", "location": own or each.full_url}
            elif each.role == "folder" and each.method == "PUT":
                response = {"status": "200 OK", "location": f"{base}/{each.url.removeprefix(base + '/')}"}
            elif each.role != "binary":
                response["etag"] = 'W/"1"'
            if mine := told.get(f"Bundle.entry[{each.number}]"):
                response["outcome"] = outcome(map(issue_of, mine), self._request.reference)
            entries.append({"response": response})
        return Answer({"resourceType": "Bundle", "type": "transaction-response", "entry": entries})


def _entry_of(expression: str) -> str:
    """The entry of the bundle in which an element is."""
    return expression.partition("]")[0] + "]"


INTERACTIONS: Final = (
    Interaction(
        number="ITI-65",
        method="POST",
        path="",
        code="transaction",
        read=read,
        asks=asks,
        patient=patient,
        do=do,
    ),
)
