"""Everything that can go wrong, in one tree, and the words of the standard for it.

Every other module imports this one and it imports none of them.
It must never hold a value taken from a message: codes, rule ids, attribute names and sentences only,
because what stands here is shown to senders and written to logs.

    XdsError
    ├── Fault                 the message itself is unusable: answered as a SOAP fault
    │   ├── AddressingFault   it breaks WS-Addressing (in xds.transport.addressing)
    │   ├── TooLarge          it passes a limit (in xds.transport.mime)
    │   └── Refused           found while reading; with what is known of it (in xds.transport.message)
    ├── MissingPart           a reference to a MIME part that is not there (in xds.transport.message)
    ├── RegistryFailure       the message was understood and is refused: answered as a RegistryResponse
    │   └── NotKept           its answer was to go elsewhere and cannot wait (in xds.gateway.replies)
    ├── Unrecorded            a call whose answer comes later could not be noted (in xds.gateway.awaited)
    ├── Denied                nobody who may ask: answered as xds.security.denials says
    ├── DamagedDocument       stored bytes are missing or changed (in xds.repository.documents)
    ├── DataTypeError         a value does not follow its data type (caught by validation)
    ├── CdaError              no metadata can be made of a CDA document (in xds.metadata.cda)
    ├── SettingsError         the node cannot start with these settings
    ├── ClientError           the other side refused, or could not be reached
    │   ├── Faulted           with a SOAP fault, whose code it has (in xds.transport.client)
    │   ├── NoAnswer          or no answer came that can be used; `kind` says why (in xds.transport.trouble)
    │   ├── IncompleteFind    a gateway could not ask everybody (in xds.client, with what it has)
    │   └── IncompleteFetch   some documents came and some did not (in xds.client, with those that came)
    ├── TicketRefused         the sample ticket service does not issue that (in xds.demo.keys)
    └── DemoFailed            the demo could not go on (in xds.demo.node)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """RegistryError/@errorCode values (ITI TF-3 table 4.2.4.1-2)."""

    MISSING_DOCUMENT = "XDSMissingDocument"
    MISSING_DOCUMENT_METADATA = "XDSMissingDocumentMetadata"
    REGISTRY_METADATA_ERROR = "XDSRegistryMetadataError"
    REPOSITORY_METADATA_ERROR = "XDSRepositoryMetadataError"
    REGISTRY_DUPLICATE_UNIQUE_ID_IN_MESSAGE = "XDSRegistryDuplicateUniqueIdInMessage"
    REPOSITORY_DUPLICATE_UNIQUE_ID_IN_MESSAGE = "XDSRepositoryDuplicateUniqueIdInMessage"
    DUPLICATE_UNIQUE_ID_IN_REGISTRY = "XDSDuplicateUniqueIdInRegistry"
    NON_IDENTICAL_HASH = "XDSNonIdenticalHash"
    NON_IDENTICAL_SIZE = "XDSNonIdenticalSize"
    UNKNOWN_PATIENT_ID = "XDSUnknownPatientId"
    PATIENT_ID_DOES_NOT_MATCH = "XDSPatientIdDoesNotMatch"
    UNRESOLVED_REFERENCE = "UnresolvedReferenceException"
    REGISTRY_DEPRECATED_DOCUMENT = "XDSRegistryDeprecatedDocumentError"
    DOCUMENT_UNIQUE_ID_ERROR = "XDSDocumentUniqueIdError"
    UNKNOWN_REPOSITORY_ID = "XDSUnknownRepositoryId"
    UNKNOWN_STORED_QUERY = "XDSUnknownStoredQuery"
    STORED_QUERY_MISSING_PARAM = "XDSStoredQueryMissingParam"
    STORED_QUERY_PARAM_NUMBER = "XDSStoredQueryParamNumber"
    RESULT_NOT_SINGLE_PATIENT = "XDSResultNotSinglePatient"
    TOO_MANY_RESULTS = "XDSTooManyResults"
    UNKNOWN_COMMUNITY = "XDSUnknownCommunity"
    UNAVAILABLE_COMMUNITY = "XDSUnavailableCommunity"
    MISSING_HOME_COMMUNITY_ID = "XDSMissingHomeCommunityId"
    METADATA_UPDATE_ERROR = "XDSMetadataUpdateError"
    METADATA_UPDATE_OPERATION_ERROR = "XDSMetadataUpdateOperationError"
    METADATA_VERSION_ERROR = "XDSMetadataVersionError"
    PATIENT_ID_RECONCILIATION_ERROR = "XDSPatientIDReconciliationError"
    OBJECT_TYPE_ERROR = "XDSObjectTypeError"
    METADATA_IDENTIFIER_ERROR = "XDSMetadataIdentifierError"
    METADATA_ANNOTATION_ERROR = "XDSMetadataAnnotationError"
    INVALID_REQUEST = "XDSInvalidRequestException"
    UNMODIFIABLE_METADATA = "UnmodifiableMetadataError"
    REFERENCES_EXIST = "ReferencesExistException"
    UNREFERENCED_OBJECT = "XDSUnreferencedObjectException"
    REMOVE_DOCUMENTS_ERROR = "XDSRemoveDocumentsError"
    EXTRA_METADATA_NOT_SAVED = "XDSExtraMetadataNotSaved"
    INVALID_DOCUMENT_CONTENT = "InvalidDocumentContent"
    FHIR_DOCUMENT_NOT_SUPPORTED = "FHIRDocumentNotSupported"
    REGISTRY_BUSY = "XDSRegistryBusy"
    REPOSITORY_BUSY = "XDSRepositoryBusy"
    REGISTRY_ERROR = "XDSRegistryError"
    REPOSITORY_ERROR = "XDSRepositoryError"
    REGISTRY_OUT_OF_RESOURCES = "XDSRegistryOutOfResources"
    REPOSITORY_OUT_OF_RESOURCES = "XDSRepositoryOutOfResources"


@dataclass(frozen=True, slots=True)
class RegistryError:
    """One rs:RegistryError: what is wrong, where, and by which rule (ITI TF-3 4.2.4.1).

    `context` is a sentence that says what to do; it never quotes metadata other than ids of objects.
    `location` is the object's id as the sender wrote it, then `/` and the attribute's IHE name.
    `rule` is the id under which docs/errors.md explains the rule. An error that another community gave has no
    rule here, and its words are its own; `foreign_code` is its code where that is none of ours.
    """

    code: Code
    context: str
    location: str = ""
    rule: str = ""
    warning: bool = False
    foreign_code: str = ""


class XdsError(Exception):
    """The root of all errors of this package."""


class RegistryFailure(XdsError):
    """A request that was understood and refused; carries every error found, in a fixed order."""

    def __init__(self, *errors: RegistryError) -> None:
        super().__init__("; ".join(f"{e.code} {e.rule}" for e in errors))
        self.errors: tuple[RegistryError, ...] = errors


class Denied(XdsError):
    """A request that is turned away at gate 1; `rule` is its reason in xds.security.denials.

    `sentence` is for the log and never for the sender.
    """

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(rule)
        self.rule = rule
        self.sentence = sentence


class FaultCode(StrEnum):
    """SOAP 1.2 fault codes; the SOAP 1.1 names are given where faults are written."""

    SENDER = "Sender"
    RECEIVER = "Receiver"
    MUST_UNDERSTAND = "MustUnderstand"
    VERSION_MISMATCH = "VersionMismatch"


class Fault(XdsError):
    """A message that cannot be processed at all: a SOAP fault (SOAP 1.2 part 1, 5.4).

    `reason` is for people and holds no value from the message.
    `subcode` is a (namespace, local name) pair such as WS-Addressing's ActionNotSupported.
    `status` overrides the HTTP status, for messages that are not SOAP at all (415, 413).
    `not_understood` lists the header blocks of a MustUnderstand fault as (namespace, local name).
    """

    def __init__(
        self,
        code: FaultCode,
        reason: str,
        *,
        subcode: tuple[str, str] | None = None,
        status: int = 500,
        not_understood: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.subcode = subcode
        self.status = status
        self.not_understood = tuple(not_understood)


def sender(reason: str) -> Fault:
    """The Fault of a message that its sender has to mend; `reason` says how."""
    return Fault(FaultCode.SENDER, reason)


class DataTypeError(XdsError, ValueError):
    """A value that does not follow its data type; the text says what the type asks for."""


class SettingsError(XdsError):
    """Settings with which the node must not start; the text names each key and the remedy."""


class ClientError(XdsError):
    """A request of ours that failed; `errors` holds the RegistryErrors when there are any."""

    def __init__(self, message: str, errors: Sequence[RegistryError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
