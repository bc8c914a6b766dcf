import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trackside_serving.errors import TokenRefusedError, TokenRevokedError
from trackside_serving.identity import Caller, Role
from trackside_serving.revocations import Revocation
from trackside_serving.tokens import LONGEST_LIFETIME, TOKEN_ID, TokenSigner, TokenVerifier

KEY = Ed25519PrivateKey.generate()
HOUR = timedelta(hours=1)
CALLER = Caller("ada", Role.REPORTER, frozenset({"default", "b"}), frozenset({"r1", "r2"}))
CLAIMS: dict[str, Any] = {
    "sub": "ada",
    "role": "admin",
    "prj": [],
    "runs": [],
    "iat": 1.7e9,
    "exp": 2e9,
}


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
        signed({k: v for k, v in CLAIMS.items() if k != "iat"}),
        signed({**CLAIMS, "jti": "../etc"}),
    ],
)
def test_no_other_token_is_taken_and_all_get_the_same_answer(token: str) -> None:
    with pytest.raises(TokenRefusedError) as caught:
        TokenVerifier(KEY.public_key()).verify(token)

    assert str(caught.value) == TokenRefusedError.summary


def test_every_token_has_an_id_of_its_own() -> None:
    signer, verifier = TokenSigner(KEY), TokenVerifier(KEY.public_key())

    ids = [verifier.signed(signer.mint(CALLER, HOUR)).token_id for _ in range(100)]

    assert len(set(ids)) == 100
    assert all(TOKEN_ID.fullmatch(each) for each in ids)


def test_a_token_of_an_earlier_version_has_an_id_too() -> None:
    token, others = signed(CLAIMS), signed({**CLAIMS, "sub": "ben"})
    first, second = (TokenVerifier(KEY.public_key()).signed(token) for _ in range(2))

    assert TOKEN_ID.fullmatch(first.token_id)
    assert first.token_id == second.token_id
    assert first.token_id != TokenVerifier(KEY.public_key()).signed(others).token_id


@pytest.mark.parametrize("by", ["id", "subject"])
def test_a_revoked_token_is_refused_although_it_was_seen_before(by: str) -> None:
    verifier = TokenVerifier(KEY.public_key())
    token = TokenSigner(KEY).mint(CALLER, HOUR)
    known = verifier.verified(token)

    if by == "id":
        verifier.revocations.add([Revocation(known.token_id, "", 0, 1 << 42)])
    else:
        verifier.revocations.add([Revocation("", "ada", known.issue_ms, 1 << 42)])

    with pytest.raises(TokenRevokedError):
        verifier.verify(token)
    assert verifier.signed(token) is known


def test_a_token_that_is_made_after_its_subject_was_revoked_is_good() -> None:
    clock = Clock()
    verifier = TokenVerifier(KEY.public_key(), clock=clock)
    until_ms = round(clock.now * 1000) + 7  # by the clock of another machine
    verifier.revocations.add([Revocation("", "ada", until_ms, 1 << 42)])

    made = TokenSigner(KEY, clock=clock).mint(CALLER, HOUR, after_ms=until_ms)

    assert verifier.verify(made) == CALLER


def test_no_token_is_good_for_longer_than_revocations_are_kept() -> None:
    clock = Clock()
    verifier = TokenVerifier(KEY.public_key(), clock=clock)
    token = signed({**CLAIMS, "iat": clock.now, "exp": 4e9})

    assert verifier.verified(token).expires == clock.now + LONGEST_LIFETIME.total_seconds()
    with pytest.raises(ValueError, match="3650 days"):
        TokenSigner(KEY).mint(CALLER, LONGEST_LIFETIME + HOUR)
