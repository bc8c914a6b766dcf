import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from trackside_serving.process import run
from trackside_serving.starting import PortTakenError

async def serve(stop):
    print(type(asyncio.get_running_loop()).__module__, flush=True)
    await stop.wait()
    print("going down", flush=True)

async def stick(stop):
    await serve(stop)
    await asyncio.Event().wait()

async def refuse(stop):
    raise PortTakenError("127.0.0.1:8750 is taken")

sys.exit(run(globals()[sys.argv[1]]))
"""


def started(main: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, main],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_cleanly_on_uvloop(number: signal.Signals) -> None:
    with started("serve") as process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate()

    assert (first, rest, errors) == ("uvloop\n", "going down\n", "")
    assert process.returncode == 0


def test_a_second_signal_ends_a_server_that_is_stuck() -> None:
    with started("stick") as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate()

    assert process.returncode == 70


def test_a_server_that_cannot_start_says_why_in_one_line() -> None:
    with started("refuse") as process:
        _, errors = process.communicate()

    assert errors == "trackside: 127.0.0.1:8750 is taken\n"
    assert process.returncode == 78
