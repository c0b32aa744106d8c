"""What a message is about, for the access log, read of its XML before anybody has checked it.

app.py asks a transaction's `about` as soon as the sender is let in, so that a request which comes to nothing
is on record with whatever can be read of it. These functions raise nothing and believe nothing: what was done
is told by `do`, from checked data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from lxml import etree

from xds.audit.facts import Document, Query, Subject
from xds.errors import DataTypeError
from xds.metadata import names
from xds.metadata.confidentiality import codes_of
from xds.metadata.datatypes import CX
from xds.metadata.ebrim import read_slots
from xds.metadata.model import DocumentEntry
from xds.registry.owners import Owned
from xds.registry.queries import MULTI_PATIENT_QUERIES, STORED_QUERIES
from xds.registry.registry import StoredQuery, patients_asked_for
from xds.transport.message import Message

#: What one failed request is on record with; more would let a bad message outgrow the log.
_MOST: Final = 100
#: A patient id that is longer is nobody's (ebRIM LongName).
LONGEST: Final = 256

_RIM: Final = f"{{{names.RIM}}}"
_QUERY: Final = f"{_RIM}AdhocQuery"
_OBJECTS: Final = f"{_RIM}RegistryObjectList"
_IDENTIFIER: Final = f"{_RIM}ExternalIdentifier"
_XDS: Final = f"{{{names.XDS}}}"
_NAMES: Final = {id_: module.NAME for id_, module in (STORED_QUERIES | MULTI_PATIENT_QUERIES).items()}


def query(message: Message) -> Subject:
    """A stored query: its id, its text, and the patients that it names."""
    element = message.body.find(_QUERY)
    if element is None:
        return Subject()
    asked = StoredQuery(element.get("id", ""), read_slots(element), home=element.get("home", ""))
    named = (pid for _, some in patients_asked_for(asked) for pid in some)
    pids = dict.fromkeys(pid for pid in named if len(pid) <= LONGEST)
    return Subject(
        patients=tuple(pids)[:_MOST],
        query=Query(
            id=asked.id, name=_NAMES.get(asked.id, ""), home=asked.home, text=etree.tostring(message.body)
        ),
    )


def submission(message: Message) -> Subject:
    """A submission or an update: its set, its patient and its documents."""
    objects = next(message.body.iter(_OBJECTS), None)
    if objects is None:
        return Subject()
    found: dict[str, list[str]] = {}
    for each in objects.iterchildren():
        for identifier in each.iterchildren(_IDENTIFIER):
            scheme, value = identifier.get("identificationScheme", ""), identifier.get("value", "")
            if scheme in _IDENTIFIERS and value:
                found.setdefault(scheme, []).append(value)
    return Subject(
        patients=tuple(_patients(found.get(names.SUBMISSION_SET_PATIENT_ID, ())))[:1],
        submission_set="".join(found.get(names.SUBMISSION_SET_UNIQUE_ID, [])[:1]),
        documents=tuple(Document(unique_id=each) for each in found.get(names.DOCUMENT_UNIQUE_ID, [])[:_MOST]),
    )


_IDENTIFIERS: Final = frozenset(
    (names.SUBMISSION_SET_PATIENT_ID, names.SUBMISSION_SET_UNIQUE_ID, names.DOCUMENT_UNIQUE_ID)
)


def _patients(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        with suppress(DataTypeError):
            if len(text) <= LONGEST:
                yield str(CX.parse(text))


def documents(message: Message) -> Subject:
    """The documents of a retrieval or a removal, as asked for."""
    requests = message.body.iterchildren(f"{_XDS}DocumentRequest")
    found = (
        Document(
            unique_id=each.findtext(f"{_XDS}DocumentUniqueId", ""),
            repository=each.findtext(f"{_XDS}RepositoryUniqueId", ""),
            home=each.findtext(f"{_XDS}HomeCommunityId", ""),
        )
        for each in requests
    )
    return Subject(documents=tuple(each for each in found if each.unique_id)[:_MOST])


def references(message: Message) -> Subject:
    """The objects that a removal names."""
    found = [element.get("id", "") for element in message.body.iter(f"{_RIM}ObjectRef")]
    return Subject(documents=tuple(Document(entry_uuid=each) for each in found if each)[:_MOST])


# ---- from checked data, for `do`


def entries(given: Iterable[DocumentEntry]) -> tuple[Document, ...]:
    """Document entries that are being registered."""
    return tuple(
        Document(
            unique_id=each.unique_id,
            repository=each.repository_unique_id or "",
            home=each.home or "",
            mime_type=each.mime_type,
            codes=tuple(each.confidentiality_codes),
        )
        for each in given
    )


def owned(document: Document, owner: Owned | None) -> Document:
    """A document with the codes under which the registry has it."""
    return document if owner is None else replace(document, codes=codes_of(owner.restrictions))
