"""Identifiers: 16 characters of lower-case Crockford base32, random."""

import secrets
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH: Final = 16


def new_identifier() -> str:
    """Return a new one, 80 bits of chance."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
