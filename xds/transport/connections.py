"""Hanging up on senders that went silent in the middle of a request.

timed.py calls it when a read takes too long. The server does not say which connection a request came by, so the
kernel is asked: among the connections this process has accepted, the ones that are silent, or that drip, are told that
nothing more will be read from them. The read then ends and the sender still gets its answer. An idle keep-alive
connection may be closed with them, which every HTTP client copes with. It must never touch a connection that this
process opened itself. Linux only; elsewhere silent senders hold their thread.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final

# struct tcp_info of linux/tcp.h: tcpi_last_data_recv, in milliseconds, and tcpi_bytes_received.
_LAST_DATA: Final = struct.Struct("52xI")
_RECEIVED: Final = struct.Struct("128xQ")
_INFO_BYTES: Final = 136
#: Fewer bytes than this in `idle_seconds` is silence too: a read starts with as many (timed.FIRST_READ).
_DRIP_BYTES: Final = 16 * 1024


class SilentConnections:
    """What each connection had sent at the last look; looks are a second apart while somebody is overdue."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], int] = {}

    def forget(self) -> None:
        """Nobody is overdue any more."""
        self._seen = {}

    def hang_up(self, idle_seconds: float) -> int:
        """Stop receiving on connections silent for `idle_seconds`, or dripping since the last look; how many."""
        seen, count = {}, 0
        for connection, peer in _accepted():
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            if len(info) < _INFO_BYTES:
                continue
            silent = _LAST_DATA.unpack_from(info)[0] >= idle_seconds * 1000
            seen[peer] = _RECEIVED.unpack_from(info)[0]
            drips = 0 < seen[peer] - self._seen.get(peer, seen[peer]) < _DRIP_BYTES / max(idle_seconds, 1)
            if silent or drips:
                connection.shutdown(socket.SHUT_RD)
                count += 1
        self._seen = seen
        return count


def _accepted() -> Iterator[tuple[socket.socket, tuple[object, ...]]]:
    """The connections that came in at an address this process listens on, and who they are from.

    The sockets are duplicates and are closed again; the connections stay the server's.
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
            ports.add(duplicate.getsockname()[1])
            duplicate.close()
        else:
            open_.append(duplicate)
    for connection in open_:
        try:
            with connection:
                if connection.getsockname()[1] in ports:
                    yield connection, connection.getpeername()
        except OSError:  # reset meanwhile
            continue
