"""Where a page of a list begins: after the key of the last item before, held by a page token."""

import json
from collections.abc import Sequence
from typing import cast

from google.protobuf.message import Message

from trackside_serving.errors import InvalidPageTokenError
from trackside_serving.page_tokens import seal, unseal

Key = Sequence[str | int | float]
"""The values by which a list is ordered, of one item, its id last."""

KeyType = type[str] | type[int] | type[float]


def token_after(key: Key, request: Message, *, subject: str = "") -> str:
    """Return the token of the page of a request that begins after an item.

    Args:
        key: The item's.
        request: The request whose list goes on.
        subject: Who asks, where lists differ from caller to caller.
    """
    place = json.dumps(list(key), ensure_ascii=False, separators=(",", ":")).encode()
    return seal(place, request, subject=subject)


def key_before(request: Message, shape: Sequence[KeyType], *, subject: str = "") -> Key | None:
    """Return the key after which the page begins that a request asks for; None: the first.

    Args:
        request: The request, with its token.
        shape: The types of the key's values.
        subject: Who asks, as for `token_after`.

    Raises:
        InvalidPageTokenError: The token is damaged, or was made for another request.
    """
    place = unseal(request, subject=subject)
    if not place:
        return None
    # The token's digest has no key: whoever makes one up may have any place in it.
    try:
        key = json.loads(place)
    except ValueError:
        raise InvalidPageTokenError from None
    if not isinstance(key, list):
        raise InvalidPageTokenError
    values = cast("list[object]", key)
    if [type(value) for value in values] != list(shape):
        raise InvalidPageTokenError
    return cast("Key", values)
