"""Asking for the end of runs: the requests sent one by one, then the proofs awaited together."""

from collections.abc import Callable, Sequence

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import exit_code_of, explanation, explanation_for
from trackside.cli.proof import follow_to_the_proof
from trackside.cli.targets import Deed
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
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
    wait: float | None,
) -> int:
    """Send a request for each target and follow it to the proof; return the first failure's code.

    Args:
        connection: Where they run.
        terminal: Who is told.
        deed: What is asked for.
        targets: The runs, agreed upon.
        send: How it is asked for.
        wait: How many seconds to wait for the proofs; `None`: not at all.
    """
    sent, code = send_each(terminal, deed, targets, send)
    if wait is None or not sent:
        return code
    try:
        errors = follow_to_the_proof(connection, sent, deed.action, terminal, wait)
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
    code: int = ExitCode.OK
    for target in targets:
        try:
            answered = send(target)
        except TracksideError as error:
            terminal.say(*explanation_for(target.run_id, error))
            code = code or exit_code_of(error)
        else:
            again = " It had ended before." if is_final(answered) and is_final(target) else ""
            terminal.say(f"Successfully sent {deed.verb} request to {target.run_id}.{again}")
            sent.append(answered)
    return sent, code
