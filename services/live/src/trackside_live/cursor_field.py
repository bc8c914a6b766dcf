"""Finding a part's cursor in its encoded response without decoding the rest."""

from typing import Final

from trackside_journal.wire import read_varint

_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH_DELIMITED: Final = 2


def last_string(data: bytes, number: int) -> str:
    """Return the last occurrence of a string field at the top level; empty when there is none.

    Looks at the tags only, so it costs a step for each field and none for what is in them.

    Raises:
        ValueError: The bytes are no message.
    """
    found = ""
    offset = 0
    while offset < len(data):
        tag, offset = read_varint(data, offset)
        if tag & 7 == _VARINT:
            _, offset = read_varint(data, offset)
        elif tag & 7 == _LENGTH_DELIMITED:
            length, offset = read_varint(data, offset)
            if tag >> 3 == number:
                found = data[offset : offset + length].decode()
            offset += length
        else:
            offset += 8 if tag & 7 == _FIXED64 else 4
    return found
