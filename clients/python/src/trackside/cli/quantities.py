"""Durations, sizes and times as they are typed: `1h30m`, `2GB`, `10m` ago; no I/O."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+|\d+(?:\.\d+)?", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw]?)", re.ASCII)
_SECONDS: Final[Mapping[str, float]] = {
    "": 1,
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3_600,
    "d": 86_400,
    "w": 604_800,
}
_LONGEST: Final = timedelta(days=100 * 365)

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kKMGT]?)(i?)[bB]?", re.ASCII)
_POWERS: Final = ("", "k", "m", "g", "t")
_LARGEST: Final = 2**63 - 1


class QuantityError(ValueError):
    """A text is no duration, size or time; said with what would be one."""


def duration_of(text: str) -> timedelta:
    """Return a duration from `30s`, `1h30m`, `500ms` or a bare number of seconds.

    Raises:
        QuantityError: It is none, or longer than a hundred years.
    """
    if not _DURATION.fullmatch(text):
        message = f"{text!r} is no duration; 30s, 10m, 1h30m and 2d are some"
        raise QuantityError(message)
    seconds = sum(float(count) * _SECONDS[unit] for count, unit in _DURATION_PART.findall(text))
    if seconds > _LONGEST.total_seconds():
        message = f"{text!r} is longer than a hundred years"
        raise QuantityError(message)
    return timedelta(seconds=seconds)


def size_of(text: str) -> int:
    """Return a number of bytes from `512MB`, `2GiB`, `1.5G` or a bare number.

    `kB`, `MB`, `GB` and `TB` are powers of 1,000, `KiB` and so on powers of 1,024.

    Raises:
        QuantityError: It is none, or too large to be meant.
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        message = f"{text!r} is no size; 512MB, 2GB and 2GiB are some"
        raise QuantityError(message)
    base = 1_024 if match[3] else 1_000
    size = round(float(match[1]) * base ** _POWERS.index(match[2].lower()))
    if size > _LARGEST:
        message = f"{text!r} is more than any machine has"
        raise QuantityError(message)
    return size


Moment = datetime | timedelta
"""A time, or how long ago it was: by the server's clock, which is asked only later."""


def moment_of(text: str) -> Moment:
    """Return a time from RFC 3339 or a date, or how long ago it was: `10m`, `2h30m`.

    A time without a zone is one of this machine's.

    Raises:
        QuantityError: It is none.
    """
    if _DURATION.fullmatch(text):
        return duration_of(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time; 10m (ago), 2026-11-21 and 2026-11-21T12:00:00Z are some"
        raise QuantityError(message) from None
    # A zone is filled in by `astimezone`, which takes a time without one for local.
    return moment.astimezone(UTC)
