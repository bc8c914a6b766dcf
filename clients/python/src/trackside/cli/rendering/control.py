"""Control requests as lines: what was asked of a run, and how far it got."""

from collections.abc import Mapping, Sequence
from typing import Final

from trackside.cli.safe_text import harmless
from trackside.cli.times import clock, is_set, seconds_between, seconds_of, span
from trackside.client.states import action_word
from trackside_protos.runs.v1.run_pb2 import ControlRequest, ControlResult

_OUTCOMES: Final[Mapping[int, str]] = {
    ControlResult.CONTROL_RESULT_NOTHING_FOUND: "there was nothing left to end",
    ControlResult.CONTROL_RESULT_UNCONFIRMED: "ended without proof",
}


def control_lines(requests: Sequence[ControlRequest]) -> list[str]:
    """Return how far each control request got, with the time of every step."""
    return [control_text(request) for request in requests]


def control_text(request: ControlRequest) -> str:
    """Return for example `KILL by ann: requested 10:00:01.000, confirmed +0.120 s`."""
    steps = control_steps(request)
    if request.result in _OUTCOMES:
        steps.append(_OUTCOMES[request.result])
    elif not is_set(request.confirm_time):
        steps.append("not confirmed yet")
    who = f" by {harmless(request.requester)}" if request.requester else ""
    return f"{action_word(request.action)}{who}: {', '.join(steps)}"


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
