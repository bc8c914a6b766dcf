"""What this machine's clock shows, for the server to know how the times of reports are meant."""

import time
from collections.abc import Callable
from typing import Final

from trackside_protos.runs.v1.runs_service_pb2 import ReportRunRequest

JUMP_SECONDS: Final = 10.0
"""A clock that has moved further than time has passed is told again."""


class ClockNews:
    """What the server of one stream does not know yet of this machine's clock."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._told: float | None = None

    def next(self) -> bytes | None:
        """Return the request that tells it; `None` if the last one still holds."""
        shown = self._clock()
        reading = shown - self._steady()
        if self._told is not None and abs(reading - self._told) < JUMP_SECONDS:
            return None
        self._told = reading
        request = ReportRunRequest()
        request.clock_time.FromMilliseconds(round(shown * 1000))
        return request.SerializeToString()
