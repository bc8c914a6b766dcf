"""Tokens: signed statements of who calls, made with a private key, checked with a public one.

Each has an id, by which it can be revoked. One that was made before there were ids has a digest
of what is signed for its id: the signature is left out, as its text may be varied.
"""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from trackside_serving.errors import ServiceError, TokenRefusedError, TokenRevokedError
from trackside_serving.identifiers import id_of, new_id
from trackside_serving.identity import Caller, Role
from trackside_serving.revocations import Revocations

ALGORITHM: Final = "EdDSA"
LONGEST: Final = 8192
SUBJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
"""What may be a subject: ASCII only, so that no two look alike."""

TOKEN_ID: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{16}")
LONGEST_LIFETIME: Final = timedelta(days=3650)
"""No token is good for longer, whatever it says: so long a revocation by id alone is kept."""

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
    token_id: str = ""
    issue_ms: int = 0
    """When it was made, in milliseconds since 1970."""


class TokenSigner:
    """Makes tokens."""

    def __init__(self, key: Ed25519PrivateKey, *, clock: Clock = time.time) -> None:
        self._key = key
        self._clock = clock

    def mint(self, caller: Caller, lifetime: timedelta, *, after_ms: int = 0) -> str:
        """Return a token that speaks for the caller.

        Args:
            caller: Whom it speaks for.
            lifetime: How long it is good.
            after_ms: Say that it was made after this, though our clock may not be there yet.

        Raises:
            ValueError: The subject is not one that a token may carry, or the lifetime too long.
        """
        if not SUBJECT.fullmatch(caller.subject):
            msg = "a subject is 1 to 128 ASCII letters, digits and ._@+- and begins with the former"
            raise ValueError(msg)
        if not timedelta() < lifetime <= LONGEST_LIFETIME:
            msg = f"a token is good for some time, and {LONGEST_LIFETIME.days} days at most"
            raise ValueError(msg)
        now = self._clock()
        claims = {
            "jti": new_id(),
            "sub": caller.subject,
            "role": caller.role.value,
            "prj": sorted(caller.projects),
            "runs": sorted(caller.run_ids),
            # To the millisecond: what is made right after a revocation is not meant by it.
            "iat": max(int(now * 1000), after_ms + 1) / 1000,
            "exp": int(now + lifetime.total_seconds()),
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


class TokenVerifier:
    """Checks tokens, with the public key alone.

    A signature is checked once and remembered; the expiry, and whether it is revoked, are
    looked at each time.

    Attributes:
        revocations: The tokens that are refused although they are signed.
    """

    def __init__(self, key: Ed25519PublicKey, *, clock: Clock = time.time) -> None:
        self.revocations = Revocations(clock=clock)
        self._key = key
        self._clock = clock
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._read)

    def verify(self, token: str) -> Caller:
        """Return whom the token speaks for.

        Raises:
            TokenRefusedError: It is malformed, not ours, or expired; which is not said.
            TokenRevokedError: It was revoked.
        """
        return self.verified(token).caller

    def verified(self, token: str) -> VerifiedToken:
        """Return all that the token says.

        Raises:
            TokenRefusedError: It is malformed, not ours, or expired; which is not said.
            TokenRevokedError: It was revoked.
        """
        verified = self.signed(token)
        refusal = self.refusal(verified)
        if refusal is not None:
            raise refusal
        return verified

    def signed(self, token: str) -> VerifiedToken:
        """Return what a token says that is ours, whether or not it is still good.

        Raises:
            TokenRefusedError: It is malformed or not ours.
        """
        if len(token) > LONGEST:
            raise TokenRefusedError
        return self._remembered(token)

    def refusal(self, verified: VerifiedToken) -> ServiceError | None:
        """Return why a token of ours is no longer good; None: it is."""
        if verified.expires <= self._clock():
            return TokenRefusedError()
        if self.revocations.cover(verified.token_id, verified.caller.subject, verified.issue_ms):
            return TokenRevokedError()
        return None

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
                options={
                    "require": ["sub", "iat", "exp"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            issued = float(claims["iat"])
            return VerifiedToken(
                _caller(claims),
                min(float(claims["exp"]), issued + LONGEST_LIFETIME.total_seconds()),
                token,
                _token_id(claims, token),
                round(issued * 1000),
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
            raise TokenRefusedError from None


def _token_id(claims: dict[str, Any], token: str) -> str:
    if "jti" not in claims:
        signed, _, _ = token.rpartition(".")
        return id_of(hashlib.blake2b(signed.encode(), digest_size=10).digest())
    token_id = str(claims["jti"])
    if not TOKEN_ID.fullmatch(token_id):
        raise ValueError
    return token_id


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
