"""Page tokens: opaque, checked, and good for nothing but the request that they continue.

Format, version 1, base64url without padding: version (1 byte), a keyless digest of the request
and of the rest (12 bytes), and the place where the next page begins, as the method writes it.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

from google.protobuf.message import Message

from trackside_serving.errors import InvalidPageTokenError

_VERSION: Final = b"\x01"
_DIGEST_SIZE: Final = 12
_LONGEST: Final = 8192


def seal(place: bytes, request: Message, *, subject: str = "") -> str:
    """Return the token of the page that begins at a place.

    Args:
        place: Where, as the method reads it.
        request: What the token is bound to: all of it but its page token and size.
        subject: Whom it is bound to besides, where lists differ from caller to caller.
    """
    token = _VERSION + _digest(place, request, subject) + place
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def unseal(request: Message, *, subject: str = "") -> bytes:
    """Return where the page begins that a request's `page_token` asks for; empty: at the first.

    Raises:
        InvalidPageTokenError: The token is damaged, or was made for another request.
    """
    text: str = getattr(request, "page_token")  # noqa: B009 - a field that all paged requests have
    if not text:
        return b""
    raw = _decoded(text)
    version, digest, place = raw[:1], raw[1 : 1 + _DIGEST_SIZE], raw[1 + _DIGEST_SIZE :]
    if version != _VERSION or not hmac.compare_digest(digest, _digest(place, request, subject)):
        raise InvalidPageTokenError
    return place


def _decoded(text: str) -> bytes:
    if len(text) > _LONGEST or not text.isascii():
        raise InvalidPageTokenError
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidPageTokenError from None


def _digest(place: bytes, request: Message, subject: str) -> bytes:
    bound = type(request)()
    bound.CopyFrom(request)
    bound.ClearField("page_token")
    bound.ClearField("page_size")
    parts = (request.DESCRIPTOR.full_name.encode(), subject.encode(), place)
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    content = framed + bound.SerializeToString(deterministic=True)
    return hashlib.blake2b(content, digest_size=_DIGEST_SIZE, person=b"trackside-page").digest()
