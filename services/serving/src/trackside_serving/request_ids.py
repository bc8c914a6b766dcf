"""The name of a call, by which a caller's complaint is found in the server's log.

A caller may name its calls itself; else the server does. Errors carry the name back.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Final

REQUEST_ID: Final = "x-request-id"
"""The metadata key, both ways."""

_LEGAL: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the caller's name for a call if it gave a legal one, else a new one."""
    for key, value in metadata:
        if key == REQUEST_ID and isinstance(value, str) and _LEGAL.fullmatch(value):
            return value
    return secrets.token_hex(8)
