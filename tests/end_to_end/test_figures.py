import contextlib
import os
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest

from support.apart_installation import ApartInstallation
from support.eventually import eventually
from support.programs import Programs
from support.whole_installation import TRACKSIDE, WholeInstallation
from trackside.client.connection import Connection
from trackside.client.watch import watch_runs
from trackside.location import Location
from trackside_protos.runs.v1.run_pb2 import Run

pytestmark = pytest.mark.end_to_end

LIVE = 'name = "learner" AND last.accuracy > 0.9'

LEARNS = """
import sys, trackside
with trackside.start_run("learner", system_metrics=False) as run:
    for step, line in enumerate(sys.stdin):
        run.log({"accuracy": float(line), "train/loss": 1 / (step + 1)}, step=step)
        print("logged", flush=True)
"""


@contextlib.contextmanager
def one_process(folder: Path, _: pytest.FixtureRequest) -> Generator[Mapping[str, str]]:
    installation = WholeInstallation(folder / "home")
    installation.start()
    yield installation.environment
    installation.stop()


@contextlib.contextmanager
def services_apart(folder: Path, request: pytest.FixtureRequest) -> Generator[Mapping[str, str]]:
    installation = ApartInstallation(
        folder,
        database_url=request.getfixturevalue("postgresql_url"),
        redis_url=request.getfixturevalue("redis_url"),
    )
    one_replica = installation.replicas[0].values()
    try:
        for process in one_replica:
            process.launch()
        for process in one_replica:
            process.wait_until_ready()
        yield installation.environment()
    finally:
        installation.stop()


@pytest.fixture(
    params=[
        one_process,
        pytest.param(services_apart, marks=[pytest.mark.postgresql, pytest.mark.redis]),
    ]
)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    opened: Callable[..., contextlib.AbstractContextManager[Mapping[str, str]]] = request.param
    with opened(tmp_path, request) as environment:
        yield environment


def command(environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own program
        [TRACKSIDE, *words], env={**os.environ, **environment}, capture_output=True, check=True
    )
    return done.stdout.decode()


def test_a_run_is_found_by_its_figures_and_enters_and_leaves_a_live_list(
    environment: Mapping[str, str],
) -> None:
    home, address = Path(environment["TRACKSIDE_HOME"]), environment["TRACKSIDE_SERVER"]
    connection = Connection(Location(address, "", home))
    learner = Programs(home, address, token="").start(LEARNS)
    assert learner.stdin is not None
    assert learner.stdout is not None

    def log(accuracy: float) -> None:
        print(accuracy, file=learner.stdin, flush=True)
        assert learner.stdout is not None
        assert learner.stdout.readline() == "logged\n"

    def found(*options: str) -> list[str]:
        return command(environment, "get", "runs", "--all", "-o", "name", *options).split()

    log(0.5)
    with watch_runs(connection, LIVE) as watch:
        news = iter(watch)
        while not next(news).caught_up:
            pass
        log(0.95)
        entered = next(change.run for response in news for change in response.changes)
        log(0.7)
        left = next(
            change.left_run_id
            for response in news
            for change in response.changes
            if change.left_run_id
        )

    assert left == entered.run_id
    assert figures(entered)["accuracy"] == (0.95, 0.95)
    assert found("--filter", "best.accuracy > 0.9") == [left]
    assert found("--filter", "last.accuracy > 0.9") == []
    low = ("--filter", 'best."train/loss" < 0.4', "--sort", "best.accuracy desc")
    eventually(lambda: found(*low) == [left])
    learner.communicate(timeout=60)
    wide = command(environment, "get", "runs", "--all", "-o", "wide")
    assert "accuracy=0.95" in wide
    connection.close()


def figures(run: Run) -> dict[str, tuple[float, float]]:
    return {figure.key: (figure.last, figure.best) for figure in run.series_figures}
