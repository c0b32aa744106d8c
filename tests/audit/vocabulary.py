"""The addresses of code systems, identifier systems, extensions and profiles that an event is judged by.

The modules of checks share them. They are written out here, and not taken from the code under test, as a
wrong address there must not make the same address right here.
"""

from __future__ import annotations

HL7_NORWAY = "http://hl7.no/fhir/StructureDefinition/"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/"

TRUST_FRAMEWORK = f"{HL7_NORWAY}no-domain-Trustframework-Auditevent"
PATIENT_EXTENSION = f"{HL7_NORWAY}auditevent-patient-extension"
ENCOUNTER_EXTENSION = f"{HL7_NORWAY}auditevent-encounter-extension"
CARE_RELATION_EXTENSION = f"{HL7_NORWAY}auditevent-carerelation-metadata-extension"

SAML_MINIMAL = f"{BALP}IHE.BasicAudit.SAMLaccessTokenUse.Minimal"
SAML_COMPREHENSIVE = f"{BALP}IHE.BasicAudit.SAMLaccessTokenUse.Comprehensive"
OAUTH_MINIMAL = f"{BALP}IHE.BasicAudit.OAUTHaccessTokenUse.Minimal"
OAUTH_COMPREHENSIVE = f"{BALP}IHE.BasicAudit.OAUTHaccessTokenUse.Comprehensive"
ASSURANCE_LEVEL = f"{BALP}ihe-assuranceLevel"
OTHER_ID = f"{BALP}ihe-otherId"

DICOM = "http://dicom.nema.org/resources/ontology/DCM"
EVENT_TYPE = "urn:ihe:event-type-code"
AUDIT_EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
RESTFUL = "http://hl7.org/fhir/restful-interaction"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ENTITY_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
ROLE_CLASS = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
USER_AGENT = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes"
OTHER_ID_TYPES = "https://profiles.ihe.net/ITI/BALP/CodeSystem/OtherIdentifierTypes"
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
BALP_ENTITY = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"

SOURCE_ROLE = (DICOM, "110153")
DESTINATION_ROLE = (DICOM, "110152")
APPLICATION = (DICOM, "110150")
USER_SAML = (USER_AGENT, "UserSamlAgent")
USER_OAUTH = (USER_AGENT, "UserOauthAgent")
RECIPIENT = (PARTICIPATION, "IRCP")
PROVIDER = (ROLE_CLASS, "PROV")
HOME_COMMUNITY = ("urn:ihe:iti:xca:2010", "homeCommunityId")
CONSENT = (RESOURCE_TYPES, "Consent")
REQUEST_ID = (BALP_ENTITY, "XrequestId")
PERSON = (ENTITY_TYPE, "1")
SYSTEM_OBJECT = (ENTITY_TYPE, "2")

FNR = "urn:oid:2.16.578.1.12.4.1.4.1"
DNR = "urn:oid:2.16.578.1.12.4.1.4.2"
FHNR = "urn:oid:2.16.578.1.12.4.1.4.3"
HPR = "urn:oid:2.16.578.1.12.4.1.4.4"
ENH = "urn:oid:2.16.578.1.12.4.1.4.101"
RESH = "urn:oid:2.16.578.1.12.4.1.4.102"
URI = "urn:ietf:rfc:3986"

AUTHORISATION = "urn:oid:2.16.578.1.12.4.1.1.9060"
DECISION_TEMPLATE = "https://terminology.dips.com/decisiontemplate"
SERVICE_9151 = "urn:oid:2.16.578.1.12.4.1.1.9151"
HEALTH_SERVICES = tuple(f"urn:oid:2.16.578.1.12.4.1.1.{number}" for number in (8655, 8663, 8451))
