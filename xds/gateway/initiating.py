"""The initiating gateway of this node: which communities there are, and who is asked.

app.py makes one where a communities file is set; the transactions of /xca/initiating ask it. It follows the
file: a community whose lines have changed is reached anew, with a closed circuit, and all others stay as they
are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from xds.errors import RegistryFailure
from xds.gateway.awaited import AwaitedReplies
from xds.gateway.communities import Communities, CommunitiesFile
from xds.gateway.remote import Exchange, RemoteGateway
from xds.gateway.rules import broken
from xds.metadata.datatypes import bare_oid
from xds.metrics import Sample
from xds.transport.limits import Limits
from xds.transport.staged import StagingFolder

log = logging.getLogger("xds")


class InitiatingGateway:
    """The communities that can be asked, in the order of the file. Threads may share it.

    `joins_own`: this community's own registry and repository are asked too. `exchange` gives the ticket for
    each community. `awaited` is for answers that come later. `most` is how many objects the answer of one
    community may have. `requests` is how many may wait for communities at the same time: other requests need
    threads too.
    """

    def __init__(
        self,
        file: CommunitiesFile,
        limits: Limits,
        staging: StagingFolder,
        exchange: Exchange | None = None,
        awaited: AwaitedReplies | None = None,
        *,
        joins_own: bool = True,
        most: int = 10_000,
        requests: int = 24,
    ) -> None:
        self._requests = threading.Semaphore(requests)
        self._most = most
        self.joins_own = joins_own
        self._file = file
        self._limits = limits
        self._staging = staging
        self._exchange = exchange
        self._awaited = awaited
        self._lock = threading.Lock()
        self._read: Communities | None = None
        self._gateways: dict[str, RemoteGateway] = {}

    @property
    def gateways(self) -> tuple[RemoteGateway, ...]:
        """Of all other communities."""
        return tuple(self._current().values())

    def get(self, home: str) -> RemoteGateway | None:
        """The one of a community, by its id with or without urn:oid:."""
        return self._current().get(bare_oid(home))

    def query_deadline(self) -> float:
        """When a query that begins now is over (time.monotonic)."""
        return time.monotonic() + self._file.communities.query_seconds

    def retrieve_deadline(self) -> float:
        """When a retrieval that begins now is over."""
        return time.monotonic() + self._file.communities.retrieve_seconds

    @contextmanager
    def admitted(self, transaction: str) -> Iterator[None]:
        """A request that waits for others in the block. Raises RegistryFailure when too many do."""
        if not self._requests.acquire(blocking=False):
            raise RegistryFailure(broken("community-requests", transaction=transaction))
        try:
            yield
        finally:
            self._requests.release()

    def samples(self) -> Iterator[Sample]:
        """Every community's circuit, for /metrics."""
        gateways = self.gateways
        for each in gateways:
            yield each.circuit()
        for each in gateways:
            yield each.failures()

    def _current(self) -> dict[str, RemoteGateway]:
        communities = self._file.communities
        if communities is not self._read:
            with self._lock:
                communities = self._file.communities  # another thread may have read it anew
                if communities is not self._read:
                    self._follow(communities)
        return self._gateways

    def _follow(self, communities: Communities) -> None:
        before, now = self._gateways, dict[str, RemoteGateway]()
        try:
            for community in communities.members:
                known = before.get(community.home)
                if known is None or known.community != community:
                    known = RemoteGateway(
                        community, self._limits, self._staging, self._exchange, self._awaited, most=self._most
                    )
                now[community.home] = known
        except OSError as error:  # a file of TLS that is being changed; the next request tries again
            log.error("the communities stay as they were (%s)", type(error).__name__)
            return
        self._gateways, self._read = now, communities
        for home, gateway in before.items():
            if now.get(home) is not gateway:
                gateway.close()
