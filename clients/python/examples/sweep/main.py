"""What `make run` runs: a server, a sweep on real data shown live, its best variant refitted.

Leaves the server up until Ctrl-C, SIGTERM or a closed terminal; then everything ends but runs.
"""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Final

from local_server import LocalServer, ServerNotStartedError
from rich.console import Console
from sweep import Place, conclude, submit

from trackside.cli.follow import follow_lines
from trackside.cli.live_view import follow
from trackside.cli.parameters import parameters_text
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside.client.handle import RunHandle
from trackside.location import DEFAULT_SERVER, Location, discover, read_token
from trackside_protos.runs.v1.output_pb2 import OutputKind
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

TRACKSIDE: Final = Path(sys.executable).with_name("trackside")
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the example and return the exit code: 0 also when it was interrupted."""
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    try:
        with LocalServer() as server:
            return run_example(server)
    except ServerNotStartedError as error:
        return error.exit_code
    except TracksideError as error:
        say(f"trackside: {error}")
        return 1
    except KeyboardInterrupt:
        say("", "Server and agent have ended.")
        return 0


def run_example(server: LocalServer) -> int:
    """Run the sweep to its end, then keep the server up until it ends or we are interrupted."""
    server.wait_until_ready()
    home = discover().home
    connection = Connection(Location(server.address, read_token(home), home))
    parent = submit(connection, Place(home / "sweep"))
    say(f"Trackside listens at {server.address}", f"Sweep {parent.run_id} submitted", "")
    try:
        parent = show_to_its_end(connection, parent, Place(home / "sweep"))
    except KeyboardInterrupt:
        say("", *detached(parent))
        raise
    say("", *results(connection, parent), "", *advice(server.address, parent))
    code = server.wait_until_ended()
    say(f"The server has ended by itself, with exit code {code}.")
    return code or 1


def show_to_its_end(connection: Connection, parent: Run, place: Place) -> Run:
    """Show the sweep live while a thread brings it to its conclusion; return it as it ended."""
    failures: list[TracksideError] = []

    def bring_to_conclusion() -> None:
        try:
            conclude(connection, parent, place)
        except TracksideError as error:
            failures.append(error)

    threading.Thread(target=bring_to_conclusion, daemon=True).start()
    terminal = Terminal.of_process()
    if terminal.is_live:
        ended = follow(parent.run_id, connection, Console())
    else:
        ended = follow_lines(connection, parent, terminal)
    for failure in failures:
        raise failure
    return ended


def results(connection: Connection, parent: Run) -> list[str]:
    """Return what has come of the sweep, for people."""
    children = [child.run for child in RunHandle(parent, connection).children()]
    state = RunState.Name(parent.state).removeprefix("RUN_STATE_")
    seconds = parent.elapsed_duration.ToSeconds()
    trained = parent.result.models_trained_count
    lines = [
        f"Sweep {parent.run_id} {state} in {seconds} s:",
        f"  {len(children)} runs, {trained} models trained",
    ]
    best = next((child for child in children if child.run_id == parent.result.best_run_id), None)
    if best is not None:
        lines.append(
            f"Best variant: {parameters_text(best.parameters)},"
            f" {parent.result.best_series} {parent.result.best_score:.4f} (run {best.run_id})"
        )
    for child in children:
        if "refit" in child.tags:
            lines += output_lines(RunHandle(child, connection))
    return lines


def output_lines(handle: RunHandle) -> list[str]:
    """Return where the report and the model are."""
    names = {OutputKind.OUTPUT_KIND_REPORT: "Report", OutputKind.OUTPUT_KIND_MODEL: "Model"}
    return [f"{names.get(o.kind, 'Output')}: {o.location}" for o in handle.outputs()]


def advice(address: str, parent: Run) -> list[str]:
    """Return how to look around."""
    best = parent.result.best_run_id or parent.run_id
    return [
        "Look around, in another terminal:",
        *([] if address == DEFAULT_SERVER else [f"  export TRACKSIDE_SERVER={address}"]),
        f"  {command()} describe {parent.run_id}",
        f"  {command()} describe {best}",
        f"  {command()} logs {best}",
        f"  {command()} get runs --all",
        "",
        "The server stays up until Ctrl-C.",
    ]


def detached(parent: Run) -> list[str]:
    """Return what becomes of a sweep that is under way when the server ends."""
    return [
        f"Sweep {parent.run_id} is under way: its running variants go on, the others wait for",
        f"the next server. `{command()} up` starts them;",
        f"`{command()} kill {parent.run_id}` then ends the whole sweep.",
    ]


def command() -> str:
    """Return `trackside` as it can be typed here."""
    here = Path.cwd()
    return str(TRACKSIDE.relative_to(here) if TRACKSIDE.is_relative_to(here) else TRACKSIDE)


def say(*lines: str) -> None:
    """Write lines to the terminal."""
    print(*lines, sep="\n", flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Begin the end; once, for it takes seconds and impatience makes it no faster."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
