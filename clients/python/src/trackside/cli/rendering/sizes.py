"""Sizes as people read them."""

from typing import Final

_STEP: Final = 1000
_NEXT_UNIT: Final = 999.95  # what would be shown as 1000.0
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB")


def size_text(size_bytes: int) -> str:
    """Return a size in decimal units, for example `812 B` or `1.5 MB`."""
    if abs(size_bytes) < _STEP:
        return f"{size_bytes} B"
    power = 1
    while power < len(_UNITS) and abs(size_bytes) >= _NEXT_UNIT * _STEP**power:
        power += 1
    return f"{size_bytes / _STEP**power:.1f} {_UNITS[power - 1]}"
