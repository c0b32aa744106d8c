"""Is the Body of a message one that its transaction takes? Asked before the transaction reads it.

app.py calls `check` about every request, and `xds validate` asks for the parts of it, to tell all that is
wrong. What a body says beyond its form is the transaction's own to judge.
"""

from __future__ import annotations

from xds.errors import Fault, FaultCode, RegistryFailure, sender
from xds.transactions import schema
from xds.transactions.rules import broken
from xds.transactions.transaction import Transaction
from xds.transport.message import Message


def check(transaction: Transaction, message: Message) -> None:
    """Raises Fault, or RegistryFailure where the transaction answers softly, with everything found."""
    check_content(transaction, message)
    misfits = schema.check(message.body)
    if not misfits:
        return
    if transaction.fails_softly:
        raise RegistryFailure(
            *(broken("schema", each.location, transaction.number, each.sentence) for each in misfits)
        )
    listed = " ".join(f"{each.location}: {each.sentence}" for each in misfits)
    raise Fault(FaultCode.SENDER, f"The Body does not follow the schema of {transaction.number}. {listed}")


def check_content(transaction: Transaction, message: Message) -> None:
    """Whether the element is the transaction's, and binary content where it may be. Raises Fault."""
    if message.body.tag != transaction.element:
        raise sender(
            f"The wsa:Action is that of {transaction.number}, whose Body holds one {transaction.element}."
        )
    if message.included() - {transaction.binary}:
        raise sender(
            f"An xop:Include stands where {transaction.number} has no binary content: write the value itself."
        )
