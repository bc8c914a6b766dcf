"""What somebody wants to have run, and the message that asks for it; no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration

from trackside.cli.parameters import assignments, axis_of, value_of
from trackside_protos.runs.v1.run_pb2 import Launch, Run, Sweep

_PASSED_ON: Final = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH")
"""What makes `python` and the like mean what they mean in the caller's shell."""


@dataclass(frozen=True, slots=True)
class Shell:
    """Where the command was typed: what it takes from there on the server's own machine."""

    directory: str
    """Where to start: there, or in the folder that was named from there."""
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """A command to run, and all that was said about it; fields are named as the options are."""

    command: tuple[str, ...]
    name: str = ""
    project: str = ""
    tags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    runner: str = "local"
    workdir: str | None = None
    environment: tuple[str, ...] = ()
    from_files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that files named; `environment` goes before them."""
    time_limit: timedelta | None = None
    memory_limit: int | None = None
    machine_type: str = ""
    axes: tuple[str, ...] = ()
    parallelism: int = 0
    protect: bool = False

    def to_run(self, run_id: str, shell: Shell | None) -> Run:
        """Return the run to create.

        Args:
            run_id: Its id.
            shell: Where the command was typed; `None` when that is on another machine than
                the server, where its folders and programs mean nothing.

        Raises:
            AssignmentError: An assignment or axis is not `key=value`.
        """
        parameters = {key: value_of(text) for key, text in assignments(self.parameters).items()}
        return Run(
            run_id=run_id,
            name=self.name,
            project=self.project,
            tags=self.tags,
            labels=assignments(self.labels),
            parameters=parameters,
            runner=self.runner,
            termination_protection=self.protect,
            launch=self._launch(shell),
            sweep=self._sweep(),
            is_parent=bool(self.axes),
        )

    def _launch(self, shell: Shell | None) -> Launch:
        shell = shell or Shell(self.workdir or "", {})
        passed_on = {key: shell.environment[key] for key in _PASSED_ON if key in shell.environment}
        return Launch(
            command=self.command,
            work_directory=shell.directory,
            environment={**passed_on, **self.from_files, **assignments(self.environment)},
            time_limit_duration=self._time_limit(),
            memory_limit_bytes=self.memory_limit,
            machine_type=self.machine_type,
        )

    def _time_limit(self) -> Duration | None:
        if self.time_limit is None:
            return None
        duration = Duration()
        duration.FromTimedelta(self.time_limit)
        return duration

    def _sweep(self) -> Sweep | None:
        if not self.axes:
            return None
        axes = [axis_of(text) for text in self.axes]
        return Sweep(axes=axes, parallelism=self.parallelism, close_after_grid=True)
