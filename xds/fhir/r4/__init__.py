"""FHIR R4 (4.0.1) itself, for the resources that MHD needs: its form and its XML, without profiles."""
