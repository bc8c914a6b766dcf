"""How far work is and how long it will take: from counts and the durations of what has ended."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from statistics import median
from typing import Final

from trackside_protos.runs.v1.scope_pb2 import Scope

REMEMBERED: Final = 101
"""How many of the latest durations are kept."""

ENOUGH: Final = 3
"""How many items must have ended before their durations tell anything."""

_HEADER: Final = struct.Struct("<Bqq")
_VERSION: Final = 1
_LONGEST_MS: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """How far something is; None where that is not known."""

    percent: float | None = None
    remaining_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """What is remembered of a scope's items, at most half a kilobyte."""

    completed: int = 0
    """How many had ended when the scope was last heard of."""
    since_ms: int = 0
    """When the latest item ended or, before the first one, the scope began; 0: not known."""
    durations_ms: tuple[int, ...] = ()
    """How long the latest ones took."""

    def advanced(self, scope: Scope, at_ms: int) -> "Items":
        """Return the memory after a report on the scope.

        The time between two reports is shared among the items that ended in it, so items
        that overlap count as the shorter ones that they amount to. A count that has gone
        back is a new round over the items: their durations stay.

        Args:
            scope: As reported.
            at_ms: When, by the reporter's clock.
        """
        start_ms = scope.start_time.ToMilliseconds() if scope.HasField("start_time") else 0
        completed, since_ms = self.completed, self.since_ms
        if scope.completed_count < completed or (start_ms > since_ms and not scope.completed_count):
            completed, since_ms = 0, 0
        since_ms = since_ms or start_ms
        ended = scope.completed_count - completed
        if not ended:
            return Items(scope.completed_count, since_ms or at_ms, self.durations_ms)
        durations = self.durations_ms
        if since_ms:
            each = min(max(0, at_ms - since_ms) // ended, _LONGEST_MS)
            durations = (*durations, *([each] * min(ended, REMEMBERED)))[-REMEMBERED:]
        return Items(scope.completed_count, at_ms, durations)

    @property
    def median_ms(self) -> int | None:
        """The median duration of an item; None below three ended ones."""
        return median_of(self.durations_ms)

    def encode(self) -> bytes:
        """Return the memory as it is stored."""
        header = _HEADER.pack(_VERSION, self.completed, self.since_ms)
        return header + struct.pack(f"<{len(self.durations_ms)}I", *self.durations_ms)

    @classmethod
    def decode(cls, data: bytes) -> "Items":
        """Return what was stored; nothing is remembered of what cannot be read."""
        if len(data) < _HEADER.size or data[0] != _VERSION:
            return cls()
        _, completed, since_ms = _HEADER.unpack_from(data)
        count = (len(data) - _HEADER.size) // 4
        durations = struct.unpack_from(f"<{count}I", data, _HEADER.size)
        return cls(completed, since_ms, durations)


def median_of(durations_ms: Sequence[int]) -> int | None:
    """Return the median of durations; None below three."""
    return round(median(durations_ms)) if len(durations_ms) >= ENOUGH else None


def remaining_ms(durations_ms: Sequence[int], *, left: float, concurrency: int = 1) -> int | None:
    """Return how long the items left will take; None below three ended ones."""
    typical = median_of(durations_ms)
    return None if typical is None else round(typical * max(0.0, left) / max(1, concurrency))


def scope_estimate(scope: Scope, items: Items) -> Estimate:
    """Return how far a scope is, by its own count alone."""
    if not scope.HasField("total_count"):
        return Estimate()
    if scope.HasField("end_time"):
        return Estimate(percent=_percent(scope))
    left = scope.total_count - scope.completed_count
    return Estimate(_percent(scope), remaining_ms(items.durations_ms, left=left))


def run_estimate(scopes: Sequence[tuple[Scope, Items]]) -> Estimate:
    """Return how far a run is, from its scopes in the order of their first appearance.

    The percent is the mean of the outermost counting scopes', each with the part of its
    current item that the scopes inside tell. The remaining time is that of all items of the
    innermost open counting scope, those of further rounds included.
    """
    counting = _counting(scope for scope, _ in scopes)
    memories = {scope.path: items for scope, items in scopes}
    over = {path for path, scope in counting.items() if scope.HasField("end_time")}
    percent = _percent_of_run(counting, over)
    open_paths = [path for path in counting if path not in over]
    if not open_paths:
        return Estimate(percent)
    innermost = max(reversed(open_paths), key=lambda path: path.count("/"))
    left = _left(innermost, counting)
    return Estimate(percent, remaining_ms(memories[innermost].durations_ms, left=left))


def percent_done(scopes: Sequence[Scope]) -> float | None:
    """Return how far a run came that did not complete; None if nothing tells.

    Its end ended the scopes that it was in as well, and these count by what they had gone
    through. A scope that others have followed is over, however few of its items were wanted.
    """
    counting = _counting(scopes)
    latest_begin = max((scope.start_time.ToNanoseconds() for scope in scopes), default=0)
    over = {
        path
        for path, scope in counting.items()
        if scope.HasField("end_time")
        and (
            scope.completed_count >= scope.total_count
            or scope.end_time.ToNanoseconds() <= latest_begin
        )
    }
    return _percent_of_run(counting, over)


def parent_estimate(
    *,
    total: int,
    ended: int,
    open_percent: float,
    durations_ms: Sequence[int],
    concurrency: int,
) -> Estimate:
    """Return how far a parent is, from its children.

    Args:
        total: How many children there are.
        ended: How many have ended; each counts 100 per cent.
        open_percent: The sum of the percents of those that have not.
        durations_ms: How long ended children took.
        concurrency: The most children seen running at once.
    """
    if not total:
        return Estimate()
    percent = min(100.0, (100.0 * ended + open_percent) / total)
    left = total - ended - open_percent / 100
    return Estimate(percent, remaining_ms(durations_ms, left=left, concurrency=concurrency))


def elapsed_ms(start_ms: int, end_ms: int, *, now_ms: int) -> int:
    """Return the time from start to end, or to now; 0 stands for a time that is not known."""
    return max(0, (end_ms or now_ms) - start_ms) if start_ms else 0


def _percent(scope: Scope) -> float:
    return 100 * _share(scope.completed_count, scope.total_count)


def _share(part: float, whole: int) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 1.0


def _counting(scopes: Iterable[Scope]) -> Mapping[str, Scope]:
    return {scope.path: scope for scope in scopes if scope.HasField("total_count")}


def _percent_of_run(counting: Mapping[str, Scope], over: AbstractSet[str]) -> float | None:
    outermost = [path for path in counting if not _nearest(path, counting)]
    parts = [_fraction(counting[path], counting, over) for path in outermost]
    return 100 * sum(parts) / len(parts) if parts else None


def _fraction(scope: Scope, counting: Mapping[str, Scope], over: AbstractSet[str]) -> float:
    if scope.path in over:
        return 1.0
    inside = [
        _fraction(inner, counting, over)
        for path, inner in counting.items()
        if path not in over and _nearest(path, counting) == scope.path
    ]
    return _share(scope.completed_count + max(inside, default=0.0), scope.total_count)


def _left(path: str, counting: Mapping[str, Scope]) -> int:
    scope = counting[path]
    left = max(0, scope.total_count - scope.completed_count)
    items_a_round = scope.total_count
    for outer in _counting_around(path, counting):
        # The round that is under way is the inner scope's own.
        left += max(0, outer.total_count - outer.completed_count - 1) * items_a_round
        items_a_round *= outer.total_count
    return left


def _counting_around(path: str, counting: Mapping[str, Scope]) -> Iterable[Scope]:
    while outer := _nearest(path, counting):
        yield counting[outer]
        path = outer


def _nearest(path: str, counting: Mapping[str, Scope]) -> str:
    """Return the path of the innermost counting scope around another; empty if none is."""
    while "/" in path:
        path = path.rpartition("/")[0]
        if path in counting:
            return path
    return ""
