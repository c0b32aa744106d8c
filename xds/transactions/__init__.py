"""The IHE transactions of this node, one module each, each a declared record."""

from xds.transactions.initiating_query import TRANSACTION as INITIATING_ITI_18
from xds.transactions.initiating_retrieve import TRANSACTION as INITIATING_ITI_43
from xds.transactions.iti18_registry_stored_query import TRANSACTION as ITI_18
from xds.transactions.iti38_cross_gateway_query import TRANSACTION as ITI_38
from xds.transactions.iti39_cross_gateway_retrieve import TRANSACTION as ITI_39
from xds.transactions.iti41_provide_and_register_document_set import (
    TRANSACTION as ITI_41,
)
from xds.transactions.iti42_register_document_set import TRANSACTION as ITI_42
from xds.transactions.iti43_retrieve_document_set import TRANSACTION as ITI_43
from xds.transactions.iti44_patient_identity_feed import TRANSACTIONS as ITI_44
from xds.transactions.iti51_multi_patient_stored_query import TRANSACTION as ITI_51
from xds.transactions.iti57_update_document_set import TRANSACTION as ITI_57
from xds.transactions.iti61_register_on_demand_document_entry import (
    TRANSACTION as ITI_61,
)
from xds.transactions.iti62_remove_metadata import TRANSACTION as ITI_62
from xds.transactions.iti80_cross_gateway_document_provide import (
    TRANSACTION as ITI_80,
)
from xds.transactions.iti86_remove_documents import TRANSACTION as ITI_86
from xds.transactions.iti92_restricted_update_document_set import TRANSACTION as ITI_92

__all__ = [
    "INITIATING_ITI_18",
    "INITIATING_ITI_43",
    "ITI_18",
    "ITI_38",
    "ITI_39",
    "ITI_41",
    "ITI_42",
    "ITI_43",
    "ITI_44",
    "ITI_51",
    "ITI_57",
    "ITI_61",
    "ITI_62",
    "ITI_80",
    "ITI_86",
    "ITI_92",
]
