"""Keys for the database where what they stand for is too long for an index."""

import hashlib
from typing import Final

_PLAIN: Final = 1_000
_HEAD: Final = 900


def path_key(path: str) -> str:
    """Return a key for an output's path: the path, or its beginning and a digest.

    Keys order as paths do, save for those that are alike in their first 900 bytes.
    """
    encoded = path.encode()
    if len(encoded) <= _PLAIN:
        return path
    head = encoded[:_HEAD].decode(errors="ignore")
    return f"{head}\N{HORIZONTAL ELLIPSIS}{hashlib.blake2b(encoded, digest_size=16).hexdigest()}"
