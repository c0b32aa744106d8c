"""The runner of `xds conformance`: cases as data against any endpoint of XDS.b, XCA, MHD and XUA.

The cases are the TOML files in `cases/`; docs/conformance.md says how one is written. Nothing here may know
how a node of this project works inside, and no expectation may be made from what one answers.
"""
