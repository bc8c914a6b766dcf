"""Times and durations as people read them; the one place that does so."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trackside.cli.quantities import Moment

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_MONTH = 30 * _DAY
_JUST_NOW = 2
_TENTHS_BELOW = 10


def span(seconds: float) -> str:
    """Return a duration in two units at most, for example `0.8 s`, `3 min 4 s`, `2 d 5 h`."""
    if seconds < _TENTHS_BELOW:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole // _MINUTE, _HOUR // _MINUTE, "h", 1, "min")
    return _two(whole // _HOUR, _DAY // _HOUR, "d", 1, "h")


def _two(whole: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = whole % large // small
    return f"{whole // large} {large_unit}" + (f" {rest} {small_unit}" if rest else "")


def rough_span(seconds: float) -> str:
    """Return an estimate in one unit, for example `~40 s` or `~3 min`."""
    if seconds < _MINUTE:
        return f"~{max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"~{round(seconds / _MINUTE)} min"
    if seconds < _DAY:
        return f"~{round(seconds / _HOUR)} h"
    return f"~{round(seconds / _DAY)} d"


def ago(time: Timestamp, now: datetime) -> str:
    """Return how long ago it was, for example `3 min ago`; a date when long ago.

    What seems to come from the future is told as it was reported, by a clock that was wrong.
    """
    seconds = (now - moment(time)).total_seconds()
    if seconds < -_JUST_NOW:
        return local(time)
    if seconds < _JUST_NOW:
        return "just now"
    if seconds > _MONTH:
        return f"{moment(time).astimezone():%Y-%m-%d}"
    return f"{_one_unit(seconds)} ago"


def when(time: Timestamp, now: datetime) -> str:
    """Return how long ago it was and the time itself; empty when none was given."""
    if not is_set(time):
        return ""
    told, exactly = ago(time, now), local(time)
    return exactly if told == exactly else f"{told} ({exactly})"


def _one_unit(seconds: float) -> str:
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def moment(time: Timestamp) -> datetime:
    """Return a time as Python has it, in UTC."""
    return time.ToDatetime(UTC)


def is_set(time: Timestamp) -> bool:
    """Return whether a time was given; the beginning of 1970 counts as absent."""
    return bool(time.seconds or time.nanos)


def local(time: Timestamp) -> str:
    """Return a time to the second, in this machine's time zone."""
    return f"{moment(time).astimezone():%Y-%m-%d %H:%M:%S}"


def clock(time: Timestamp) -> str:
    """Return the time of day to the millisecond, in this machine's time zone."""
    return f"{moment(time).astimezone():%H:%M:%S.%f}"[:-3]


def rfc3339(time: Timestamp) -> str:
    """Return a time for programs, in UTC."""
    return time.ToJsonString()


def seconds_of(duration: Duration) -> float:
    """Return a duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def seconds_between(start: Timestamp, end: Timestamp) -> float:
    """Return how many seconds lie between two times."""
    return (end.seconds - start.seconds) + (end.nanos - start.nanos) / 1e9


def timestamp_of(moment: Moment | None, now: datetime) -> Timestamp | None:
    """Return a moment as servers take it; `None` for none."""
    meant = resolved(moment, now)
    if meant is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(meant)
    return timestamp


def resolved(moment: Moment | None, now: datetime) -> datetime | None:
    """Return the time that is meant; `None` for none."""
    return now - moment if isinstance(moment, timedelta) else moment
