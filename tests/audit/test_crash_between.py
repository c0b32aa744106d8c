"""A deed and its record are there together or not at all, wherever a worker dies or fails between them.

The node's own code is stopped from outside: a sitecustomize.py on its path patches two functions in every
process of the node, which then kills itself, or fails, as soon as a marker file lies there. The same message
again succeeds, and the chain is whole.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import urllib3

from tests.audit.reading_log import Logged, digits, problems_of_chain, rows
from tests.blackbox import messages as m
from tests.blackbox.state import counts
from tests.blackbox.wire import SUCCESS, Reply, Request, send
from tests.conftest import nodes
from tests.nodes import Node
from tests.transactions.feed import OURS, cx, new_id
from tests.transactions.test_iti44 import ADDED, HL7, ii, message

#: The files that tell a process to kill itself, once.
ANSWER, COMMIT = "kill-before-the-answer", "kill-before-the-commit"
#: Those that make it fail, as long as they are there.
NO_ANSWER, NO_RECORD = "fail-before-the-answer", "fail-to-record"

CUSTOMIZE = f"""
import os
import signal
from pathlib import Path

FOLDER = Path(__file__).parent


def kill_if(marker):
    try:
        (FOLDER / marker).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def fail_if(marker):
    if (FOLDER / marker).exists():
        raise RuntimeError("as a test wants it")


import xds.audit.store
import xds.transport.endpoint

write_answer = xds.transport.endpoint.write_answer
add = xds.audit.store.AuditLog._add


def patched_write_answer(*given):
    kill_if("{ANSWER}")
    fail_if("{NO_ANSWER}")
    return write_answer(*given)


def patched_add(self, run, chain, entries):
    fail_if("{NO_RECORD}")
    add(self, run, chain, entries)
    kill_if("{COMMIT}")


xds.transport.endpoint.write_answer = patched_write_answer
xds.audit.store.AuditLog._add = patched_add
"""


class Mortal:
    """A node whose workers can be told to die at a certain place of the next request."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self._folder = folder

    def ask(self, number: str, body: str) -> Reply:
        """One request that is answered."""
        return send(self.node, self._request(number, body))

    def _request(self, number: str, body: str) -> Request:
        if number == "ITI-44":
            return Request("/pix/feed", m.media_type(m.SOAP12), m.envelope(body, f"{HL7}:{ADDED}"))
        return m.plain(body, number)

    def die(self, number: str, body: str, where: str) -> None:
        """One request that is not answered; the node is there again afterwards."""
        marker = self._folder / where
        marker.touch()
        before = {each.pid for each in self.node.workers()}
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            send(self.node, self._request(number, body), timeout=20)
        assert not marker.exists(), "nobody died"
        deadline = time.monotonic() + 20
        # The parent replaces a worker; when two die within some seconds it takes that for a loop, and ends.
        while psutil.Process(self.node.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            if {each.pid for each in self.node.workers()} - before and self._is_ready():
                return
            time.sleep(0.05)
        self.node.kill()
        self.node.start()

    @contextmanager
    def failing(self, where: str) -> Iterator[None]:
        """Requests that fail at a certain place."""
        marker = self._folder / where
        marker.touch()
        yield
        marker.unlink()

    def _is_ready(self) -> bool:
        try:
            return self.node.is_ready()
        except urllib3.exceptions.HTTPError:
            return False

    def events(self) -> list[Logged]:
        """Everything on record."""
        return list(rows(self.node.database_url))

    def effect(self) -> Mapping[str, int]:
        """What is stored, but for the log itself and what nobody can see (bytes without a row, staging)."""
        stored = counts(self.node)
        hidden = ("audit_event", "audit_chain", "audit_outbox", "staging/", "documents/", "maintenance")
        return {name: count for name, count in stored.items() if name not in hidden}


@pytest.fixture(scope="module")
def mortal(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    """A node of this module, on each engine."""
    folder = tmp_path_factory.mktemp("customize")
    (folder / "sitecustomize.py").write_text(CUSTOMIZE)
    with pytest.MonkeyPatch.context() as patch, nodes(engine, tmp_path_factory) as make:
        patch.setenv("PYTHONPATH", str(folder))
        yield Mortal(make(), folder)


@dataclass(frozen=True)
class Deed:
    """A message, the patients (CX) with whom it is on record, and what their events name."""

    body: str
    patients: tuple[str, ...]
    names: frozenset[str]
    #: A look changes nothing.
    changes: bool = True


@dataclass(frozen=True)
class Way:
    """One transaction: what is there before, and the deed."""

    number: str
    prepare: Callable[[Mortal], Deed]


def _patient() -> str:
    return cx(new_id(), OURS)


def _provided(mortal: Mortal, count: int = 1) -> tuple[str, list[m.Document], str]:
    """A patient with documents in one submission, and its set's uniqueId."""
    patient, set_id = _patient(), m.new_oid()
    documents = [m.Document(id=m.new_uuid(), patient=patient) for _ in range(count)]
    assert mortal.ask("ITI-41", m.provide(documents, m.inline(documents), set_id, patient)).outcome == SUCCESS
    return patient, documents, set_id


def _submission(make: Callable[[list[m.Document], str, str], str]) -> Callable[[Mortal], Deed]:
    def prepare(mortal: Mortal) -> Deed:
        patient, set_id = _patient(), m.new_oid()
        document = m.Document(patient=patient)
        return Deed(make([document], set_id, patient), (patient,), frozenset((document.unique_id, set_id)))

    return prepare


def _update(mortal: Mortal) -> Deed:
    patient, (old,), _ = _provided(mortal)
    new = m.Document(id=m.new_uuid(), unique_id=old.unique_id, patient=patient, lid=old.id, title="Ny tittel")
    set_id = m.new_oid()
    body = m.submit(
        m.submission_set(set_id, patient), new.xml(), m.member("as1", new.id, PreviousVersion="1")
    )
    return Deed(body, (patient,), frozenset((set_id, new.unique_id)))


def _remove_metadata(mortal: Mortal) -> Deed:
    patient, _, set_id = _provided(mortal)
    asked = m.query(m.GET_SET_AND_CONTENTS, {"$XDSSubmissionSetUniqueId": f"'{set_id}'"}, "ObjectRef")
    ids = [each.get("id") for each in mortal.ask("ITI-18", asked).content().iter("{*}ObjectRef")]
    assert len(ids) == 3
    return Deed(m.remove_metadata(*ids), (patient,), frozenset(ids))


def _several(mortal: Mortal, make: Callable[..., str], *, changes: bool) -> Deed:
    """Documents of two patients: two events, of which never one is there alone."""
    (first, some, _), (second, more, _) = _provided(mortal, 2), _provided(mortal)
    ids = [each.unique_id for each in (*some, *more)]
    return Deed(make(*ids), (first, second), frozenset(ids), changes=changes)


def _find(mortal: Mortal) -> Deed:
    patient, (document,), _ = _provided(mortal)
    names = frozenset((m.FIND_DOCUMENTS, digits(document.id)))
    return Deed(m.find_documents(patient), (patient,), names, changes=False)


def _add(mortal: Mortal) -> Deed:
    one, other = new_id(), new_id()
    return Deed(message(ADDED, ii(one) + ii(other)), (cx(one), cx(other)), frozenset())


WAYS = (
    Way(
        "ITI-41",
        _submission(
            lambda documents, set_id, patient: m.provide(documents, m.inline(documents), set_id, patient)
        ),
    ),
    Way("ITI-42", _submission(m.register)),
    Way("ITI-57", _update),
    Way("ITI-62", _remove_metadata),
    Way("ITI-86", lambda mortal: _several(mortal, m.remove_documents, changes=True)),
    Way("ITI-44", _add),
    Way("ITI-18", _find),
    Way("ITI-43", lambda mortal: _several(mortal, m.retrieve, changes=False)),
)
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.number)


def _check_told(deed: Deed, number: str, events: list[Logged]) -> None:
    """Exactly one success for each patient, and together they name what was done."""
    assert sorted(str(each.pid) for each in events) == sorted(deed.patients), list(map(str, events))
    assert {(each.code, each.outcome) for each in events} == {(number, 0)}
    named: set[str] = set()
    for each in events:
        named |= {*each.documents, *each.submission_sets, *each.listed("shown")}
        named |= {query["what"]["identifier"]["value"] for query in each.queries}
    assert named == deed.names


def _answered(reply: Reply) -> bool:
    return reply.status == 200 and (b'typeCode code="CA"' in reply.body or reply.outcome == SUCCESS)


@pytest.mark.slow
@ways
def test_what_was_done_is_on_record_though_nobody_was_told(way: Way, mortal: Mortal) -> None:
    """Killed between the commit and the answer: the effect is there, and one event for each patient. Sent
    again, as senders do, it succeeds, but for what is gone by then.
    """
    deed = way.prepare(mortal)
    before, events = mortal.effect(), len(mortal.events())
    mortal.die(way.number, deed.body, ANSWER)
    after = mortal.effect()
    assert (after != before) is deed.changes
    _check_told(deed, way.number, mortal.events()[events:])
    reply = mortal.ask(way.number, deed.body)
    again = mortal.events()[events + len(deed.patients) :]
    if way.number in ("ITI-62", "ITI-86"):
        assert {each.rule for each in reply.errors} <= {"remove-known", "remove-document-known"}
        # Documents that are removed still have entries, which say whose they were; removed entries do not.
        told = len(deed.patients) if way.number == "ITI-86" else 1
        assert [each.outcome for each in again] == [4] * told
    else:
        assert _answered(reply)
        _check_told(deed, way.number, again)
    assert mortal.effect() == after
    assert problems_of_chain(mortal.node.database_url) == []


@pytest.mark.slow
@ways
def test_what_is_not_on_record_was_not_done(way: Way, mortal: Mortal) -> None:
    """Killed with the event written and not committed: neither is there. Sent again, both are."""
    deed = way.prepare(mortal)
    before, events = mortal.effect(), len(mortal.events())
    mortal.die(way.number, deed.body, COMMIT)
    assert mortal.effect() == before
    assert len(mortal.events()) == events
    assert _answered(mortal.ask(way.number, deed.body))
    assert (mortal.effect() != before) is deed.changes
    _check_told(deed, way.number, mortal.events()[events:])
    assert problems_of_chain(mortal.node.database_url) == []


@pytest.mark.slow
def test_a_refusal_that_was_not_told(mortal: Mortal) -> None:
    """Killed before the answer to a request that came to nothing: that it did is on record."""
    events = len(mortal.events())
    mortal.die("ITI-43", m.retrieve("1.2.3.4"), ANSWER)
    (event,) = mortal.events()[events:]
    assert (event.code, event.outcome, event.documents) == ("ITI-43", 4, ["1.2.3.4"])
    assert problems_of_chain(mortal.node.database_url) == []


@ways
def test_an_answer_that_cannot_be_made(way: Way, mortal: Mortal) -> None:
    """What was done stays done and on record; that the sender was told of an error is on record as well."""
    deed = way.prepare(mortal)
    events = len(mortal.events())
    with mortal.failing(NO_ANSWER):
        reply = mortal.ask(way.number, deed.body)
    assert reply.status == 500
    found = mortal.events()[events:]
    _check_told(deed, way.number, [each for each in found if each.outcome == 0])
    failures = [each for each in found if each.outcome != 0]
    assert {(each.code, each.outcome) for each in failures} == {(way.number, 8)}
    assert reply.fault.reference in {each.request_ids()["reference"] for each in failures}
    assert problems_of_chain(mortal.node.database_url) == []


@ways
def test_what_cannot_be_put_on_record_is_not_done(way: Way, mortal: Mortal) -> None:
    """Nor shown: an error is all that the sender gets."""
    deed = way.prepare(mortal)
    before, events = mortal.effect(), len(mortal.events())
    with mortal.failing(NO_RECORD):
        reply = mortal.ask(way.number, deed.body)
        denied = mortal.ask("ITI-43", m.retrieve("1.2.3.4"))
    assert reply.status == 500
    assert reply.fault.code
    assert b"%PDF" not in reply.body
    assert not any(name.encode() in reply.body for name in deed.names)
    assert denied.status == 500 or denied.errors
    assert mortal.effect() == before
    assert len(mortal.events()) == events
    assert _answered(mortal.ask(way.number, deed.body))
    _check_told(deed, way.number, mortal.events()[events:])
    assert problems_of_chain(mortal.node.database_url) == []
