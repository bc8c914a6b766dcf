"""Follows what was asked of runs until each has ended, and says every step once."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from trackside.cli.feed import Event, Feed
from trackside.cli.rendering.control import control_steps, control_text
from trackside.cli.rendering.runs import state_text
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import CallTimeoutError, TracksideError
from trackside.client.run_view import RunView
from trackside.client.states import is_final, run_state_word
from trackside.client.watch import Watch, watch_run
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

    @property
    def is_given(self) -> bool:
        """Whether there is nothing more to wait for."""
        return is_final(self.run)

    def take(self, response: Any) -> None:  # noqa: ANN401 - what the watch tells
        """Take in what a watch told, and say the steps that are new."""
        if isinstance(response, WatchRunResponse):
            self._view.apply(response)
        self._say_news()

    def overdue(self, timeout: float) -> TracksideError:
        """Return what to say when it did not come in time."""
        message = f"run {self.run.run_id} is still {run_state_word(self.run.state)}"
        return overdue_error(f"{message} after {timeout:g} seconds", self.run)

    def _say_news(self) -> None:
        # The end comes with the last steps, and is shown whole, on stdout.
        request = self._request()
        if request is None or self.is_given:
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
    return follow(
        [Proof(run, action, terminal) for run in runs],
        lambda run_id: watch_run(connection, run_id, patient=True),
        timeout,
    )


def follow(
    proofs: Sequence[Proof], watch: Callable[[str], Watch[Any]], timeout: float
) -> list[TracksideError]:
    """Follow runs by watches of theirs until each proof is given; see `follow_to_the_proof`."""
    open_proofs: dict[str, Proof] = {}
    for proof in proofs:
        if proof.is_given:
            proof.show()
        else:
            open_proofs[proof.run.run_id] = proof
    errors: list[TracksideError] = []
    deadline = time.monotonic() + timeout
    with Feed() as feed:
        for run_id in open_proofs:
            feed.add(run_id, watch(run_id))
        while open_proofs and time.monotonic() < deadline:
            for event in feed.within(min(_TICK, timeout)):
                errors += _take(open_proofs, event)
    for proof in open_proofs.values():
        proof.show()
        errors.append(proof.overdue(timeout))
    return errors


def overdue_error(message: str, run: Run) -> TracksideError:
    """Return an error that says where to look further."""
    hint = f"the request stays; `trackside describe {run.run_id}` shows how far it is"
    return CallTimeoutError(message, hint=hint)


def _take(open_proofs: dict[str, Proof], event: Event) -> list[TracksideError]:
    """Take in an event; what is proved, or will never be, is open no more."""
    proof = open_proofs.get(event.source)
    if proof is None:
        return []
    if event.error is not None:
        del open_proofs[event.source]
        return [event.error]
    if event.response is not None:
        proof.take(event.response)
    if proof.is_given:
        proof.show()
        del open_proofs[event.source]
    return []
