"""Asking for the end of runs: the requests sent one by one, then the proofs awaited together."""

from collections.abc import Callable, Sequence

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import exit_code_of, explanation
from trackside.cli.proof import follow_to_the_proof
from trackside.cli.targets import Deed, act_on_each
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.states import is_final
from trackside_protos.runs.v1.run_pb2 import Run

Send = Callable[[Run], Run]
"""Sends the request for one run and returns the run as it is then."""


def end_runs(
    connection: Connection,
    terminal: Terminal,
    deed: Deed,
    targets: Sequence[Run],
    send: Send,
    *,
    patience: float | None,
) -> int:
    """Send a request for each target and follow it to the proof; return the first failure's code.

    Args:
        connection: Where they run.
        terminal: Who is told.
        deed: What is asked for.
        targets: The runs, agreed upon.
        send: How it is asked for.
        patience: How many seconds to wait for the proofs; `None`: not at all.
    """
    sent, code = send_each(terminal, deed, targets, send)
    if patience is None or not sent:
        return code
    try:
        errors = follow_to_the_proof(connection, sent, deed.action, terminal, patience)
    except KeyboardInterrupt:
        terminal.say("", f"No longer waiting; what was asked to {deed.verb} will still end.")
        return ExitCode.INTERRUPTED
    for error in errors:
        terminal.say(*explanation(error))
        code = code or exit_code_of(error)
    return code


def send_each(
    terminal: Terminal, deed: Deed, targets: Sequence[Run], send: Send
) -> tuple[list[Run], int]:
    """Send the requests; return the runs that took theirs, and the code of the first refusal."""
    sent: list[Run] = []

    def send_one(target: Run) -> None:
        answered = send(target)
        again = " It had ended before." if is_final(answered) and is_final(target) else ""
        terminal.say(f"Successfully sent {deed.verb} request to {target.run_id}.{again}")
        sent.append(answered)

    return sent, act_on_each(terminal, targets, send_one)
