"""ITI-61 Register On-Demand Document Entry: a source says what it can make when asked (ITI TF-2 3.61)."""

from __future__ import annotations

from functools import partial

from xds.metadata import names
from xds.transactions import iti42_register_document_set as iti42
from xds.transactions.transaction import Transaction

TRANSACTION = Transaction(
    number="ITI-61",
    action="urn:ihe:iti:2010:RegisterOnDemandDocumentEntry",
    response_action="urn:ihe:iti:2010:RegisterOnDemandDocumentResponse",  # so in ITI TF-2 3.61.4.2.2
    element=f"{{{names.LCM}}}SubmitObjectsRequest",
    streams=False,
    fails_softly=True,
    about=iti42.TRANSACTION.about,
    read=partial(iti42.read, transaction="ITI-61"),
    asks=iti42.TRANSACTION.asks,
    do=iti42.do,
    write=iti42.write,
    refuse=iti42.refuse,
    judge=iti42.judge,
)
