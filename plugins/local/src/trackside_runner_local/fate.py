"""Decides when a run is told to end, when what is left of it is killed, and what that is called.

Pure: it is told the time, in seconds of one monotonic clock, and touches no process.
"""

from collections.abc import Mapping

LINGER_SECONDS = 2.0
"""How long what the command left behind may go on after it; then the run is over for all."""

LIMIT_GRACE_SECONDS = 5.0
"""How long a run may clean up that has reached its time limit."""

NEVER = float("inf")
MEBIBYTE = 1024 * 1024

TIME_LIMIT, OUT_OF_MEMORY = "TIME_LIMIT", "OUT_OF_MEMORY"
"""Reasons, as the plugin interface names them."""


class Fate:
    """How one run comes to its end. Whatever strikes first gives the end its name."""

    def __init__(self, now: float, time_limit_seconds: float | None) -> None:
        self.on_request = False
        """Whether a stop or kill came while the command ran and no limit had struck."""
        self.reason = ""
        """The limit that struck, if one did."""
        self.message = ""
        """One sentence about that."""
        self.deadline = NEVER
        """When what is left is killed."""
        self.is_escalating = False
        """Whether the deadline, once it has come, is the end of the grace time of a stop."""
        self.is_to_be_told = False
        """Whether the run should now be told to end, which is done once."""
        self._was_told = False
        self._command_has_ended = False
        self._time_limit_seconds = time_limit_seconds
        self._limit_time = NEVER if time_limit_seconds is None else now + time_limit_seconds

    def facts(self) -> dict[str, object]:
        """Return what JSON can hold of it, for another to go on with."""
        return dict(vars(self))

    def go_on_with(self, facts: Mapping[str, object]) -> None:
        """Go on where another was, in the same boot of the machine: its clock is ours."""
        vars(self).update(facts)

    def stop(self, now: float, grace_seconds: float) -> None:
        """Take in a stop. A second one tells nothing, and gives no more time."""
        self.is_escalating = self.is_escalating or not self._was_told
        self._note_request()
        self._tell(now + grace_seconds)

    def kill(self, now: float) -> None:
        """Take in a kill."""
        self.is_escalating = False
        self._note_request()
        self.deadline = min(self.deadline, now)

    def note_memory(self, now: float, held_bytes: int, limit_bytes: int) -> None:
        """Take in how much memory is held: what is too much ends the run at once."""
        if held_bytes > limit_bytes:
            held, limit = held_bytes / MEBIBYTE, limit_bytes / MEBIBYTE
            message = f"its processes held {held:.1f} MiB, and the limit is {limit:.1f} MiB"
            self._strike(OUT_OF_MEMORY, message)
            self.deadline = min(self.deadline, now)

    def note_time(self, now: float) -> None:
        """Take in what time it is."""
        if now >= self._limit_time:
            self._limit_time = NEVER
            if self._strike(TIME_LIMIT, f"the limit is {self._time_limit_seconds:g} s"):
                self._tell(now + LIMIT_GRACE_SECONDS)

    def note_end_of_command(self, now: float) -> None:
        """Take in that the command has ended; what it left behind has a little time.

        When all were told to end, it has as much as they were given: the command may be a shell
        that ends at once, while the program that it called still cleans up.
        """
        self._command_has_ended = True
        self._limit_time = NEVER
        if self.deadline == NEVER:
            self.deadline = now + LINGER_SECONDS

    def note_told(self) -> None:
        """Take in that the run was told to end."""
        self.is_to_be_told = False

    def note_escalated(self) -> None:
        """Take in that it was written down that the grace time of a stop is over."""
        self.is_escalating = False

    def is_due(self, now: float) -> bool:
        """Return whether what is left is to be killed."""
        return now >= self.deadline

    @property
    def is_outlived(self) -> bool:
        """Whether the command ended by itself, so that what is killed was left behind by it."""
        return self._command_has_ended and not self.on_request and not self.reason

    @property
    def next_time(self) -> float:
        """When to look again, if nothing happens before."""
        return min(self.deadline, self._limit_time)

    def _tell(self, deadline: float) -> None:
        self.deadline = min(self.deadline, deadline)
        self.is_to_be_told = not self._was_told
        self._was_told = True

    def _note_request(self) -> None:
        self.on_request = self.on_request or not (self._command_has_ended or self.reason)

    def _strike(self, reason: str, message: str) -> bool:
        """Note a limit, and return whether it is what ends the run."""
        if self.on_request or self.reason or self._command_has_ended:
            return False
        self.reason, self.message = reason, message
        return True
