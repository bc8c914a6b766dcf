"""How a call says who makes it."""

from trackside.client.errors import TokenRefusedError
from trackside.location import Location


def authorization(location: Location) -> tuple[tuple[str, str], ...]:
    """Return the metadata that carry the present token, nothing where there is none yet.

    Raises:
        TokenRefusedError: It cannot be sent at all.
    """
    token = location.current_token()
    if not (token.isascii() and token.isprintable()):
        message = "the token has characters that no token has: it was damaged, or is none"
        raise TokenRefusedError(message)
    return (("authorization", f"Bearer {token}"),) if token else ()
