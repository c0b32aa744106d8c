"""A node that is killed again and again loses nothing that it acknowledged, and keeps nothing that it did
not.

Senders do what senders do: after a broken connection they send the identical submission again until they
hear Success. Only process groups that this test started are killed, by their id.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.blackbox import messages as m
from tests.blackbox.messages import Document
from tests.blackbox.state import beneath, counts, rows, staged
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node

SUBMISSIONS = 300
KILLS = 10
SENDERS = 6
PATIENTS = 5
SEED = 20261120


def _patient(number: int) -> str:
    return f"{number % PATIENTS}^^^&2.25.{SEED}&ISO"


def _document(number: int) -> Document:
    """Document `number`: 1 to 200 kB, the small ones as often as the large."""
    chance = random.Random(SEED * 1000 + number)
    size = int(1000 * 200 ** chance.random())
    return Document(
        content=chance.randbytes(size), patient=_patient(number), unique_id=f"2.25.{SEED}.1.{number}"
    )


class Senders:
    """Threads that send every submission until it is acknowledged."""

    def __init__(self, node: Node, count: int) -> None:
        self.node = node
        self.acknowledged: set[int] = set()
        self.cut = self.waited = 0
        self.refused: list[str] = []
        self._numbers = iter(range(count))
        self._lock = threading.Lock()
        self._deadline = time.monotonic() + 120
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def busy(self) -> bool:
        """Whether anyone still has something to send."""
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            request = m.mtom([_document(number)], f"2.25.{SEED}.2.{number}", patient=_patient(number))
            while not self._sent(number, request):
                if time.monotonic() > self._deadline:
                    self.refused.append(f"submission {number} was not acknowledged in time")
                    return
                time.sleep(0.03)

    def _sent(self, number: int, request: m.Request) -> bool:
        try:
            reply = send(self.node, request, timeout=20)
        except ConnectionRefusedError:
            with self._lock:
                self.waited += 1
            return False
        except (OSError, http.client.HTTPException):
            with self._lock:
                self.cut += 1
            return False
        good = reply.status == 200 and SUCCESS.encode() in reply.body
        with self._lock:
            if good:
                self.acknowledged.add(number)
            else:
                self.refused.append(reply.body.decode(errors="replace"))
        return good


def _registered(node: Node, patient: str) -> dict[str, tuple[str, str]]:
    """uniqueId -> (hash, size) of every document entry of a patient; one that is found twice is a failure."""
    reply = send(node, m.plain(m.find_documents(patient), "ITI-18"))
    assert reply.outcome == SUCCESS
    found: dict[str, tuple[str, str]] = {}
    for entry in reply.content().iterfind(".//{*}ExtrinsicObject"):
        slots = {slot.get("name"): slot.findtext(".//{*}Value") for slot in entry.iterfind("{*}Slot")}
        unique_id = entry.find(
            "{*}ExternalIdentifier[@identificationScheme='urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab']"
        ).get("value")
        assert unique_id not in found, "registered twice"
        found[unique_id] = (slots["hash"], slots["size"])
    return found


def _check_whole(node: Node, acknowledged: set[int]) -> None:
    """What is acknowledged is registered once and fetched byte for byte; what is registered is there."""
    registered: dict[str, tuple[str, str]] = {}
    for number in range(PATIENTS):
        registered |= _registered(node, _patient(number))
    documents = {each.unique_id: each for each in map(_document, acknowledged)}
    assert set(registered) == set(documents), "acknowledged and registered differ"
    unique_ids = sorted(documents)
    for start in range(0, len(unique_ids), 25):
        some = unique_ids[start : start + 25]
        fetched = send(node, m.mtom_retrieve(*some)).documents()
        assert list(fetched) == some
        for unique_id, content in fetched.items():
            assert content == documents[unique_id].content
            digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            assert registered[unique_id] == (digest, str(len(content)))
    same_patient = [each.unique_id for each in documents.values() if each.patient == _patient(0)][:5]
    by_id = send(node, m.plain(m.get_documents(*same_patient), "ITI-18")).content()
    assert len(by_id.findall(".//{*}ExtrinsicObject")) == 5
    stored = counts(node)
    whole = ("document_entry", "submission_set", "association", "stored_document")
    assert {name: stored[name] for name in whole} == dict.fromkeys(whole, len(acknowledged))


def _sweep(node: Node) -> str:
    swept = node.command("sweep", "--grace-hours", "0")
    assert swept.returncode == 0, swept.stderr
    return swept.stdout.strip()


def _check_no_stray(node: Node) -> None:
    """Every row has its bytes of the right size and hash, all bytes their row, and nothing is staged."""
    under = beneath(node)
    kept = {
        str(key): (int(str(size)), bytes(sha256))  # type: ignore[arg-type]
        for key, size, sha256 in rows(node, "SELECT blob_key, size, sha256 FROM stored_document")
    }
    assert set(under.keys()) == set(kept)
    assert staged(node) == []
    for key, (size, sha256) in kept.items():
        data = under.read(key)
        assert (len(data), hashlib.sha256(data).digest()) == (size, sha256)


@pytest.mark.slow
def test_a_node_that_is_killed_ten_times_loses_nothing_it_acknowledged(
    new_node: Callable[..., Node], record_property: Callable[[str, Any], None]
) -> None:
    """300 submissions by six senders, SIGKILL to the whole process tree at ten random moments, restarted
    each time."""
    node = new_node(node__workers=2)
    chance = random.Random(SEED)
    moments = sorted(chance.sample(range(5, SUBMISSIONS - 15), KILLS))
    senders = Senders(node, SUBMISSIONS)
    began = time.monotonic()
    kills = unheard = 0
    senders.start()
    for moment in moments:
        while len(senders.acknowledged) < moment and senders.busy:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.02)
        node.kill()
        kills += 1
        time.sleep(0.02)  # what was answered has been read
        unheard += counts(node)["submission_set"] - len(senders.acknowledged)
        node.start()
    senders.join()
    seconds = time.monotonic() - began
    assert senders.refused == [], node.errors()
    assert (len(senders.acknowledged), kills) == (SUBMISSIONS, KILLS)
    assert senders.cut >= KILLS, "the kills met nobody at work"

    _check_whole(node, senders.acknowledged)
    swept = _sweep(node)
    _check_no_stray(node)
    _check_whole(node, senders.acknowledged)
    figure = (
        f"killed {kills} times in {seconds:.1f} s: {SUBMISSIONS} of {SUBMISSIONS} submissions "
        f"acknowledged, found and "
        f"fetched; {senders.cut} were cut off and {senders.waited} found nobody, {unheard} were "
        f"registered and not yet "
        f"acknowledged at a kill; then: {swept}"
    )
    print(figure)
    record_property("figure", figure)


@pytest.mark.slow
def test_a_sweep_without_grace_beside_senders_loses_nothing_acknowledged(
    new_node: Callable[..., Node], record_property: Callable[[str, Any], None]
) -> None:
    """`xds sweep --grace-hours 0` in the middle of the work makes some attempts fail, and never a document
    vanish."""
    node = new_node(node__workers=2)
    senders = Senders(node, 150)
    senders.start()
    sweeps = 0
    while senders.busy:
        _sweep(node)
        sweeps += 1
    senders.join()
    assert len(senders.acknowledged) == 150
    _check_whole(node, senders.acknowledged)
    _sweep(node)
    _check_no_stray(node)
    for answer in senders.refused:
        assert "XDSRepositoryBusy" in answer, answer
    record_property(
        "figure", f"{sweeps} sweeps beside 150 submissions: {len(senders.refused)} told to send again"
    )
