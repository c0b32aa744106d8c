"""ITI-8: ADT messages over MLLP to a node, and what its registry then knows (ITI TF-2 3.8)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.nodes import Node
from tests.ports import free_port
from tests.transactions.feed import (
    END,
    OURS,
    START,
    STRANGE,
    Mllp,
    cx,
    is_known,
    new_id,
    pid,
    shown,
    v2,
    v2_id,
)

PORTS: dict[int, int] = {}
#: What the node's systems call the authority OURS, instead of its OID.
NAMESPACES = ("PAS", "Blåbær")


@pytest.fixture(scope="module")
def feed(new_node: Callable[..., Node]) -> Node:
    """A node that knows whom its feed announces, with two workers that listen for it."""
    port = free_port()
    node = new_node(
        node__workers=2,
        patients__source="feed",
        patients__authorities=",".join((OURS, *(f"{each}={OURS}" for each in NAMESPACES))),
        patients__mllp_listen=f"127.0.0.1:{port}",
    )
    PORTS[node.port] = port
    return node


@pytest.fixture
def mllp(feed: Node) -> Iterator[Mllp]:
    with Mllp(PORTS[feed.port]) as connection:
        yield connection


def outcome(answer: list[list[str]]) -> tuple[str, str]:
    """MSA-1, and of each error in ERR-1 its place and code of table 0357, joined by blanks."""
    msa = next(segment for segment in answer if segment[0] == "MSA")
    err = [segment[1] for segment in answer if segment[0] == "ERR"]
    assert len(err) == (msa[1] != "AA")
    return msa[1], " ".join(each.partition("&")[0] for each in err[0].split("~")) if err else ""


@pytest.mark.parametrize("event", ["A01", "A04", "A05"])
def test_an_announced_patient_is_known(feed: Node, mllp: Mllp, event: str) -> None:
    """Before it is unknown; announcing again is fine (ITI TF-2 3.8.4.1.3)."""
    id = new_id()
    assert not is_known(feed, cx(id))
    assert outcome(mllp.ask(v2(event, pid(v2_id(id)), "PV1||I"))) == ("AA", "")
    assert is_known(feed, cx(id))
    assert outcome(mllp.ask(v2(event, pid(v2_id(id))))) == ("AA", "")


def test_the_acknowledgement_answers_the_message(mllp: Mllp) -> None:
    """Sender and receiver change places, MSA-2 is the message's own id, MSH-9 names the event (C.2.3)."""
    msh, msa = mllp.ask(v2("A04", pid(v2_id(new_id())), control="Å-7", charset="8859/1"))
    assert msh[:6] == ["MSH", "^~\\&", "XDS", "Region", "PAS", "Sykehuset"]
    assert msh[8] == "ACK^A04"
    assert msh[9]
    assert (msh[10], msh[11], msh[17]) == ("P", "2.3.1", "8859/1")
    assert msa == ["MSA", "AA", "Å-7"]


def test_of_several_ids_those_of_known_authorities_count(feed: Node, mllp: Mllp) -> None:
    """Also one without an authority, or with a name for one, is passed over."""
    ours, other, strange = new_id(), new_id(), new_id()
    nobody = (
        "123",
        "124^^^Lokal",
        f"1&2^^^&{STRANGE}&ISO",
        f"å^^^&{STRANGE}&ISO",
        f"\\Z\\^^^&{STRANGE}&ISO",
        "",
    )
    ids = (v2_id(strange, STRANGE), *nobody, v2_id(ours), v2_id(other), "")
    assert outcome(mllp.ask(v2("A01", pid(*ids)))) == ("AA", "")
    assert [is_known(feed, cx(ours)), is_known(feed, cx(other)), is_known(feed, cx(strange, STRANGE))] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ((), "PID^1^3^204"),
        (("PID|1",), "PID^1^3^204"),
        (("PID",), "PID^1^3^204"),
        ((pid("123"),), "PID^1^3^204"),
        ((pid(f'""^^^&{OURS}&ISO'),), "PID^1^3^204"),
        ((pid(f"123^^^&{STRANGE}&ISO"),), "PID^1^3^204"),
        ((pid(f"123^^^&{OURS}&L"),), "PID^1^3^204"),
        ((pid("123^^^&1..2&ISO"),), "PID^1^3^204"),
        ((pid(f"12\\Z3\\^^^&{OURS}&ISO"),), "PID^1^3^102"),
        ((pid(f"12\x0123^^^&{OURS}&ISO"),), "PID^1^3^102"),
        ((pid(f" 123^^^&{OURS}&ISO"),), "PID^1^3^102"),
        ((pid(f"1&2^^^&{OURS}&ISO"),), "PID^1^3^102"),
        ((pid(*(f"{number}^^^PAS" for number in range(1001))),), "PID^1^3^102"),
        ((pid(f"12å^^^&{OURS}&ISO"),), "PID^1^3^102"),  # MSH-18 says nothing, which means ASCII
    ],
)
def test_a_message_without_a_usable_id_is_an_error(
    mllp: Mllp, segments: tuple[str, ...], expected: str
) -> None:
    """AE, with the field at fault; the connection goes on."""
    assert outcome(mllp.ask(v2("A01", *segments))) == ("AE", expected)
    assert outcome(mllp.ask(v2("A01", pid(v2_id(new_id()))))) == ("AA", "")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"hello", "MSH^1^10^101"),
        (b"", "MSH^1^10^101"),
        (b"MSH", "MSH^1^10^101"),
        (b"MSH|^~\\&", "MSH^1^10^101"),
        (b"MSH|^~\\&|", "MSH^1^10^101"),
        (b"MSH#^~\\&#PAS#S#X#R###ADT^A01#1#P#2.3.1\r", "MSH^1^10^101"),
        (b"MSH|^^^^|PAS|S|X|R|||ADT^A01|1|P|2.3.1\r", "MSH^1^10^101"),
        (v2("A01", control=""), "MSH^1^10^101"),
        (b"MSH|^~\\&|PAS|S|X|R||||1|P|2.3.1\r", "MSH^1^9^101"),
        (v2("A01", pid(v2_id("1"))) + v2("A01", pid(v2_id("2"))), "MSH^1^10^101"),
        (b"PID|||1\r" + v2("A01"), "MSH^1^10^101"),
        (v2("A02"), "MSH^1^9^201"),
        (v2("A01", kind="ORU"), "MSH^1^9^201"),
        (b"MSH|^~\\&|PAS|S|X|R|||ADT|1|P|2.3.1\r", "MSH^1^9^201"),
        (v2("A01", charset="UNICODE UTF-16"), "MSH^1^18^102"),
    ],
)
def test_a_header_with_which_nothing_can_be_done_is_rejected(
    mllp: Mllp, message: bytes, expected: str
) -> None:
    """AR for what is no ADT message for a registry; the connection goes on."""
    code, where = outcome(mllp.ask(message))
    assert (code, where) == ("AE" if expected.endswith("102") else "AR", expected)
    assert outcome(mllp.ask(v2("A01", pid(v2_id(new_id()))))) == ("AA", "")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(lambda message: message.replace(b"\r", b"\r\n"), id="CR LF"),
        pytest.param(lambda message: message.replace(b"\r", b"\n"), id="LF"),
        pytest.param(lambda message: message.rstrip(b"\r"), id="no end of the last segment"),
        pytest.param(lambda message: message.replace(b"\r", b"\r\r"), id="empty segments"),
        pytest.param(lambda message: message.replace(b"^A01|", b"^A01^ADT_A01|"), id="message structure"),
        pytest.param(lambda message: message.replace(b"^~\\&|", b"^~\\&#|"), id="truncation character"),
        pytest.param(lambda message: message + b"ZXX|anything^^at~all&\\here\r", id="Z segment"),
        pytest.param(lambda message: message.replace(b"2.3.1", b"2.5"), id="2.5"),
        pytest.param(lambda message: message.replace(b"Tuva", "Bjørg Å".encode()), id="UTF-8 unannounced"),
        pytest.param(lambda message: message.replace(b"Tuva", b"Bj\xf8rg"), id="Latin-1 unannounced"),
    ],
)
def test_what_senders_do_differently_is_read(feed: Node, mllp: Mllp, text: Callable[[bytes], bytes]) -> None:
    """A registry ignores what it does not need."""
    id = new_id()
    assert outcome(mllp.ask(text(v2("A01", pid(v2_id(id)))))) == ("AA", "")
    assert is_known(feed, cx(id))


def test_ids_are_read_in_the_character_set_of_the_message(feed: Node, mllp: Mllp) -> None:
    """The same letter in two of them is the same patient."""
    id = new_id() + "ø"
    assert outcome(mllp.ask(v2("A01", pid(v2_id(id)), charset="8859/1"))) == ("AA", "")
    utf8 = v2("A01", pid(v2_id(id)), charset="UNICODE UTF-8").decode("latin-1").encode()
    assert outcome(mllp.ask(utf8)) == ("AA", "")
    assert is_known(feed, cx(id))


def test_an_escaped_id_is_the_one_it_stands_for(feed: Node, mllp: Mllp) -> None:
    r"""\T\ is an ampersand in the id."""
    id = new_id() + "\\T\\b"
    assert outcome(mllp.ask(v2("A01", pid(v2_id(id))))) == ("AA", "")
    assert is_known(feed, cx(id))


def test_a_revision_is_accepted_and_changes_nothing(feed: Node, mllp: Mllp) -> None:
    """A08 never changes an id, and a registry keeps no demographics."""
    id = new_id()
    assert outcome(mllp.ask(v2("A08", pid(v2_id(id))))) == ("AA", "")
    assert not is_known(feed, cx(id))


def announced(mllp: Mllp, *ids: str) -> tuple[str, ...]:
    for id in ids:
        assert outcome(mllp.ask(v2("A04", pid(v2_id(id))))) == ("AA", "")
    return ids


def a40(subsumed: str, surviving: str) -> bytes:
    return v2("A40", pid(surviving), f"MRG|{subsumed}")


def test_a_merge_moves_what_is_seen(feed: Node, mllp: Mllp) -> None:
    """Documents of both are found under the survivor, as its own (ITI TF-2 3.18.4.1.2.3.9)."""
    old, new = announced(mllp, new_id(), new_id())
    assert is_known(feed, cx(old))
    assert is_known(feed, cx(new))
    assert outcome(mllp.ask(a40(v2_id(old), v2_id(new)))) == ("AA", "")
    assert shown(feed, cx(old)) == []
    assert shown(feed, cx(new)) == [cx(new)] * 2
    assert not is_known(feed, cx(old))
    assert outcome(mllp.ask(v2("A01", pid(v2_id(old))))) == ("AE", "PID^1^3^204")


def test_an_authority_may_be_given_by_its_namespace(feed: Node, mllp: Mllp) -> None:
    """The registry fills in the OID from its settings (ITI TF-2 3.8.4.1.4), in PID-3 and in MRG-1."""
    old, new, both = new_id(), new_id(), new_id()
    assert outcome(mllp.ask(v2("A01", pid(f"{old}^^^PAS", f"{new}^^^PAS&&^MR")))) == ("AA", "")
    assert [is_known(feed, cx(old)), is_known(feed, cx(new))] == [True, True]
    # Beside an OID the namespace is not looked at.
    assert outcome(mllp.ask(v2("A01", pid(f"{both}^^^PAS&{STRANGE}&ISO", v2_id(both))))) == ("AA", "")
    assert [is_known(feed, cx(both)), is_known(feed, cx(both, STRANGE))] == [True, False]
    assert outcome(mllp.ask(a40(f"{old}^^^PAS", f"{new}^^^PAS"))) == ("AA", "")
    assert shown(feed, cx(new)) == [cx(new)] * 2


def test_a_namespace_is_read_in_the_character_set_of_the_message(feed: Node, mllp: Mllp) -> None:
    """The same bytes without one are no name that is set here."""
    id = new_id()
    assert outcome(mllp.ask(v2("A01", pid(f"{id}^^^Blåbær")))) == ("AE", "PID^1^3^204")
    assert outcome(mllp.ask(v2("A01", pid(f"{id}^^^Blåbær"), charset="8859/1"))) == ("AA", "")
    assert is_known(feed, cx(id))


@pytest.mark.parametrize("authority", ["Lokal", "pas", "PAS&&ISO", f"PAS&{OURS}", f"PAS&{OURS}&L", "&&", ""])
def test_no_other_namespace_stands_for_an_authority(mllp: Mllp, authority: str) -> None:
    """One that is not set, and one beside half an OID."""
    assert outcome(mllp.ask(v2("A01", pid(f"{new_id()}^^^{authority}")))) == ("AE", "PID^1^3^204")


def test_a_merge_that_must_not_be_is_an_error(feed: Node, mllp: Mllp) -> None:
    """Each rejection of ITI TF-2 3.8.4.2.4, and messages that leave it open who is meant."""
    one, two, three, four = announced(mllp, *(new_id() for _ in range(4)))
    unknown = new_id()
    for _ in range(2):  # a message that comes again, its acknowledgement being lost, is no error
        assert outcome(mllp.ask(a40(v2_id(three), v2_id(four)))) == ("AA", "")
    expected = {
        (v2_id(one), v2_id(one)): "MRG^1^1^204",
        (v2_id(three), v2_id(one)): "MRG^1^1^204",
        (v2_id(one), v2_id(three)): "PID^1^3^204",
        (v2_id(unknown), v2_id(one)): "MRG^1^1^204",
        (v2_id(one), v2_id(unknown)): "PID^1^3^204",
        (v2_id(one, STRANGE), v2_id(two)): "MRG^1^1^204",
        (v2_id(one), v2_id(two, STRANGE)): "PID^1^3^204",
        (v2_id(one, STRANGE), v2_id(two, STRANGE)): "MRG^1^1^204 PID^1^3^204",
        (v2_id(one), f"{v2_id(two)}~{v2_id(four)}"): "PID^1^3^102",
        (f"{v2_id(one)}~{v2_id(two)}", v2_id(four)): "MRG^1^1^102",
        ("", v2_id(two)): "MRG^1^1^204",
    }
    for (subsumed, surviving), error in expected.items():
        assert outcome(mllp.ask(a40(subsumed, surviving))) == ("AE", error), error
    two_pairs = v2("A40", pid(v2_id(two)), f"MRG|{v2_id(one)}", pid(v2_id(four)), f"MRG|{v2_id(two)}")
    assert outcome(mllp.ask(two_pairs)) == ("AE", "PID^1^3^102")
    assert outcome(mllp.ask(v2("A40", pid(v2_id(two))))) == ("AE", "MRG^1^1^102")
    assert [is_known(feed, cx(id)) for id in (one, two, three, four)] == [True, True, False, True]


def test_errors_say_what_to_do_and_never_who_it_is_about(feed: Node, mllp: Mllp) -> None:
    """A sentence with its rule and a reference; neither answer nor log repeats an id, a name or a date."""
    old, new = new_id(), new_id()
    answer = mllp.ask(a40(v2_id(old), v2_id(new)))
    said = answer[1][3]
    assert "[registry-patient-known]" in said
    assert "[reference " in said
    log = feed.log.read_text()
    assert said.rpartition("[reference ")[2].rstrip("]") in log
    for secret in (old, new, "Kvakkelund", "19550517"):
        assert secret not in str(answer)
        assert secret not in log


def test_messages_arrive_in_any_pieces(feed: Node, mllp: Mllp) -> None:
    """Byte by byte, two at once, with noise between, and broken off by a new one."""
    first, second, third = new_id(), new_id(), new_id()
    for byte in START + v2("A01", pid(v2_id(first))) + END:
        mllp.send(bytes([byte]))
    assert outcome(mllp.answer()) == ("AA", "")
    both = (START + v2("A01", pid(v2_id(id)), control=id) + END for id in (second, third))
    mllp.send(b"noise" + b"\r\n".join(both) + b"\r\n")
    assert [mllp.answer()[1][2], mllp.answer()[1][2]] == [second, third]
    broken_off = new_id()
    mllp.send(START + v2("A01", pid(v2_id(broken_off))))
    assert outcome(mllp.ask(v2("A01", pid(v2_id(first))))) == ("AA", "")
    assert [is_known(feed, cx(id)) for id in (first, second, third, broken_off)] == [True, True, True, False]


def test_an_acknowledged_patient_outlives_the_node(new_node: Callable[..., Node]) -> None:
    """The answer goes out after the commit: killed right then, the node still knows."""
    port = free_port()
    node = new_node(
        patients__source="feed", patients__mllp_listen=f"127.0.0.1:{port}", patients__authorities=OURS
    )
    id = new_id()
    with Mllp(port) as mllp:
        assert outcome(mllp.ask(v2("A01", pid(v2_id(id))))) == ("AA", "")
        node.kill()
    node.start()
    assert is_known(node, cx(id))


def test_a_resting_feed_is_not_taken_for_a_silent_sender(new_node: Callable[..., Node]) -> None:
    """A request by HTTP that stops arriving is hung up on; the feed's connection is not."""
    port = free_port()
    node = new_node(
        patients__source="feed",
        patients__mllp_listen=f"127.0.0.1:{port}",
        patients__authorities=OURS,
        limits__idle_seconds=1,
    )
    with Mllp(port) as mllp:
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", node.port), timeout=20) as silent:
            silent.sendall(
                b"POST /xds/registry HTTP/1.1\r\nHost: x\r\nContent-Type: application/soap+xml\r\n"
                b"Content-Length: 100000\r\n\r\n<half"
            )
            assert silent.recv(1000).startswith(b"HTTP/1.1")
        assert outcome(mllp.ask(v2("A01", pid(v2_id(new_id()))))) == ("AA", "")


@pytest.mark.slow
def test_the_rate_of_messages_is_told(feed: Node, record_property: Callable[[str, object], None]) -> None:
    """A figure, not a bound: new patients over four connections, and the same ones again."""
    ids = [[new_id() for _ in range(250)] for _ in range(4)]
    for what in ("new patients", "patients known already"):

        def run(own: list[str]) -> None:
            with Mllp(PORTS[feed.port]) as connection:
                for id in own:
                    assert outcome(connection.ask(v2("A04", pid(v2_id(id))))) == ("AA", "")

        threads = [threading.Thread(target=run, args=(own,)) for own in ids]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = 1000 / (time.perf_counter() - began)
        record_property("figure", f"ITI-8 over MLLP, 4 connections, {what}: {rate:.0f} messages/s")
