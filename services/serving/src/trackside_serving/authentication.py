"""From the metadata of a call to the token it carries."""

from collections.abc import Iterable
from typing import Final

from trackside_serving.errors import TokenRefusedError
from trackside_serving.tokens import TokenVerifier, VerifiedToken

HEADER: Final = "authorization"
SCHEME: Final = "bearer "


def authenticate(
    verifier: TokenVerifier, metadata: Iterable[tuple[str, str | bytes]]
) -> VerifiedToken:
    """Return the verified token of the one `authorization: Bearer TOKEN` that was sent.

    Raises:
        TokenRefusedError: There is none, more than one, another scheme, or no valid token.
        TokenRevokedError: It was revoked.
    """
    found = None
    for name, value in metadata:
        if name == HEADER:
            if found is not None:
                raise TokenRefusedError
            found = value
    if not isinstance(found, str) or found[: len(SCHEME)].lower() != SCHEME:
        raise TokenRefusedError
    return verifier.verified(found[len(SCHEME) :])
