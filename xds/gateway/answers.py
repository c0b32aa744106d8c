"""Other communities' answers, read and checked: what they list and hand over, and what went wrong.

remote.py reads every answer here. Objects and documents are passed on as they came, whatever is in them;
what has no community of its own, or a stranger's, is left out with an error. Texts of another community may
be about a person: they go into answers and never into a log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from uuid import UUID

from lxml import etree

from xds.errors import Code, Fault, RegistryError, XdsError
from xds.gateway.rules import broken
from xds.metadata import names
from xds.metadata.datatypes import bare_oid
from xds.transport.message import Message, MissingPart
from xds.transport.staged import Staged

_QUERY_RESPONSE: Final = f"{{{names.QUERY}}}AdhocQueryResponse"
_RETRIEVE_RESPONSE: Final = f"{{{names.XDS}}}RetrieveDocumentSetResponse"
_REGISTRY_RESPONSE: Final = f"{{{names.RS}}}RegistryResponse"
_ERROR: Final = f"{{{names.RS}}}RegistryError"
_RIM: Final = f"{{{names.RIM}}}"
_OBJECT_LIST: Final = f"{_RIM}RegistryObjectList"
_XDS: Final = f"{{{names.XDS}}}"

_DOCUMENT: Final = f"{_RIM}ExtrinsicObject"
_OBJECTS: Final = frozenset((_DOCUMENT, f"{_RIM}RegistryPackage"))
#: What says whose it is (ITI TF-2 3.38.4.1.3); beside whole objects, references are none of the answer's.
_OWNED: Final = {True: _OBJECTS, False: _OBJECTS | {f"{_RIM}ObjectRef"}}
_KNOWN: Final = _OBJECTS | {f"{_RIM}{name}" for name in ("Association", "Classification", "ObjectRef")}
#: Namespaces of one answer: those of SOAP, WS-Addressing, WS-Security and ebRIM, and as many again.
_MOST_NAMESPACES: Final = 32
_STATUSES: Final = frozenset((names.SUCCESS, names.PARTIAL_SUCCESS, names.FAILURE))
_CODES: Final = frozenset(Code)
_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
#: Of a text that another community wrote, and of the ids that one error names.
_LONGEST: Final = 1000
#: Of an id or a MIME type (ebRIM LongName).
_LONGEST_ID: Final = 256
_MOST_IDS: Final = 20
#: Of one answer; what the first community says must not push out what the others say.
_MOST_ERRORS: Final = 50


class Unreadable(XdsError):
    """The answer is none to the request."""


class TooMany(XdsError):
    """The answer has more objects than one may have here."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An answer to a query: its status, its objects as XML by themselves, its errors, and the entryUUIDs of
    documents (16 bytes each).
    """

    status: str
    objects: Sequence[bytes] = ()
    errors: tuple[RegistryError, ...] = ()
    documents: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Returned:
    """One document of an answer, with the ids under which it was asked for; the `new_…` as in ITI-43."""

    repository: str
    unique_id: str
    mime_type: str
    staged: Staged
    new_repository: str = ""
    new_unique_id: str = ""


@dataclass(frozen=True, slots=True)
class Handed:
    """An answer to a retrieval. The files are `message`'s: who has it must have it discarded."""

    status: str
    documents: tuple[Returned, ...]
    errors: tuple[RegistryError, ...]
    message: Message


def read_listed(message: Message, home: str, *, leaf: bool, most: int, most_bytes: int) -> Listed:
    """The answer to ITI-38 of the community `home` (with urn:oid:), of so many objects and bytes at most.

    Raises Unreadable, TooMany.
    """
    body = message.body
    status = _status(body, _QUERY_RESPONSE)
    _check_namespaces(body)
    found = body.find(_OBJECT_LIST)
    objects: list[bytes] = []
    documents: list[bytes] = []
    strangers: list[str] = []
    size = 0
    for element in () if found is None else list(islice(found.iterchildren("*"), most + 1)):
        if element.tag not in _KNOWN or not element.get("id"):
            raise Unreadable  # whatever it is, it would make the whole answer invalid
        if _is_strangers(element, home, must_say=element.tag in _OWNED[leaf]):
            strangers.append(element.get("id", ""))
            continue
        if element.tag in _OWNED[leaf]:
            element.set("home", home)
        if element.tag == _DOCUMENT or not leaf:
            documents += _uuid(element.get("id", ""))
        # Alone it has the namespaces that it uses; in its tree it would be written with all around it.
        assert found is not None
        found.remove(element)
        objects.append(etree.tostring(element, with_tail=False))
        size += len(objects[-1])
        if size > most_bytes or len(objects) > most:
            raise TooMany
    errors = [each for each in _errors(body, home) if each.code is not Code.UNKNOWN_PATIENT_ID]
    if strangers:
        ids = " ".join(each for each in strangers[:_MOST_IDS] if _UUID.fullmatch(each))
        errors.append(broken("community-home", home, f"({len(strangers)}: {ids})"))
    if not errors and status != names.SUCCESS:
        if next(_errors(body, home), None) is not None:
            status = names.SUCCESS  # it does not know the patient: it has nothing (ITI TF-2 3.38.4.1.3)
        else:
            errors.append(broken("community-reason", home))
    if status == names.FAILURE:  # has nothing to show, whatever stands beside it
        return Listed(status, errors=tuple(errors))
    return Listed(status, objects, tuple(errors), tuple(documents))


def _is_strangers(element: etree._Element, home: str, *, must_say: bool) -> bool:
    """Whether an object, or one inside it, is another community's, or is not said to be anybody's."""
    homes = [each.get("home") for each in element.iter(*_KNOWN)]
    own = bare_oid(home)
    return (must_say and not homes[0]) or any(each and bare_oid(each) != own for each in homes)


def _check_namespaces(body: etree._Element) -> None:
    """Objects are written with every namespace that they use: few and short ones. Raises Unreadable."""
    root = body.getroottree().getroot()
    found = {declared[1] for _, declared in etree.iterwalk(root, events=("start-ns",)) if declared}
    if len(found) > _MOST_NAMESPACES or any(len(uri) > _LONGEST_ID for uri in found):
        raise Unreadable


def read_handed(message: Message, home: str) -> Handed:
    """The answer to ITI-39 of the community `home` (with urn:oid:). Raises Unreadable."""
    body = message.body
    response = body.find(_REGISTRY_RESPONSE)
    if body.tag != _RETRIEVE_RESPONSE or response is None:
        raise Unreadable
    status = _status(response, _REGISTRY_RESPONSE)
    errors = tuple(_errors(response, home))
    if status != names.SUCCESS and not errors:
        errors = (broken("community-reason", home),)
    return Handed(status, tuple(_documents(message)), errors, message)


def _documents(message: Message) -> Iterator[Returned]:
    for each in message.body.iterchildren(f"{_XDS}DocumentResponse"):
        content = each.find(f"{_XDS}Document")
        if content is None:
            raise Unreadable
        try:
            staged = message.content(content)
        except (MissingPart, Fault):  # its part is not there; its text is not base64
            raise Unreadable from None
        yield Returned(
            _text(each, "RepositoryUniqueId"),
            _text(each, "DocumentUniqueId"),
            _text(each, "mimeType"),
            staged,
            _text(each, "NewRepositoryUniqueId"),
            _text(each, "NewDocumentUniqueId"),
        )


def _text(element: etree._Element, name: str) -> str:
    text = (element.findtext(_XDS + name) or "").strip()
    if len(text) > _LONGEST_ID:
        raise Unreadable
    return text


def _status(element: etree._Element, tag: str) -> str:
    status = element.get("status", "")
    if element.tag != tag or status not in _STATUSES:
        raise Unreadable
    return status


def _errors(body: etree._Element, home: str) -> Iterator[RegistryError]:
    """The errors of an answer as they came, each located at its community."""
    for element in islice(body.iter(_ERROR), _MOST_ERRORS):
        code = element.get("errorCode", "")[:_LONGEST]
        context, location = element.get("codeContext", "")[:_LONGEST], element.get("location", "")[:_LONGEST]
        known = code in _CODES
        yield RegistryError(
            Code(code) if known else Code.REGISTRY_ERROR,
            context if not location or bare_oid(location) == bare_oid(home) else f"{context} ({location})",
            home,
            warning=element.get("severity", "").endswith(":Warning"),
            foreign_code="" if known else code,
        )


def _uuid(text: str) -> Iterator[bytes]:
    if _UUID.fullmatch(text):
        yield UUID(text[9:]).bytes
