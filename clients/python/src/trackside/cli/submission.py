"""Handing a run in, saying which one it is, and following it."""

from trackside.cli.end_of_run import exit_code_of_run
from trackside.cli.exit_codes import ExitCode
from trackside.cli.follow import follow_lines
from trackside.cli.formats import Format, document_lines, plain
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest


def submit(connection: Connection, wanted: Run, *, output: str, detach: bool) -> int:
    """Create a run, announce it, and unless detached follow it; return the exit code.

    Raises:
        TracksideError: The run was not taken, or cannot be followed to its end.
    """
    answer = connection.call(connection.runs.CreateRun, CreateRunRequest(run=wanted))
    terminal = Terminal.of_process()
    if answer.existed:
        terminal.say(f"This order was taken before; run {answer.run.run_id} is what came of it.")
    _announce(terminal, answer.run, Format(output), detach=detach)
    return ExitCode.OK if detach else _follow(connection, answer.run, terminal)


def _announce(terminal: Terminal, created: Run, form: Format, *, detach: bool) -> None:
    """Say which run it is: for people, and for programs on stdout."""
    sentence = f"Run {created.run_id} submitted: trackside describe {created.run_id}"
    match form:
        case Format.NAME:
            terminal.show([created.run_id])
        case Format.JSON | Format.YAML:
            terminal.show(document_lines({"run": plain(created)}, form))
        case _ if detach:
            terminal.show([sentence])
        case _:
            terminal.say(sentence)


def _follow(connection: Connection, created: Run, terminal: Terminal) -> int:
    try:
        return exit_code_of_run(follow_lines(connection, created, terminal))
    except KeyboardInterrupt:
        run_id = created.run_id
        terminal.say(
            "",
            f"Detached; run {run_id} goes on.",
            f"hint: `trackside watch {run_id}` follows it, `trackside kill {run_id}` ends it",
        )
        return ExitCode.INTERRUPTED
