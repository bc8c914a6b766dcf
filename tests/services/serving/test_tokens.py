import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trackside_serving.errors import TokenRefusedError
from trackside_serving.identity import Caller, Role
from trackside_serving.tokens import TokenSigner, TokenVerifier

KEY = Ed25519PrivateKey.generate()
HOUR = timedelta(hours=1)
CALLER = Caller("ada", Role.REPORTER, frozenset({"default", "b"}), frozenset({"r1", "r2"}))
CLAIMS: dict[str, Any] = {"sub": "ada", "role": "admin", "prj": [], "runs": [], "exp": 2e9}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_speaks_for_its_caller() -> None:
    token = TokenSigner(KEY).mint(CALLER, HOUR)

    assert TokenVerifier(KEY.public_key()).verify(token) == CALLER


def test_a_token_expires_although_it_was_seen_before() -> None:
    clock = Clock()
    verifier = TokenVerifier(KEY.public_key(), clock=clock)
    token = TokenSigner(KEY, clock=clock).mint(CALLER, HOUR)
    verifier.verify(token)

    clock.now += 3600

    with pytest.raises(TokenRefusedError):
        verifier.verify(token)


def test_a_signature_is_checked_once() -> None:
    verifier = TokenVerifier(KEY.public_key())
    token = TokenSigner(KEY).mint(CALLER, HOUR)

    assert verifier.verified(token) is verifier.verified(token)


@pytest.mark.parametrize("subject", ["", " ada", "\u0430da", "ada\n", "a" * 129, "-ada"])
def test_a_subject_that_could_be_mistaken_is_not_minted(subject: str) -> None:
    with pytest.raises(ValueError, match="a subject is"):
        TokenSigner(KEY).mint(Caller(subject, Role.USER), HOUR)


def unsigned() -> str:
    parts = [json.dumps({"alg": "none"}).encode(), json.dumps(CLAIMS).encode(), b"x"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def by_public_key() -> str:
    secret = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return jwt.encode(CLAIMS, secret, algorithm="HS256")


def signed(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, KEY, algorithm="EdDSA")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "a.b",
        "x" * 9000,
        "é.é.é",
        unsigned(),
        by_public_key(),
        jwt.encode(CLAIMS, Ed25519PrivateKey.generate(), algorithm="EdDSA"),
        signed(CLAIMS) + "\n",
        signed(CLAIMS)[:-2],
        signed({**CLAIMS, "exp": 1}),
        signed({**CLAIMS, "role": "root"}),
        signed({**CLAIMS, "runs": "r1"}),
        signed({k: v for k, v in CLAIMS.items() if k != "exp"}),
        signed({k: v for k, v in CLAIMS.items() if k != "sub"}),
        signed({k: v for k, v in CLAIMS.items() if k != "role"}),
    ],
)
def test_no_other_token_is_taken_and_all_get_the_same_answer(token: str) -> None:
    with pytest.raises(TokenRefusedError) as caught:
        TokenVerifier(KEY.public_key()).verify(token)

    assert str(caught.value) == TokenRefusedError.summary
