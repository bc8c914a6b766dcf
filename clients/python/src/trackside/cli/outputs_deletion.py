"""Deleting what runs have published: shown first, agreed to by a word, followed to the proof."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from trackside.cli.asking import Asking
from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError, exit_code_of, explanation, explanation_for
from trackside.cli.proof import Proof, follow, overdue_error
from trackside.cli.rendering.control import kept_lines
from trackside.cli.rendering.outputs import output_table
from trackside.cli.safe_text import harmless
from trackside.cli.targets import find_targets
from trackside.cli.terminal import Terminal
from trackside.cli.times import is_set
from trackside.client import filters, listing
from trackside.client.connection import Connection
from trackside.client.deletions import ask_to_delete, request_in, runs_told
from trackside.client.errors import TracksideError
from trackside.client.sizes import size_text
from trackside.client.watch import Watch, watch_runs
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunsResponse

if TYPE_CHECKING:
    from trackside_protos.runs.v1.output_pb2 import Output

WORD: Final = "delete"
"""What is to be typed; the server compares it."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What would be deleted of one run."""

    run: Run
    outputs: "Sequence[Output]"
    """Some of it, when it is much."""
    count: int
    size_bytes: int


class _DeletionProof(Proof):
    """How far the deletion of a run's outputs is."""

    def __init__(self, run: Run, requests: Sequence[ControlRequest], terminal: Terminal) -> None:
        self._ids = [request.request_id for request in requests]
        self._is_gone = False
        super().__init__(run, RunAction.RUN_ACTION_DELETE_OUTPUTS, terminal)

    @property
    @override
    def is_given(self) -> bool:
        return self._is_gone or all(is_set(one.confirm_time) for one in self._requests())

    @property
    def has_kept(self) -> bool:
        """Whether anything was kept."""
        return any(one.outputs_deletion.kept_count for one in self._requests())

    @override
    def take(self, response: Any) -> None:
        if isinstance(response, WatchRunsResponse):
            for run in runs_told(response):
                self._view.run.CopyFrom(run)
            self._is_gone = any(change.left_run_id for change in response.changes)
        super().take(response)

    @override
    def show(self) -> None:
        if self._is_gone:
            self._terminal.show([f"{self.run.run_id} was deleted meanwhile"])
            return
        super().show()
        for request in self._requests():
            self._terminal.show([f"  {line}" for line in kept_lines(request)])

    @override
    def overdue(self, timeout: float) -> TracksideError:
        message = f"the agent of run {self.run.run_id} has not confirmed after {timeout:g} seconds"
        return overdue_error(message, self.run)

    @override
    def _request(self) -> ControlRequest | None:
        return next(iter(self._requests()[::-1]), None)

    def _requests(self) -> Sequence[ControlRequest]:
        """Return what was asked for, as far as it is remembered."""
        found = (request_in(self.run, one) for one in self._ids)
        return [request for request in found if request is not None]


def delete_outputs(
    connection: Connection,
    terminal: Terminal,
    asking: Asking,
    paths: Sequence[str],
    patience: float | None,
) -> int:
    """Delete outputs of runs once that is agreed to, and return the exit code.

    Args:
        connection: Where the runs are.
        terminal: Who is asked and told.
        asking: Which runs, and whether to ask.
        paths: Only these outputs; none: all.
        patience: How many seconds to wait for the proofs; `None`: not at all.
    """
    plans, code = _plans(connection, terminal, asking, paths)
    if asking.dry_run:
        terminal.show(_plan_lines(terminal, plans, connection.now()))
        terminal.say(f"Would delete {_what(plans)}; nothing was deleted.")
        return code
    if not plans:
        if not code:
            terminal.say("There is nothing to delete.")
        return code
    word = WORD if asking.yes else _typed(terminal, plans, connection.now())
    proofs: list[_DeletionProof] = []
    for plan in plans:
        try:
            proofs.append(_sent(connection, terminal, plan.run, word, paths))
        except TracksideError as error:
            terminal.say(*explanation_for(plan.run.run_id, error))
            code = code or exit_code_of(error)
    return _followed(connection, terminal, proofs, patience) or code


def _plans(
    connection: Connection, terminal: Terminal, asking: Asking, paths: Sequence[str]
) -> tuple[list[_Plan], int]:
    """Return what would be deleted, and the code of the first refusal, which is said."""
    plans: list[_Plan] = []
    code: int = ExitCode.OK
    for run in _meant(connection, find_targets(connection, asking.runs)):
        try:
            answers = list(ask_to_delete(connection, run.run_id, "", paths, validate_only=True))
        except TracksideError as error:
            terminal.say(*explanation_for(run.run_id, error))
            code = code or exit_code_of(error)
        else:
            plan = _Plan(
                answers[-1].run,
                [output for answer in answers for output in answer.outputs],
                sum(answer.output_count for answer in answers),
                sum(answer.size_bytes for answer in answers),
            )
            plans += [plan] if plan.count else []
    return plans, code


def _meant(connection: Connection, runs: Sequence[Run]) -> Iterator[Run]:
    """Yield the runs, and instead of parents, which publish nothing themselves, their children."""
    for run in runs:
        if run.is_parent:
            chosen = filters.children_of(run.run_id)
            yield from listing.list_runs(connection, chosen, order_by="create_time")
        else:
            yield run


def _plan_lines(terminal: Terminal, plans: Sequence[_Plan], now: datetime) -> list[str]:
    lines: list[str] = []
    for plan in plans:
        lines.append(f"{plan.run.run_id} {harmless(plan.run.output_directory.path)}")
        if plan.outputs:
            shown = output_table(plan.outputs, now, terminal.paint, width=terminal.width)
            lines += [f"  {line}" for line in shown]
        if plan.count > len(plan.outputs):
            lines.append(f"  … and {plan.count - len(plan.outputs)} more")
    return lines


def _what(plans: Sequence[_Plan]) -> str:
    """Return for example `3 outputs (1.2 MB) of 1 run`."""
    count, size = sum(plan.count for plan in plans), sum(plan.size_bytes for plan in plans)
    outputs = "1 output" if count == 1 else f"{count} outputs"
    runs = "1 run" if len(plans) == 1 else f"{len(plans)} runs"
    return f"{outputs} ({size_text(size)}) of {runs}"


def _typed(terminal: Terminal, plans: Sequence[_Plan], now: datetime) -> str:
    """Return the word that was typed.

    Raises:
        CommandError: There is nobody to ask, or it is another word.
    """
    terminal.say(*_plan_lines(terminal, plans, now))
    if not terminal.can_ask:
        message = "stdin is no terminal, so nobody can be asked; nothing was deleted"
        raise CommandError(message, hint="--yes deletes without asking", code=ExitCode.USAGE)
    word = terminal.answer_to(f"Type `{WORD}` to delete {_what(plans)} for good: ")
    if word != WORD:
        message = "nothing was deleted"
        raise CommandError(message)
    return word


def _sent(
    connection: Connection, terminal: Terminal, run: Run, word: str, paths: Sequence[str]
) -> _DeletionProof:
    answers = list(ask_to_delete(connection, run.run_id, word, paths))
    terminal.say(f"Successfully sent delete request to {run.run_id}.")
    return _DeletionProof(answers[-1].run, [answer.request for answer in answers], terminal)


def _followed(
    connection: Connection,
    terminal: Terminal,
    proofs: Sequence[_DeletionProof],
    patience: float | None,
) -> int:
    if patience is None:
        return ExitCode.OK

    def watch(run_id: str) -> Watch[WatchRunsResponse]:
        return watch_runs(connection, f'run_id = "{run_id}"', patient=True)

    try:
        errors = follow(proofs, watch, patience)
    except KeyboardInterrupt:
        terminal.say("", "No longer waiting; what was asked for will still be deleted.")
        return ExitCode.INTERRUPTED
    for error in errors:
        terminal.say(*explanation(error))
    if errors:
        return exit_code_of(errors[0])
    return ExitCode.CONFLICT if any(proof.has_kept for proof in proofs) else ExitCode.OK
