"""Where a page of a listing begins, and how a page token holds it."""

import struct
from dataclasses import dataclass
from typing import Final

from trackside_protos.logs.v1 import logs_service_pb2
from trackside_serving.errors import InvalidPageTokenError
from trackside_serving.page_tokens import seal, unseal

_PLACE: Final = struct.Struct(">QQQ")


@dataclass(frozen=True, slots=True)
class PageStart:
    """Where a page of a listing begins."""

    position: int
    """Forward: after this sequence. Backward: before it."""
    bound: int
    """How far the listing goes: through this sequence, or backward to after it."""
    wanted: int = 0
    """Backward: how many entries are still wanted."""


def encode(start: PageStart, request: logs_service_pb2.ListLogsRequest) -> str:
    """Return the token of a later page of a request."""
    return seal(_PLACE.pack(start.position, start.bound, start.wanted), request)


def decode(request: logs_service_pb2.ListLogsRequest) -> PageStart | None:
    """Return where the page begins that a request's token asks for; None: at the first.

    Raises:
        InvalidPageTokenError: The token is damaged, or was made for another request.
    """
    place = unseal(request)
    if not place:
        return None
    if len(place) != _PLACE.size:
        raise InvalidPageTokenError
    return PageStart(*_PLACE.unpack(place))
