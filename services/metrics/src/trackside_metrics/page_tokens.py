"""Page tokens: opaque, checked, and good for nothing but the request that they were made for.

Format, version 1, base64url without padding: version (1 byte), a digest of the request
(12 bytes), the digest of the last series of the page (16 bytes), CRC-32C of all before (4 bytes).
"""

import base64
import binascii
import hashlib
import struct
from typing import Final

from trackside_journal.checksums import crc32c
from trackside_protos.metrics.v1 import metrics_service_pb2
from trackside_serving.errors import InvalidPageTokenError

_VERSION: Final = 1
_BODY: Final = struct.Struct(">B12s16s")
_CHECKSUM: Final = struct.Struct(">I")
_LONGEST: Final = 64


def encode(last: bytes, request: metrics_service_pb2.ListSeriesRequest) -> str:
    """Return the token of the page after the series of this digest."""
    body = _BODY.pack(_VERSION, _digest(request), last)
    return base64.urlsafe_b64encode(body + _CHECKSUM.pack(crc32c(body))).rstrip(b"=").decode()


def decode(request: metrics_service_pb2.ListSeriesRequest) -> bytes:
    """Return the digest of the series after which the page begins that a request asks for.

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
    if len(body) != _BODY.size or checksum != _CHECKSUM.pack(crc32c(body)):
        raise InvalidPageTokenError
    version, digest, last = _BODY.unpack(body)
    if version != _VERSION or digest != _digest(request):
        raise InvalidPageTokenError
    return last


def _digest(request: metrics_service_pb2.ListSeriesRequest) -> bytes:
    """Return what stays the same from page to page: all but the token and the page's size."""
    bound = metrics_service_pb2.ListSeriesRequest()
    bound.CopyFrom(request)
    bound.ClearField("page_token")
    bound.ClearField("page_size")
    return hashlib.sha256(bound.SerializeToString(deterministic=True)).digest()[:12]
