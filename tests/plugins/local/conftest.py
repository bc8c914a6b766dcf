"""Fixtures for the tests of the local runner."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.local_runs import LocalRun

Runs = Callable[..., LocalRun]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made: list[LocalRun] = []

    def make(program: str, *arguments: object) -> LocalRun:
        made.append(LocalRun.python(tmp_path, program, *arguments))
        return made[-1]

    yield make
    for run in made:
        run.clean_up()
