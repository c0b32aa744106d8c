"""Our WSDL and schemas against the standard's: what they accept, refuse and promise."""
