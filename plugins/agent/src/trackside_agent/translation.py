"""What runners report, in the words of the wire. Pure."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trackside_plugin_interface import (
    Ending,
    EndReason,
    ErrorReport,
    LogLevel,
    Machine,
    Output,
    OutputDirectory,
    Resources,
    Scope,
    Task,
    TaskAttempt,
    Usage,
)
from trackside_protos.logs.v1 import log_entry_pb2
from trackside_protos.runs.v1 import (
    output_deletion_pb2,
    output_pb2,
    provenance_pb2,
    report_pb2,
    run_pb2,
    run_state_pb2,
    scope_pb2,
    task_pb2,
)

_NANOSECONDS = 1_000_000_000
_END_REASONS = {
    EndReason.OUT_OF_MEMORY: "ended by the engine for using too much memory",
    EndReason.TIME_LIMIT: "ended by the engine for running too long",
    EndReason.CRASHED: "gone without a trace",
}


LONGEST_MESSAGE: Final = 1024
LONGEST_WORD: Final = 256
LONGEST_ERROR: Final = 4 * 1024
LONGEST_TRACEBACK: Final = 64 * 1024
LONGEST_PATH: Final = 4 * 1024
"""In characters; the wire counts bytes, and a character has at most four."""


def fitting(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text as the wire takes it: cut, without NUL and without what is not Unicode.

    An engine's own words, a path or a variable may have any of these, and a report that is
    refused for it would be one that nobody hears of.
    """
    legal = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return legal if len(legal) <= longest else legal[: longest - 1] + "…"


def word(text: str) -> str:
    """Return a short text as the wire takes it: on one line, without control characters."""
    return fitting("".join(one if one.isprintable() else " " for one in text), LONGEST_WORD)


def timestamp(time: float) -> Timestamp:
    """Return seconds since 1970 as the wire has them."""
    seconds, nanoseconds = divmod(round(time * _NANOSECONDS), _NANOSECONDS)
    return Timestamp(seconds=seconds, nanos=nanoseconds)


def state_value(name: str) -> "run_state_pb2.RunState.ValueType":
    """Return a state by its name."""
    return run_state_pb2.RunState.Value(f"RUN_STATE_{name}")


def reason_value(name: str | None) -> "run_state_pb2.StateReason.ValueType":
    """Return a reason by its name."""
    return run_state_pb2.StateReason.Value(f"STATE_REASON_{name or 'UNSPECIFIED'}")


def level_value(level: LogLevel) -> "log_entry_pb2.LogLevel.ValueType":
    """Return a log level."""
    return log_entry_pb2.LogLevel.Value(f"LOG_LEVEL_{level.value}")


def ended_state(ending: Ending, *, requested: str = "") -> report_pb2.StateReport:
    """Return the state in which a run ended.

    Args:
        ending: What the runner saw.
        requested: `STOPPED` or `KILLED`, when that is what ended it.
    """
    state, reason, message = _verdict(ending)
    if requested:
        state, reason, message = "TERMINATED", requested, f"{requested.lower()} on request"
    return report_pb2.StateReport(
        state=state_value(state),
        reason=reason_value(reason),
        message=fitting("; ".join(part for part in (message, ending.message) if part)),
        engine_state=word(ending.engine_state),
        exit_code=ending.exit_code,
        exit_signal=ending.exit_signal,
    )


def _verdict(ending: Ending) -> tuple[str, str | None, str]:
    if ending.reason is not None:
        return "FAILED", ending.reason.value, _END_REASONS[ending.reason]
    if ending.exit_signal is not None:
        return "FAILED", "SIGNAL", f"ended by signal {ending.exit_signal}"
    if ending.exit_code is None:
        return "FAILED", "CRASHED", _END_REASONS[EndReason.CRASHED]
    if ending.exit_code:
        return "FAILED", "EXIT_CODE", f"ended with exit code {ending.exit_code}"
    return "COMPLETED", None, ""


def error_message(error: ErrorReport) -> run_pb2.ErrorReport:
    """Return an error report."""
    return run_pb2.ErrorReport(
        kind=word(error.kind),
        message=fitting(error.message, LONGEST_ERROR),
        traceback=fitting(error.traceback, LONGEST_TRACEBACK),
        context=error.context,
        task_id=error.task_id,
        time=_optional_time(error.time),
    )


def provenance_message(machine: Machine) -> provenance_pb2.Provenance:
    """Return the machine as a part of the provenance."""
    return provenance_pb2.Provenance(
        machine=provenance_pb2.Machine(
            host=machine.host,
            machine_type=machine.machine_type,
            platform=machine.platform,
            cpu_count=machine.cpu_count,
            memory_bytes=machine.memory_bytes,
            process_id=machine.process_id,
        )
    )


def usage_message(usage: Usage) -> run_pb2.Usage:
    """Return what the processes of a run have used."""
    return run_pb2.Usage(
        processor_duration=_duration(usage.processor_seconds),
        peak_memory_bytes=usage.peak_memory_bytes,
    )


def scope_message(scope: Scope) -> scope_pb2.Scope:
    """Return a scope."""
    return scope_pb2.Scope(
        path=scope.path,
        completed_count=scope.completed_count,
        total_count=scope.total_count,
        unit=scope.unit,
        message=scope.message,
        start_time=_optional_time(scope.start_time),
        end_time=_optional_time(scope.end_time),
        context=scope.context,
    )


def output_message(output: Output) -> output_pb2.Output:
    """Return an output."""
    kind = "UNSPECIFIED" if output.kind is None else output.kind.value
    return output_pb2.Output(
        path=output.path,
        size_bytes=output.size_bytes,
        compressed_bytes=output.compressed_bytes,
        checksum=output.checksum,
        exists=output.exists,
        kind=output_pb2.OutputKind.Value(f"OUTPUT_KIND_{kind}"),
        media_type=output.media_type,
        description=output.description,
        task_id=output.task_id,
        location=output.location,
        create_time=_optional_time(output.create_time),
    )


def directory_message(
    directory: OutputDirectory, hazard: str
) -> output_deletion_pb2.OutputDirectory:
    """Return the directory of a run's outputs, with what the host has against it."""
    return output_deletion_pb2.OutputDirectory(
        path=directory.path,
        identity=word(directory.identity),
        hazard=word(directory.hazard or hazard),
    )


def can_be_told(path: str) -> bool:
    """Return whether the wire takes a path as that of a directory: absolute, plain, and Unicode."""
    try:
        is_short = len(path.encode()) <= LONGEST_PATH
    except UnicodeEncodeError:
        return False
    is_plain = path.startswith("/") and {".", ".."}.isdisjoint(path.split("/"))
    return is_short and is_plain and "\0" not in path


def task_message(task: Task) -> task_pb2.Task:
    """Return a task."""
    wait = "UNSPECIFIED" if task.wait is None else task.wait.value
    return task_pb2.Task(
        task_id=task.task_id,
        name=task.name,
        process=task.process,
        parent_task_id=task.parent_task_id,
        state=task_pb2.TaskState.Value(f"TASK_STATE_{task.state.value}"),
        wait=task_pb2.TaskWait.Value(f"TASK_WAIT_{wait}"),
        message=task.message,
        engine_state=task.engine_state,
        attempts=[_attempt(attempt) for attempt in task.attempts],
        script=task.script,
        requested=_resources(task.requested),
        work_directory=task.work_directory,
        container_image=task.container_image,
        scope_path=task.scope_path,
        context=task.context,
        create_time=_optional_time(task.create_time),
        submit_time=_optional_time(task.submit_time),
        start_time=_optional_time(task.start_time),
        end_time=_optional_time(task.end_time),
    )


def _attempt(attempt: TaskAttempt) -> task_pb2.TaskAttempt:
    return task_pb2.TaskAttempt(
        number=attempt.number,
        state=task_pb2.TaskState.Value(f"TASK_STATE_{attempt.state.value}"),
        exit_code=attempt.exit_code,
        error_message=attempt.error_message,
        submit_time=_optional_time(attempt.submit_time),
        start_time=_optional_time(attempt.start_time),
        end_time=_optional_time(attempt.end_time),
        used=_resources(attempt.used),
        machine_type=attempt.machine_type,
        host=attempt.host,
        engine_id=attempt.engine_id,
    )


def _resources(resources: Resources | None) -> task_pb2.Resources | None:
    if resources is None:
        return None
    duration = resources.duration
    return task_pb2.Resources(
        cpus=resources.cpus,
        memory_bytes=resources.memory_bytes,
        disk_bytes=resources.disk_bytes,
        duration=None if duration is None else _duration(duration),
        accelerators=resources.accelerators,
        cpu_percent=resources.cpu_percent,
        read_bytes=resources.read_bytes,
        written_bytes=resources.written_bytes,
    )


def _duration(seconds: float) -> Duration:
    whole, nanoseconds = divmod(round(seconds * _NANOSECONDS), _NANOSECONDS)
    return Duration(seconds=whole, nanos=nanoseconds)


def _optional_time(time: float | None) -> Timestamp | None:
    return None if time is None else timestamp(time)
