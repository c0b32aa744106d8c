"""How fast the node is, beside the least that the same work can cost on the same machine at the same moment.

Run by `make bench` (python -m bench); docs/performance.md says what is measured and how to read it.
Nothing here is a test of speed, and nothing of xds/ may import it.
"""
