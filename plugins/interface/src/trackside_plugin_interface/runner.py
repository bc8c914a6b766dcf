"""What a runner is: the base class of what launches, adopts, stops and kills on one engine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from trackside_plugin_interface.deletions import DoomedOutput
from trackside_plugin_interface.errors import DeletionUnsupportedError, ReadingUnsupportedError
from trackside_plugin_interface.files import OpenedFile, OpenedFolder, OutputPlace
from trackside_plugin_interface.reporter import Reporter

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
Handle: TypeAlias = Mapping[str, JsonValue]
"""How a runner finds a run again: whatever JSON can hold, stored by the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One run to launch, with everything already decided."""

    run_id: str
    """16 characters; the launch is idempotent on it."""
    name: str
    """What people call the run."""
    command: Sequence[str]
    """The program and its arguments, parameters already put in; at least one."""
    work_directory: str = ""
    """Where to start it; empty: the runner's own choice."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """The variables that the user added."""
    parameters: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """The run's parameters, as the user gave them."""
    time_limit_seconds: float | None = None
    """How long it may take from its start; then the runner, or better the engine, ends it.

    Gently first, if there is such a way. It must hold with the host away, and the run ends with
    `EndReason.TIME_LIMIT`, whatever its program makes of being told to end.
    """
    memory_limit_bytes: int | None = None
    """How much memory its processes may hold together; with more it is ended at once.

    It must hold with the host away, and the run ends with `EndReason.OUT_OF_MEMORY`.
    """
    machine_type: str = ""
    """The machine type that the user asked for; empty: any. For engines that have a choice."""
    server: str
    """The address at which the program itself may report to its run."""
    token: str
    """The token with which it may; good for this run alone. Never log it."""
    run_directory: Path
    """An existing folder of this run's own on the host, for the runner to keep what it needs.

    The host removes it when the run has ended and everything about it is delivered.
    """

    def program_environment(self) -> dict[str, str]:
        """Return what the program must find in its environment, beside what the engine gives."""
        return {
            **self.environment,
            "TRACKSIDE_SERVER": self.server,
            "TRACKSIDE_RUN_ID": self.run_id,
            "TRACKSIDE_TOKEN": self.token,
        }


class Runner(ABC):
    """Runs work on one kind of engine.

    One object serves all runs of its kind, several at a time, so it keeps no state of
    a single run on itself. All methods are called on one event loop in one thread, which
    is the runner's own: what blocks it delays this runner's runs and no others.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The name users give to choose this runner: lowercase letters, digits and hyphens."""

    @property
    def capacity(self) -> int:
        """How many runs this runner takes at once, at least 1. Asked once, when an agent starts."""
        return 100

    @abstractmethod
    async def launch(self, spec: RunSpec, reporter: Reporter) -> Handle:
        """Start one run and return as soon as the engine has taken it.

        Idempotent on `spec.run_id`: a second call, also from another process after a crash
        of the host, finds the first start and returns its handle. The handle is stored,
        and given to `adopt`.

        Raises:
            SpecRefusedError: The engine cannot run this, now or later.
            EngineUnavailableError: The engine cannot be reached; the host tries again.
            NothingLaunchedError: It has no room, say; the host tries again, but for a run that
                is stopped or killed meanwhile.
        """

    @abstractmethod
    async def adopt(self, handle: Handle, reporter: Reporter) -> None:
        """Follow one run to its end, report what happens to it, and return after `finished`.

        Called after `launch`, and again with the same handle after every restart of the
        host: a run is always taken over as it is found, perhaps long ended. Output is
        reported from `reporter.position` on. A run of which the engine knows nothing any
        more ends with an `Ending` without exit code and signal.

        When it is cancelled, the host is going: stop following and leave the run running.

        Raises:
            EngineUnavailableError: The engine cannot be reached; the host adopts again later.
        """

    async def stop(self, handle: Handle, grace_seconds: float) -> bool:
        """Let a run clean up and end, and return whether it did so in time.

        Tells the run once, as SIGTERM would tell each of its processes, and returns True when
        nothing of it is left. Returns False when the grace time is over and something is left:
        the host then kills it. An engine that ends what is left by itself after the grace time
        may do so, which is better yet, for then it happens with the host away, too.

        Idempotent, and harmless for a run that has ended. Called while `adopt` follows the run,
        which then reports the end as any other; called again after a restart of the host, with
        the seconds that are left then, which must neither tell the run again nor give it more
        time. Cancelled when a kill overtakes it.

        A runner whose engine knows no gentle end leaves this as it is: it kills.

        Raises:
            EngineUnavailableError: The engine cannot be reached; the host tries again, and
                kills when the grace time is over.
        """
        del grace_seconds
        await self.kill(handle)
        return True

    @abstractmethod
    async def kill(self, handle: Handle) -> None:
        """End a run at once, as SIGKILL would, and return when nothing of it is left.

        Idempotent, and harmless for a run that has ended. Called while `adopt` follows the
        run, which then reports the end as any other; that it was a kill, the host knows.

        Raises:
            EngineUnavailableError: The engine cannot be reached; the host tries again.
        """

    async def open_output(self, place: OutputPlace) -> OpenedFile | OpenedFolder:
        """Open what a run has published, to read or list it for somebody who may see the run.

        The location is what a program has said: it is opened name by name without following a
        link anywhere, and what is neither a plain file nor a folder is refused without opening it,
        for a pipe would wait for ever. With a member, the file of that path below the folder is
        opened likewise. Works while the run is at work and after it has ended, also after a
        restart of the host, as long as the file is there.

        Raises:
            FileGoneError: There is nothing of this name any more.
            FileNotRegularError: It is a link, or behind one, or a device, a socket or a pipe.
            FileUnreadableError: It cannot be read, for want of a right for example.
            ReadingUnsupportedError: This runner reads no files, which is what it says unless it
                has this method.
            EngineUnavailableError: The engine cannot be reached; whoever asks may ask again.
        """
        del place
        message = f"the runner {self.name!r} reads no files"
        raise ReadingUnsupportedError(message)

    async def examine_output(self, doomed: DoomedOutput) -> Handle:
        """Look at an output that is to be deleted, and return what `delete_output` must know of it.

        Deletes nothing. What is there must be what was published: a plain file of that size and
        checksum, or a folder. The location is what a program has said, so it is gone to name by
        name from the directory, without following a link and without leaving its disk; and the
        directory must be the very one that was reported, and none in which nothing is deleted.

        Raises:
            FileGoneError: There is nothing of this name any more.
            FileNotRegularError: It is a link, or behind one, or a device, a socket or a pipe.
            FileChangedError: It has another size or checksum than was published.
            FileOutsideError: It is not below the directory, or on another disk.
            UnsafeDirectoryError: Nothing is deleted in the directory, or it is another one.
            FileUnreadableError: It cannot be read, for want of a right for example.
            DeletionUnsupportedError: This runner deletes nothing, which is what it says unless it
                has these methods.
            EngineUnavailableError: The engine cannot be reached; the host tries again.
        """
        del doomed
        message = f"the runner {self.name!r} deletes nothing"
        raise DeletionUnsupportedError(message)

    async def delete_output(self, doomed: DoomedOutput, examined: Handle) -> int:
        """Delete an output, and return how large its files were that are gone.

        Deletes what was examined and has not changed since, and nothing else: neither what else a
        folder has by now, nor what has taken a file's place; and folders that are left empty, the
        output itself and those above it, but not the directory. The host stores what
        `examine_output` returned before it calls this, and calls it again, also after a restart,
        until it answers: what is not there any more then was deleted before, and counts.

        Raises:
            FileChangedError: Some of it was written since it was examined, and is kept.
            RunnerError: As `examine_output` says.
        """
        del doomed, examined
        message = f"the runner {self.name!r} deletes nothing"
        raise DeletionUnsupportedError(message)

    async def close(self) -> None:  # noqa: B027 - most runners have nothing to close
        """Let go of connections; the host is going. Runs go on."""
