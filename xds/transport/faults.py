"""SOAP faults as bytes, in the version of the message they answer.

The endpoint calls it for every Fault. What it writes holds the fault's own words, a reference number to ask
about, and names that WS-Addressing or SOAP want named; nothing else of the message comes back.
"""

from __future__ import annotations

import re
from typing import Final

from xds.errors import Fault, FaultCode
from xds.transport import addressing
from xds.transport.addressing import WSA, AddressingFault
from xds.transport.soap import SOAP11, SOAP12, WORDS, Version, envelope
from xds.transport.xml import escape

#: The namespace of the reference number in a fault's detail.
NAMESPACE: Final = "urn:xds:fault"
#: An action is echoed in ProblemAction only when it can be nothing but a name.
_PLAIN_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9:/._#-]{1,200}")


def _qname(namespace: str, name: str) -> tuple[str, str]:
    """A namespace declaration, and a QName that uses it."""
    return (f' xmlns:q="{escape(namespace)}"', f"q:{escape(name)}") if namespace else ("", escape(name))


def _problem(fault: Fault, action: str) -> str:
    """The detail that WS-Addressing gives the fault (SOAP binding, 6.4)."""
    if isinstance(fault, AddressingFault):
        return f"<a:ProblemHeaderQName>a:{fault.problem}</a:ProblemHeaderQName>"
    if fault.subcode == (WSA, "ActionNotSupported") and _PLAIN_ACTION.fullmatch(action):
        return f"<a:ProblemAction><a:Action>{escape(action)}</a:Action></a:ProblemAction>"
    return ""


def _subcodes(fault: Fault) -> list[tuple[str, str]]:
    codes = [fault.subcode] if fault.subcode else []
    if isinstance(fault, AddressingFault) and fault.detail:
        codes.append((WSA, fault.detail))
    return codes


def write_fault(
    fault: Fault, version: Version, reference: str, *, message_id: str = "", action: str = ""
) -> tuple[str, bytes]:
    """Content type and body of the answer; `message_id` and `action` are those of the message, if known."""
    of_addressing = fault.subcode is not None and fault.subcode[0] == WSA
    header = addressing.write(
        addressing.FAULT_ACTION if of_addressing else addressing.SOAP_FAULT_ACTION,
        addressing.new_id(),
        relates_to=message_id,
    )
    reason = escape(f"{fault.reason} (reference {reference})")
    detail = f'<Reference xmlns="{NAMESPACE}">{escape(reference)}</Reference>'
    problem = _problem(fault, action)
    writer = _soap12 if version is Version.SOAP12 else _soap11
    more, body = writer(fault, reason, detail, problem)
    before, after = envelope(version, header + more)
    return f"{WORDS[version].media_type}; charset=utf-8", before + body.encode() + after


def _soap12(fault: Fault, reason: str, detail: str, problem: str) -> tuple[str, str]:
    header = ""
    for namespace, name in fault.not_understood:
        declaration, qname = _qname(namespace, name)
        header += f'<s:NotUnderstood{declaration} qname="{qname}"/>'
    if fault.code is FaultCode.VERSION_MISMATCH:
        supported = (
            f'<s:SupportedEnvelope qname="e:Envelope" xmlns:e="{namespace}"/>'
            for namespace in (SOAP12, SOAP11)
        )
        header += f"<s:Upgrade>{''.join(supported)}</s:Upgrade>"
    codes = ""
    for namespace, name in reversed(_subcodes(fault)):
        declaration, qname = _qname(namespace, name)
        codes = f"<s:Subcode><s:Value{declaration}>{qname}</s:Value>{codes}</s:Subcode>"
    return header, (
        f"<s:Fault><s:Code><s:Value>s:{fault.code}</s:Value>{codes}</s:Code>"
        f'<s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason>'
        f"<s:Detail>{problem}{detail}</s:Detail></s:Fault>"
    )


def _soap11(fault: Fault, reason: str, detail: str, problem: str) -> tuple[str, str]:
    """SOAP 1.1 has one code, and a detail only for what is wrong in the Body (SOAP 1.1, 4.4)."""
    declaration, code = "", f"s:{WORDS[Version.SOAP11].codes[fault.code]}"
    if subcodes := _subcodes(fault):
        declaration, code = _qname(*subcodes[-1])
    about_header = problem or fault.code in (FaultCode.MUST_UNDERSTAND, FaultCode.VERSION_MISMATCH)
    return (
        f"<a:FaultDetail>{problem}</a:FaultDetail>" if problem else "",
        f"<s:Fault><faultcode{declaration}>{code}</faultcode><faultstring>{reason}</faultstring>"
        f"{'' if about_header else f'<detail>{detail}</detail>'}</s:Fault>",
    )
