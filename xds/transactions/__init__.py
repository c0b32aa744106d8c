"""The IHE transactions of this node, one module each, each a declared record."""

from xds.transactions.iti18_registry_stored_query import TRANSACTION as ITI_18
from xds.transactions.iti41_provide_and_register_document_set import (
    TRANSACTION as ITI_41,
)
from xds.transactions.iti42_register_document_set import TRANSACTION as ITI_42
from xds.transactions.iti43_retrieve_document_set import TRANSACTION as ITI_43

__all__ = ["ITI_18", "ITI_41", "ITI_42", "ITI_43"]
