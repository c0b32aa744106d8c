"""What waits between two communities, without nodes around it: rows, files, and the threads that look there.

Several couriers on one database stand for the workers of a node; `Receiver` stands for who gets the answers.
Whatever happens, an answer is sent at least once, by one courier at a time, and nothing is left behind.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from tests.blackbox import messages as m
from tests.gateway.peers import Peer
from tests.gateway.receiver import Receiver, until
from tests.test_tls import Authority
from xds.errors import XdsError
from xds.gateway import awaited as awaited_module
from xds.gateway import replies as replies_module
from xds.gateway import strays
from xds.gateway.awaited import AwaitedReplies, Unrecorded
from xds.gateway.communities import Communities, Community
from xds.gateway.courier import Courier, Pace
from xds.gateway.replies import NotKept, Replies, now
from xds.store.database import Database
from xds.store.schema import awaited_reply, outgoing_reply
from xds.store.trouble import DatabaseBusy
from xds.transport.client import Faulted, NoAnswer, Trouble
from xds.transport.limits import Limits
from xds.transport.message import Answer, Attachment, Message, read_message
from xds.transport.soap import Version
from xds.transport.staged import StagingFolder

#: A lease that nobody outlives by chance: whoever is slow to write down that it has sent keeps its claim.
QUICK = Pace(lease=30.0, pause=0.05, longest=0.2, poll=0.05, lanes=4)
ACTION = "urn:ihe:iti:2007:CrossGatewayQueryResponse"


@dataclass
class World:
    """One database and folder, and who may be sent something."""

    database: Database
    root: Path
    receiver: Receiver
    members: tuple[Community, ...] = ()
    room: bool = True
    couriers: list[Courier] = field(default_factory=list)

    def replies(self, node: str = "node") -> Replies:
        """As a worker of that node has it."""
        folder = StagingFolder(self.root / "replies")
        return Replies(
            self.database, node, folder, lambda: Communities(self.members), lambda size: self.room, 1000
        )

    def courier(self, node: str = "node", pace: Pace = QUICK) -> Replies:
        """A worker that sends; what it sends."""
        replies = self.replies(node)
        courier = Courier(replies, Limits(seconds=10, idle_seconds=10), pace)
        self.couriers.append(courier)
        courier.start()
        return replies

    def rows(self) -> list[tuple[object, ...]]:
        """Of answers that are to be sent."""
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(select(outgoing_reply))]

    def files(self) -> list[Path]:
        """Of everything that waits."""
        return sorted((self.root / "replies").iterdir())

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self.rows() and not self.files()


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    database = Database(database_url)
    receiver = Receiver().start()
    one = World(database, tmp_path, receiver)
    one.members = (
        Community("Nord", "1.2.3", "http://127.0.0.1:9/", "http://127.0.0.1:9/", reply_to=(receiver.url,)),
    )
    yield one
    for courier in one.couriers:
        courier.close()
    receiver.stop()
    time.sleep(0.1)
    database.close()


def request(to: str, message_id: str = "") -> Message:
    """A request whose answer goes elsewhere, as the endpoint has read it."""
    data = m.envelope("<x/>", "urn:ihe:iti:2007:CrossGatewayQuery", message_id=message_id or None)
    message = read_message(
        BytesIO(data), m.media_type(m.SOAP12), Limits(), StagingFolder(Path("/nowhere").parent)
    )
    message.reply_to = to
    return message


def answer(body: bytes = b"<y/>") -> Answer:
    """An answer."""
    return Answer(ACTION, (body,))


# -- answers that go out -------------------------------------------------------------------------------------


def test_what_is_kept_is_the_whole_message(world: World) -> None:
    """An attachment too, in a part of its own."""
    content = os.urandom(700_000)
    attachment = Attachment(
        "application/pdf", len(content), lambda: iter([content[:300_000], content[300_000:]])
    )
    world.replies().keep(
        request(world.receiver.url), Answer(ACTION, (b"<y><d>", attachment, b"</d></y>")), True
    )
    world.courier()
    (message,) = world.receiver.wait()
    assert message.mtom
    ((_, root), (_, part)) = message.parts().values()
    assert part == content
    assert b"xop:Include" in root
    until(world.is_empty)


def test_workers_never_send_one_answer_at_the_same_time(world: World) -> None:
    """Three couriers, 60 answers, a slow receiver: each message comes once."""
    world.receiver.silent = 0.05
    workers = [world.courier() for _ in range(3)]
    for number in range(60):
        workers[number % 3].keep(request(world.receiver.url), answer(), False)
    until(world.is_empty, 30)
    ids = [each.header("MessageID") for each in world.receiver.taken]
    assert (len(ids), len(set(ids))) == (60, 60)


def test_a_claim_is_kept_while_its_sender_lives(world: World) -> None:
    """A receiver that takes longer than a lease gets it once, whoever else looks."""
    pace = replace(QUICK, lease=2.5)
    world.receiver.silent = pace.lease * 2.5
    one, _ = world.courier(pace=pace), world.courier(pace=pace)
    one.keep(request(world.receiver.url), answer(), False)
    until(world.is_empty, 20)
    assert len(world.receiver.taken) == 1


def test_a_claim_of_one_who_has_died_is_taken_over(world: World) -> None:
    """After its time, and not before; with the same MessageID."""
    replies = world.replies()
    replies.keep(request(world.receiver.url), answer(), False)
    (kept,) = replies.due()
    began = time.monotonic()
    assert replies.claim(kept, now() + 1500) is not None  # and then nothing more is heard of it
    assert replies.claim(kept, now() + 1500) is None
    world.courier()
    (message,) = world.receiver.wait()
    assert time.monotonic() - began > 1.4
    assert message.header("MessageID").encode() in message.body
    until(world.is_empty)


def test_another_node_has_other_files(world: World) -> None:
    """A row names its node; nobody else sends it, counts it, or removes it."""
    there = world.replies("there")
    there.keep(request(world.receiver.url), answer(), False)
    here = world.courier("here")
    here.keep(request(world.receiver.url), answer(), False)
    until(lambda: len(world.rows()) == 1)
    time.sleep(0.3)
    assert len(world.receiver.taken) == len(world.files()) == len(there.due()) == 1
    assert [each.value for each in here.samples()][:1] == [0]
    assert [each.value for each in there.samples()][:1] == [1]


def test_pauses_grow_and_have_an_end() -> None:
    """1 s, 2 s, 4 s … 60 s, a quarter less at the most, and the same number never for long."""
    pace = Pace()
    for attempts, most in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (5000, 60)):
        some = {pace.after(attempts) for _ in range(50)}
        assert most * 0.75 <= min(some) <= max(some) <= most
        assert len(some) > 40


def test_a_clock_that_was_put_back_holds_nothing_up(world: World) -> None:
    """What would be due in a far future is due now."""
    replies = world.replies()
    replies.keep(request(world.receiver.url), answer(), False)
    with world.database.write() as connection:
        connection.execute(update(outgoing_reply).values(due=now() + 86_400_000))
    world.courier()
    world.receiver.wait()
    until(world.is_empty)


@pytest.mark.parametrize("kind", ["no room", "disk full", "broken answer", "database", "swept"])
def test_what_cannot_be_kept_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whoever asks is told, and there is neither a file nor a row."""
    replies = world.replies()
    body: tuple[bytes | Attachment, ...] = (b"<y/>",)
    expected: type[BaseException] = OSError
    if kind == "no room":
        world.room = False
    elif kind == "disk full":
        monkeypatch.setattr(replies.folder, "make_lasting", _raise(OSError(28, "no space")))
    elif kind == "broken answer":
        short = Attachment("text/plain", 10, lambda: iter([b"x"]))
        body, expected = (b"<y>", short, b"</y>"), RuntimeError
    elif kind == "database":
        monkeypatch.setattr(world.database, "transact", _raise(DatabaseBusy()))
        expected = DatabaseBusy
    else:
        sync = replies.folder.make_lasting

        def sweep_it(staged):  # type: ignore[no-untyped-def]
            sync(staged)
            assert strays.sweep(world.database, replies.folder, grace=timedelta(0)) == 1

        monkeypatch.setattr(replies.folder, "make_lasting", sweep_it)
    with pytest.raises(expected):
        replies.keep(request(world.receiver.url), Answer(ACTION, body), True)
    monkeypatch.undo()
    assert world.is_empty()


def _raise(error: BaseException) -> Callable[..., None]:
    def raising(*_: object) -> None:
        raise error

    return raising


def test_of_a_commit_that_broke_the_file_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be a row that needs it; the sweep removes it when there is none."""
    replies = world.replies()
    lost = OperationalError("COMMIT", None, Exception("server closed the connection"))
    monkeypatch.setattr(world.database, "transact", _raise(lost))
    with pytest.raises(OperationalError):
        replies.keep(request(world.receiver.url), answer(), False)
    monkeypatch.undo()
    assert (len(world.files()), world.rows()) == (1, [])
    assert strays.sweep(world.database, replies.folder, grace=timedelta(hours=1)) == 0
    assert strays.sweep(world.database, replies.folder, grace=timedelta(0)) == 1
    assert world.is_empty()


def test_it_is_on_disk_before_there_is_a_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes, their name, and the folder's own name; then the row, and only then anything is said."""
    replies = world.replies()
    synced: list[str] = []
    sync, transact = os.fsync, world.database.transact

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def write(work):  # type: ignore[no-untyped-def]
        synced.append("row")
        return transact(work)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(world.database, "transact", write)
    replies.keep(request(world.receiver.url), answer(), False)
    (file,) = world.files()
    folder = world.root / "replies"
    lasting = [str(each) for each in (file, folder, folder.parent, folder.parent.parent)]
    assert [each for each in synced if each in (*lasting, "row")] == [*lasting, "row"]


@pytest.mark.parametrize(
    ("code", "subcode", "final"),
    [
        ("Sender", "a:InvalidAddressingHeader", True),
        ("Sender", "a:ActionNotSupported", True),
        ("Receiver", "a:EndpointUnavailable", False),
        ("Receiver", "", False),
        ("Sender", "", False),
    ],
)
def test_which_faults_are_the_end(world: World, code: str, subcode: str, final: bool) -> None:
    """Those that say that nobody waits; all others may pass, and it is tried again."""
    value = f"<s:Subcode><s:Value>{subcode}</s:Value></s:Subcode>" if subcode else ""
    world.receiver.refuse(code, value)
    replies = world.courier()
    replies.keep(request(world.receiver.url), answer(), False)
    if final:
        until(world.is_empty)
        assert len(world.receiver.taken) == 1
    else:
        world.receiver.wait(3)
        assert len(world.rows()) == 1
    # It is counted when it is gone.
    until(lambda: [each.value for each in replies.samples()][2] == final)


@pytest.mark.parametrize(("bound", "most"), [("MOST", 2), ("MOST_BYTES", 700)])
def test_room_is_counted_for_each_address(
    world: World, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """By number and by bytes; another address has its own."""
    monkeypatch.setattr(replies_module, bound, most)
    replies = world.replies()
    for _ in range(2):
        replies.check_room(world.receiver.url, "ITI-38")
        replies.keep(request(world.receiver.url), answer(), False)
    with pytest.raises(NotKept):
        replies.check_room(world.receiver.url, "ITI-38")
    replies.check_room("https://elsewhere.example.no/", "ITI-38")


def test_a_database_that_is_away_stops_nobody_for_good(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The courier goes on when it is back; what was taken meanwhile is not sent again."""
    replies = world.courier()
    removed = replies.remove
    failures = []

    def remove(kept):  # type: ignore[no-untyped-def]
        if len(failures) < 3:
            failures.append(kept)
            raise OperationalError("DELETE", None, Exception("locked"))
        return removed(kept)

    monkeypatch.setattr(replies, "remove", remove)
    replies.keep(request(world.receiver.url), answer(), False)
    until(world.is_empty)
    assert (len(failures), len(world.receiver.taken)) == (3, 1)


def test_an_answer_goes_out_with_the_certificate_of_its_community(world: World, tmp_path: Path) -> None:
    """And only to somebody whom that community's authority knows."""
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    ours, theirs, other = (Authority(tmp_path, name) for name in ("ours", "theirs", "other"))
    certificate, key = ours.issue("client", Usage.CLIENT_AUTH)
    server = theirs.issue("localhost", Usage.SERVER_AUTH)
    with Peer("1.2.3", certificate=server[0], key=server[1], client_ca=ours.file) as peer:
        nord = Community(
            "Nord", "1.2.3", peer.url, peer.url, theirs.file, certificate, key, reply_to=(peer.url,)
        )
        world.members = (replace(nord, ca=other.file),)
        replies = world.courier()
        replies.keep(request(peer.url), answer(), False)
        until(lambda: any(row[-1] for row in world.rows()))
        assert peer.figures.requests == 0
        peer.behave("accepted")
        world.members = (nord,)
        until(world.is_empty)
        (asked,) = peer.requests
        assert asked.certificate is not None
        assert b"<y/>" in asked.body


# -- answers that come in ------------------------------------------------------------------------------------


@pytest.fixture
def worker(world: World) -> Iterator[Callable[[], AwaitedReplies]]:
    """A worker of a node that waits for answers; with its thread."""
    made: list[AwaitedReplies] = []

    def make() -> AwaitedReplies:
        one = AwaitedReplies(
            world.database,
            "node",
            "http://127.0.0.1:9/xca/replies",
            StagingFolder(world.root / "replies"),
            StagingFolder(world.root / "staging"),
            Limits(),
        )
        one.start()
        made.append(one)
        return one

    yield make
    for each in made:
        each.close()


Worker = Callable[[], AwaitedReplies]


def reply(world: World, relates_to: str, parts: tuple[m.Part, ...] = (), body: str = "<y/>") -> Message:
    """A message that came in, with parts if any are given, as the endpoint has read it."""
    data = m.envelope(body, ACTION, header=f"<a:RelatesTo>{relates_to}</a:RelatesTo>")
    kind = m.media_type(m.SOAP12)
    if parts:
        kind, data = m.multipart(data, parts)
    return read_message(BytesIO(data), kind, Limits(), StagingFolder(world.root / "staging"), answer=True)


def soon(seconds: float = 10) -> float:
    """A deadline."""
    return time.monotonic() + seconds


def test_an_answer_reaches_a_call_in_another_worker(world: World, worker: Worker) -> None:
    """Its XML and its parts, to the byte, long before rows are looked through; then nothing is left."""
    one, other = worker(), worker()
    content = os.urandom(100_000)
    for _ in range(3):
        name = m.new_message_id()
        one.expect(name, "urn:oid:1.2.3", soon(60))
        came = reply(world, name, (("doc", "", content),), f"<y>{m.include('cid:doc')}</y>")
        assert other.take(came)
        came.discard()
        began = time.monotonic()
        message = one.wait(name, soon(60), ACTION, frozenset())
        assert time.monotonic() - began < awaited_module._CLEAN / 2
        with message.content(message.body).open() as file:
            assert file.read() == content
        assert (message.version, message.relates_to, message.mtom) == (Version.SOAP12, name, True)
        one.forget(name)
        message.discard()
        assert world.files() == list((world.root / "staging").iterdir()) == []
    assert _awaited(world) == []


def _awaited(world: World) -> list[tuple[object, ...]]:
    with world.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(awaited_reply))]


def test_exactly_one_of_many_is_taken(world: World, worker: Worker) -> None:
    """Whoever is second finds that there is an answer; its parts are gone too."""
    one, other = worker(), worker()
    for _ in range(5):
        name = m.new_message_id()
        one.expect(name, "urn:oid:1.2.3", soon())
        came = [reply(world, name, (("doc", "", bytes([number])),)) for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda each, own=(one, other): own[each.reference < "8"].take(each), came))
        assert sorted(taken) == [False] * 7 + [True]
        for each in came:
            each.discard()
        message = one.wait(name, soon(), ACTION, frozenset())
        message.discard()
        assert world.files() == []


@pytest.mark.parametrize("when", ["unknown", "forgotten", "answered", "over"])
def test_what_nobody_waits_for_is_not_taken(world: World, worker: Worker, when: str) -> None:
    """It leaves nothing behind."""
    one = worker()
    name = m.new_message_id()
    if when != "unknown":
        one.expect(name, "urn:oid:1.2.3", soon(0.05 if when == "over" else 10))
    if when == "forgotten":
        one.forget(name)
    elif when == "answered":
        assert one.take(reply(world, name))
        one.wait(name, soon(), ACTION, frozenset()).discard()
    elif when == "over":
        time.sleep(0.1)
    came = reply(world, name, (("doc", "", b"x"),))
    assert not one.take(came)
    came.discard()
    one.forget(name)
    assert world.files() == list((world.root / "staging").iterdir()) == _awaited(world) == []


def test_an_answer_that_comes_as_its_call_gives_up_goes_with_it(world: World, worker: Worker) -> None:
    """Between the deadline and the end of the call."""
    one = worker()
    name = m.new_message_id()
    one.expect(name, "urn:oid:1.2.3", soon())
    with pytest.raises(NoAnswer) as late:
        one.wait(name, time.monotonic(), ACTION, frozenset())
    assert late.value.kind is Trouble.LATE
    assert one.take(reply(world, name, (("doc", "", b"x"),)))
    assert len(world.files()) == 2
    one.forget(name)
    assert world.files() == _awaited(world) == []


@pytest.mark.parametrize(
    ("body", "header", "error"),
    [
        ("<y/>", '<z xmlns="urn:z" s:mustUnderstand="1"/>', NoAnswer),
        (f'<s:Fault xmlns:s="{m.SOAP12}"/>', "", Faulted),
        ("<y/>", "<a:To>x</a:To><a:To>y</a:To>", NoAnswer),
    ],
)
def test_a_reply_that_is_no_answer_leaves_nothing(
    world: World, worker: Worker, body: str, header: str, error: type[Exception]
) -> None:
    """Judged by whoever waits, as an answer on the same connection is; its files go."""
    one = worker()
    name = m.new_message_id()
    one.expect(name, "urn:oid:1.2.3", soon())
    came = reply(world, name, (("doc", "", b"x"),))
    data = m.envelope(body, ACTION, header=f"<a:RelatesTo>{name}</a:RelatesTo>{header}")
    came.envelope = data
    assert one.take(came)
    with pytest.raises(error):
        one.wait(name, soon(), ACTION, frozenset())
    one.forget(name)
    assert world.files() == _awaited(world) == []


def test_files_that_are_gone_are_an_answer_that_cannot_be_read(world: World, worker: Worker) -> None:
    """Whoever removed them; the call ends with that."""
    one = worker()
    name = m.new_message_id()
    one.expect(name, "urn:oid:1.2.3", soon())
    assert one.take(reply(world, name, (("doc", "", b"x"),)))
    world.files()[0].unlink()
    with pytest.raises(NoAnswer) as unreadable:
        one.wait(name, soon(), ACTION, frozenset())
    assert unreadable.value.kind is Trouble.UNREADABLE
    assert world.files() == _awaited(world) == []


def test_a_call_that_cannot_be_put_on_record_is_not_made(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so."""
    one = worker()
    monkeypatch.setattr(world.database, "transact", _raise(DatabaseBusy()))
    with pytest.raises(Unrecorded):
        one.expect(m.new_message_id(), "urn:oid:1.2.3", soon())


def test_what_a_dead_process_waited_for_is_removed(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the thread of another worker of the node, rows and files, when the time is over; no other's."""
    monkeypatch.setattr(awaited_module, "_MARGIN", 100)
    dead = worker()
    names = [m.new_message_id() for _ in range(3)]
    for name in names:
        dead.expect(name, "urn:oid:1.2.3", soon(60))
    assert dead.take(reply(world, names[0], (("doc", "", b"x"),)))
    assert dead.take(reply(world, names[2]))
    with world.database.write() as connection:
        over = update(awaited_reply).where(awaited_reply.c.message_id.in_(names[:2]))
        connection.execute(over.values(until=now() - 200))
    worker()  # looks when it starts, and then every 30 s
    until(lambda: len(_awaited(world)) == 1)
    assert [row[0] for row in _awaited(world)] == [names[2]]
    until(lambda: len(world.files()) == 1)


# -- what is left --------------------------------------------------------------------------------------------


def test_a_sweep_removes_what_has_no_row_or_no_future(world: World, worker: Worker) -> None:
    """Files without a row, when they are old enough; rows of both kinds that nobody will ever remove."""
    replies, one = world.replies(), worker()
    replies.keep(request(world.receiver.url), answer(), False)
    replies.keep(request(world.receiver.url), answer(), False)
    names = [m.new_message_id(), m.new_message_id()]
    for name in names:
        one.expect(name, "urn:oid:1.2.3", soon(60))
        assert one.take(reply(world, name, (("doc", "", b"x"),)))
    stray = world.root / "replies" / ("0" * 32)
    stray.write_bytes(b"x")
    young = stray.with_name("1" * 32)
    young.write_bytes(b"x")
    for each in world.files():
        if each != young:
            os.utime(each, (time.time() - 7200,) * 2)
    sweep = strays.sweep
    assert sweep(world.database, replies.folder, grace=timedelta(hours=1)) == 1
    assert (stray.exists(), young.exists()) == (False, True)
    young.unlink()
    assert sweep(world.database, replies.folder, grace=timedelta(0)) == 0
    assert (len(world.rows()), len(_awaited(world)), len(world.files())) == (2, 2, 6)
    long_ago = now() - 3_700_000
    with world.database.write() as connection:
        (first, *_) = connection.execute(select(outgoing_reply.c.file)).scalars()
        connection.execute(
            update(outgoing_reply).where(outgoing_reply.c.file == first).values(until=long_ago)
        )
        connection.execute(
            update(awaited_reply).where(awaited_reply.c.message_id == names[0]).values(until=long_ago)
        )
    assert sweep(world.database, replies.folder, grace=timedelta(hours=24)) == 3
    assert (len(world.rows()), len(_awaited(world)), len(world.files())) == (1, 1, 3)


def test_a_sweep_with_the_wrong_database_removes_nothing(world: World) -> None:
    """Unless it is meant."""
    folder = world.replies().folder
    for number in range(101):
        (folder.path / f"{number:032}").write_bytes(b"x")
    with pytest.raises(XdsError, match="101 of 101"):
        strays.sweep(world.database, folder, grace=timedelta(0))
    assert len(world.files()) == 101
    assert strays.sweep(world.database, folder, grace=timedelta(0), force=True) == 101
    assert world.is_empty()


def test_a_sweep_beside_senders_loses_nothing(world: World) -> None:
    """Again and again, without grace: what was kept is delivered, and what is refused leaves nothing.

    Every third answer is let be: where a disk is slow, a sweep comes within the time that keeping one takes.
    """
    replies = world.courier()
    ended, sweeping = threading.Event(), threading.Lock()

    def sweep() -> None:
        while not ended.is_set():
            with sweeping:
                strays.sweep(world.database, replies.folder, grace=timedelta(0), force=True)
            time.sleep(0.001)  # for whoever waits for the lock

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    kept = 0
    try:
        for number in range(60):
            with sweeping if number % 3 == 0 else nullcontext(), suppress(OSError):
                replies.keep(request(world.receiver.url), answer(), False)
                kept += 1
    finally:
        ended.set()
        sweeper.join()
    until(world.is_empty, 30)
    assert len({each.header("MessageID") for each in world.receiver.taken}) == kept >= 20


def test_the_look_of_every_second_uses_an_index(world: World) -> None:
    """Of one node's rows; PostgreSQL would read so small a table whole."""
    if not world.database.is_embedded:
        return
    given = {"own": "node", "now": 5, "latest": 10}
    compiled = world.database.compile(replies_module._DUE, given)
    with world.database.read() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + compiled.text, compiled.values(given)).all()
    assert "ix_outgoing_reply_due" in str(plan)
