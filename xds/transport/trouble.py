"""Why a request of ours got no answer: for people as a sentence, for callers as a kind.

dial.py, http1.py and client.py raise it. A circuit breaker looks at the kind; a SOAP fault is an answer and
therefore none of these.
"""

from __future__ import annotations

from enum import StrEnum

from xds.errors import ClientError


class Trouble(StrEnum):
    """Why there is no answer, for callers who have to decide what to do next."""

    #: No connection, or one who stands in front of the other side says that it is not there (502, 503, 504).
    UNREACHED = "unreached"
    #: TLS: a certificate of either side is not trusted, or there is no common version.
    UNTRUSTED = "untrusted"
    #: The deadline passed, or the other side was silent for too long. The request may have been carried out.
    LATE = "late"
    #: The connection ended before the answer did. The request may have been carried out.
    BROKEN = "broken off"
    #: The answer passes a limit.
    TOO_LARGE = "too large"
    #: Not HTTP, not SOAP, compressed, a redirect, the answer to another message.
    UNREADABLE = "unreadable"


class NoAnswer(ClientError):
    """No answer that can be used; `kind` says why."""

    def __init__(self, kind: Trouble, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def unreached(name: str) -> NoAnswer:
    """Nobody is there."""
    return NoAnswer(
        Trouble.UNREACHED, f"{name} could not be reached: check the address and that the node is running."
    )


def insecure(name: str, kind: Trouble = Trouble.UNTRUSTED) -> NoAnswer:
    """TLS did not come about."""
    return NoAnswer(
        kind, f"No secure connection to {name}: check its certificate, ca_file, and our client certificate."
    )


def late(name: str) -> NoAnswer:
    """It took too long."""
    return NoAnswer(Trouble.LATE, f"{name} did not answer in time: try again, or raise the time limit.")


def broken(name: str, why: str) -> NoAnswer:
    """The connection ended; `why` is half a sentence."""
    return NoAnswer(
        Trouble.BROKEN,
        f"{name} could not be reached or broke off ({why}): check the address and that the node is running.",
    )


def unreadable(name: str, why: str) -> NoAnswer:
    """What came is no answer; `why` is a sentence."""
    return NoAnswer(Trouble.UNREADABLE, f"The answer of {name} cannot be read: {why}")
