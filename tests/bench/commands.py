"""What commands take from the shell, in all, where a server has much: many runs, a long log."""

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench import batches
from bench.figures import Figure
from bench.load import Load, produce
from bench.product import APPEND_LOGS, Product, running
from bench.reading import create_many_runs

_TRACKSIDE: Final = str(Path(sys.executable).with_name("trackside"))
_PRODUCERS: Final = 2
_BATCHES: Final = 5_000
_ONE_CALL: Final = """
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
ask = channel.unary_unary("/trackside.servers.v1.ServersService/GetServer")
ask(b"", metadata=(("authorization", sys.argv[2]),))
"""


@dataclass(frozen=True)
class Taken:
    """What a process took, in milliseconds."""

    wall: float
    cpu: float


def commands() -> list[Figure]:
    """`trackside get runs` of 100,000, `logs --tail` of ten million lines, and starting at all."""
    python = sys.executable
    with running() as product, product.channel() as channel:
        create_many_runs(product, channel)
        run_id = _long_log(product)
        product.settle()
        where = {**product.environment, "TRACKSIDE_SERVER": product.address}
        call = [python, "-c", _ONE_CALL, product.address, product.metadata[0][1]]
        bare, listed, tail = _in_turn(
            [
                call,
                [_TRACKSIDE, "get", "runs"],
                [_TRACKSIDE, "logs", "--tail", "100", run_id],
            ],
            where,
        )
        helped, version = _in_turn([[_TRACKSIDE, "--help"], [_TRACKSIDE, "--version"]], where)
    goal = "≤ 2 of a bare call"
    listing, tailing = "`trackside get runs` of 100,000", "`logs --tail 100` of 10,000,000 lines"
    return [
        Figure(f"{listing}, in all", listed.wall, "ms", "≤ 250 ms", 250),
        Figure(f"{listing}, processor time", listed.cpu, "ms", goal, 2.0, bare.cpu),
        Figure(f"{tailing}, in all", tail.wall, "ms", "≤ 250 ms", 250),
        Figure(f"{tailing}, processor time", tail.cpu, "ms", goal, 2.0, bare.cpu),
        Figure("`trackside --help`, processor time", helped.cpu, "ms", "≤ 150 ms", 150),
        Figure("`trackside --version`, processor time", version.cpu, "ms", "≤ 100 ms", 100),
    ]


def _long_log(product: Product) -> str:
    """Have ten million lines of one run taken in and return the run's id."""
    (run_id,) = product.runs(1)
    load = Load(seconds=120, window=32, limit=_BATCHES)
    templates = [
        batches.lines(run_id, f"p{index}", count=1000, seed=index) for index in range(_PRODUCERS)
    ]
    produced = produce(product.target(APPEND_LOGS), templates, load)
    assert produced.items == 10_000_000
    return run_id


def _in_turn(
    words: Sequence[Sequence[str]], environment: Mapping[str, str], rounds: int = 7
) -> list[Taken]:
    """Run commands in turn, several times, and return the medians of what each took."""
    taken = [[_taken(command, environment) for command in words] for _ in range(rounds)]
    return [
        Taken(median(one.wall for one in column), median(one.cpu for one in column))
        for column in zip(*taken, strict=True)
    ]


def _taken(command: Sequence[str], environment: Mapping[str, str]) -> Taken:
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Taken(wall * 1000, cpu * 1000)
