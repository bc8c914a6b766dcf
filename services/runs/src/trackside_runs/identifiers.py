"""Identifiers: 16 characters of lower-case Crockford base32, random."""

import base64
import secrets
from typing import Final

_BYTES: Final = 10
_STANDARD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD: Final = bytes.maketrans(_STANDARD, b"0123456789abcdefghjkmnpqrstvwxyz")


def new_identifier() -> str:
    """Return a new one, 80 bits of chance."""
    return base64.b32encode(secrets.token_bytes(_BYTES)).translate(_CROCKFORD).decode()
