"""The security ticket in a request: a SAML assertion as its issuer signed it, in a wsse:Security header.

`Client` puts one into every call. The assertion is sent byte for byte: written anew, its signature would no
longer fit. It must never get into a log or an error.
"""

from __future__ import annotations

import re
from typing import Final

from xds.errors import ClientError, Fault
from xds.transport.soap import WSSE, WSU, write_security
from xds.transport.xml import parse

_ASSERTION: Final = "{urn:oasis:names:tc:SAML:2.0:assertion}Assertion"
#: What a file may have before the assertion, and a header block may not.
_BEFORE: Final = re.compile(r"\A\ufeff?\s*(?:<\?xml\s[^>]*\?>)?\s*")
#: What to do about a refusal, where a new ticket alone does not help.
_REMEDIES: Final = {
    "InvalidSecurity": "show one (--ticket FILE, or XDS_TICKET), or ask for a new ticket.",
    "MessageExpired": "set the clock of this machine.",
}


def security_header(ticket: str | bytes) -> bytes:
    """The header block that carries the assertion, with a wsu:Timestamp of now; its prefix s is SOAP's.

    Raises ClientError when it is not an assertion that can stand in any message.
    """
    try:
        text = ticket if isinstance(ticket, str) else ticket.decode()
        assertion = _BEFORE.sub("", text, count=1).rstrip().encode()
        good = parse(assertion).tag == _ASSERTION
    except (Fault, UnicodeError):
        good = False
    if not good:
        raise ClientError(
            "The ticket is not one SAML 2.0 assertion in UTF-8 that is XML by itself: give it as its issuer"
            " sent it, with every namespace that it uses, and nothing around it."
        )
    return write_security(assertion)


def refusal(subcode: tuple[str, str] | None) -> str:
    """What to tell the user of a fault with this subcode; empty when it is not one of WS-Security."""
    if not subcode or subcode[0] not in (WSSE, WSU):
        return ""
    return f"{subcode[1]}: {_REMEDIES.get(subcode[1], 'ask for a new ticket.')}"
