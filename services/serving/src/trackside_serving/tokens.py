"""Tokens: signed statements of who calls, made with a private key, checked with a public one."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from trackside_serving.errors import TokenRefusedError
from trackside_serving.identity import Caller, Role

ALGORITHM: Final = "EdDSA"
LONGEST: Final = 8192
SUBJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
"""What may be a subject: ASCII only, so that no two look alike."""

_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_REMEMBERED: Final = 4096

Clock = Callable[[], float]
"""Returns seconds since 1970."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token says whose signature is ours: it may have expired meanwhile."""

    caller: Caller
    expires: float
    token: str = field(default="", repr=False)


class TokenSigner:
    """Makes tokens."""

    def __init__(self, key: Ed25519PrivateKey, *, clock: Clock = time.time) -> None:
        self._key = key
        self._clock = clock

    def mint(self, caller: Caller, lifetime: timedelta) -> str:
        """Return a token that speaks for the caller.

        Raises:
            ValueError: The subject is not one that a token may carry.
        """
        if not SUBJECT.fullmatch(caller.subject):
            msg = "a subject is 1 to 128 ASCII letters, digits and ._@+- and begins with the former"
            raise ValueError(msg)
        now = int(self._clock())
        claims = {
            "sub": caller.subject,
            "role": caller.role.value,
            "prj": sorted(caller.projects),
            "runs": sorted(caller.run_ids),
            "iat": now,
            "exp": now + int(lifetime.total_seconds()),
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


class TokenVerifier:
    """Checks tokens, with the public key alone.

    A signature is checked once and remembered, the expiry is looked at each time. Safe to
    call from any thread.
    """

    def __init__(self, key: Ed25519PublicKey, *, clock: Clock = time.time) -> None:
        self._key = key
        self._clock = clock
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._read)

    def verify(self, token: str) -> Caller:
        """Return whom the token speaks for.

        Raises:
            TokenRefusedError: It is malformed, not ours, or expired; which is not said.
        """
        return self.verified(token).caller

    def verified(self, token: str) -> VerifiedToken:
        """Return all that the token says.

        Raises:
            TokenRefusedError: It is malformed, not ours, or expired; which is not said.
        """
        if len(token) > LONGEST:
            raise TokenRefusedError
        verified = self._remembered(token)
        if self.has_expired(verified.expires):
            raise TokenRefusedError
        return verified

    def has_expired(self, expires: float) -> bool:
        """Whether a token that expires then is no longer good."""
        return expires <= self._clock()

    def _read(self, token: str) -> VerifiedToken:
        if not _SHAPE.fullmatch(token):
            raise TokenRefusedError
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                # The expiry is looked at on each call; a clock that is a little ahead of
                # ours makes no token bad.
                options={"require": ["sub", "exp"], "verify_exp": False, "verify_iat": False},
            )
            return VerifiedToken(_caller(claims), float(claims["exp"]), token)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError):
            raise TokenRefusedError from None


def _caller(claims: dict[str, Any]) -> Caller:
    return Caller(
        subject=str(claims["sub"]),
        role=Role(claims["role"]),
        projects=frozenset(_strings(claims.get("prj", []))),
        run_ids=frozenset(_strings(claims.get("runs", []))),
    )


def _strings(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError
    return [str(item) for item in cast("list[object]", value)]
