"""GATE 3: what was done, by whom, to whose record: written with the deed, chained, readable, handed on."""
