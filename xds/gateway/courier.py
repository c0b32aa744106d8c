"""The thread that sends the answers that wait (replies.py), with a few more for each address.

app.py starts one `Courier` in each worker, with which it ends. An answer is claimed before it is sent, and
the claim renewed while its sender lives, so that no two workers are at it; after a crash it is sent again,
with the same MessageID. It must never contact an address that no community lists, let one address that is
silent hold up the others, or log anything of a message.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from xds.errors import ClientError
from xds.gateway.communities import Community
from xds.gateway.replies import Kept, Replies, now
from xds.transport.addressing import WSA
from xds.transport.client import Faulted, NoAnswer, SoapClient
from xds.transport.limits import Limits
from xds.transport.message import expected_version
from xds.transport.soap import Version
from xds.transport.staged import CHUNK

log = logging.getLogger("xds")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is waited, in seconds: `lease` for a sender that has died; `pause` after the first attempt,
    twice as long after each further one, at most `longest`; `poll` for new answers. `lanes` are the answers
    that are sent to one address at the same time.
    """

    lease: float = 30.0
    pause: float = 1.0
    longest: float = 60.0
    poll: float = 1.0
    lanes: int = 4

    def after(self, attempts: int) -> float:
        """The pause after so many attempts; not the same for all that failed at the same time."""
        return min(self.longest, self.pause * 2.0 ** min(attempts - 1, 30)) * random.uniform(0.75, 1.0)


def _is_final(fault: Faulted) -> bool:
    """Whether nobody there waits for the answer: it came too late, or twice (WS-Addressing SOAP, 6.4).

    Of other faults nobody can tell whether they pass.
    """
    subcode = fault.subcode
    return subcode is not None and subcode[0] == WSA and subcode[1] != "EndpointUnavailable"


class _Lost(Exception):
    """The claim has ended: somebody else may be sending by now."""


@dataclass(slots=True)
class _Claim:
    """An answer that is being sent, and until when (time.monotonic) it is certain that nobody else does."""

    kept: Kept
    until: float


@dataclass(slots=True)
class _Line:
    """What goes to one address: answers in order, and how many threads send them."""

    waiting: deque[Kept] = field(default_factory=deque)
    lanes: int = 0


class Courier:
    """The threads of one worker; they end with it. `limits` are those of our own endpoints."""

    def __init__(self, replies: Replies, limits: Limits, pace: Pace | None = None) -> None:
        self._replies, self._limits, self._pace = replies, limits, pace or Pace()
        self._thread = threading.Thread(target=self._run, name="xca-replies", daemon=True)
        self._stop = threading.Event()
        self._trouble = ""  # with the database, while there is any
        self._lock = threading.Lock()  # guards what follows
        self._lines: dict[str, _Line] = {}
        self._known: set[str] = set()  # files in a line, or being sent
        self._claims: dict[str, _Claim] = {}
        self._clients: dict[Community, SoapClient] = {}

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more; what is being sent ends by itself, or with the process."""
        self._stop.set()
        self._replies.news.set()
        if self._thread.is_alive():
            self._thread.join(2)

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._replies.news.clear()
            try:
                self._renew()
                self._look()
                if self._trouble:
                    log.info("replies can be sent again")
                    self._trouble = ""
            except Exception as error:  # the thread must live on, whatever the database does
                if self._trouble != (trouble := type(error).__name__):
                    log.error("replies cannot be sent (%s)", trouble)
                self._trouble = trouble
            self._replies.news.wait(self._pace.poll)

    def _renew(self) -> None:
        """Keep the claims of what is being sent, when a third of their time is over."""
        with self._lock:
            claims = list(self._claims.values())
        for claim in claims:
            begun = time.monotonic()
            if claim.until - begun > self._pace.lease * 2 / 3:
                continue
            moved = self._replies.move(claim.kept, self._lease_end())
            if moved is not None:
                claim.kept, claim.until = moved, begun + self._pace.lease

    def _lease_end(self) -> int:
        return now() + round(self._pace.lease * 1000)

    def _look(self) -> None:
        """Put what is due in line, and drop what nobody is to get."""
        communities = self._replies.communities()
        self._forget_clients(communities.members)
        for kept in self._replies.due():
            with self._lock:
                if kept.file in self._known:
                    continue
            if communities.may_reply_to(kept.url) is None:
                self._give_up(kept, "no community lists its address any more")
            elif now() > kept.until:
                self._give_up(kept, f"not taken in {kept.attempts} attempts")
            elif not self._replies.is_whole(kept):
                self._give_up(kept, "its file is gone, or not whole")
            else:
                self._put_in_line(kept)

    def _give_up(self, kept: Kept, reason: str) -> None:
        if self._replies.give_up(kept):
            log.error("%s reply given up: %s", kept.reference, reason)

    def _put_in_line(self, kept: Kept) -> None:
        with self._lock:
            line = self._lines.setdefault(kept.url, _Line())
            line.waiting.append(kept)
            self._known.add(kept.file)
            if line.lanes >= self._pace.lanes:
                return
            line.lanes += 1
        # Threads of a pool would keep a process from ending; these are daemons, and cost little.
        lane = threading.Thread(target=self._work, args=(line,), name="xca-reply", daemon=True)
        try:
            lane.start()
        except RuntimeError:  # no more threads: the next look finds it again
            with self._lock:
                line.lanes -= 1
                if kept in line.waiting:  # no other lane has taken it
                    line.waiting.remove(kept)
                    self._known.discard(kept.file)

    def _work(self, line: _Line) -> None:
        """Send what is in line, until there is nothing."""
        while True:
            with self._lock:
                if self._stop.is_set() or not line.waiting:
                    line.lanes -= 1
                    return
                kept = line.waiting.popleft()
            try:
                self._send(kept)
            except Exception as error:  # the row is due again when the claim ends
                log.error("%s reply could not be sent (%s)", kept.reference, type(error).__name__)
            finally:
                with self._lock:
                    self._known.discard(kept.file)

    # -- one answer ----------------------------------------------------------------------------------

    def _send(self, kept: Kept) -> None:
        community = self._replies.communities().may_reply_to(kept.url)
        if community is None:
            return  # the next look gives it up
        begun = time.monotonic()
        claimed = self._replies.claim(kept, self._lease_end())
        if claimed is None:
            return
        claim = _Claim(claimed, begun + self._pace.lease)
        with self._lock:
            self._claims[kept.file] = claim
        try:
            trouble, final = self._deliver(claim, community)
        finally:
            with self._lock:
                del self._claims[kept.file]
        self._settle(claim.kept, community, trouble, final)

    def _deliver(self, claim: _Claim, community: Community) -> tuple[str, bool]:
        """Why it was not taken, or nothing; and whether it never will be."""
        kept = claim.kept
        path = self._replies.folder.path / kept.file

        def chunks() -> Iterator[bytes]:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    if time.monotonic() > claim.until:
                        raise _Lost
                    yield chunk

        soap11 = expected_version(kept.content_type) is Version.SOAP11
        try:
            self._client(community).deliver(
                kept.url,
                kept.content_type,
                kept.size,
                chunks,
                # As long as whoever sends to us may take.
                deadline=time.monotonic() + self._limits.seconds,
                fields={"SOAPAction": f'"{kept.action}"'} if soap11 else {},
                limits=self._limits,
            )
        except Faulted as fault:
            return "refused", _is_final(fault)
        except NoAnswer as error:
            return error.kind.value, False
        except (ClientError, OSError, _Lost) as error:
            return type(error).__name__, False
        return "", False

    def _settle(self, kept: Kept, community: Community, trouble: str, final: bool) -> None:
        """Write what came of it; while that cannot be, the claim ends and it is sent once more."""
        if not trouble:
            while not self._is_removed(kept):
                if self._stop.wait(self._pace.poll):
                    return
            log.info("%s reply taken by %s, attempt %s", kept.reference, community.name, kept.attempts)
        elif final:
            self._give_up(kept, f"{community.name} does not wait for it")
        else:
            if kept.attempts == 1:
                log.info("%s reply waits for %s (%s)", kept.reference, community.name, trouble)
            self._replies.move(kept, now() + round(self._pace.after(kept.attempts) * 1000))

    def _is_removed(self, kept: Kept) -> bool:
        try:
            self._replies.remove(kept)
        except Exception as error:
            log.info("%s reply was taken; it stays for now (%s)", kept.reference, type(error).__name__)
            return False
        return True

    def _client(self, community: Community) -> SoapClient:
        """Of the community that lists the address: its authorities, and our certificate for it."""
        with self._lock:
            client = self._clients.get(community)
            if client is None:
                client = self._clients[community] = SoapClient(
                    ca_file=community.ca,
                    certificate=community.certificate,
                    key=community.key,
                    connect_seconds=community.query_seconds,
                    connections=self._pace.lanes,
                )
            return client

    def _forget_clients(self, members: tuple[Community, ...]) -> None:
        with self._lock:
            gone = [each for each in self._clients if each not in members]
            clients = [self._clients.pop(each) for each in gone]
        for client in clients:
            client.close()
