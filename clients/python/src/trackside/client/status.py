"""How a run stands, in short."""

from dataclasses import dataclass
from datetime import timedelta

from trackside.client.states import condition_word, has_ended, reason_word, run_state_word
from trackside_protos.runs.v1.run_pb2 import Run


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a run stands, in short."""

    state: str
    """For example `RUNNING`."""
    reason: str
    """Why, for example `OUT_OF_MEMORY`; may be empty."""
    message: str
    """One sentence for people; may be empty."""
    conditions: tuple[str, ...]
    """The facts beside the state, for example `DISCONNECTED`."""
    percent: float | None
    """0 to 100; `None` while no total is known."""
    remaining: timedelta | None
    """An estimate; `None` while there is none."""
    doing: str
    """What it does now, for example `Fitting fold 3/5 - Ridge`; may be empty."""
    elapsed: timedelta
    """From start to end, or to now while it runs."""
    ended: bool
    """Whether the work is over."""
    machine_type: str = ""
    """The one asked for until the run starts, then the one in use; may be empty."""
    processor_time: timedelta | None = None
    """What its processes have used together; `None` while it is not known."""
    peak_memory_bytes: int | None = None
    """The most that they held at one time; `None` while it is not known."""

    @property
    def computation_time(self) -> timedelta:
        """How long the work has computed: from its start to its end, or to now."""
        return self.elapsed


def status_of(run: Run) -> RunStatus:
    """Return how a run stands, in short."""
    progress = run.progress
    usage = run.usage if run.HasField("usage") else None
    return RunStatus(
        state=run_state_word(run.state),
        reason=reason_word(run.state_reason),
        message=run.state_message,
        conditions=tuple(condition_word(condition.kind) for condition in run.conditions),
        percent=progress.percent if progress.HasField("percent") else None,
        remaining=progress.remaining_duration.ToTimedelta()
        if progress.HasField("remaining_duration")
        else None,
        doing=progress.message,
        elapsed=run.elapsed_duration.ToTimedelta(),
        ended=has_ended(run),
        machine_type=run.provenance.machine.machine_type or run.launch.machine_type,
        processor_time=usage.processor_duration.ToTimedelta() if usage else None,
        peak_memory_bytes=usage.peak_memory_bytes if usage else None,
    )


def span_text(span: timedelta | None) -> str:
    """Return a span in whole seconds; nothing for none, and for one that is empty."""
    if not span:
        return ""
    return str(timedelta(seconds=round(span.total_seconds())))
