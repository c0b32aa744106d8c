"""Rows of millions of documents, made from a few thousand submissions that the registry itself has prepared.

`masters` has `Registry.prepare` work on submissions in which all that is a document's own – ids, patient,
times, hash – is a mark; `Copies` puts others in the place of the marks, in the columns and in the text of the
element, and compresses that as the registry does. tests/bench/test_copies.py submits what was made to a
registry and compares the rows: whatever prepare.py writes, this must write.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import count, islice
from operator import itemgetter
from typing import Any, Final

from bench import content, population
from bench.population import REPLACEMENT, TOGETHER
from tests.metadata import samples
from xds.metadata import names
from xds.metadata.entries import registry_object
from xds.metadata.model import DocumentEntry, Submission
from xds.registry.prepare import Prepared, numbered, words_of
from xds.registry.registry import Options, Registry
from xds.store import schema
from xds.store.bodies import pack, unpack
from xds.store.database import Database
from xds.store.keys import new_key, now, unique_id_key, uuid_bytes, uuid_urn

Row = tuple[Any, ...]
#: The tables that are filled, in the order of their columns.
TABLES: Final = {
    table.name: table
    for table in (
        schema.patient,
        schema.document_entry,
        schema.submission_set,
        schema.association,
        schema.listed_code,
        schema.uid_claim,
        schema.stored_document,
    )
}
Rows = dict[str, list[Row]]

#: The marks of what each copy has of its own. Numbers have eight digits in titles and in ids.
_PATIENT: Final = "87654321"
_NUMBER: Final = "76543210"
_SET_NUMBER: Final = "65432109"
_HASH: Final = "5a" * 20
_CREATED, _STARTED, _STOPPED = "19010203040506", "190304050607", "190506070809"
_REPLACED: Final = "urn:uuid:12345678-1234-4234-8234-123456789abc"

#: Numbers of documents and of sets begin here; content.py has those below.
_FIRST: Final = 10_000_000
_KINDS: Final = (*range(1, TOGETHER + 1), REPLACEMENT)

#: Years that a document's time may be of, and how often: what is shared is mostly recent.
_YEARS: Final = {2015: 1, 2016: 1, 2017: 2, 2018: 3, 2019: 5, 2020: 8, 2021: 12, 2022: 18, 2023: 26, 2024: 36,
                 2025: 48, 2026: 40}  # fmt: skip
_MOMENTS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Text:
    """An element's text with gaps, and which values fill them."""

    text: bytes
    gaps: itemgetter[str]

    def filled(self, values: dict[str, bytes]) -> bytes:
        """The stored form with these values."""
        return pack(self.text % self.gaps(values))


@dataclass(frozen=True, slots=True)
class Master:
    """One submission: the columns of its rows, and the texts of its elements: set, documents, associations.

    `ends` are what each association links, as places among these, and behind them the document replaced;
    `listed` the codes of listed_code: (kind, code, which document). `prefixes`: the UUIDs of a copy begin as
    its master's do, as the ids of an element's children are made from those four digits.
    """

    the_set: dict[str, Any]
    documents: tuple[dict[str, Any], ...]
    associations: tuple[dict[str, Any], ...]
    ends: tuple[tuple[int, int], ...]
    listed: tuple[tuple[int, int, int], ...]
    texts: tuple[Text, ...]
    prefixes: tuple[bytes, ...]


def masters(database: Database, each: int) -> dict[int, list[Master]]:
    """`each` submissions of every kind that population.py knows; their codes get numbers in the database."""
    registry = Registry(database, Options(patients="open"))
    chance = random.Random(7)
    prepared = {kind: [registry.prepare(_submission(kind, chance)) for _ in range(each)] for kind in _KINDS}
    words = {word for some in prepared.values() for one in some for word in words_of(one)}
    with database.write() as connection:
        numbers = registry._codes.intern(connection, words)
    return {kind: [_master(one, numbers) for one in some] for kind, some in prepared.items()}


def _submission(kind: int, chance: random.Random) -> Submission:
    patient = f"{_PATIENT}{content.pid(0)[8:]}"
    head = replace(
        content.set_of(patient, int(_SET_NUMBER)), submission_time=_CREATED, entry_uuid="SubmissionSet01"
    )
    documents = [_entry(patient, place, chance) for place in range(kind or 1)]
    links = [samples.member(head.entry_uuid, own.entry_uuid, "Original") for own in documents]
    if kind == REPLACEMENT:
        links.append(samples.association(names.RPLC, documents[0].entry_uuid, _REPLACED))
    return Submission(
        replace(head, received=registry_object(head)),
        tuple(replace(own, received=registry_object(own)) for own in documents),
        (),
        tuple(replace(own, received=registry_object(own)) for own in links),
    )


def _entry(patient: str, place: int, chance: random.Random) -> DocumentEntry:
    return content.entry(
        patient,
        int(_NUMBER),
        chance,
        entry_uuid=f"Document{place}",
        confidentiality_codes=(samples.NORMAL, samples.BLOCKED)
        if chance.random() < 0.02
        else (samples.NORMAL,),
        # A few large ones (images, PDF), many small: half are below 60 kB.
        size=max(500, int(chance.lognormvariate(11, 1.2))),
        creation_time=_CREATED,
        service_start_time=_STARTED,
        service_stop_time=_STOPPED,
        hash=_HASH,
    )


def _master(one: Prepared, numbers: Any) -> Master:
    (the_set,), documents, associations = (
        one.rows[name] for name in ("submission_set", "document_entry", "association")
    )
    rows = [numbered(row, numbers) for row in (the_set, *documents, *associations)]
    uuids = [row["entry_uuid"] for row in rows]
    ids = [*uuids, uuid_bytes(_REPLACED)]
    places = {row["doc_pk"]: place for place, row in enumerate(documents)}
    first = 1 + len(documents)
    return Master(
        rows[0],
        tuple(rows[1:first]),
        tuple(rows[first:]),
        tuple((ids.index(row["source_uuid"]), ids.index(row["target_uuid"])) for row in rows[first:]),
        tuple(
            (row["kind"], numbers[row["code_pk"]], places[row["obj_pk"]]) for row in one.rows["listed_code"]
        ),
        tuple(_text(row["body"], place, uuids) for place, row in enumerate(rows)),
        tuple(uuid[:2] for uuid in uuids),
    )


def _text(body: bytes, own: int, uuids: Sequence[bytes]) -> Text:
    """The element's text cut at every mark; a gap for a UUID is the part behind its first four digits."""
    (text,) = unpack([body])
    marks = {
        _PATIENT: "patient",
        _NUMBER: f"number {own}",
        _SET_NUMBER: "set number",
        _HASH: f"hash {own}",
        _CREATED: "created",
        _STARTED: "started",
        _STOPPED: "stopped",
        _REPLACED: "replaced",
    } | {_tail(uuid): f"uuid {place}" for place, uuid in enumerate(uuids)}
    gaps: list[str] = []

    def gap(found: re.Match[bytes]) -> bytes:
        gaps.append(marks[found[0].decode()])
        return b"%b"

    pattern = "|".join(map(re.escape, marks)).encode()
    cut = re.sub(pattern, gap, text.replace(b"%", b"%%"))
    return Text(cut, itemgetter(*gaps))


def _tail(uuid: bytes) -> str:
    return uuid_urn(uuid)[13:]


def moments(chance: random.Random) -> list[tuple[str, str, str]]:
    """Times to choose from: creation, and start and stop of the service, which lasted up to two weeks."""
    found = []
    for year in chance.choices(list(_YEARS), list(_YEARS.values()), k=_MOMENTS):
        month, day = chance.randint(1, 12), chance.randint(1, 28)
        start = max(1, day - int(chance.expovariate(0.5)))
        hour, minute, second = chance.randint(0, 23), chance.randint(0, 59), chance.randint(0, 59)
        found.append(
            (
                f"{year}{month:02}{day:02}{hour:02}{minute:02}{second:02}",
                f"{year}{month:02}{start:02}0800",
                f"{year}{month:02}{day:02}2000",
            )
        )
    return found


class Copies:
    """The rows of a part of a step, in batches; `uuids` are of some of the documents written so far."""

    def __init__(
        self, masters: dict[int, list[Master]], step: population.Step, part: int, parts: int
    ) -> None:
        self.uuids: list[bytes] = []
        self._masters = masters
        self._turns = step.submissions(part, parts)
        self._chance = random.Random(f"copies {step.number} {part} {parts}")
        self._moments = moments(self._chance)
        # No other part and no other step has these.
        self._numbers = count(_FIRST + parts * step.before + part, parts)
        self._patients: dict[int, int] = {}
        self._to_be_replaced: dict[int, bytes] = {}
        self._every = population.every(step.documents, parts)
        self._documents = 0
        self._rows: Rows = {}

    def batches(self, submissions: int) -> Iterator[Rows]:
        """The rows of so many submissions at a time, by the names of the tables."""
        while some := list(islice(self._turns, submissions)):
            self._rows = {name: [] for name in TABLES}
            for patient, kind in some:
                self._submission(patient, kind)
            yield self._rows

    def _submission(self, patient: int, kind: int) -> None:
        chance = self._chance
        master = chance.choice(self._masters[abs(kind)])
        created, started, stopped = chance.choice(self._moments)
        own = [_uuid(prefix, chance) for prefix in master.prefixes]
        numbers = [next(self._numbers) for _ in master.documents]
        hashes = [chance.randbytes(20) for _ in master.documents]
        ids = own
        values = {
            "patient": b"%08d" % patient,
            "set number": b"%08d" % numbers[0],
            "created": created.encode(),
            "started": started.encode(),
            "stopped": stopped.encode(),
        }
        values |= {f"uuid {place}": _tail(uuid).encode() for place, uuid in enumerate(own)}
        for place in range(len(numbers)):
            values[f"number {place + 1}"] = b"%08d" % numbers[place]
            values[f"hash {place + 1}"] = hashes[place].hex().encode()
        if kind == REPLACEMENT:
            ids = [*own, self._to_be_replaced.pop(patient)]
            values["replaced"] = uuid_urn(ids[-1]).encode()
        bodies = [text.filled(values) for text in master.texts]
        owner = self._patient(patient)
        set_key, keys = new_key(), [new_key() for _ in numbers]

        unique_id = f"{content.OID}.3.{numbers[0]}"
        self._add(
            "submission_set",
            master.the_set
            | {
                "patient_pk": owner,
                "set_pk": set_key,
                "entry_uuid": own[0],
                "submission_time": int(created),
                "uid_key": unique_id_key(unique_id),
                # As random as any; the ids that were sent, which it is made of, are nobody's.
                "fingerprint": sha256(unique_id.encode()).digest(),
                "body": bodies[0],
            },
        )
        self._claim(unique_id, schema.KIND_SUBMISSION_SET, owner, set_key)
        for place, row in enumerate(master.documents):
            unique_id = f"{content.OID}.2.{numbers[place]}"
            replaced = kind < 0 and not place
            self._add(
                "document_entry",
                row
                | {
                    "patient_pk": owner,
                    "doc_pk": keys[place],
                    "entry_uuid": own[place + 1],
                    "logical_uuid": own[place + 1],
                    "status": schema.STATUS_DEPRECATED if replaced else schema.STATUS_APPROVED,
                    "uid_first": 1,
                    "creation_time": int(created),
                    "service_start": int(started) * 100,
                    "service_stop": int(stopped) * 100,
                    "uid_key": unique_id_key(unique_id),
                    "hash": hashes[place],
                    "body": bodies[place + 1],
                },
            )
            self._claim(unique_id, schema.KIND_DOCUMENT_ENTRY, owner, keys[place], hashes[place], row["size"])
            self._store(unique_id, hashes[place], row["size"])
            if replaced:
                self._to_be_replaced[patient] = own[1]
            self._documents += 1
            if self._documents % self._every == 0:
                self.uuids.append(own[place + 1])
        for place, (row, (source, target)) in enumerate(
            zip(master.associations, master.ends, strict=True), 1 + len(keys)
        ):
            self._add(
                "association",
                row
                | {
                    "patient_pk": owner,
                    "assoc_pk": new_key(),
                    "entry_uuid": own[place],
                    "source_uuid": ids[source],
                    "target_uuid": ids[target],
                    "body": bodies[place],
                },
            )
        self._rows["listed_code"] += [(kind, code, owner, keys[place]) for kind, code, place in master.listed]

    def _patient(self, number: int) -> int:
        """The key of a patient, whose row is made when the first document comes (registry/patients.py)."""
        key = self._patients.get(number)
        if key is None:
            key = self._patients[number] = new_key()
            self._rows["patient"].append((key, content.pid(number), 0, None, key))
        return key

    def _add(self, table: str, row: dict[str, Any]) -> None:
        self._rows[table].append(_COLUMNS[table](row))

    def _claim(
        self,
        unique_id: str,
        kind: int,
        owner: int,
        key: int,
        hash: bytes | None = None,
        size: int | None = None,
    ) -> None:
        self._rows["uid_claim"].append((unique_id_key(unique_id), kind, owner, key, hash, size))

    def _store(self, unique_id: str, hash: bytes, size: int) -> None:
        """What the repository writes of a document (repository/documents.py); there are no bytes."""
        key = self._chance.randbytes(16).hex()
        sha256_ = self._chance.randbytes(32)
        time = now()
        folder = (
            f"{time // 10**10}/{time // 10**8 % 100:02}/{time // 10**6 % 100:02}/{time // 10**4 % 100:02}"
        )
        self._rows["stored_document"].append(
            (unique_id, f"{folder}/{key}", hash, sha256_, size, "application/pdf", time)
        )


_COLUMNS: Final = {name: itemgetter(*table.c.keys()) for name, table in TABLES.items()}


def _uuid(prefix: bytes, chance: random.Random) -> bytes:
    """A random one (version 4) that begins with two given bytes."""
    bits = chance.getrandbits(112) & ~(0xF << 76 | 0x3 << 62)
    return prefix + (bits | 0x4 << 76 | 0x2 << 62).to_bytes(14)
