"""The trust of a running node, kept current: files and addresses are read again, without a restart.

gate.py takes `trust` for each request, and calls `refresh` for a key that nobody knows; app.py starts the
store, which ends with the process, and shows its samples. What fails leaves the last good reading in place,
addresses for a day at most. It must never make a request wait for the network but in `refresh`, never believe
a key longer than that, and never log anything of a ticket.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from xds.errors import SettingsError
from xds.metrics import Sample
from xds.security.fetch import fetch
from xds.security.keys import fingerprint
from xds.security.trust import Authority, Issuer, Key, Trust
from xds.security.trust_file import (
    Content,
    Entry,
    Mark,
    Source,
    mark,
    read_content,
    read_files,
    read_trust,
)

log = logging.getLogger("xds")

#: Seconds between two looks at the files.
LOOK_SECONDS: Final = 1.0
#: Seconds between two fetches for the sake of unknown key ids, for each issuer.
REFRESH_SECONDS: Final = 30.0
#: Seconds that a request waits for a fetch that another one has begun, and how many may be at fetches at all.
WAIT_SECONDS: Final = 2.0
WAITERS: Final = 8
#: Seconds for which keys of an address are believed after the last good fetch.
KEEP_SECONDS: Final = 24 * 3600.0
#: Seconds until an address that failed is tried again.
RETRY_SECONDS: Final = 30.0
#: Days before the end at which the log has a warning; on the last day and after it there is one each day.
WARNING_DAYS: Final = (30, 7, 1)


#: What /metrics shows, and what it is; docs/trust.md has the same table.
METRICS: Final[Mapping[str, str]] = {
    "xds_trust_generation": "How often what is believed has changed since the start.",
    "xds_trust_usable_keys": "Keys or roots of an issuer that are valid now; with 0 its tickets are refused.",
    "xds_trust_not_after_seconds": "When a key, a root or a revocation list ends, in seconds since 1970.",
    "xds_trust_loaded_seconds": "When a source was last read with success, in seconds since 1970.",
    "xds_trust_failures": "How often a source could not be read, since the start.",
}


@dataclass(frozen=True, slots=True)
class _Reading:
    """A source's last good content; `at` counts as `ticks` does."""

    content: Content
    loaded: datetime
    at: float


class _Flight:
    """The one fetch of an issuer's addresses; `at` is when the last for an unknown key id began."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at = -math.inf


#: An issuer's name and one of its sources.
_Place = tuple[str, Source]


class TrustStore:
    """Reads the trust file and all it names; safe to share between threads.

    `seconds` is between two fetches of every address. `clock` tells the time, `ticks` seconds that only go
    forward. `check` gives the reasons why this node must not believe the issuers of a reading, if there are
    any. Raises SettingsError for a wrong file; an address is first asked by `start` or `renew`.
    """

    def __init__(
        self,
        path: Path,
        *,
        seconds: float = 300,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ticks: Callable[[], float] = time.monotonic,
        check: Callable[[Sequence[Issuer]], Sequence[str]] = lambda _: (),
    ) -> None:
        self._path, self._seconds, self._clock, self._ticks = path, seconds, clock, ticks
        # Guards what follows, and is never held while the network is waited for.
        self._lock = threading.Lock()
        self._entries: tuple[Entry, ...] = ()
        self._readings: dict[_Place, _Reading] = {}
        self._stale: frozenset[_Place] = frozenset()
        self._marks: dict[Path, Mark] = {path: mark(path)}
        self._wrong = ""  # what is wrong with the trust file as it is now
        self._failing: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._changed: dict[str, float] = {}  # when an issuer did last
        self._warned: dict[tuple[str, str], int] = {}
        self._trust = Trust()
        self._usable: dict[str, float] = {}
        self._flights: dict[str, _Flight] = {}
        self._waiters = threading.Semaphore(WAITERS)
        self._looked = ticks()
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._check = check
        self._take(self._read())
        self._rebuild()
        self._changed.clear()  # there was nothing before

    # -- for requests --------------------------------------------------------------------------------

    @property
    def trust(self) -> Trust:
        """What is believed now; the same object until something changes."""
        if self._ticks() - self._looked >= LOOK_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._looked = self._ticks()
                self._look()
            finally:
                self._lock.release()
        return self._trust

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where keys of issuers are fetched, by name, as the trust file has it."""
        return {name: sources[0].url for name, sources in self._addresses().items() if sources}

    def refresh(self, issuer: str) -> bool:
        """Fetch an issuer's addresses again, at most once in 30 s; for a ticket whose key nobody knows.

        True when its keys changed within these 30 s, by whatever: then it is worth looking again. Waits for
        the network, for 2 s only when another request is at it already.
        """
        sources = self._addresses().get(issuer)
        if sources is None:
            return False
        flight = self._flights.setdefault(issuer, _Flight())
        # Who sends tickets with keys that nobody knows must not get hold of every thread.
        if self._ticks() - flight.at >= REFRESH_SECONDS or flight.lock.locked():
            self._refresh_once(flight, issuer, sources)
        return self._ticks() - self._changed.get(issuer, -math.inf) < REFRESH_SECONDS

    def _refresh_once(self, flight: _Flight, issuer: str, sources: list[Source]) -> None:
        if not self._waiters.acquire(blocking=False):
            return
        try:
            if flight.lock.acquire(timeout=WAIT_SECONDS):
                try:
                    if self._ticks() - flight.at >= REFRESH_SECONDS:
                        flight.at = self._ticks()
                        self._fetch(issuer, sources)
                finally:
                    flight.lock.release()
        finally:
            self._waiters.release()

    # -- for the node --------------------------------------------------------------------------------

    def start(self) -> None:
        """Keep current in a thread of its own; addresses are fetched at once."""
        self._thread = threading.Thread(target=self._run, name="trust", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; a fetch that it waits for ends with the process."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(1)

    def renew(self) -> bool:
        """Read again what changed, fetch every address, and log what ends soon; True when all answered."""
        with self._lock:
            self._look()
        answered = True
        for issuer, sources in self._addresses().items():
            with self._flights.setdefault(issuer, _Flight()).lock:
                answered &= self._fetch(issuer, sources)
        self._warn()
        return answered

    def samples(self) -> list[Sample]:
        """Figures for /metrics; the labels are the operator's own texts, and fingerprints of public keys."""
        with self._lock:
            entries, readings, trust = self._entries, dict(self._readings), self._trust
            failures, now = Counter(self._failures), self._clock()
        found = [
            ("xds_trust_generation", float(trust.generation), {}),
            ("xds_trust_failures", float(failures[""]), {"issuer": "", "source": self._path.name}),
        ]
        for entry in entries:
            name = entry.issuer.name
            found.append(("xds_trust_usable_keys", _usable(trust.issuers[name], now), {"issuer": name}))
            for source in entry.sources:
                labels = {"issuer": name, "source": str(source)}
                found.append(("xds_trust_failures", failures[_label(name, source)], labels))
                if reading := readings.get((name, source)):
                    found.append(("xds_trust_loaded_seconds", reading.loaded.timestamp(), labels))
        for (name, what), end in _ends(entries, readings, trust).items():
            labels = {"issuer": name, "what": what}
            found.append(("xds_trust_not_after_seconds", end.timestamp(), labels))
        return [
            Sample(metric, purpose, value, labels)
            for metric, purpose in METRICS.items()
            for name, value, labels in found
            if name == metric
        ]

    # -- files; the lock is held ---------------------------------------------------------------------

    def _look(self) -> None:
        """Read what changed since the last look, and let go what is too old."""
        marks = {file: mark(file) for file in self._marks}
        changed = {file for file in marks if marks[file] != self._marks[file]}
        self._marks = marks
        # A trust file that was wrong may have been so because of a file that nobody watches yet.
        if self._path in changed or self._wrong:
            self._read_again(self._path in changed)
        for entry in self._entries:
            for source in entry.sources:
                if not changed.isdisjoint(source.files):
                    self._read_source(entry, source)
        self._rebuild()

    def _read(self) -> tuple[Entry, ...]:
        entries = read_trust(self._path, self._clock())
        if errors := self._check([entry.issuer for entry in entries]):
            raise SettingsError("\n".join(errors))
        return entries

    def _read_again(self, changed: bool) -> None:
        try:
            entries = self._read()
        except SettingsError as error:
            if changed or str(error) != self._wrong:
                self._failures[""] += 1
                log.error("The trust file is wrong; the last good reading stays:\n%s", error)
            self._wrong = str(error)
        else:
            self._wrong = ""
            self._take(entries)
            log.info("The trust file was read again: %d issuers", len(entries))
            self._wake.set()  # there may be addresses that were never asked

    def _take(self, entries: tuple[Entry, ...]) -> None:
        """Everything from files anew; what addresses answered stays when they are still named."""
        named = {(entry.issuer.name, source) for entry in entries for source in entry.sources}
        readings = {
            place: reading for place, reading in self._readings.items() if place in named and place[1].url
        }
        for entry in entries:
            for source, content in entry.contents.items():
                readings[entry.issuer.name, source] = self._reading(content)
        self._entries, self._readings = entries, readings
        self._marks = {self._path: self._marks[self._path]}
        for reading in readings.values():
            self._marks.update(reading.content.marks)

    def _read_source(self, entry: Entry, source: Source) -> None:
        name = entry.issuer.name
        if self._marks_of(source) == self._readings[name, source].content.marks:
            return  # it was read with the trust file a moment ago
        others = [self._readings[name, other].content for other in entry.sources if other.files]
        try:
            content = read_files(source, name, self._clock(), others)
        except ValueError as error:
            self._failures[_label(name, source)] += 1
            log.error("%s: %s; the last good reading stays", _label(name, source), error)
        else:
            self._readings[name, source] = self._reading(content)
            self._marks.update(content.marks)

    def _marks_of(self, source: Source) -> dict[Path, Mark]:
        return {file: self._marks[file] for file in source.files}

    def _reading(self, content: Content) -> _Reading:
        return _Reading(content, self._clock(), self._ticks())

    # -- addresses -----------------------------------------------------------------------------------

    def _addresses(self) -> dict[str, list[Source]]:
        """The addresses of each issuer that has any."""
        found = {
            entry.issuer.name: [source for source in entry.sources if source.url] for entry in self._entries
        }
        return {name: sources for name, sources in found.items() if sources}

    def _fetch(self, issuer: str, sources: list[Source]) -> bool:
        """Ask the addresses of an issuer, whose flight is ours; True when all answered."""
        for source in sources:
            label = _label(issuer, source)
            try:
                content = read_content(source.key, fetch(source.url), issuer, self._clock())
            except (OSError, ValueError) as error:
                with self._lock:
                    self._failures[label] += 1
                    first = label not in self._failing
                    self._failing.add(label)
                if first:
                    log.error("%s: %s; the last good keys are kept for at most 24 h", label, error)
                continue
            with self._lock:
                if label in self._failing:
                    self._failing.discard(label)
                    log.info("%s: answers again", label)
                # The trust file may have changed meanwhile.
                if source in self._addresses().get(issuer, ()):
                    self._readings[issuer, source] = self._reading(content)
                    self._rebuild()
        return not any(_label(issuer, source) in self._failing for source in sources)

    # -- putting together; the lock is held ----------------------------------------------------------

    def _rebuild(self) -> None:
        """A new Trust, if anything in it is different."""
        stale = frozenset(place for place in self._readings if self._is_stale(place))
        for name, source in stale - self._stale:
            what = (
                "out of date: the issuer has no keys"
                if not source.url
                else "away for 24 h: its keys are dropped"
            )
            log.error("%s: is %s", _label(name, source), what)
        self._stale = stale
        issuers = {entry.issuer.name: self._issuer(entry) for entry in self._entries}
        usable = {name: _usable(issuer, self._clock()) for name, issuer in issuers.items()}
        # A key that ends, or begins, is a change too: what was verified with it is remembered by generation.
        if issuers == self._trust.issuers and usable == self._usable:
            return
        self._usable = usable
        for name, issuer in issuers.items():
            if issuer != self._trust.issuers.get(name):
                self._changed[name] = self._ticks()
                log.info("%s: changed, keys now: %d", name, len(issuer.keys) + (issuer.authority is not None))
        self._trust = Trust(MappingProxyType(issuers), self._trust.generation + 1)

    def _is_stale(self, place: _Place) -> bool:
        """Whether an address was away for too long, or a revocation list is out of date."""
        reading = self._readings[place]
        until = reading.content.until
        return (bool(place[1].url) and self._ticks() - reading.at > KEEP_SECONDS) or (
            until is not None and until < self._clock()
        )

    def _issuer(self, entry: Entry) -> Issuer:
        """The issuer with its keys, without those that were revoked.

        When a revocation list is out of date nobody knows which those are, and it has none.
        """
        places = [(entry.issuer.name, source) for source in entry.sources]
        if any(place in self._stale and place[1].files for place in places):
            return entry.issuer
        contents = {
            place[1]: self._readings[place].content
            for place in places
            if place in self._readings and place not in self._stale
        }
        revoked = frozenset[tuple[str, int]]().union(*(content.revoked for content in contents.values()))
        keys = {
            _order(key): key
            for content in contents.values()
            for key in content.keys
            if not _is_in(key, revoked)
        }
        roots = tuple(
            root
            for source, content in contents.items()
            if source.key == "authority"
            for root in content.roots
        )
        return replace(
            entry.issuer,
            keys=tuple(keys[order] for order in sorted(keys)),
            authority=Authority(roots, entry.subject) if roots else None,
            revoked=revoked,
        )

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            try:
                answered = self.renew()
            except Exception:  # the thread must live on, whatever a file or an address makes of it
                log.exception("The trust store could not be renewed")
                answered = False
            if not self._closed:
                self._wake.wait(self._seconds if answered else min(self._seconds, RETRY_SECONDS))

    def _warn(self) -> None:
        """Log what ends soon or has ended: each at 30, 7 and 1 days, then once a day."""
        with self._lock:
            entries, readings, trust, now = self._entries, dict(self._readings), self._trust, self._clock()
        stages = {}
        for (name, what), end in _ends(entries, readings, trust).items():
            left = (end - now) / timedelta(days=1)
            stage = math.ceil(left) if left <= 0 else min((d for d in WARNING_DAYS if left <= d), default=99)
            stages[name, what] = stage
            if stage < self._warned.get((name, what), 99):
                verb = "ends" if left > 0 else "ended"
                log.warning("%s: %s %s at %s", name, what, verb, end.isoformat(timespec="minutes"))
        self._warned = stages


def _ends(
    entries: tuple[Entry, ...], readings: Mapping[_Place, _Reading], trust: Trust
) -> dict[tuple[str, str], datetime]:
    """When each key, root and revocation list ends, by issuer and what it is."""
    ends: dict[tuple[str, str], datetime] = {}
    for entry in entries:
        name = entry.issuer.name
        issuer = trust.issuers[name]
        for key in issuer.keys:
            if key.not_after:
                ends[name, f"key {fingerprint(key.certificate)}"] = key.not_after
        for root in issuer.authority.roots if issuer.authority else ():
            ends[name, f"root {fingerprint(root)}"] = root.not_valid_after_utc
        for source in entry.sources:
            if (reading := readings.get((name, source))) and reading.content.until:
                ends[name, str(source)] = reading.content.until
    return ends


def _usable(issuer: Issuer, now: datetime) -> float:
    roots = issuer.authority.roots if issuer.authority else ()
    return sum(key.is_valid(now) for key in issuer.keys) + sum(
        root.not_valid_before_utc <= now <= root.not_valid_after_utc for root in roots
    )


def _label(issuer: str, source: Source) -> str:
    return f"{issuer}: {source}"


def _order(key: Key) -> tuple[str, str, str]:
    """Sorts keys, and tells them apart: an address may give them in any order."""
    return key.id, fingerprint(key.certificate), str(key.not_after)


def _is_in(key: Key, revoked: frozenset[tuple[str, int]]) -> bool:
    return (key.certificate.issuer.rfc4514_string(), key.certificate.serial_number) in revoked
