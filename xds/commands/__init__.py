"""Commands of the command line for those who look after a node; `xds.cli` registers them."""
