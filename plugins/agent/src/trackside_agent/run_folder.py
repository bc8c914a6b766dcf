"""What the agent keeps of one run on disk, until everything about the run is delivered.

assignment      the run as the server assigned it; stored before the server is answered
launching       the runner was asked to launch it, perhaps with success
handle.json     how the runner finds it again
commands.json   what was asked of it since; stored before that is acknowledged
ended           everything about its end is in the spool
runner/         the runner's own
"""

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trackside_agent import durable
from trackside_plugin_interface import Handle
from trackside_protos.runners.v1.runners_service_pb2 import Assignment

HANDLE, COMMANDS = "handle.json", "commands.json"
ASSIGNMENT, LAUNCHING, ENDED = "assignment", "launching", "ended"
RUNNER: Final = "runner"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A request to end a run."""

    request_id: str
    is_kill: bool
    """Whether at once; otherwise gently."""
    grace_seconds: float
    """How long a gentle end may take."""
    time: float
    """When it was stored: from then on the grace time runs."""


class RunFolder:
    """The folder of one run. Commands may be stored in one thread and read in another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._commands_lock = threading.Lock()
        self._unwritten: list[StoredCommand] = []

    @property
    def run_id(self) -> str:
        """The run."""
        return self._path.name

    @property
    def runner_directory(self) -> Path:
        """The runner's own folder."""
        return self._path / RUNNER

    def store(self, assignment: Assignment) -> None:
        """Make the folder and keep the assignment in it."""
        durable.make_folder(self.runner_directory)
        durable.write(self._path / ASSIGNMENT, assignment.SerializeToString())

    def assignment(self) -> Assignment:
        """Return what was assigned.

        Raises:
            FileNotFoundError: The agent died before it was stored: it never was ours.
        """
        return Assignment.FromString((self._path / ASSIGNMENT).read_bytes())

    @property
    def is_launching(self) -> bool:
        """Whether the runner was ever asked to launch the run."""
        return (self._path / LAUNCHING).exists()

    def mark_launching(self) -> None:
        """Keep that the runner is asked to launch the run."""
        durable.write(self._path / LAUNCHING, b"")

    @property
    def handle(self) -> Handle | None:
        """The runner's handle, once the run is launched."""
        return self._read(HANDLE)

    def store_handle(self, handle: Handle) -> None:
        """Keep the handle."""
        self._write(HANDLE, handle)

    @property
    def commands(self) -> Sequence[StoredCommand]:
        """What was asked of the run, in order."""
        with self._commands_lock:
            return self._known_commands()

    def store_command(self, command: StoredCommand) -> None:
        """Keep what is asked of the run, once however often it is asked.

        What finds the disk full is done all the same: the run to be ended may be what fills it.
        Unless that can be acknowledged, it is asked again of whoever comes after us.
        """
        with self._commands_lock:
            known = self._known_commands()
            if command.request_id in [one.request_id for one in known]:
                return
            try:
                self._write(COMMANDS, [asdict(one) for one in (*known, command)])
            except OSError as error:
                logger.warning("run %s: a request could not be stored: %s", self.run_id, error)
                self._unwritten.append(command)
            else:
                self._unwritten.clear()

    @property
    def is_ended(self) -> bool:
        """Whether everything about the run's end is in the spool."""
        return (self._path / ENDED).exists()

    def mark_ended(self) -> None:
        """Keep that everything about the run's end is in the spool."""
        durable.write(self._path / ENDED, b"")

    def remove(self) -> None:
        """Forget the run."""
        durable.remove_folder(self._path, ASSIGNMENT)

    def _known_commands(self) -> Sequence[StoredCommand]:
        written = [StoredCommand(**facts) for facts in self._read(COMMANDS) or ()]
        return [*written, *self._unwritten]

    def _read(self, name: str) -> Any:  # noqa: ANN401 - whatever was written
        try:
            return json.loads((self._path / name).read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, name: str, value: Mapping[str, object] | Sequence[object]) -> None:
        durable.write(self._path / name, json.dumps(value).encode())
