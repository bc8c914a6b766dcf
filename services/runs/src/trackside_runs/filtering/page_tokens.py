"""Page tokens: where the next page begins, bound to the request that they continue."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Final, cast

from trackside_runs.filtering.errors import PageTokenError

_DIGEST_SIZE: Final = 12
_MAXIMUM_LENGTH: Final = 8192

Key = Sequence[str | int]
"""The values by which a list is ordered, of the last item of a page."""


def encode_page_token(key: Key, *request: str) -> str:
    """Return the token of the page after an item.

    Args:
        key: The item's values in the order of the list, its id last.
        request: What the token is bound to: the method, filter, order and the like.
    """
    payload = json.dumps(list(key), ensure_ascii=False, separators=(",", ":")).encode()
    token = base64.urlsafe_b64encode(_digest(payload, request) + payload)
    return token.decode().rstrip("=")


def decode_page_token(token: str, shape: Sequence[type[str] | type[int]], *request: str) -> Key:
    """Return the key that a token holds.

    Args:
        token: The token.
        shape: The types of the key's values.
        request: What it must be bound to.

    Raises:
        PageTokenError: It was not made for this request.
    """
    key = _decode(token, request)
    if not isinstance(key, list):
        raise PageTokenError("This page token belongs to another request.")
    values = cast("list[object]", key)
    if [type(value) for value in values] != list(shape):
        raise PageTokenError("This page token belongs to another order.")
    return cast("Key", values)


def _decode(token: str, request: Sequence[str]) -> object:
    if len(token) > _MAXIMUM_LENGTH:
        return None
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        decoded = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    digest, payload = decoded[:_DIGEST_SIZE], decoded[_DIGEST_SIZE:]
    if not hmac.compare_digest(digest, _digest(payload, request)):
        return None
    return json.loads(payload)


def _digest(payload: bytes, request: Sequence[str]) -> bytes:
    parts = [*(part.encode() for part in request), payload]
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.blake2b(framed, digest_size=_DIGEST_SIZE, person=b"trackside-page").digest()
