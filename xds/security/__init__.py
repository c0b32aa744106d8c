"""GATE 1: who is asking?

`gate` is what app.py calls for every request, and the order of its checks is read there. A request comes out
of it as one `Caller`, or as `Denied`; nothing in this package decides what a caller may see.
"""
