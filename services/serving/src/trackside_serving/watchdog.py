"""The one task of a server that ends calls which take what others need.

It looks at all open calls every few seconds and counts the looks, not the time: a machine that
slept or was stopped for a minute ends nobody.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trackside_serving.admission import Kind, OpenCall, OpenCalls
from trackside_serving.errors import (
    CallTooLongError,
    ServiceError,
    SlowConsumerError,
    StreamIdleError,
    TokenRevokedError,
)
from trackside_serving.tokens import VerifiedToken

LONGEST_CALL: Final = 3600.0
"""Seconds that a call with one answer may take, whatever deadline the caller sets."""

_LONGEST_INTERVAL: Final = 5.0
_LOOKS: Final = 6
"""How often a call is looked at, at least, before it is ended."""

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds each kind of standstill may last."""

    slow: float
    idle: float
    long: float = LONGEST_CALL

    @property
    def interval(self) -> float:
        """How many seconds lie between two looks."""
        return min(_LONGEST_INTERVAL, min(self.slow, self.idle, self.long) / _LOOKS)


@dataclass(slots=True)
class _Observation:
    """What was seen of a call: its counts at the last look, and for how many looks they stood."""

    writes: int
    reads: int
    looks: int = 0
    stuck: int = 0
    silent: int = 0


class Watchdog:
    """Ends streams that are not read or silent, calls that take too long, refused tokens."""

    def __init__(
        self,
        open_calls: OpenCalls,
        patience: Patience,
        refusal: Callable[[VerifiedToken], ServiceError | None],
    ) -> None:
        self._open_calls = open_calls
        self._interval = patience.interval
        self._slow = math.ceil(patience.slow / patience.interval)
        self._idle = math.ceil(patience.idle / patience.interval)
        self._long = math.ceil(patience.long / patience.interval)
        self._refusal = refusal
        self._observations: dict[OpenCall, _Observation] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            self.look()

    def look(self) -> None:
        """Look at every open call once, and end those whose time is up."""
        before, self._observations = self._observations, {}
        for opened in self._open_calls:
            observation = before.get(opened) or _Observation(opened.writes, opened.reads)
            self._observations[opened] = observation
            self._note(opened, observation)
            _end(opened, self._verdict(opened, observation))

    def look_at_tokens(self) -> None:
        """End every call now whose token is good no more."""
        for opened in self._open_calls:
            _end(opened, self._refused(opened))

    def _note(self, opened: OpenCall, observation: _Observation) -> None:
        has_written = opened.writes != observation.writes
        has_read = opened.reads != observation.reads
        is_writing = opened.writes % 2 == 1
        observation.looks += 1
        observation.stuck = 0 if has_written or not is_writing else observation.stuck + 1
        observation.silent = 0 if has_written or has_read else observation.silent + 1
        observation.writes, observation.reads = opened.writes, opened.reads

    def _verdict(self, opened: OpenCall, observation: _Observation) -> ServiceError | None:
        if observation.stuck >= self._slow:
            return SlowConsumerError()
        if opened.is_fed and observation.silent >= self._idle:
            return StreamIdleError()
        if opened.kind is not Kind.STREAM and observation.looks >= self._long:
            return CallTooLongError()
        return self._refused(opened)

    def _refused(self, opened: OpenCall) -> ServiceError | None:
        error = self._refusal(opened.token)
        # What was begun with a good token and has one answer gets it: the call, too, that
        # revokes the token by which it is made.
        if isinstance(error, TokenRevokedError) and opened.kind is not Kind.STREAM:
            return None
        return error


def _end(opened: OpenCall, error: ServiceError | None) -> None:
    if error is None or opened.ending is not None or opened.is_closing:
        return
    opened.end(error)
    _logger.info(
        "ended a call",
        extra={
            "reason": error.reason,
            "method": opened.call.method,
            "subject": opened.call.caller.subject,
            "request_id": opened.call.request_id,
        },
    )
