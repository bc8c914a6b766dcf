"""Masks what must not be shown: the values of environment variables whose names say so."""

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "********"
SHORTEST: Final = 6
"""Shorter values stand in too much that is no secret."""

_NAMES: Final = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY|_(KEY|PAT|AUTH)$",
    re.IGNORECASE,
)

_CREDENTIALS: Final = re.compile(r"(?<=://)[^\s/@'\"]{1,256}@")
_ASSIGNED: Final = re.compile(
    r"((?:TOKEN|SECRET|PASSW(?:OR)?D|PASSPHRASE|CREDENTIALS?|(?:API|ACCESS|PRIVATE)_?KEY)"
    r"[\w\"'\]]{0,20}[ \t]{0,4}[:=][ \t]{0,4})"
    # A quoted text, or a bare one that ends its line as in a file of settings: no expression.
    r"(?:(?P<quote>[\"'])[^\"'\n]{4,}(?P=quote)|[^\s\"',;(){}\[\].]{6,}$)",
    re.IGNORECASE | re.MULTILINE,
)


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """Return the values to mask, longest first. A path names where a secret is and is none."""
    values = {
        value
        for name, value in environment.items()
        if _NAMES.search(name) and len(value) >= SHORTEST and not value.startswith("/")
    }
    return sorted(values, key=len, reverse=True)


def masked_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with the values masked whose names say that they are secret."""
    mask = Masker(secrets_of(environment)).text
    return {
        name: MASK if value and _NAMES.search(name) else _CREDENTIALS.sub(f"{MASK}@", mask(value))
        for name, value in environment.items()
    }


def masked_source(text: str) -> str:
    """Return source text with what is assigned to secret names masked, and credentials."""
    return _CREDENTIALS.sub(f"{MASK}@", _ASSIGNED.sub(rf"\1\g<quote>{MASK}\g<quote>", text))


class Masker:
    """Replaces secrets in text, and in bytes that come in chunks cut anywhere."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = [secret.encode(errors="surrogateescape") for secret in secrets]
        pattern = b"|".join(re.escape(secret) for secret in self._secrets)
        self._pattern = re.compile(pattern) if pattern else None
        self._text = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def text(self, text: str) -> str:
        """Return the text with every secret masked."""
        return self._text.sub(MASK, text) if self._text else text

    def stream(self) -> "MaskedStream":
        """Return a filter for one stream of bytes."""
        return MaskedStream(self._pattern, self._secrets)


class MaskedStream:
    """Masks one stream, holding back what may be the beginning of a secret."""

    def __init__(self, pattern: re.Pattern[bytes] | None, secrets: list[bytes]) -> None:
        self._pattern = pattern
        self._secrets = secrets
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be shown now."""
        if self._pattern is None:
            return chunk
        masked = self._pattern.sub(MASK.encode(), self._held + chunk)
        held = max((_overlap(masked, secret) for secret in self._secrets), default=0)
        self._held = masked[len(masked) - held :]
        return masked[: len(masked) - held]

    def end(self) -> bytes:
        """Return what was held back."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, secret: bytes) -> int:
    """Return how much of the secret's beginning stands at the end of the data."""
    longest = min(len(data), len(secret) - 1)
    return next((n for n in range(longest, 0, -1) if data.endswith(secret[:n])), 0)
