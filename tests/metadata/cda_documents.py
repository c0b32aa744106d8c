"""CDA documents for tests: one with everything in its header, one with as little as makes metadata.

The people are synthetic: their numbers are of the Tenor series, their organisation numbers of its 31 series.
The functions make a document that differs from a good one in one place.
"""

from __future__ import annotations

import re
from datetime import date

from tests.access.people import number

BORN = date(1955, 5, 17)
NUMBER = number(BORN)
OTHER_NUMBER = number(BORN, 1)
D_NUMBER_ROOT = "2.16.578.1.12.4.1.4.2"

FULL = f"""<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet type="text/xsl" href="cda.xsl"?>
<!-- A discharge letter -->
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <realmCode code="NO"/>
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <templateId root="1.3.6.1.4.1.19376.1.5.3.1.1.1"/>
  <templateId root="1.3.6.1.4.1.19376.1.5.3.1.1.4"/>
  <id root="2.16.578.1.12.4.5.480.1.2" extension="EP-2026/17"/>
  <code code="18842-5" codeSystem="2.16.840.1.113883.6.1" displayName="Discharge summary">
    <translation code="A03-2" codeSystem="2.16.578.1.12.4.1.1.9602"/>
  </code>
  <title>Epikrise, <!-- the ward --> indre&#10;medisin</title>
  <effectiveTime value="20260311104500.250+0100"/>
  <confidentialityCode code="R" codeSystem="2.16.840.1.113883.5.25" displayName="restricted">
    <translation code="NORS" codeSystem="2.16.578.1.12.4.1.1.9603"/>
  </confidentialityCode>
  <languageCode code="nn-NO"/>
  <setId root="2.16.578.1.12.4.5.480.1.3" extension="17"/>
  <versionNumber value="2"/>
  <recordTarget>
    <patientRole>
      <id root="2.16.578.1.12.4.5.480.1.9" extension="PAS^77"/>
      <id root="2.16.578.1.12.4.1.4.1" extension="{NUMBER}"/>
      <addr use="HP">
        <streetAddressLine>Storgata 1</streetAddressLine><streetAddressLine>H0101</streetAddressLine>
        <postalCode>0155</postalCode><city>Oslo &amp; omegn</city><country>NO</country>
      </addr>
      <patient>
        <name use="L"><given>Syn|tetisk</given><given>Marie</given><family>Prøve</family></name>
        <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
        <birthTime value="19550517083000+0100"/>
      </patient>
    </patientRole>
  </recordTarget>
  <author>
    <functionCode code="3" codeSystem="2.16.578.1.12.4.1.1.9034" displayName="Behandler"/>
    <time value="20260311104500+0100"/>
    <assignedAuthor>
      <id root="2.16.578.1.12.4.5.480.1.8" extension="tfjell"/>
      <id root="2.16.578.1.12.4.1.4.4" extension="09144889"/>
      <code code="190" codeSystem="2.16.578.1.12.4.1.1.7426"/>
      <telecom use="WP" value="tel:+47%2022000000"/>
      <telecom value="mailto:tuva.fjell@example.org?subject=x"/>
      <telecom value="https://example.org"/>
      <assignedPerson><name><prefix>Dr.</prefix><given>Tuva</given><family>Fjell^Dal</family></name></assignedPerson>
      <representedOrganization>
        <name>Hjerteposten</name>
        <asOrganizationPartOf><wholeOrganization>
          <id root="2.16.578.1.12.4.1.4.102" extension="4201234"/>
          <name>Avdeling for prøver</name>
          <asOrganizationPartOf><wholeOrganization>
            <id root="2.16.578.1.12.4.1.4.102" extension="4200000"/>
            <id root="2.16.578.1.12.4.1.4.101" extension="310000000"/>
            <name>Eksempelsykehuset HF</name>
          </wholeOrganization></asOrganizationPartOf>
        </wholeOrganization></asOrganizationPartOf>
      </representedOrganization>
    </assignedAuthor>
  </author>
  <author>
    <time value="20260311104500+0100"/>
    <assignedAuthor>
      <id nullFlavor="NA"/>
      <code code="SP" codeSystem="2.16.578.1.12.4.1.1.9060"/>
      <assignedAuthoringDevice><softwareName>Journalsystem 7</softwareName></assignedAuthoringDevice>
    </assignedAuthor>
  </author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="2.16.578.1.12.4.1.4.101" extension="310000019"/><name>Arkivet</name>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <legalAuthenticator>
    <time value="20260311104500+0100"/><signatureCode code="S"/>
    <assignedEntity>
      <id root="2.16.578.1.12.4.1.4.4" extension="9144897"/>
      <assignedPerson><name><given>Kåre</given><family>Vik</family></name></assignedPerson>
    </assignedEntity>
  </legalAuthenticator>
  <inFulfillmentOf><order><id root="2.16.578.1.12.4.5.480.1.4" extension="REK-1"/></order></inFulfillmentOf>
  <documentationOf><serviceEvent>
    <code code="FNG02" codeSystem="2.16.578.1.12.4.1.1.7210" displayName="PCI"/>
    <effectiveTime><low value="20260309090000+0100"/><high value="20260310"/></effectiveTime>
    <performer typeCode="PRF"><assignedEntity>
      <id nullFlavor="UNK"/>
      <code code="S03" codeSystem="2.16.578.1.12.4.1.1.8655" displayName="Indremedisin"/>
    </assignedEntity></performer>
  </serviceEvent></documentationOf>
  <documentationOf><serviceEvent>
    <effectiveTime><low value="20260310"/><high value="202603111200+0100"/></effectiveTime>
  </serviceEvent></documentationOf>
  <relatedDocument typeCode="RPLC"><parentDocument>
    <id root="2.16.578.1.12.4.5.480.1.2" extension="EP-2026/16"/><text>structured</text>
  </parentDocument></relatedDocument>
  <relatedDocument typeCode="XFRM"><parentDocument>
    <id root="2.16.578.1.12.4.5.480.1.2.5"/>
  </parentDocument></relatedDocument>
  <componentOf><encompassingEncounter>
    <id root="2.16.578.1.12.4.5.480.1.5" extension="OPPHOLD-3"/>
    <effectiveTime><low value="20260101"/><high value="20260401"/></effectiveTime>
    <location><healthCareFacility>
      <code code="86.101" codeSystem="2.16.578.1.12.4.1.1.1303"/>
    </healthCareFacility></location>
  </encompassingEncounter></componentOf>
  <component><structuredBody>
    <component><section><title>Vurdering</title><text>Godt resultat.</text></section></component>
  </structuredBody></component>
</ClinicalDocument>
"""

#: What every header needs, and nothing else; times are in UTC so that nothing is assumed but the format.
PLAIN = f"""<ClinicalDocument xmlns="urn:hl7-org:v3">
  <id root="2.25.1"/>
  <code code="B02-2" codeSystem="2.16.578.1.12.4.1.1.9602"/>
  <effectiveTime value="20260311094500+0000"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="nb-NO"/>
  <recordTarget><patientRole>
    <id root="2.16.578.1.12.4.1.4.1" extension="{NUMBER}"/>
  </patientRole></recordTarget>
  <author><assignedAuthor>
    <representedOrganization><name>Legekontoret</name></representedOrganization>
  </assignedAuthor></author>
  <componentOf><encompassingEncounter><location><healthCareFacility>
    <code code="86.211" codeSystem="2.16.578.1.12.4.1.1.1303">
      <translation code="S01" codeSystem="2.16.578.1.12.4.1.1.8655"/>
    </code>
  </healthCareFacility></location></encompassingEncounter></componentOf>
  <component><nonXMLBody>
    <text mediaType="application/pdf" representation="B64">JVBERi0=</text>
  </nonXMLBody></component>
</ClinicalDocument>
"""

#: A document of another format as the national peer wraps it, with the times and codes that it writes.
WRAPPED = f"""<?xml version="1.0" encoding="utf-8"?>
<ClinicalDocument xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="urn:hl7-org:v3">
  <realmCode code="NO"/>
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="2.16.578.1.12.4.5.100.1.1.2" extension="6f3c"/>
  <code code="A03-2" codeSystem="2.16.578.1.12.4.1.1.9602" displayName="Epikrise"/>
  <title>Epikrise</title>
  <effectiveTime value="20260311104500+0100"/>
  <confidentialityCode code="NORN_FPB" codeSystem="2.16.578.1.12.4.1.1.9603"/>
  <recordTarget><patientRole>
    <id root="2.16.578.1.12.4.1.4.1" extension="{NUMBER}"/>
    <patient>
      <name><given>Syntetisk</given><family>Prøve</family></name>
      <administrativeGenderCode code="9" codeSystem="2.16.578.1.12.4.1.1.3101" displayName="Not applicable"/>
      <birthTime value="19550517"/>
    </patient>
  </patientRole></recordTarget>
  <author>
    <time value="20260311104500+0100"/>
    <assignedAuthor>
      <id root="2.16.578.1.12.4.1.4.4" extension="9144889"/>
      <assignedPerson><name><given>Tuva</given><family>Fjell</family></name></assignedPerson>
    </assignedAuthor>
  </author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="2.16.578.1.12.4.1.4.101" extension="310000000"/><name>Eksempelsykehuset HF</name>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <component><nonXMLBody><text mediaType="application/pdf">JVBERi0=</text></nonXMLBody></component>
</ClinicalDocument>
"""

#: A scanned letter: who wrote it, and the machine that scanned it (ITI TF-3 5.2.3).
SCANNED = PLAIN.replace(
    "<id root=",
    '<templateId root="1.3.6.1.4.1.19376.1.2.20"/><id root=',
    1,
).replace(
    "<componentOf>",
    """<author>
    <templateId root="1.3.6.1.4.1.19376.1.2.20.2"/>
    <time value="20260311094500+0000"/>
    <assignedAuthor>
      <id root="2.16.578.1.12.4.5.480.1.7"/>
      <assignedAuthoringDevice>
        <manufacturerModelName>Skanner 3</manufacturerModelName><softwareName>Skann 1.0</softwareName>
      </assignedAuthoringDevice>
      <representedOrganization>
        <id root="2.16.578.1.12.4.5.480"/><name>Arkivet</name>
      </representedOrganization>
    </assignedAuthor>
  </author>
  <dataEnterer><assignedEntity><id nullFlavor="NA"/></assignedEntity></dataEnterer>
  <documentationOf><serviceEvent>
    <effectiveTime><low value="19990101"/><high value="19991231"/></effectiveTime>
  </serviceEvent></documentationOf>
  <componentOf>""",
    1,
)


def without(element: str, document: str = PLAIN) -> str:
    """The document without the first element of this name."""
    found = re.sub(rf"<{element}\b[^>]*?(/>|>.*?</{element}>)", "", document, count=1, flags=re.DOTALL)
    assert found != document
    return found


def emptied(element: str, document: str = PLAIN) -> str:
    """The document with a nullFlavor on the first element of this name."""
    return re.sub(rf"<{element}\b", f'<{element} nullFlavor="UNK"', document, count=1)


def replaced(old: str, new: str, document: str = PLAIN) -> str:
    """The document with another text where `old` stands."""
    assert document.count(old) >= 1
    return document.replace(old, new, 1)


def added(xml: str, before: str = "<component>", document: str = PLAIN) -> str:
    """The document with more elements before one."""
    return replaced(before, xml + before, document)
