"""On-demand documents from outside: ITI-61 registers, ITI-43 has them made by the function of a setting."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blackbox import messages as m
from tests.blackbox.state import counts, staged
from tests.blackbox.wire import FAILURE, PARTIAL, SUCCESS, XDS, Reply, Request, send
from tests.conftest import nodes
from tests.nodes import Node
from tests.waiting import eventually

ACTION = "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry"
#: Irregular, without Entry (ITI TF-2 3.61.4.2.2).
RESPONSE = "urn:ihe:iti:2010:RegisterOnDemandDocumentResponse"
ON_DEMAND = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"
METADATA = "XDSRegistryMetadataError"

#: The function says by uniqueId what it does.
FUNCTION = """
import os

from xds.repository.on_demand import OnDemandDocument

count = 0

def large():
    for _ in range(300):
        yield b"x" * 100_000

def make(request):
    global count
    count += 1
    what = request.entry.unique_id.rpartition(".")[2]
    if what == "1":
        return OnDemandDocument(b"now: %d" % count, mime_type="text/plain")
    if what == "2":
        return OnDemandDocument(b"always the same", keep=True)
    if what == "3":
        raise ValueError(request.entry.patient_id)
    if what == "5":
        return OnDemandDocument(os.urandom(1).hex().encode() * 1000, keep=True)
    return OnDemandDocument(large())
"""


@pytest.fixture(scope="module")
def node(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node with a function, in a folder of its own that Python looks in."""
    folder = tmp_path_factory.mktemp("function")
    (folder / "made_on_demand.py").write_text(FUNCTION)
    with pytest.MonkeyPatch.context() as patch, nodes(engine, tmp_path_factory) as make:
        patch.setenv("PYTHONPATH", str(folder))
        yield make(repository__on_demand="made_on_demand:make")


def register(*documents: m.Document) -> Request:
    """A good ITI-61."""
    body = m.register(documents).replace(m.STABLE, ON_DEMAND)
    return Request(m.REGISTRY, m.media_type(m.SOAP12), m.envelope(body, ACTION))


def promised(what: int) -> m.Document:
    slots: dict[str, str | None] = dict.fromkeys(("creationTime", "hash", "size"))
    return m.Document(unique_id=f"{m.new_oid()}.{what}", slots=slots)


def new_ids(reply: Reply) -> tuple[str, str]:
    """NewRepositoryUniqueId and NewDocumentUniqueId of the one document in the answer."""
    (response,) = reply.content().iter(f"{{{XDS}}}DocumentResponse")
    return (
        response.findtext(f"{{{XDS}}}NewRepositoryUniqueId", ""),
        response.findtext(f"{{{XDS}}}NewDocumentUniqueId", ""),
    )


def test_an_on_demand_document_is_made_for_who_fetches_it(node: Node) -> None:
    """Its bytes, its MIME type and a new uniqueId; the next fetch gives other bytes under another id."""
    document = promised(1)
    registered = send(node, register(document))
    assert (registered.outcome, registered.header("Action")) == (SUCCESS, RESPONSE)
    before = counts(node)
    first = send(node, m.mtom_retrieve(document.unique_id))
    second = send(node, m.plain(m.retrieve(document.unique_id), "ITI-43"))
    assert (first.outcome, second.outcome) == (SUCCESS, SUCCESS)
    assert list(first.documents()) == list(second.documents()) == [document.unique_id]
    contents = [*first.documents().values(), *second.documents().values()]
    assert all(content.startswith(b"now: ") for content in contents)
    assert new_ids(first)[0] == new_ids(second)[0] == ""
    ids = [new_ids(first)[1], new_ids(second)[1], document.unique_id]
    assert len(set(ids)) == len(set(contents)) + 1
    assert eventually(lambda: counts(node) == before)  # neither rows nor files


def test_a_kept_document_is_there_to_be_found_and_fetched(node: Node) -> None:
    """Under NewRepositoryUniqueId and NewDocumentUniqueId, with an entry of its own."""
    document = promised(2)
    assert send(node, register(document)).outcome == SUCCESS
    reply = send(node, m.mtom_retrieve(document.unique_id))
    repository, new_id = new_ids(reply)
    assert repository == m.REPOSITORY_ID
    assert eventually(lambda: not staged(node))
    kept = counts(node)
    again = send(node, m.mtom_retrieve(document.unique_id))
    assert new_ids(again) == (repository, new_id)
    assert eventually(lambda: counts(node) == kept)
    assert send(node, m.mtom_retrieve(new_id)).documents() == {new_id: b"always the same"}
    found = send(node, m.plain(m.get_documents(new_id), "ITI-18")).content()
    assert found.xpath("count(//*[local-name()='ExtrinsicObject'])") == 1


def test_a_function_that_fails_is_told_without_its_words(node: Node) -> None:
    """The others of the request are answered; neither answer nor log says anything of the patient."""
    good, bad = promised(1), promised(3)
    assert [send(node, register(each)).outcome for each in (good, bad)] == [SUCCESS, SUCCESS]
    reply = send(node, m.mtom_retrieve(good.unique_id, bad.unique_id))
    assert reply.outcome == PARTIAL
    (error,) = reply.errors
    assert (error.code, error.rule, error.location) == (
        "XDSRepositoryError",
        "retrieve-on-demand-made",
        "DocumentRequest[2]/DocumentUniqueId",
    )
    log = node.log.read_text()
    assert "made_on_demand.py" in log
    assert not [marker for marker in m.MARKERS if marker.encode() in reply.body or marker in log]


def test_a_large_document_passes_through(node: Node) -> None:
    """30 MB in pieces, and nothing staged afterwards."""
    document = promised(4)
    assert send(node, register(document)).outcome == SUCCESS
    # What the test before was sent may be staged for a moment.
    assert eventually(lambda: not staged(node))
    before = counts(node)
    reply = send(node, m.mtom_retrieve(document.unique_id))
    assert reply.documents() == {document.unique_id: b"x" * 30_000_000}
    assert eventually(lambda: counts(node) == before)


def test_a_node_that_is_killed_keeps_whole_snapshots_and_one_that_is_current(
    new_node: Callable[..., Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered can be fetched again; of what was not, nothing half-made is seen."""
    (tmp_path / "made_on_demand.py").write_text(FUNCTION)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    node = new_node(repository__on_demand="made_on_demand:make")
    document = promised(5)
    assert send(node, register(document)).outcome == SUCCESS
    answered: dict[str, bytes] = {}

    def fetch() -> None:
        while True:
            try:
                reply = send(node, m.mtom_retrieve(document.unique_id), timeout=20)
                answered[new_ids(reply)[1]] = reply.documents()[document.unique_id]
            except (OSError, http.client.HTTPException, AssertionError):
                return  # killed

    for _ in range(4):
        fetching = [threading.Thread(target=fetch) for _ in range(3)]
        known = len(answered)
        for each in fetching:
            each.start()
        deadline = time.monotonic() + 20
        while len(answered) < known + 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        node.kill()
        for each in fetching:
            each.join()
        node.start()
    assert len(answered) >= 20
    for new_id, content in answered.items():
        assert send(node, m.mtom_retrieve(new_id)).documents() == {new_id: content}
    found = send(node, m.plain(m.find_documents(), "ITI-18")).content()
    assert found.xpath("count(//*[local-name()='ExtrinsicObject'])") == 1


@pytest.mark.parametrize(
    ("request_of", "expected"),
    [
        (
            lambda: Request(
                m.REGISTRY, m.media_type(m.SOAP12), m.envelope(m.register([m.Document()]), ACTION)
            ),
            [
                ("DE-creationTime-prohibited", "Document01/creationTime"),
                ("DE-hash-prohibited", "Document01/hash"),
                ("DE-size-prohibited", "Document01/size"),
                ("DE-objectType-demand", "Document01/objectType"),
            ],
        ),
        (
            lambda: Request(m.REGISTRY, m.media_type(m.SOAP12), m.envelope(m.register([]), ACTION)),
            [("document-one", "")],
        ),
        (
            lambda: m.plain(m.register([promised(1)]).replace(m.STABLE, ON_DEMAND), "ITI-42"),
            [
                ("DE-creationTime-required", "Document01/creationTime"),
                ("DE-hash-required", "Document01/hash"),
                ("DE-size-required", "Document01/size"),
                ("DE-objectType-stable", "Document01/objectType"),
            ],
        ),
    ],
    ids=["a stable document", "no document", "an on-demand document by ITI-42"],
)
def test_each_kind_of_document_has_its_transaction(
    node: Node, request_of: Callable[[], Request], expected: list[tuple[str, str]]
) -> None:
    """Every error at once, and nothing stored."""
    before = counts(node)
    reply = send(node, request_of())
    assert reply.outcome == FAILURE
    assert [(error.code, error.rule, error.location) for error in reply.errors] == [
        (METADATA, *each) for each in expected
    ]
    assert counts(node) == before


@pytest.mark.parametrize("name", ["no_such_module:make", "made_on_demand", "json:no_such", "json:__doc__"])
def test_a_function_that_cannot_be_called_is_found_before_the_start(
    engine: str, tmp_path: Path, name: str
) -> None:
    """`xds check` names the setting; the node does not start."""
    checked = Node(tmp_path, repository__on_demand=name).command("check")
    assert checked.returncode == 1
    assert "repository.on_demand" in checked.stderr
