"""The FHIR side of the node: today its gate and its words for errors; MHD and the access log come behind."""
