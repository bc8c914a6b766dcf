"""Random identifiers as every client and service of Trackside makes them."""

import secrets
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32 in lower case: no `i`, `l`, `o` and `u`."""

LENGTH: Final = 16
"""The length of an identifier: 80 random bits."""


def new_identifier() -> str:
    """Return a new random identifier, for example of a run."""
    bits = secrets.randbits(5 * LENGTH)
    return "".join(ALPHABET[bits >> shift & 31] for shift in range(0, 5 * LENGTH, 5))
