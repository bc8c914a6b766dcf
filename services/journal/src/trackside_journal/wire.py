"""Pieces of the protobuf wire format, for joining encoded messages without decoding them.

Serialised messages of one type may be concatenated: repeated fields append and of a scalar
the last one wins (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
"""

from typing import Final

_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH_DELIMITED: Final = 2
_CONTINUATION: Final = 0x80
_SHORTEST: Final = 2  # a tag and a length
_ONE_BYTE: Final = [bytes((value,)) for value in range(_CONTINUATION)]


def varint(value: int) -> bytes:
    """Return the base-128 encoding of a value from 0 to 2**64 - 1."""
    if value < _CONTINUATION:
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= _CONTINUATION:
        out.append((value & 0x7F) | _CONTINUATION)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_field(number: int, value: int) -> bytes:
    """Return a field of wire type VARINT."""
    return varint(number << 3 | _VARINT) + varint(value)


def bytes_field(number: int, payload: bytes) -> bytes:
    """Return a field of wire type LEN: a string, bytes or an encoded message."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(payload)) + payload


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Return the varint at `offset` and the offset behind it.

    Raises:
        ValueError: The data end within it, or it is longer than ten bytes.
    """
    value = shift = 0
    for index in range(offset, min(offset + 10, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < _CONTINUATION:
            return value, index + 1
        shift += 7
    message = "A varint is cut or too long."
    raise ValueError(message)


def leading_message(data: bytes) -> tuple[bytes, int] | None:
    """Return the payload of field 1, if the data begin with it, and the offset behind it.

    Encoders write fields in order of their number, so a message whose field 1 is a message
    nearly always begins with it; `None` sends the caller to the ordinary parser.
    """
    if len(data) < _SHORTEST or data[0] != (1 << 3 | _LENGTH_DELIMITED):
        return None
    length, start = data[1], 2
    if length >= _CONTINUATION:
        try:
            length, start = read_varint(data, 1)
        except ValueError:
            return None
    end = start + length
    return (data[start:end], end) if end <= len(data) else None
