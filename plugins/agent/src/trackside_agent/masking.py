"""Keeps secrets that a run was given out of its log."""

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = b"***"
SHORTEST: Final = 8
"""A shorter value would be found in innocent words."""

_TELLTALE: Final = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|(?:API|ACCESS|PRIVATE|SECRET)_?KEY)(?:_|$)",
    re.IGNORECASE,
)


class Mask:
    """Replaces the values of a run's token and of variables whose names tell of a secret."""

    def __init__(self, token: str, environment: Mapping[str, str]) -> None:
        values = [value for name, value in environment.items() if _TELLTALE.search(name)]
        secrets = {value for value in (token, *values) if len(value) >= SHORTEST}
        longest_first = sorted(secrets, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(value.encode()) for value in longest_first))
        self._is_empty = not secrets

    def __call__(self, line: bytes) -> bytes:
        """Return the line without secrets."""
        return line if self._is_empty else self._pattern.sub(MASK, line)
