"""Hanging up on senders that went silent in the middle of a request, and on receivers that do not read.

timed.py calls it when a read or an answer takes too long. The server does not say which connection a request
came by, so the kernel is asked: of the connections that this process has accepted, as many as there are late
reads are told that nothing more will be read from them, those first whose sender is silent and has had no
answer. The read then ends and the sender still gets its answer; a receiver that takes nothing is cut off. It
must never touch a connection that this process opened itself, or one that takes what it is sent. Linux only;
elsewhere they hold their thread (docs/decisions/0008-silent-senders.md).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

# struct tcp_info of linux/tcp.h: tcpi_last_data_sent and tcpi_last_data_recv, milliseconds ago;
# tcpi_bytes_acked and tcpi_bytes_received.
_INFO: Final = struct.Struct("44xI4xI64xQQ")
#: Fewer bytes than this in `idle_seconds` is silence too: a read starts with as many (timed.FIRST_READ).
_DRIP_BYTES: Final = 16 * 1024
# The same struct: tcpi_unacked (segments), tcpi_bytes_acked and tcpi_notsent_bytes (since Linux 4.6).
_OWED: Final = struct.Struct("24xI92xQ16xI")
#: Ports of this process whose connections have clocks of their own (mllp.py), and are none of ours.
OTHER_PORTS: Final[set[int]] = set()


class SilentConnections:
    """What each connection had sent at the last look; looks are a second apart while somebody is overdue."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], int] = {}
        self._told: set[tuple[object, ...]] = set()

    def forget(self) -> None:
        """Nobody is overdue any more."""
        self._seen = {}
        self._told = set()

    def hang_up(self, idle_seconds: float, most: int) -> int:
        """Stop receiving on `most` connections silent for `idle_seconds`, or dripping since the last look.

        Returns how many it were. First come those that we owe an answer, of them the longest silent.
        """
        seen, suspects = {}, []
        with ExitStack() as held:
            for connection, peer, (sent, received, acked, seen[peer]) in _looked_at(_INFO, held):
                drips = 0 < seen[peer] - self._seen.get(peer, seen[peer]) < _DRIP_BYTES / max(idle_seconds, 1)
                if (min(sent, received) >= idle_seconds * 1000 or drips) and peer not in self._told:
                    # Who was answered after the last word is between two requests, and is idle by right.
                    answered = sent <= received and acked > 0
                    suspects.append((answered, -received, peer, connection))
            suspects.sort(key=lambda suspect: suspect[:2])
            for _, _, peer, connection in suspects[:most]:
                with suppress(OSError):  # reset meanwhile
                    connection.shutdown(socket.SHUT_RD)
                self._told.add(peer)
        self._seen = seen
        self._told &= seen.keys()
        return len(suspects[:most])


class StalledReceivers:
    """Since when each connection that we owe bytes has taken next to none of them.

    The kernel's own clocks will not do: a receiver whose window is shut still answers every probe of it.
    """

    def __init__(self) -> None:
        self._marks: dict[tuple[object, ...], tuple[float, int]] = {}

    def forget(self) -> None:
        """Nobody is slow any more."""
        self._marks = {}

    def end(self, idle_seconds: float, most: int) -> int:
        """End `most` connections whose receivers took less than 16 KiB in `idle_seconds`, the longest first.

        Returns how many it were. It judges by earlier looks: with `most` = 0 it only looks.
        """
        now, marks, stalled = time.monotonic(), {}, []
        with ExitStack() as held:
            for connection, peer, (unacked, acked, unsent) in _looked_at(_OWED, held):
                if not unacked and not unsent:
                    continue
                since, before = self._marks.get(peer, (now, acked))
                # A new connection from the same port starts counting anew.
                if not 0 <= acked - before < _DRIP_BYTES:
                    since, before = now, acked
                marks[peer] = since, before
                if now - since >= idle_seconds:
                    stalled.append((since, peer, connection))
            stalled.sort(key=lambda each: each[0])
            for _, peer, connection in stalled[:most]:
                with suppress(OSError):  # reset meanwhile
                    connection.shutdown(socket.SHUT_RDWR)
                marks.pop(peer, None)
        self._marks = marks
        return len(stalled[:most])


def _looked_at(
    layout: struct.Struct, held: ExitStack
) -> Iterator[tuple[socket.socket, tuple[object, ...], tuple[int, ...]]]:
    """Each accepted connection, kept open in `held`, who it is from, and what the kernel says of it."""
    for connection, peer in _accepted():
        held.enter_context(connection)
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, layout.size)
        if len(info) == layout.size:
            yield connection, peer, layout.unpack(info)


def _accepted() -> Iterator[tuple[socket.socket, tuple[object, ...]]]:
    """The connections that came in at an address this process listens on, and who they are from.

    The sockets are duplicates, for the caller to close; the connections stay the server's.
    """
    if sys.platform != "linux":
        return
    open_, ports = [], set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            duplicate = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # closed meanwhile
            continue
        if duplicate.type != socket.SOCK_STREAM or duplicate.family not in (socket.AF_INET, socket.AF_INET6):
            duplicate.close()
        elif duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            ports.update({duplicate.getsockname()[1]} - OTHER_PORTS)
            duplicate.close()
        else:
            open_.append(duplicate)
    for connection in open_:
        try:
            if connection.getsockname()[1] in ports:
                yield connection, connection.getpeername()
                continue
        except OSError:  # reset meanwhile
            pass
        connection.close()
