"""Who may revoke which tokens, and what is kept of it."""

from dataclasses import dataclass
from typing import Final

from trackside_protos.runs.v1.revocation_pb2 import Revocation
from trackside_protos.runs.v1.runs_service_pb2 import RevokeTokenRequest
from trackside_runs.storage.ledger import Ledger
from trackside_runs.storage.revocations import RevocationBook
from trackside_serving.errors import (
    InvalidFieldError,
    NotAllowedError,
    TokenRefusedError,
    TooManyItemsError,
)
from trackside_serving.identity import Caller, Role
from trackside_serving.revocations import EVERYBODY
from trackside_serving.tokens import LONGEST_LIFETIME, SUBJECT, TOKEN_ID, TokenVerifier

REVOCATIONS_OF_CALLER: Final = 1000
"""How many of who is no admin are kept."""

_LONGEST_MS: Final = round(LONGEST_LIFETIME.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody who may wants refused."""

    requester: Caller
    token_id: str
    """Empty: all tokens of the subject."""
    subject: str
    expire_ms: int | None = None
    """When the token expires, where that is known."""

    def revocation(self, now_ms: int) -> Revocation:
        """Return what is to be kept, as of now."""
        kept = Revocation(
            token_id=self.token_id, subject=self.subject, requester=self.requester.subject
        )
        kept.revoke_time.FromMilliseconds(now_ms)
        expire_ms = now_ms + _LONGEST_MS if self.expire_ms is None else self.expire_ms
        kept.expire_time.FromMilliseconds(expire_ms)
        if not self.token_id:
            kept.latest_issue_time.FromMilliseconds(now_ms)
        return kept

    def known(self, book: RevocationBook) -> Revocation | None:
        """Return by what the one token is refused already."""
        if not self.token_id:
            return None
        return book.find(self.token_id, self.subject) or book.find(self.token_id, EVERYBODY)


@dataclass(frozen=True, slots=True)
class Revoked:
    """What is kept, and whether it was before."""

    revocation: Revocation
    existed: bool


def wanted(request: RevokeTokenRequest, caller: Caller, verifier: TokenVerifier) -> Wanted:
    """Return what a caller may have refused.

    Raises:
        InvalidFieldError: That is no id, no token of ours, or no subject.
        NotAllowedError: It is of another subject, and the caller no admin.
    """
    is_admin = caller.role is Role.ADMIN
    match request.WhichOneof("target"):
        case "token":
            try:
                known = verifier.signed(request.token.strip())
            except TokenRefusedError:
                raise InvalidFieldError.of("token", "is none of this installation") from None
            asked = Wanted(
                caller, known.token_id, known.caller.subject, round(known.expires * 1000)
            )
        case "subject":
            if not SUBJECT.fullmatch(request.subject):
                raise InvalidFieldError.of("subject", "is none that a token may carry")
            asked = Wanted(caller, "", request.subject)
        case "token_id":
            if not TOKEN_ID.fullmatch(request.token_id):
                raise InvalidFieldError.of("token_id", "not 16 characters of Crockford base32")
            # Nobody can tell whose it is: what others revoke holds for their own tokens.
            asked = Wanted(caller, request.token_id, EVERYBODY if is_admin else caller.subject)
        case _:
            raise InvalidFieldError.of("target", "neither token_id nor token nor subject is given")
    if not (is_admin or asked.subject == caller.subject):
        raise NotAllowedError("Only an admin revokes tokens of another subject.")
    return asked


def revoke(ledger: Ledger, asked: Wanted, now_ms: int) -> Revoked:
    """Keep a revocation; of a token that is refused already nothing changes.

    Args:
        ledger: The books.
        asked: What is to be refused.
        now_ms: The present, not before that of whoever makes tokens.

    Raises:
        TooManyItemsError: Too many of the requester are kept.
    """
    book = ledger.revocations
    known = asked.known(book)
    if known is not None:
        return Revoked(known, existed=True)
    requester = asked.requester
    if (
        requester.role is not Role.ADMIN
        and book.count_of(requester.subject) >= REVOCATIONS_OF_CALLER
    ):
        raise TooManyItemsError(
            f"{REVOCATIONS_OF_CALLER} of your revocations are kept; revoke all of your tokens."
        )
    revocation = asked.revocation(now_ms)
    if revocation.expire_time.ToMilliseconds() > now_ms:
        book.put(revocation)
    return Revoked(revocation, existed=False)
