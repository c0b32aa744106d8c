"""Pages of searches on a real node of two workers: links, totals and orders, while documents come and go."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

import pytest

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.conftest import nodes
from tests.fhir.shelf import (
    Entry,
    Got,
    ask,
    file,
    number_of,
    post,
    query,
    replaces,
    search,
    somebody,
    unique_ids,
)
from tests.nodes import Node

BASE = "https://xds.example.org/fhir"
PATIENT, MANY = somebody(0), somebody(1)
_others = iter(range(10, 100))


@pytest.fixture(scope="module")
def node(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Two workers, so that pages come from either."""
    with nodes(engine, tmp_path_factory) as make:
        yield make(node__public_url="https://xds.example.org", node__workers=2)


def filed(node: Node, count: int, patient: str) -> list[Entry]:
    """So many documents, ten to a submission, as ITI-42 has them."""
    made = [Entry(id=m.new_uuid(), patient=patient) for _ in range(count)]
    for start in range(0, count, 10):
        some = made[start : start + 10]
        assert send(node, m.plain(m.register(some, patient=patient), "ITI-42")).outcome == SUCCESS
    return made


@pytest.fixture(scope="module")
def shelf(node: Node) -> list[Entry]:
    """The 25 documents of PATIENT, in the order of registration."""
    made = filed(node, 25, PATIENT)
    found = unique_ids(search(node, "_sort=date", PATIENT))
    assert sorted(found) == sorted(each.unique_id for each in made)
    by_id = {each.unique_id: each for each in made}
    return [by_id[each] for each in found]


def pages(node: Node, got: Got, between: Callable[[int], object] = lambda page: None) -> list[Got]:
    """All pages by their links; something happens before each further one."""
    found = [got]
    while link := found[-1].links.get("next"):
        assert link.startswith(f"{BASE}/")
        between(len(found))
        found.append(ask(node, link))
        assert len(found) < 100
    return found


def all_of(some: list[Got]) -> list[str]:
    """The uniqueIds on pages, in order."""
    return [each for got in some for each in unique_ids(got)]


@pytest.mark.parametrize("count", [1, 7, 24, 25, 26, 50, 100_000])
@pytest.mark.parametrize("order", ["date", "-date", "_lastUpdated", "-_lastUpdated", ""])
def test_all_pages_together_are_everything_once(
    node: Node, shelf: list[Entry], count: int, order: str
) -> None:
    """In the order asked for, newest first without one; each page is full but the last."""
    asked = f"_count={count}" + (f"&_sort={order}" if order else "")
    got = pages(node, search(node, asked, PATIENT))
    expected = [each.unique_id for each in shelf]
    assert all_of(got) == (expected if order in ("date", "_lastUpdated") else expected[::-1])
    assert {len(each.matches) for each in got[:-1]} <= {count}
    assert len(got) == -(-25 // count)
    assert {each.json["total"] for each in got} == {25}


def test_a_posted_search_goes_on_by_get(node: Node, shelf: list[Entry]) -> None:
    """Its link holds all of it, the filters and the patient too."""
    got = pages(node, post(node, "_count=10&type=A03-2", PATIENT, in_url="_sort=date&category=A00-1"))
    assert all_of(got) == [each.unique_id for each in shelf]
    assert all_of(pages(node, post(node, "_count=10&type:not=A03-2", PATIENT))) == []


@pytest.mark.parametrize("order", ["date", "-date"])
@pytest.mark.parametrize("filters", ["", "status=current"])
def test_documents_that_come_and_go_between_pages_shift_nothing(node: Node, order: str, filters: str) -> None:
    """Whatever was there and stays is seen once, also when others are filed and replaced meanwhile."""
    patient = somebody(next(_others))
    there = filed(node, 30, patient)
    inorder = unique_ids(search(node, "_sort=date", patient))
    first = search(node, f"_count=4&_sort={order}&{filters}", patient)
    replaced: list[str] = []
    new: list[str] = []

    def meanwhile(page: int) -> None:
        """One more, and one that replaces a document: one seen long ago, or one that is still to come."""
        old = next(each for each in there if each.unique_id == inorder[page if page % 2 else -page])
        more, other = (Entry(id=m.new_uuid(), patient=patient) for _ in range(2))
        file(node, more, more=replaces(more, old.id))
        file(node, other)
        replaced.append(old.unique_id)
        new.extend((more.unique_id, other.unique_id))

    found = all_of(pages(node, first, meanwhile))
    assert len(replaced) >= 5
    assert len(found) == len(set(found))
    before = [each for each in found if each not in new]
    expected = inorder if order == "date" else inorder[::-1]
    assert before == [each for each in expected if each in before]
    missing = set(inorder) - set(before)
    # What was replaced before its page came does not fit the filter any more, and all else does.
    assert missing <= (set(replaced) if filters else set())
    later = [each for each in found if each in new]
    # Who reads the newest first has begun before what came later; else it is at the end.
    assert later == [] if order == "-date" else later == [each for each in new if each in later]
    assert order == "-date" or set(new[:-2]) <= set(later)


def test_a_page_has_its_own_self_link_and_absolute_addresses(node: Node, shelf: list[Entry]) -> None:
    """Under the public URL (R4 3.1.1.1): the first page says what was searched for, the next is itself."""
    first, second, third = pages(node, search(node, "_count=10&foo=1&event=", PATIENT))
    assert first.links["self"] == f"{BASE}/DocumentReference?" + query("_count=10", PATIENT).replace(
        "%20", "+"
    )
    assert second.links["self"] == first.links["next"]
    assert third.links["self"] == second.links["next"]
    assert set(third.links) == {"self"}
    again = ask(node, second.links["self"])
    assert unique_ids(again) == unique_ids(second)
    for got in (first, second, third):
        entries = got.json["entry"]
        assert [each["search"]["mode"] for each in entries[-1:]] == ["outcome"]
        for each in entries[:-1]:
            assert each["fullUrl"] == f"{BASE}/DocumentReference/{each['resource']['id']}"
            attachment = each["resource"]["content"][0]["attachment"]
            assert attachment["url"] == f"{BASE}/Binary/{each['resource']['id']}"


def test_a_link_keeps_the_form(node: Node, shelf: list[Entry]) -> None:
    """_format is no part of a cursor, and goes on all the same; Accept is the client's to send again."""
    got = pages(node, search(node, "_count=10&_format=xml&fhirVersion=4.0", PATIENT))
    assert len(got) == 3
    assert {each.headers["Content-Type"] for each in got} == {"application/fhir+xml; charset=utf-8"}
    got = pages(node, post(node, "_count=10&_format=application/fhir%2Bxml", PATIENT))
    assert {each.headers["Content-Type"] for each in got} == {"application/fhir+xml; charset=utf-8"}


def cursor(node: Node, kind: str = "DocumentReference", more: str = "") -> str:
    """Of a second page."""
    link = search(node, f"_count=1&{more}", PATIENT, kind).links["next"]
    return link.partition("_cursor=")[2]


def test_a_cursor_tells_nothing(node: Node, shelf: list[Entry]) -> None:
    """Neither the patient nor a code can be read in it, and no two are the same."""
    one, two = cursor(node, more="type=A03-2"), cursor(node, more="type=A03-2")
    assert one != two
    for each in (one, two):
        data = base64.urlsafe_b64decode(each + "=" * (-len(each) % 4))
        for secret in (number_of(PATIENT), "A03-2", "patient", "type"):
            assert secret not in each
            assert secret.encode() not in data
        assert re.fullmatch("[A-Za-z0-9_-]+", each)


def test_a_cursor_is_good_at_each_worker(node: Node, shelf: list[Entry]) -> None:
    """And as often as it is asked for: the key is the database's."""
    link = search(node, "_count=5", PATIENT).links["next"]
    seen = {tuple(unique_ids(ask(node, link))) for _ in range(30)}
    assert seen == {tuple(each.unique_id for each in shelf[::-1][5:10])}
    assert len(node.workers()) >= 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "x",
        lambda text: "æ",
        lambda text: text[:-1],
        lambda text: text[:20],
        lambda text: text[1:],
        lambda text: text + "A",
        lambda text: text[:30] + ("A" if text[30] != "A" else "B") + text[31:],
        lambda text: ("A" if text[0] != "A" else "B") + text[1:],
        lambda text: "A" * len(text),
        lambda text: "A" * 40_000,
        lambda text: base64.b64encode(b'["DocumentReference",[],0,null,1,true]').decode(),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(
    node: Node, shelf: list[Entry], spoil: Callable[[str], str]
) -> None:
    """400, and nothing of it comes back."""
    forged = spoil(cursor(node))
    got = post(node, [("_cursor", forged)])
    assert (got.status, [each["code"] for each in got.outcome]) == (400, ["value"])
    assert "_cursor" in got.told[0]
    assert len(forged) < 10 or forged not in got.body.decode()


def test_a_cursor_is_for_its_own_search(node: Node, shelf: list[Entry]) -> None:
    """Of another type it is refused; beside other parameters it is what counts."""
    documents, lists = cursor(node), cursor(node, "List", "code=submissionset")
    assert search(node, f"_cursor={documents}", kind="List").status == 400
    assert search(node, f"_cursor={lists}").status == 400
    assert search(node, f"_cursor={lists}", kind="List").status == 200
    got = search(node, f"_cursor={documents}&type=no-such", somebody(9))
    assert unique_ids(got) == [shelf[-2].unique_id]


def test_a_cursor_of_another_database_is_refused(
    node: Node, shelf: list[Entry], new_node: Callable[..., Node]
) -> None:
    """Each has a key of its own."""
    other = new_node()
    assert search(other, f"_cursor={cursor(node)}").status == 400
    other.stop()


def test_pages_go_by_number_too(node: Node, shelf: list[Entry]) -> None:
    """_page from 1 on, for clients that follow no links; behind the end there is nothing."""
    expected = [each.unique_id for each in shelf[::-1]]
    for page in range(1, 5):
        got = search(node, f"_count=10&_page={page}", PATIENT)
        assert unique_ids(got) == expected[page * 10 - 10 : page * 10]
        assert got.json["total"] == 25
    second = search(node, "_count=10&_page=2", PATIENT)
    assert unique_ids(ask(node, second.links["next"])) == expected[20:]


@pytest.mark.parametrize(
    "asked", ["_summary=count", "_count=0", "_summary=count&_total=none", "_count=0&_page=2"]
)
def test_a_search_may_only_count(node: Node, shelf: list[Entry], asked: str) -> None:
    """The total and nothing else, with no next page (R4 3.1.1.5.8)."""
    got = search(node, f"{asked}&type=A03-2", PATIENT)
    assert got.json["total"] == 25
    assert "entry" not in got.json
    assert set(got.links) == {"self"}


@pytest.fixture(scope="module")
def many(node: Node) -> None:
    """1003 documents of MANY."""
    for start in (0, 250, 500, 750):
        some = [Entry(id=m.new_uuid(), patient=MANY) for _ in range(253 if start == 750 else 250)]
        assert send(node, m.plain(m.register(some, patient=MANY), "ITI-42"), timeout=120).outcome == SUCCESS


@pytest.mark.parametrize(
    ("asked", "total", "told"),
    [
        ("_count=5", 1001, True),
        ("_count=5&_total=estimate", 1001, True),
        ("_count=5&_total=accurate", 1003, False),
        ("_count=5&_total=none", None, False),
        ("_summary=count", 1003, False),
        ("_count=0", 1003, False),
        ("_count=5&type=A03-2", 1001, True),
        ("_count=5&type=no-such", 0, False),
        ("_count=5&_page=200", 1001, True),
    ],
)
def test_more_than_a_thousand_are_counted_for_who_asks(
    node: Node, many: None, asked: str, total: int | None, told: bool
) -> None:
    """Else the total is the least there is, and the outcome says so; on the next page it is the same."""
    got = search(node, asked, MANY)
    for _ in range(2):
        assert got.json.get("total") == total
        assert [(each["severity"], each["code"]) for each in got.outcome] == (
            [("information", "informational")] if told else []
        )
        if "next" not in got.links:
            break
        got = ask(node, got.links["next"])


def test_a_page_has_a_thousand_at_most(node: Node, many: None) -> None:
    """Whatever _count says; the rest is on the next."""
    first, second = pages(node, search(node, "_count=5000", MANY))
    assert (len(first.matches), len(second.matches)) == (1000, 3)
    assert len(set(all_of([first, second]))) == 1003


def test_head_has_the_headers_alone(node: Node, shelf: list[Entry]) -> None:
    """Of a search and of a resource: status, type and length of what GET answers, and no body."""
    found = search(node, "", PATIENT)
    for path in (
        f"/fhir/DocumentReference?{query('', PATIENT)}",
        f"/fhir/DocumentReference/{found.matches[0]['id']}",
        f"/fhir/DocumentReference?{query('type:in=x', PATIENT)}",
    ):
        whole, head = ask(node, path), ask(node, path, "HEAD")
        assert (head.status, head.body) == (whole.status, b"")
        for name in ("Content-Type", "ETag", "Cache-Control", "Vary"):
            assert head.headers[name] == whole.headers[name]
