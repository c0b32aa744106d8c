"""The parameters of FHIR searches: read and checked, as filters of the registry.

document_references.py and lists.py declare theirs as `Parameter`s. Dates are UTC where no zone is said. What
is wrong is told of all parameters at once, in sentences that hold no value; what is not known is left out
and named in the answer, or refused when the client wants it strict (FHIR R4, 3.1.1.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from xds.errors import DataTypeError
from xds.fhir import datatypes as dt
from xds.fhir.outcomes import Issue, Refused
from xds.metadata.datatypes import CX, escape
from xds.metadata.identifiers import authority_of_patient
from xds.registry.search import LAST, Interval, Term
from xds.store.keys import key_at

#: Of one search: parameters, values of one, and of all.
MOST_PARAMETERS: Final = 30
MOST_VALUES: Final = 300
#: Of one search: names, and characters of all of them. Each is held against every author, letter by letter.
MOST_NAMES: Final = 5
MOST_CHARACTERS: Final = 300

Read = Callable[[str, str], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name, FHIR's type, and the modifiers that it takes beside none.

    `filter` is the registry's, empty where the search has other use for it. `read` gives the values of the
    filter for (value, modifier); raises DataTypeError. `definition` is the canonical URL.
    """

    name: str
    type: str
    filter: str = ""
    read: Read = lambda value, modifier: (value,)
    modifiers: frozenset[str] = frozenset()
    definition: str = ""
    documentation: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What a search asks: filters, the patient (CX text or nothing), and values of parameters without filter.

    `ignored` are the names that are not known, as far as they can be said again; `used` is what counts, as it
    was given. Of `others` the alternatives are as they were given, too: `halves` and `plain` read them.
    """

    terms: tuple[Term, ...] = ()
    pid: str = ""
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    used: tuple[tuple[str, str], ...] = ()

    def one(self, name: str) -> str:
        """The value of a parameter without filter."""
        return next(iter(self.others.get(name, ())), "")


# ---- values


def token(value: str, modifier: str = "") -> Sequence[str]:
    """A code: `code`, `system|code`, `system|`; each way in which senders write the system."""
    system, code = halves(value)
    if not (system or code):
        _refuse("a code is code or system|code")
    if system is None:
        return (f"{code}^^",)
    if not system:
        return ()  # a code without a system, which no object has
    return tuple(f"{code}^^{scheme}" for scheme in dt.schemes_of(system))


def any_id(value: str, modifier: str = "") -> Sequence[str]:
    """An id of an object, with its system or without."""
    system, own = halves(value)
    if not own:
        _refuse("an id is system|value")
    if system is None:
        return (own.removeprefix("urn:oid:"),)
    return (dt.read_unique_id({"system": system or dt.URI, "value": own}),)


def resource_id(value: str, modifier: str = "") -> Sequence[str]:
    """The id of a resource."""
    return (f"urn:uuid:{value.lower()}",)


def reference_id(value: str, modifier: str = "") -> Sequence[str]:
    """An id of something that a document refers to: `system|value`, or the value alone."""
    system, own = halves(value)
    if not own:
        _refuse("an id is system|value")
    bare = escape(own.removeprefix("urn:oid:"))
    if system is None:
        return tuple(dict.fromkeys((escape(own), bare)))
    if system in ("", dt.URI):
        return tuple(dict.fromkeys((f"{escape(own)}^", f"{bare}^")))
    return (f"{escape(own)}^{escape(dt.scheme_of(system))}",)


def text(value: str, modifier: str = "") -> Sequence[str]:
    """A text."""
    return (plain(value),) if value else _refuse("a text must not be empty")


def source_id(value: str, modifier: str = "") -> Sequence[str]:
    """The OID of a source, with urn:ietf:rfc:3986 or without."""
    return (halves(value)[1].removeprefix("urn:oid:"),)


def status_of(names: Mapping[str, Sequence[str]], others: Sequence[str]) -> Read:
    """A status: `names` has the registry's and how FHIR writes each, `others` FHIR's that no object has."""
    known = {name: urn for urn, own in names.items() for name in own}

    def read(value: str, modifier: str) -> Sequence[str]:
        status = halves(value)[1]
        if status not in known and status not in others:
            _refuse(f"is one of: {', '.join(known)}")
        return (known[status],) if status in known else ()

    return read


def _refuse(sentence: str) -> Any:
    raise DataTypeError(sentence)


_DATE: Final = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?"
    r"(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def _bounds(value: str) -> tuple[str, datetime, datetime]:
    """The prefix, and the moments from and before which the value is."""
    match = _DATE.fullmatch(value.replace(" ", "+"))  # a + that came as it is in a URL
    if match is None:
        _refuse(
            "a date is YYYY[-MM[-DD[Thh:mm[:ss][zone]]]], with one of eq ne gt lt ge le sa eb ap before it"
        )
    assert match is not None
    prefix, year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        low = datetime.fromisoformat(
            f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}"
            f"{'+00:00' if zone in (None, 'Z') else zone}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse("the date does not exist")
    try:
        if fraction:  # times are kept to the millisecond at most
            low += timedelta(milliseconds=int(fraction[:3].ljust(3, "0")))
            high = low + timedelta(milliseconds=10 ** max(0, 3 - len(fraction)))
        elif second:
            high = low + timedelta(seconds=1)
        elif hour:
            high = low + timedelta(minutes=1)
        elif day:
            high = low + timedelta(days=1)
        elif month:
            high = low.replace(year=low.year + low.month // 12, month=low.month % 12 + 1)
        else:
            high = low.replace(year=low.year + 1)
    except (ValueError, OverflowError):
        high = _LAST
    return prefix or "eq", low, high


def _near(low: datetime, high: datetime) -> tuple[datetime, datetime]:
    """About: a tenth of the time between then and now on either side (FHIR R4, 3.1.1.4.5)."""
    width = max(high - low, abs(datetime.now(UTC) - low) / 10)
    return max(low, _FIRST + width) - width, min(high, _LAST - width) + width


def moment(number: Callable[[datetime], int]) -> Read:
    """A time that is one moment; `number` is how the registry writes it."""

    def read(value: str, modifier: str) -> Sequence[Interval]:
        prefix, low, high = _bounds(value)
        if prefix == "ap":
            low, high = _near(low, high)
        first, last = number(low), number(_whole(high) if number is as_dtm else high)
        return {
            "eq": (Interval(first, last),),
            "ap": (Interval(first, last),),
            "ne": (Interval(0, first), Interval(last)),
            "gt": (Interval(last),),
            "sa": (Interval(last),),
            "ge": (Interval(first),),
            "lt": (Interval(0, first),),
            "eb": (Interval(0, first),),
            "le": (Interval(0, last),),
        }[prefix]

    return read


def period(value: str, modifier: str = "") -> Sequence[Interval]:
    """A time that has a start and an end."""
    prefix, early, late = _bounds(value)
    if prefix == "ap":
        early, late = _near(early, late)
    low, high = as_dtm(early), as_dtm(_whole(late))
    return {
        "eq": (Interval(low=low, end_high=high),),
        "ne": (Interval(high=low), Interval(end_low=high)),
        "gt": (Interval(end_low=high),),
        "ge": (Interval(end_low=low),),
        "lt": (Interval(high=low),),
        "le": (Interval(high=high),),
        "sa": (Interval(low=high),),
        "eb": (Interval(end_high=low),),
        "ap": (Interval(high=high, end_low=low),),
    }[prefix]


def _whole(moment: datetime) -> datetime:
    """The second that begins next, or with this moment: what is kept in seconds has lost its fraction."""
    return min(moment, _LAST - timedelta(seconds=1)) + timedelta(microseconds=-moment.microsecond % 1_000_000)


def as_dtm(moment: datetime) -> int:
    """YYYYMMDDhhmmss."""
    return int(f"{moment.year:04}{moment:%m%d%H%M%S}")


def as_key(moment: datetime) -> int:
    """The least key of a row that was registered then."""
    return min(key_at(round(moment.timestamp() * 1000)), LAST)


def patient(value: str, modifier: str = "", *, test: bool = False) -> str:
    """A patient by `system|value`, or by a national number alone; CX text."""
    system, number = halves(value)
    if system:
        return dt.read_cx({"system": system, "value": number})
    authority = authority_of_patient(number, test=test)
    if not authority:
        _refuse("a patient is named by system|value, with the OID of the number's authority as system")
    return str(CX(number, authority))


# ---- reading


_NOT_BY_FILTER: Final = frozenset(
    ("_format", "_pretty", "_count", "_sort", "_total", "_summary", "_page", "fhirVersion")
)
#: Names of one meaning: chains and modifiers of a reference by identifier, R4's own name for the patient, and
#: what the profile's CapabilityStatement misspells.
_ALIASES: Final = {
    "patient:identifier": "patient.identifier",
    "patient:Patient.identifier": "patient.identifier",
    "subject.identifier": "patient.identifier",
    "subject:identifier": "patient.identifier",
    "subject:Patient.identifier": "patient.identifier",
    "subject": "patient",
    "related:identifier": "related",
    "related.identifier": "related",
    "_lastupdated": "_lastUpdated",
    "author:Practitioner.family": "author.family",
    "author:Practitioner.given": "author.given",
    "source:Practitioner.family": "source.family",
    "source:Practitioner.given": "source.given",
}
#: A name that is said again in an answer holds nothing but letters.
_SAYABLE: Final = re.compile(r"[A-Za-z_.:-]{1,60}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def split(value: str) -> list[str]:
    """The alternatives in a value, as they were given: a comma behind a backslash divides nothing."""
    return _divided(value, ",")


def halves(value: str) -> tuple[str | None, str]:
    """`system|code` of one alternative; a bar behind a backslash divides nothing. None: there is no bar."""
    system, *code = map(plain, _divided(value, "|"))
    return (system, "|".join(code)) if code else (None, system)


def plain(value: str) -> str:
    """One alternative without its backslashes, behind which a comma, bar, dollar or backslash may stand."""
    return _ESCAPED.sub(r"\1", value)


_ESCAPED: Final = re.compile(r"\\([,|$\\])")


def _divided(value: str, by: str) -> list[str]:
    found = [""]
    characters = iter(value)
    for each in characters:
        if each == "\\":
            found[-1] += each + next(characters, "")
        elif each == by:
            found.append("")
        else:
            found[-1] += each
    return found


def read(
    given: Sequence[tuple[str, str]],
    table: Mapping[str, Parameter],
    *,
    strict: bool,
    test: bool,
) -> Given:
    """The search that these parameters make. Raises Refused with everything that is wrong."""
    problems: list[Issue] = []
    terms: list[Term] = []
    others: dict[str, tuple[str, ...]] = {}
    pids: set[str] = set()
    ignored: list[str] = []
    if len(given) > MOST_PARAMETERS:
        raise Refused(
            400, Issue("too-costly", f"A search has at most {MOST_PARAMETERS} parameters: ask for less.")
        )
    used: list[tuple[str, str]] = []
    names: dict[str, list[str]] = {}
    values = 0
    for as_given, value in given:
        name = _ALIASES.get(as_given, as_given)
        if name in _NOT_BY_FILTER:
            others[name] = (value,)
            used.append((as_given, value))
            continue
        base, _, modifier = name.partition(":")
        parameter = table.get(base)
        if parameter is None:
            ignored.append(name if _SAYABLE.fullmatch(name) else "(a parameter)")
            continue
        if modifier and modifier not in parameter.modifiers:
            problems.append(Issue("not-supported", f"{base} has no such modifier here: leave it out."))
            continue
        if value == "":
            continue  # FHIR R4, 3.1.1.3: a parameter without a value is as if it were not there
        used.append((as_given, value))
        alternatives = split(value)
        values += len(alternatives)
        if parameter.type == "string":
            names.setdefault(base, []).extend(alternatives)
        try:
            if _CONTROL.search(value):
                _refuse("has a control character, which no value has")
            if base in ("patient", "patient.identifier"):
                pids.update(patient(each, test=test) for each in alternatives)
            elif not parameter.filter:
                if base in others:
                    _refuse("comes once: alternatives stand behind commas")
                others[base] = tuple(alternatives)
            elif modifier == "missing":
                if value not in ("true", "false"):
                    _refuse("with :missing the value is true or false")
                terms.append(Term(f"{parameter.filter}:missing{':not' * (value == 'false')}", ()))
            else:
                read_values = tuple(each for one in alternatives for each in parameter.read(one, modifier))
                own = parameter.filter
                if parameter.type == "string":
                    own = f"{own}:{modifier or 'starts'}"
                elif modifier == "not":
                    own = f"{own}:not"
                terms.append(Term(own, read_values))
        except DataTypeError as error:
            problems.append(Issue("value", f"{base}: {str(error).rstrip('.')}."))
    in_all = [each for some in names.values() for each in some]
    if len(in_all) > MOST_NAMES or sum(map(len, in_all)) > MOST_CHARACTERS:
        sentence = f"{', '.join(names)}: at most {MOST_NAMES} names of {MOST_CHARACTERS} characters in all."
        problems.append(Issue("too-costly", sentence))
    if values > MOST_VALUES:
        problems.append(Issue("too-costly", f"A search has at most {MOST_VALUES} values: ask for less."))
    if len(pids) > 1:
        problems.append(Issue("value", "A search is about one patient: patient.identifier has one value."))
    if strict and ignored:
        problems.append(Issue("not-supported", f"Not known here: {', '.join(sorted(set(ignored)))}."))
    if problems:
        raise Refused(400, *problems)
    return Given(tuple(terms), next(iter(pids), ""), others, tuple(dict.fromkeys(ignored)), tuple(used))
