"""The values that a runner reports: states, tasks, scopes, outputs, machines, errors and endings.

They say what the messages on the wire say, in plain Python, so that a plugin stands on this
package alone. Absent or empty fields are unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class RunState(StrEnum):
    """The phases of a run before its end. A run moves only forward and may skip phases."""

    PENDING = "PENDING"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"


class StateReason(StrEnum):
    """Why a run is in its phase."""

    SUBMITTED = "SUBMITTED"
    WAITING_FOR_INPUT = "WAITING_FOR_INPUT"
    WAITING_FOR_RESOURCES = "WAITING_FOR_RESOURCES"
    PULLING_IMAGES = "PULLING_IMAGES"
    MOUNTING_VOLUMES = "MOUNTING_VOLUMES"
    UPLOADING_OUTPUTS = "UPLOADING_OUTPUTS"


class EndReason(StrEnum):
    """Why a run ended badly, when exit code and signal do not say it."""

    CRASHED = "CRASHED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    TIME_LIMIT = "TIME_LIMIT"


class TaskState(StrEnum):
    """The life of a task's attempt."""

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    CACHED = "CACHED"


class TaskWait(StrEnum):
    """What a waiting task waits for."""

    DEPENDENCIES = "DEPENDENCIES"
    COMPUTE = "COMPUTE"


class LogLevel(StrEnum):
    """How serious a log entry is."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class OutputKind(StrEnum):
    """What a published file is for."""

    DATA = "DATA"
    REPORT = "REPORT"
    MODEL = "MODEL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended: by an exit code, by a signal, or else without a trace."""

    exit_code: int | None = None
    """0 is success."""
    exit_signal: int | None = None
    reason: EndReason | None = None
    """What the engine knows beyond code and signal; neither of the three means CRASHED."""
    message: str = ""
    """One sentence for people."""
    engine_state: str = ""
    """The engine's own word, for example `OOMKilled`."""
    on_request: bool | None = None
    """Whether a stop or kill brought it about; False when one came that found the run ended.

    Absent, the host takes it that what was asked for before the end was reported did.
    """
    time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """What went wrong."""

    kind: str
    message: str
    traceback: str = ""
    task_id: str = ""
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a run runs on."""

    host: str = ""
    machine_type: str = ""
    platform: str = ""
    cpu_count: int = 0
    memory_bytes: int = 0
    process_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the processes of a run have used so far, all together."""

    processor_seconds: float
    peak_memory_bytes: int
    """The most memory held at one time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A named counter inside a run, for example fold 3 of 5."""

    path: str
    """Names joined by `/`, outermost first."""
    completed_count: int = 0
    total_count: int | None = None
    unit: str = ""
    message: str = ""
    start_time: float | None = None
    end_time: float | None = None
    context: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A published file."""

    path: str
    size_bytes: int
    compressed_bytes: int | None = None
    checksum: str = ""
    exists: bool = True
    kind: OutputKind | None = None
    media_type: str = ""
    description: str = ""
    task_id: str = ""
    location: str = ""
    """Where `Runner.open_output` finds it: of a path, without a link on its way."""
    create_time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Resources, asked for or used."""

    cpus: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    duration: float | None = None
    """Seconds: the limit when asked for, the processor time when used."""
    accelerators: int | None = None
    cpu_percent: float | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAttempt:
    """One attempt of a task."""

    number: int
    """From 1."""
    state: TaskState
    exit_code: int | None = None
    error_message: str = ""
    submit_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
    used: Resources | None = None
    machine_type: str = ""
    host: str = ""
    engine_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One node's execution inside a run."""

    task_id: str
    """Unique within the run."""
    name: str
    state: TaskState
    process: str = ""
    """The named node it belongs to; empty: the name."""
    parent_task_id: str = ""
    wait: TaskWait | None = None
    message: str = ""
    engine_state: str = ""
    attempts: Sequence[TaskAttempt] = ()
    script: str = ""
    requested: Resources | None = None
    work_directory: str = ""
    container_image: str = ""
    scope_path: str = ""
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    create_time: float | None = None
    submit_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
