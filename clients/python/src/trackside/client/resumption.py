"""What a watch delivers, and how it goes on after an interruption; no I/O and no clock."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from trackside.chance import CHANCE
from trackside.client.errors import ServerUnreachableError, TracksideError

FIRST_DELAY: Final = 0.1
LAST_DELAY: Final = 5.0

_PASSING_REASONS: Final = ("SLOW_CONSUMER", "TOO_MANY_STREAMS", "SHUTTING_DOWN")
_BROKEN_TRANSPORT: Final = ("INTERNAL", "UNKNOWN")  # when no server of ours said it
_PARTS: Final = ("run", "logs", "metrics")

Response = TypeVar("Response", bound=Message)


def is_passing(error: TracksideError) -> bool:
    """Return whether a watch that failed so may go on later from its cursor."""
    return (
        isinstance(error, ServerUnreachableError)
        or error.reason in _PASSING_REASONS
        or error.status == "CANCELLED"
        or (error.status in _BROKEN_TRANSPORT and not error.reason)
    )


class Resumption(Generic[Response]):
    """Keeps one watch whole across any number of connections.

    Pages of a present state are held back until a cursor stands behind them, so that
    an interruption amid them repeats none.
    """

    def __init__(
        self, *, patient: bool = False, jitter: Callable[[], float] = CHANCE.random
    ) -> None:
        self.cursor: str = ""
        """Resumes after everything delivered so far; empty until there is such a cursor."""
        self.outage: TracksideError | None = None
        """Why nothing comes at present, while that is so."""
        self._begun = patient
        self._jitter = jitter
        self._failures = 0
        self._held: list[Response] = []
        self._marked: set[str] = set()

    def received(self, response: Response) -> Sequence[Response]:
        """Take in what came; return what may be delivered now, in order."""
        self._begun, self._failures, self.outage = True, 0, None
        self._held.append(response)
        cursor: str = getattr(response, "cursor")  # noqa: B009  # no common type has it
        if not cursor:
            return ()
        self.cursor = cursor
        return self.ended()

    def ended(self) -> Sequence[Response]:
        """Return what is still to be delivered when the server has said everything."""
        held, self._held = self._held, []
        for response in held:
            self._clear_repeated_marks(response)
        return held

    def broke(self, error: TracksideError) -> float:
        """Take in an interruption; return after how many seconds to go on.

        Raises:
            TracksideError: `error` itself, when going on would not mend it, or when
                nothing was ever received.
        """
        self._held.clear()
        if not (is_passing(error) and self._begun):
            raise error
        self.outage = error
        delay = min(LAST_DELAY, FIRST_DELAY * 2 ** min(self._failures, 10))
        self._failures += 1
        return max(delay * (0.5 + self._jitter() / 2), error.facts.retry_after or 0.0)

    def _clear_repeated_marks(self, response: Response) -> None:
        """Clear "caught up" where an earlier connection has said it: it is said once."""
        if "caught_up" in response.DESCRIPTOR.fields_by_name:
            self._clear_repeated_mark("", response)
            return
        for part in _PARTS:
            if response.HasField(part):
                self._clear_repeated_mark(part, getattr(response, part))

    def _clear_repeated_mark(self, part: str, message: Message) -> None:
        if not getattr(message, "caught_up", False):
            return
        if part in self._marked:
            message.ClearField("caught_up")
        self._marked.add(part)
