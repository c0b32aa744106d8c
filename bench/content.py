"""The registry that is measured: synthetic patients with 5, 50 and 500 documents, registered by our own code.

`filled` gives the path of a database with that content; it is made once for each version of the schema and
kept in the system's temporary folder. Nobody has the patient ids: their assigning authority is made up.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.metadata import samples
from xds.metadata.entries import registry_object
from xds.metadata.model import Association, Code, DocumentEntry, Submission, SubmissionSet
from xds.registry.registry import Options, Registry
from xds.registry.view import EVERYTHING
from xds.store.database import Database

_ROOT: Final = Path(__file__).parent.parent
#: What the content depends on; a change in any of these files makes a new database.
_SOURCES: Final = (
    "xds/store",
    "xds/metadata/ebrim.py",
    "xds/registry/prepare.py",
    "xds/registry/register.py",
    "xds/registry/facets.py",
    "bench/content.py",
)

#: Documents of one patient -> how many of 9,590 documents belong to such patients.
SHARES: Final = {500: 1_000, 50: 4_000, 5: 4_590}
_IN_ONE_SUBMISSION: Final = 5
_IN_ONE_TRANSACTION: Final = 200

OID: Final = "2.16.578.1.12.4.5.480.9"
_YEARS: Final = range(2012, 2027)
#: Group -> how many types of it are used: codes of the national tables, 9 groups and 30 types.
_TYPES_OF: Final = {"A": 7, "B": 3, "C": 4, "D": 5, "E": 2, "F": 3, "I": 2, "J": 2, "S": 2}
_TYPES: Final = [
    Code(f"{group}{n:02}-2", samples.DOCUMENT_TYPES, f"Dokumenttype {n}")
    for group, count in _TYPES_OF.items()
    for n in range(1, count + 1)
]
_PRACTICES: Final = [
    Code(f"{letter}{n:02}", samples.INTERNAL_MEDICINE.scheme, f"Fagområde {n}")
    for letter, count in (("S", 16), ("R", 9))
    for n in range(1, count + 1)
]
_EVENTS: Final = [Code(f"KX{n:04}", "2.16.578.1.12.4.1.1.7210", f"Eksempelkode {n}") for n in range(300)]
_TITLES: Final = (
    "Epikrise",
    "Journalnotat",
    "Røntgenbeskrivelse",
    "Prøvesvar",
    "Henvisning",
    "Operasjonsnotat",
)
_FAMILY: Final = ("Fjell", "Dal", "Vik", "Strand", "Bakke", "Lund", "Myr", "Nes", "Haug", "Sund")
_GIVEN: Final = ("Tuva", "Odin", "Ylva", "Birk", "Solveig", "Eirik", "Liv", "Storm", "Runa", "Aksel")


@dataclass(frozen=True, slots=True)
class Filled:
    """A database file and its patients, by how many documents each has."""

    path: Path
    patients: dict[int, list[str]]
    documents: int


def pid(number: int) -> str:
    """The patient id with a number, in full CX form."""
    return f"{number:08}^^^&{OID}.1&ISO"


def entry(patient: str, number: int, chance: random.Random, **changes: object) -> DocumentEntry:
    """A document entry of about 7 kB of ebRIM; its codes, times and author vary."""
    moment = f"{chance.choice(_YEARS)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"
    person = f"{chance.randint(9_000_000, 9_000_400)}^{chance.choice(_FAMILY)}^{chance.choice(_GIVEN)}"
    kind = chance.choice(_TYPES)
    author = replace(samples.AUTHOR, person=f"{person}^^^^^^&2.16.578.1.12.4.1.4.4&ISO")
    values = {
        "entry_uuid": f"Document{number}",
        "unique_id": f"{OID}.2.{number}",
        "patient_id": patient,
        "source_patient_id": patient,
        "source_patient_info": (f"PID-3|{patient}", "PID-5|Testperson^Syntetisk", "PID-8|F"),
        "class_code": Code(f"{kind.code[0]}00-1", samples.DOCUMENT_TYPES, f"Dokumentgruppe {kind.code[0]}"),
        "type_code": kind,
        "practice_setting_code": chance.choice(_PRACTICES),
        # One document of fifty is blocked by its patient.
        "confidentiality_codes": (samples.NORMAL,) if number % 50 else (samples.NORMAL, samples.BLOCKED),
        "event_codes": (chance.choice(_EVENTS),),
        "creation_time": f"{moment}{chance.randint(0, 23):02}{chance.randint(0, 59):02}00",
        "service_start_time": f"{moment}0800",
        "service_stop_time": f"{moment}2000",
        "hash": f"{chance.getrandbits(160):040x}",
        "size": chance.randint(1_000, 400_000),
        "title": f"{chance.choice(_TITLES)} {number}",
        "authors": (author,),
        "legal_authenticator": author.person,
    }
    return samples.rich_document_entry(**(values | changes))


def set_of(patient: str, number: int) -> SubmissionSet:
    """The submission set with a number."""
    return samples.submission_set(unique_id=f"{OID}.3.{number}", patient_id=patient)


def filled(documents: int) -> Filled:
    """The database with about `documents` documents: from the cache, or made now, as standard error says."""
    return _kept(_groups(documents))


def _kept(groups: dict[int, list[str]], name: str = "") -> Filled:
    total = sum(size * len(patients) for size, patients in groups.items())
    name = name or str(total)
    folder = Path(tempfile.gettempdir()) / f"xds-bench-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise SystemExit(
            "bench: the cache folder in the temporary folder belongs to somebody else: remove it"
        )
    path = folder / f"registry-{_version()}-{name}.db"
    if not path.exists():
        print(f"Registering {total:,} documents, once; later runs find them.", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            _fill(Path(unfinished) / "registry.db", groups, total)
            os.replace(Path(unfinished) / "registry.db", path)
        for other in folder.glob(f"registry-*-{name}.db"):
            if other != path:  # of another version of the schema
                other.unlink(missing_ok=True)
    return Filled(path, groups, total)


def uneven(large: int, small: int, patients: int) -> Filled:
    """A database with one patient of `large` documents and so many of `small`, kept as the other is."""
    groups = {large: [pid(0)], small: [pid(number) for number in range(1, patients + 1)]}
    return _kept(groups, f"uneven-{large}-{small}-{patients}")


def _version() -> str:
    digest = hashlib.sha256()
    for source in _SOURCES:
        place = _ROOT / source
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in (".py", ".xml"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _groups(documents: int) -> dict[int, list[str]]:
    """Documents per patient -> patient ids; at least one patient of each kind."""
    groups: dict[int, list[str]] = {}
    first = 0
    for size, share in SHARES.items():
        count = max(1, round(documents * share / sum(SHARES.values()) / size))
        groups[size] = [pid(first + number) for number in range(count)]
        first += count
    return groups


def _fill(path: Path, groups: dict[int, list[str]], total: int) -> None:
    database = Database(f"sqlite:///{path}")
    database.migrate()
    # A file that is thrown away when filling fails need not outlast a power cut.
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=OFF")
    registry = Registry(database, Options(patients="open"))
    chance = random.Random(1)
    # In random order of time, as documents come, so that no patient's rows were written together.
    turns = [
        patient
        for size, patients in groups.items()
        for patient in patients
        for _ in range(size // _IN_ONE_SUBMISSION)
    ]
    chance.shuffle(turns)
    done = 0
    for start in range(0, len(turns), _IN_ONE_TRANSACTION):
        prepared = [
            registry.prepare(_submission(patient, number, chance))
            for number, patient in enumerate(turns[start : start + _IN_ONE_TRANSACTION], start)
        ]
        with database.write() as connection:
            for each in prepared:
                registry.register(connection, each, EVERYTHING)
        done += len(prepared) * _IN_ONE_SUBMISSION
        if done % 10_000 < _IN_ONE_TRANSACTION * _IN_ONE_SUBMISSION:
            print(f"  {done:,} of {total:,}", file=sys.stderr, flush=True)
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def _submission(patient: str, number: int, chance: random.Random) -> Submission:
    head = set_of(patient, number)
    documents = [
        entry(patient, number * _IN_ONE_SUBMISSION + place, chance) for place in range(_IN_ONE_SUBMISSION)
    ]
    members = [samples.member(head.entry_uuid, each.entry_uuid, "Original") for each in documents]
    return Submission(
        replace(head, received=registry_object(head)),
        tuple(_with_received(documents)),
        (),
        tuple(_received_links(members)),
    )


def _with_received(entries: list[DocumentEntry]) -> Iterator[DocumentEntry]:
    for each in entries:
        yield replace(each, received=registry_object(each))


def _received_links(links: list[Association]) -> Iterator[Association]:
    for each in links:
        yield replace(each, received=registry_object(each))
