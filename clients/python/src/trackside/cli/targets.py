"""The runs that a command is about to end or remove: found, listed, and asked about."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError, exit_code_of, explanation_for
from trackside.cli.rendering.runs import run_table
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside.client.listing import get_run
from trackside.client.resolve import resolve_run
from trackside.client.states import action_word, has_ended, run_state_word
from trackside_protos.runs.v1.run_pb2 import Run

if TYPE_CHECKING:
    from trackside_protos.runs.v1.run_state_pb2 import RunAction

STDIN: Final = "-"
"""Stands for the runs that stdin names, one a line."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done to runs, in words and as the action that a run must allow."""

    verb: str
    """For example `kill`."""
    done: str
    """For example `killed`."""
    action: "RunAction.ValueType"
    warning: str = ""
    """What to say before asking; may be empty."""


def find_targets(connection: Connection, texts: Sequence[str]) -> list[Run]:
    """Return the runs that are named, each once, in order.

    Raises:
        TracksideError: One of them does not exist or is not the only one of its name.
    """
    run_ids = dict.fromkeys(resolve_run(connection, text) for text in _named(texts))
    return [get_run(connection, run_id) for run_id in run_ids]


def _named(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if text == STDIN:
            yield from filter(None, (line.strip() for line in sys.stdin))
        else:
            yield text


def children_meant(runs: Iterable[Run]) -> int:
    """Return how many children a deed reaches too: of a parent at work those at work, else all."""
    return sum(
        run.children.total_count - (0 if has_ended(run) else run.children.ended_count)
        for run in runs
    )


def target_text(targets: Sequence[Run]) -> str:
    """Return for example `1 run and 18 of its children`."""
    children = children_meant(targets)
    runs, whose = ("1 run", "its") if len(targets) == 1 else (f"{len(targets)} runs", "their")
    return f"{runs} and {children} of {whose} children" if children else runs


def ask(terminal: Terminal, deed: Deed, targets: Sequence[Run], now: datetime) -> None:
    """List the targets and ask; no is the answer unless it is yes.

    Raises:
        CommandError: There is nobody to ask, or the answer is not yes.
    """
    terminal.say(*run_table(targets, now, terminal.err_paint, width=terminal.width))
    if deed.warning:
        terminal.say(deed.warning)
    if not terminal.can_ask:
        message = f"stdin is no terminal, so nobody can be asked; nothing was {deed.done}"
        raise CommandError(message, hint=f"--yes {deed.verb}s without asking", code=ExitCode.USAGE)
    question = f"{deed.verb.capitalize()} {target_text(targets)}? [y/N] "
    if terminal.answer_to(question).lower() not in ("y", "yes"):
        message = f"nothing was {deed.done}"
        raise CommandError(message)


def act_on_each(terminal: Terminal, targets: Iterable[Run], act: Callable[[Run], None]) -> int:
    """Act on one run after the other, saying what is refused; return the first refusal's code."""
    code: int = ExitCode.OK
    for target in targets:
        try:
            act(target)
        except TracksideError as error:
            terminal.say(*explanation_for(target.run_id, error))
            code = code or exit_code_of(error)
    return code


def show_plan(terminal: Terminal, deed: Deed, targets: Sequence[Run], now: datetime) -> int:
    """Show what would be done, and what would be refused; return the code of a refusal."""
    terminal.show(run_table(targets, now, terminal.paint, width=terminal.width))
    refused = [run for run in targets if deed.action not in run.actions]
    for run in refused:
        state = run_state_word(run.state)
        terminal.say(f"{run.run_id} is {state}, and {action_word(deed.action)} is not allowed now.")
    allowed = [run for run in targets if deed.action in run.actions]
    terminal.say(f"Would {deed.verb} {target_text(allowed)}; nothing was {deed.done}.")
    return ExitCode.CONFLICT if refused else ExitCode.OK
