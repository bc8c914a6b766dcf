"""Times as a filter gives them: RFC 3339, a date, or as long ago as `-2h30m`."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_AGO: Final = re.compile(r"-(?:\d{1,9}[smhdw])+")
_AGO_PART: Final = re.compile(r"(\d+)([smhdw])")
_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_LONGEST_AGO: Final = 10_000 * 365 * _UNITS["d"]
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d))?", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_time(text: str, *, now_ms: int) -> int | None:
    """Return a time in milliseconds since 1970, rounded down, or None if it is none."""
    if _AGO.fullmatch(text):
        ago = sum(int(count) * _UNITS[unit] for count, unit in _AGO_PART.findall(text))
        return now_ms - min(ago, _LONGEST_AGO)
    if not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):  # for example a 30th of February
        return None
