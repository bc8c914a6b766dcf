"""What a runner is handed to say what happens to a run."""

from collections.abc import Mapping
from typing import Protocol

from trackside_plugin_interface.deletions import OutputDirectory
from trackside_plugin_interface.reports import (
    Ending,
    ErrorReport,
    LogLevel,
    Machine,
    Output,
    RunState,
    Scope,
    StateReason,
    Task,
    Usage,
)


class Reporter(Protocol):
    """Takes in what a runner has to say of one run.

    No method but `drain` waits: the host spools, sends, sends again and keeps the order.
    All are called on the runner's own loop. Times are seconds since 1970 UTC; left out,
    it is now. The host sends heartbeats for as long as the runner's loop answers.

    Output survives a crash of the host exactly once, by its position. Anything else that was
    said in the last fifth of a second may be lost with the host: say again in `adopt` how things
    stand. States, tasks, scopes and outputs may be said any number of times.
    """

    @property
    def position(self) -> str:
        """The `position` that was given with the last output that is durable; at first "".

        `adopt` goes on from here: what was reported before is stored, what was reported
        after, but is not yet durable, died with the host.
        """
        ...

    def state(
        self,
        state: RunState,
        *,
        reason: StateReason | None = None,
        message: str = "",
        engine_state: str = "",
        time: float | None = None,
    ) -> None:
        """Say that the run entered a phase of its life; for its end see `finished`.

        A phase may be skipped and may be said again, which changes nothing.
        """
        ...

    def progress(self, message: str) -> None:
        """Say in one line what the run does now."""
        ...

    def machine(self, machine: Machine) -> None:
        """Say what the run runs on."""
        ...

    def usage(self, usage: Usage) -> None:
        """Say what the run's processes have used so far; best now and then, and at the end.

        May be said at any rate: the host passes on the newest every ten seconds, and the last.
        """
        ...

    def task(self, task: Task) -> None:
        """Say how a task stands; replaces what was said of it."""
        ...

    def scope(self, scope: Scope) -> None:
        """Say how far a scope is; replaces what was said of its path."""
        ...

    def output_directory(self, directory: OutputDirectory) -> None:
        """Say below which directory the run has its outputs, for nothing elsewhere is deleted.

        It is the directory as it was when the run was launched: what is said of a run later is
        ignored. A runner that never deletes anything says nothing.
        """
        ...

    def publish(self, output: Output) -> None:
        """Say that a file was published or changed; replaces what was said of its path."""
        ...

    def error(self, error: ErrorReport) -> None:
        """Say what went wrong. It does not end the run."""
        ...

    def metric(
        self,
        key: str,
        value: float,
        *,
        step: int,
        time: float | None = None,
        context: Mapping[str, str] | None = None,
    ) -> None:
        """Report one point of a series. NaN and infinities are legal."""
        ...

    def log(
        self,
        message: str,
        *,
        level: LogLevel = LogLevel.INFO,
        stream: str = "engine",
        time: float | None = None,
        task_id: str = "",
    ) -> None:
        """Report an entry of the run's log, such as a word of the engine's own."""
        ...

    def write(
        self,
        data: bytes,
        *,
        stream: str,
        position: str,
        time: float | None = None,
        task_id: str = "",
    ) -> None:
        """Report a piece of the program's output, cut anywhere, as it was read.

        The host makes lines of it: bytes that are no UTF-8 are kept, long lines are split,
        progress bars that overwrite themselves become a line a second, a last line without
        a line end is reported at the end.

        Args:
            data: Any number of bytes; the pieces of one `stream` follow one another.
            stream: `stdout`, `stderr`, or what the engine calls it.
            position: Where to go on reading after this piece.
            time: When it was written.
            task_id: The task that wrote it, if any.
        """
        ...

    async def drain(self) -> None:
        """Wait while more than a few megabytes are not yet stored.

        Whoever can read output again later awaits this between two pieces, so that no
        amount of output fills the memory of the host, nor its disk while the server is away.
        """
        ...

    def finished(self, ending: Ending) -> None:
        """Say that the run has ended: the last call, after all its output."""
        ...
