"""The node as outside users meet it: raw bytes over HTTP, and never our own client or reader."""
