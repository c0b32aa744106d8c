"""What registries and repositories are asked, as XML: stored queries (ITI-18, 38), retrievals (ITI-43, 39).

The client and the initiating gateway write their requests here. Values are escaped and never judged.
"""

from __future__ import annotations

from collections.abc import Iterable

from xds.metadata import names
from xds.metadata.ebrim import escape_attribute as escape
from xds.metadata.model import Slot


def adhoc_query_request(
    query: str, parameters: Iterable[Slot], *, return_type: str = "LeafClass", home: str = ""
) -> bytes:
    """The AdhocQueryRequest of a stored query; `home` is the homeCommunityId of the community asked."""
    named = f' home="{escape(home)}"' if home else ""
    slots = "".join(
        f'<rim:Slot name="{escape(each.name)}"><rim:ValueList>'
        + "".join(f"<rim:Value>{escape(value)}</rim:Value>" for value in each.values)
        + "</rim:ValueList></rim:Slot>"
        for each in parameters
    )
    return (
        f'<query:AdhocQueryRequest xmlns:query="{names.QUERY}" xmlns:rim="{names.RIM}">'
        f'<query:ResponseOption returnComposedObjects="true" returnType="{escape(return_type)}"/>'
        f'<rim:AdhocQuery id="{escape(query)}"{named}>{slots}</rim:AdhocQuery></query:AdhocQueryRequest>'
    ).encode()


def retrieve_document_set_request(documents: Iterable[tuple[str, str, str]]) -> bytes:
    """The RetrieveDocumentSetRequest for documents by homeCommunityId, which may be empty, repositoryUniqueId
    and uniqueId.
    """
    requests = "".join(
        "<xds:DocumentRequest>"
        + (f"<xds:HomeCommunityId>{escape(home)}</xds:HomeCommunityId>" if home else "")
        + f"<xds:RepositoryUniqueId>{escape(repository)}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{escape(unique_id)}</xds:DocumentUniqueId></xds:DocumentRequest>"
        for home, repository, unique_id in documents
    )
    return (
        f'<xds:RetrieveDocumentSetRequest xmlns:xds="{names.XDS}">{requests}</xds:RetrieveDocumentSetRequest>'
    ).encode()
