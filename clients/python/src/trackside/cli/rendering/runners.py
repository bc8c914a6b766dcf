"""Runners, one line each."""

from collections.abc import Sequence
from datetime import datetime

from trackside.cli.paint import Paint, Style, Text
from trackside.cli.safe_text import harmless_cell
from trackside.cli.tables import Cell, table
from trackside.cli.times import ago
from trackside_protos.runners.v1.runners_service_pb2 import Runner


def runner_table(
    runners: Sequence[Runner],
    now: datetime,
    paint: Paint,
    *,
    wide: bool = False,
    width: int | None = None,
) -> list[str]:
    """Return a table of runners."""
    rows: list[list[Cell]] = []
    for runner in runners:
        row: list[Cell] = [
            harmless_cell(runner.name),
            harmless_cell(runner.host),
            _state(runner),
            f"{runner.active_count}/{runner.capacity}",
            ago(runner.heartbeat_time, now),
        ]
        if wide:
            row += [harmless_cell(runner.agent_id), harmless_cell(runner.version)]
        rows.append(row)
    headers = ["RUNNER", "HOST", "STATE", "RUNS", "HEARD FROM"]
    headers += ["AGENT", "VERSION"] if wide else []
    return table(headers, rows, paint, width=None if wide else width, flexible=["STATE"])


def _state(runner: Runner) -> Text:
    if runner.fault:
        return Text(f"unusable: {harmless_cell(runner.fault)}", Style.BAD)
    return Text("connected", Style.GOOD) if runner.connected else Text("away", Style.NOTABLE)
