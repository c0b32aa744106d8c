"""xds: a document-sharing node for Norwegian health care (IHE XDS.b registry and repository)."""

__version__ = "0.1.0"
