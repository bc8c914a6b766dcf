import subprocess
import sys

import pytest

import trackside


def test_the_public_names_are_these() -> None:
    assert sorted(trackside.__all__) == [
        "Run",
        "RunHandle",
        "Scope",
        "Task",
        "TracksideError",
        "current_run",
        "get_run",
        "launch",
        "list_runs",
        "progress",
        "scope",
        "start_run",
        "task",
    ]
    assert dir(trackside) == sorted(trackside.__all__)


def test_every_public_name_is_there() -> None:
    assert all(getattr(trackside, name) is not None for name in trackside.__all__)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = getattr(trackside, "nothing")  # noqa: B009 - a type checker knows that it is not there


def test_importing_is_cheap_and_loads_neither_grpc_nor_protobuf() -> None:
    source = """
import sys, time
import importlib, typing
before = time.process_time()
import trackside
print(time.process_time() - before)
print(sorted({"grpc", "google.protobuf", "numpy"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", source]

    printed = [
        subprocess.check_output(command, text=True).splitlines()  # noqa: S603 - our own words
        for _ in range(3)
    ]

    assert min(float(seconds) for seconds, _ in printed) < 0.06
    assert {modules for _, modules in printed} == {"[]"}
