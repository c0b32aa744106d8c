"""Patient ids as people write them: a national number alone, or the whole `id^^^&OID&ISO`.

The command line reads its `--patient` with `patient_id`. An error must never quote the number.
"""

from __future__ import annotations

from xds.errors import DataTypeError
from xds.metadata import national
from xds.metadata.datatypes import CX


def patient_id(text: str) -> str:
    """`id^^^&OID&ISO` for an 11-digit national number, a D-number or an FH-number; a whole id is only
    checked.

    Raises DataTypeError.
    """
    text = text.strip()
    if "^" in text:
        return str(CX.parse(text))
    if not (len(text) == 11 and text.isascii() and text.isdigit()):
        raise DataTypeError("A patient is a number of 11 digits, or any other id written as 'ID^^^&OID&ISO'.")
    if not national.has_control_digits(text):
        raise DataTypeError("The control digits of the number are wrong: look for a slip of the pen.")
    if national.is_local(text):
        # KITH 1001:2010: an H-number means something in one enterprise only, so no national OID fits it.
        raise DataTypeError(
            "This is a local help number (month + 40): write it with its authority, 'ID^^^&OID&ISO'."
        )
    return str(CX(text, national.authority_of(text)))
