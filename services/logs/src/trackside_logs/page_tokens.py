"""Page tokens: opaque, checked, and good for nothing but the request that they were made for.

Format, version 1, base64url without padding: version (1 byte), position, bound and the number of
entries still wanted (8 bytes each, big-endian), a digest of the request (12 bytes), CRC-32C of
all before (4 bytes).
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Final

import google_crc32c

from trackside_protos.logs.v1 import logs_service_pb2
from trackside_serving.errors import InvalidPageTokenError

_VERSION: Final = 1
_BODY: Final = struct.Struct(">BQQQ12s")
_CHECKSUM: Final = struct.Struct(">I")
_LONGEST: Final = 64


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
    body = _BODY.pack(_VERSION, start.position, start.bound, start.wanted, _digest(request))
    checksum = _CHECKSUM.pack(google_crc32c.value(body))
    return base64.urlsafe_b64encode(body + checksum).rstrip(b"=").decode()


def decode(request: logs_service_pb2.ListLogsRequest) -> PageStart:
    """Return where the page begins that a request's token asks for.

    Raises:
        InvalidPageTokenError: The token is damaged, or was made for another request.
    """
    token = request.page_token
    if len(token) > _LONGEST or not token.isascii():
        raise InvalidPageTokenError
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidPageTokenError from None
    body, checksum = raw[: _BODY.size], raw[_BODY.size :]
    if len(raw) != _BODY.size + _CHECKSUM.size or checksum != _CHECKSUM.pack(
        google_crc32c.value(body)
    ):
        raise InvalidPageTokenError
    version, position, bound, wanted, digest = _BODY.unpack(body)
    if version != _VERSION or digest != _digest(request):
        raise InvalidPageTokenError
    return PageStart(position, bound, wanted)


def _digest(request: logs_service_pb2.ListLogsRequest) -> bytes:
    """Return what stays the same from page to page: all but the token and the page's size."""
    bound = logs_service_pb2.ListLogsRequest()
    bound.CopyFrom(request)
    bound.ClearField("page_token")
    bound.ClearField("page_size")
    return hashlib.sha256(bound.SerializeToString(deterministic=True)).digest()[:12]
