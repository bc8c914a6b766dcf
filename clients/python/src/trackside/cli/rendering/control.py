"""Control requests as lines: what was asked of a run, and how far it got."""

from collections.abc import Mapping, Sequence
from typing import Final

from trackside.cli.safe_text import harmless, harmless_cell
from trackside.cli.times import clock, is_set, seconds_between, seconds_of, span
from trackside.client.sizes import size_text
from trackside.client.states import action_word
from trackside_protos.runs.v1.run_pb2 import ControlRequest, ControlResult

_OUTCOMES: Final[Mapping[int, str]] = {
    ControlResult.CONTROL_RESULT_NOTHING_FOUND: "there was nothing left to end",
    ControlResult.CONTROL_RESULT_UNCONFIRMED: "ended without proof",
}


def control_lines(requests: Sequence[ControlRequest]) -> list[str]:
    """Return how far each control request got, with the time of every step."""
    lines: list[str] = []
    for request in requests:
        lines += [control_text(request), *(f"  {line}" for line in kept_lines(request))]
    return lines


def control_text(request: ControlRequest) -> str:
    """Return for example `KILL by ann: requested 10:00:01.000, confirmed +0.120 s`."""
    steps = control_steps(request)
    if request.HasField("outputs_deletion"):
        steps.append(deletion_text(request))
    elif request.result in _OUTCOMES:
        steps.append(_OUTCOMES[request.result])
    elif not is_set(request.confirm_time):
        steps.append("not confirmed yet")
    who = f" by {harmless(request.requester)}" if request.requester else ""
    return f"{action_word(request.action)}{who}: {', '.join(steps)}"


def deletion_text(request: ControlRequest) -> str:
    """Return for example `deleted 3 outputs (1.2 MB), 1 was gone before, kept 1`."""
    told = request.outputs_deletion
    if not is_set(request.confirm_time):
        return f"{_outputs(told.requested_count)} to delete, not confirmed yet"
    if not (told.deleted_count or told.absent_count or told.kept_count):
        return "there was nothing to delete"
    parts = [f"deleted {_outputs(told.deleted_count)} ({size_text(told.deleted_bytes)})"]
    if told.absent_count:
        parts.append(f"{told.absent_count} {_were(told.absent_count)} gone before")
    if told.kept_count:
        parts.append(f"kept {told.kept_count}")
    return ", ".join(parts)


def kept_lines(request: ControlRequest) -> list[str]:
    """Return which outputs were kept, and why, one a line."""
    told = request.outputs_deletion
    lines = [
        f"kept {harmless_cell(kept.path)}: {harmless_cell(kept.message)}"
        for kept in told.kept_outputs
    ]
    more = told.kept_count - len(told.kept_outputs)
    return [*lines, f"… and {more} more"] if more > 0 else lines


def _outputs(count: int) -> str:
    return "1 output" if count == 1 else f"{count} outputs"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def control_steps(request: ControlRequest) -> list[str]:
    """Return the steps that a request has taken, each with its time, in order."""
    grace = ""
    if request.HasField("grace_duration"):
        grace = f", {span(seconds_of(request.grace_duration))} to clean up"
    steps = [f"requested {clock(request.request_time)}{grace}"]
    for word, time in (
        ("delivered", request.deliver_time),
        ("acknowledged", request.acknowledge_time),
        ("escalated", request.escalate_time),
        ("confirmed", request.confirm_time),
    ):
        if is_set(time):
            steps.append(f"{word} +{seconds_between(request.request_time, time):.3f} s")
    return steps
