"""Random identifiers of installations and tokens."""

import secrets
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32: no letter that is mistaken for another."""

LENGTH: Final = 16


def new_id() -> str:
    """Return 16 random characters of Crockford's base32."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def id_of(data: bytes) -> str:
    """Return the 16 characters that stand for a digest of 10 bytes."""
    number = int.from_bytes(data, "big")
    return "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(LENGTH)))
