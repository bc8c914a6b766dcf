"""Follows what was asked of runs until each has ended, and says every step once."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from trackside.cli.feed import Event, Feed
from trackside.cli.rendering.control import control_steps, control_text
from trackside.cli.rendering.runs import state_text
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import CallTimeoutError, TracksideError
from trackside.client.run_view import RunView
from trackside.client.states import is_final, run_state_word
from trackside.client.watch import watch_run
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse

if TYPE_CHECKING:
    from trackside_protos.runs.v1.run_state_pb2 import RunAction

_TICK: Final = 0.25


class Proof:
    """How far one run is on its way to the end that was asked for."""

    def __init__(self, run: Run, action: "RunAction.ValueType", terminal: Terminal) -> None:
        self._view = RunView(run)
        self._action = action
        self._terminal = terminal
        self._said = 0
        self._say_news()

    @property
    def run(self) -> Run:
        """The run as it was last told of."""
        return self._view.run

    def take(self, response: WatchRunResponse) -> None:
        """Take in what a watch told, and say the steps that are new."""
        self._view.apply(response)
        self._say_news()

    def _say_news(self) -> None:
        # The end comes with the last steps, and is shown whole, on stdout.
        request = self._request()
        if request is None or is_final(self.run):
            return
        steps = control_steps(request)
        for step in steps[self._said :]:
            self._terminal.say(f"{self.run.run_id} {step}")
        self._said = len(steps)

    def _request(self) -> ControlRequest | None:
        """Return the request that is followed: the latest of its kind."""
        return next(
            (r for r in reversed(self.run.control_requests) if r.action == self._action), None
        )

    def show(self) -> None:
        """Write the whole proof to stdout: the state, and every step with its time."""
        request = self._request()
        paint = self._terminal.paint
        steps = f" {control_text(request)}" if request else ""
        state = paint.apply(state_text(self.run, paint))
        self._terminal.show([f"{self.run.run_id} {state}{steps}"])


def follow_to_the_proof(
    connection: Connection,
    runs: Sequence[Run],
    action: "RunAction.ValueType",
    terminal: Terminal,
    timeout: float,
) -> list[TracksideError]:
    """Follow runs until each has ended, and show how; return what went wrong on the way.

    An outage of the server is waited out, as long as `timeout` seconds in all allow.
    """
    proofs = {run.run_id: Proof(run, action, terminal) for run in runs}
    for proof in proofs.values():
        if is_final(proof.run):
            proof.show()
    open_proofs = {run_id: proof for run_id, proof in proofs.items() if not is_final(proof.run)}
    errors: list[TracksideError] = []
    deadline = time.monotonic() + timeout
    with Feed() as feed:
        for run_id in open_proofs:
            feed.add(run_id, watch_run(connection, run_id, patient=True))
        while open_proofs and time.monotonic() < deadline:
            for event in feed.within(min(_TICK, timeout)):
                errors += _take(open_proofs, event)
    for proof in open_proofs.values():
        proof.show()
        errors.append(_overdue(proof.run, timeout))
    return errors


def _take(open_proofs: dict[str, Proof], event: Event) -> list[TracksideError]:
    """Take in an event; what is proved, or will never be, is open no more."""
    proof = open_proofs.get(event.source)
    if proof is None:
        return []
    if event.error is not None:
        del open_proofs[event.source]
        return [event.error]
    if isinstance(event.response, WatchRunResponse):
        proof.take(event.response)
    if is_final(proof.run):
        proof.show()
        del open_proofs[event.source]
    return []


def _overdue(run: Run, timeout: float) -> TracksideError:
    message = f"run {run.run_id} is still {run_state_word(run.state)} after {timeout:g} seconds"
    hint = f"the request stays; `trackside describe {run.run_id}` shows how far it is"
    return CallTimeoutError(message, hint=hint)
