"""The benchmarks' command: runs scenarios in rounds and tells the medians."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import (
    agents,
    commands,
    disk,
    fanout,
    footprint,
    latency,
    page,
    reading,
    servers,
    throughput,
)
from bench.figures import Figure, medians, table


@dataclass(frozen=True)
class Scenario:
    """Something to measure; what has no yardstick repeats by itself and needs no rounds."""

    measure: Callable[[], list[Figure]]
    is_compared: bool = False


def through_redis() -> list[Figure]:
    """Measure between two processes, where PostgreSQL and Redis are installed."""
    if not servers.are_installed():
        _say("redis: skipped; `make servers` installs PostgreSQL and Redis")
        return []
    with servers.started() as both:
        return latency.through_redis(both)


SCENARIOS: Final = {
    "points": Scenario(throughput.points, is_compared=True),
    "lines": Scenario(throughput.lines, is_compared=True),
    "small": Scenario(throughput.small_batches, is_compared=True),
    "latency": Scenario(latency.in_one_process, is_compared=True),
    "redis": Scenario(through_redis, is_compared=True),
    "fanout": Scenario(fanout.many_watchers, is_compared=True),
    "stalled": Scenario(fanout.beside_stalled, is_compared=True),
    "training": Scenario(throughput.training),
    "disk": Scenario(disk.disk),
    "million": Scenario(reading.million_points),
    "runs": Scenario(reading.many_runs),
    "tasks": Scenario(reading.many_tasks),
    "commands": Scenario(commands.commands),
    "agents": Scenario(agents.many_runs),
    "client": Scenario(footprint.client),
    "memory": Scenario(footprint.memory),
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "scenario", nargs="*", choices=[[], *SCENARIOS], help="what to measure; default: all"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often it is compared")
    arguments = parser.parse_args()
    names: list[str] = arguments.scenario or list(SCENARIOS)
    figures = medians(_rounds(names, arguments.rounds))
    print(table(figures), end="")
    if not arguments.scenario:
        page.write(figures, arguments.rounds)


def _rounds(names: Sequence[str], rounds: int) -> list[list[Figure]]:
    return [
        _measured(name, number)
        for number in range(1, rounds + 1)
        for name in names
        if number == 1 or SCENARIOS[name].is_compared
    ]


def _measured(name: str, number: int) -> list[Figure]:
    begin = time.monotonic()
    figures = SCENARIOS[name].measure()
    _say(f"round {number}: {name}, {time.monotonic() - begin:.0f} s")
    return figures


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
