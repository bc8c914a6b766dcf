"""The calls that are open, and how many may be: control calls, other calls and streams apart."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from trackside_serving.calls import Call
from trackside_serving.errors import ServiceError, TooManyStreamsError
from trackside_serving.identity import Caller, Role
from trackside_serving.tokens import VerifiedToken


class Kind(Enum):
    """What a call is counted among."""

    CONTROL = auto()
    UNARY = auto()
    STREAM = auto()


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls of each kind may be open, and how many streams one caller may have."""

    control: int
    unary: int
    streams: int
    streams_of_caller: int

    def of(self, kind: Kind) -> int:
        """Return how many calls of this kind may be open."""
        return {Kind.CONTROL: self.control, Kind.UNARY: self.unary, Kind.STREAM: self.streams}[kind]

    @property
    def total(self) -> int:
        """How many calls may be open at all."""
        return self.control + self.unary + self.streams


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call that is under way, as the server sees it.

    Attributes:
        call: What its implementation sees.
        kind: What it is counted among.
        task: The task that serves it.
        token: What it was let in by.
        is_fed: Whether the caller sends a stream.
        writes: Odd while a response is being written; grows by two with each.
        reads: How many requests were read.
        ending: Why the server ends it, if it does.
        is_closing: Whether its last word is being sent: nothing ends it any more.
    """

    call: Call
    kind: Kind
    task: "asyncio.Task[object]"
    token: VerifiedToken
    is_fed: bool = False
    writes: int = 0
    reads: int = 0
    ending: ServiceError | None = None
    is_closing: bool = False

    def end(self, error: ServiceError) -> None:
        """End the call with this error, unless it is ending already."""
        if self.ending is None and not self.is_closing:
            self.ending = error
            self.task.cancel()


_UNLIMITED: Final = frozenset({Role.AGENT, Role.SERVICE})


class OpenCalls:
    """All open calls of a server. Used from its loop only."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._room = {kind: limits.of(kind) for kind in Kind}
        self._calls: set[OpenCall] = set()
        # By the whole caller: each reporter token, good for its own runs, has its own share.
        self._streams: Counter[Caller] = Counter()

    def __iter__(self) -> Iterator[OpenCall]:
        return iter(tuple(self._calls))

    def __len__(self) -> int:
        return len(self._calls)

    def admit(self, opened: OpenCall) -> None:
        """Count the call in.

        Raises:
            TooManyStreamsError: There is no room for it.
        """
        kind = opened.kind
        if self._room[kind] <= 0:
            raise TooManyStreamsError
        if kind is Kind.STREAM:
            caller = opened.call.caller
            if (
                self._streams[caller] >= self._limits.streams_of_caller
                and caller.role not in _UNLIMITED
            ):
                msg = f"This token has {self._limits.streams_of_caller} streams open, all it may."
                raise TooManyStreamsError(msg)
            self._streams[caller] += 1
        self._room[kind] -= 1
        self._calls.add(opened)

    def release(self, opened: OpenCall) -> None:
        """Count a call out that was admitted."""
        self._calls.remove(opened)
        self._room[opened.kind] += 1
        if opened.kind is Kind.STREAM:
            caller = opened.call.caller
            self._streams[caller] -= 1
            if not self._streams[caller]:
                del self._streams[caller]

    async def wait_until_ended(self, within: float) -> None:
        """Return when every call has ended or is saying its last word, at the latest `within`."""
        tasks = [opened.task for opened in self._calls if not opened.is_closing]
        if tasks:
            await asyncio.wait(tasks, timeout=within)
