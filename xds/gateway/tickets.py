"""The ticket that goes on to other communities: the assertion that came, as its issuer signed it.

The transactions of the initiating gateway take it of the message that gate 1 has let in. It is never read
here, written anew or kept.
"""

from __future__ import annotations

from xds.errors import Denied
from xds.security import wsse
from xds.transport.message import Message


def assertion_of(message: Message) -> bytes:
    """The assertion as XML by itself, or nothing where nobody is asked for one and none came."""
    try:
        return wsse.find(message.header, message.version).exact
    except Denied:
        return b""
