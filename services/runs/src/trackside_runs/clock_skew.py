"""How far the clocks of those who report are off the server's, as they tell it themselves.

Order and liveness never depend on it: it is for people, who see the times that were reported.
"""

from collections.abc import AsyncIterator
from typing import Final

from trackside_journal.tasks import closing
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs.requests import require_none
from trackside_runs.validation.requests import check_clock
from trackside_serving.calls import parse
from trackside_serving.clock import ClockMs

LARGEST_OFFSET_MS: Final = 60_000
"""A clock that is further off is worth telling; on its way a message takes less."""

_CLOCK_TAG: Final = bytes([runs_service_pb2.ReportRunRequest.CLOCK_TIME_FIELD_NUMBER << 3 | 2])
_UNITS: Final = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"))


class SenderClock:
    """The clock of who sends a stream of reports."""

    def __init__(self, clock_ms: ClockMs) -> None:
        self._clock_ms = clock_ms
        self.offset_ms = 0
        """How far it is ahead of the server's, as last told; negative: behind."""

    async def batches(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the requests that carry batches, and take in the others.

        Raises:
            MalformedMessageError: The bytes are no message.
            InvalidFieldError: What is told is no time.
        """
        async with closing(requests) as coming:
            async for raw in coming:
                if raw.startswith(_CLOCK_TAG):
                    self._take(parse(runs_service_pb2.ReportRunRequest, raw))
                else:
                    yield raw

    def _take(self, request: runs_service_pb2.ReportRunRequest) -> None:
        require_none(check_clock(request))
        self.offset_ms = request.clock_time.ToMilliseconds() - self._clock_ms()


def is_far_off(offset_ms: int) -> bool:
    """Whether a clock is so far off that people should know."""
    return abs(offset_ms) > LARGEST_OFFSET_MS


def sentence(whose: str, offset_ms: int) -> str:
    """Return how far a clock is off, for example `The agent's clock is 3 days behind …`."""
    distance = abs(offset_ms)
    # What comes a moment late from a clock that is a day ahead is still of one that is a day ahead.
    size, unit = next(((s, u) for s, u in _UNITS if distance >= 0.99 * s), _UNITS[-1])
    count = round(distance / size)
    plural = "" if count == 1 else "s"
    direction = "ahead of" if offset_ms > 0 else "behind"
    return f"{whose} clock is {count} {unit}{plural} {direction} the server's."
