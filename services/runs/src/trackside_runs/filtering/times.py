"""Times as a filter gives them: RFC 3339, a date, or as long ago as `-2h30m`; and time spans."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_AGO: Final = re.compile(r"-(?:\d{1,9}[smhdw])+")
_AGO_PART: Final = re.compile(r"(\d+)([smhdw])")
_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_LONGEST_AGO: Final = 10_000 * 365 * _UNITS["d"]
_SPAN: Final = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ms|[smhdw]))+", re.ASCII)
_SPAN_PART: Final = re.compile(r"([\d.]+)(ms|[smhdw])")
_SECONDS: Final = re.compile(r"\d{1,12}(?:\.\d{1,9})?", re.ASCII)
_SPAN_UNITS: Final = _UNITS | {"ms": 1}
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


def parse_duration(text: str) -> int | None:
    """Return a time span in milliseconds, or None if it is none.

    `90` is 90 seconds; `1m30s`, `1.5h` and `250ms` have units.
    """
    if _SECONDS.fullmatch(text):
        return round(float(text) * _UNITS["s"])
    if not _SPAN.fullmatch(text):
        return None
    parts = _SPAN_PART.findall(text)
    return round(sum(float(count) * _SPAN_UNITS[unit] for count, unit in parts))
