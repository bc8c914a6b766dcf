"""The one checksum that the journal uses: CRC-32C, which notices every flipped bit."""

from collections.abc import Callable
from typing import Any, Final, cast

import google_crc32c

_LIBRARY: Final = cast("Any", google_crc32c)  # it leaves its functions without types

crc32c: Final[Callable[[bytes], int]] = _LIBRARY.value
"""Returns the checksum of bytes."""

crc32c_extended: Final[Callable[[int, bytes], int]] = _LIBRARY.extend
"""Returns the checksum of bytes that come after others, whose checksum is given first."""
