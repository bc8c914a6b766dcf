"""Removing runs from history: asked for, then waited for until no service has any of them."""

import time
from typing import Final

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import exit_code_of, explanation
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import CallTimeoutError, ServerUnreachableError, TracksideError
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import DeleteRunRequest, DeleteRunResponse

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Removals:
    """The runs that were removed, and what is left of them."""

    def __init__(self, connection: Connection, terminal: Terminal) -> None:
        self._connection = connection
        self._terminal = terminal
        self._pending: dict[str, list[str]] = {}
        """The services that have not confirmed yet, by run."""

    def remove(self, target: Run) -> None:
        """Remove a run and say so.

        Raises:
            TracksideError: It has not ended, say.
        """
        answer = self._ask(target.run_id)
        self._terminal.say(_said(target.run_id, answer.deleted_count))
        self._pending[target.run_id] = list(answer.pending_services)

    def wait(self, patience: float | None) -> int:
        """Wait until nothing is left in any service, and return the exit code.

        Args:
            patience: How many seconds to wait; `None`: not at all.
        """
        try:
            return self._wait(patience)
        except KeyboardInterrupt:
            self._terminal.say("", "No longer waiting; the services go on removing what is left.")
            return ExitCode.INTERRUPTED

    def _wait(self, patience: float | None) -> int:
        deadline = time.monotonic() + (patience or 0.0)
        pause = _FIRST_PAUSE
        while True:
            for run_id in [one for one, services in self._pending.items() if not services]:
                del self._pending[run_id]
                self._terminal.show([f"{run_id} is gone from every service."])
            if not self._pending:
                return ExitCode.OK
            if patience is None or time.monotonic() + pause > deadline:
                return self._given_up(patience)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            for run_id in self._pending:
                self._look(run_id)

    def _look(self, run_id: str) -> None:
        """Ask how far a removal is; an outage is waited out."""
        try:
            self._pending[run_id] = list(self._ask(run_id).pending_services)
        except ServerUnreachableError:
            return

    def _given_up(self, patience: float | None) -> int:
        code: int = ExitCode.OK
        for run_id, services in self._pending.items():
            left = f"something of {run_id} is still left in {', '.join(services)}"
            if patience is None:
                self._terminal.say(f"{left[0].upper()}{left[1:]}.")
            else:
                error = _overdue(left, patience)
                self._terminal.say(*explanation(error))
                code = exit_code_of(error)
        return code

    def _ask(self, run_id: str) -> DeleteRunResponse:
        request = DeleteRunRequest(run_id=run_id)
        return self._connection.call(self._connection.runs.DeleteRun, request)


def _overdue(left: str, patience: float) -> TracksideError:
    hint = "the services go on removing it; `trackside delete` again tells how far they are"
    return CallTimeoutError(f"{left} after {patience:g} seconds", hint=hint)


def _said(run_id: str, deleted_count: int) -> str:
    if not deleted_count:
        return f"{run_id} was gone before."
    children = deleted_count - 1
    too = f" and {children} child{'' if children == 1 else 'ren'}" if children else ""
    return f"Successfully deleted {run_id}{too}."
