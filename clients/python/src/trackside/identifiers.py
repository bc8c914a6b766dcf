"""Random identifiers as every client and service of Trackside makes them."""

import os
from typing import Final

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32 in lower case: no `i`, `l`, `o` and `u`."""

LENGTH: Final = 16
"""The length of an identifier: 80 random bits."""


def new_identifier() -> str:
    """Return a new random identifier, for example of a run."""
    return _spelled(int.from_bytes(os.urandom(5 * LENGTH // 8)))


def identifier_of(*words: str) -> str:
    """Return the identifier that stands for `words`: always the same one for the same words."""
    import hashlib  # noqa: PLC0415  # brings OpenSSL; most programs get by without

    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()
    return _spelled(int.from_bytes(digest[: 5 * LENGTH // 8]))


def is_identifier(text: str) -> bool:
    """Return whether `text` may be an identifier."""
    return len(text) == LENGTH and set(text) <= set(ALPHABET)


def _spelled(bits: int) -> str:
    return "".join(ALPHABET[bits >> shift & 31] for shift in range(0, 5 * LENGTH, 5))
