"""Limits and usage, as told to the server."""

import sys

import pytest

from support.agents import AgentProcess
from support.control_room import ControlRoom, Told
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

pytestmark = pytest.mark.end_to_end

CATCHES = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
time.sleep(600)
"""
TAKES = "taken = bytearray(b'x' * (200 << 20)); import time; time.sleep(600)"


def assert_failed(told: Told, reason: "StateReason.ValueType", message: str) -> None:
    assert told.ending is not None
    assert told.ending.state == RunState.RUN_STATE_FAILED
    assert told.ending.reason == reason
    assert told.ending.message.endswith(message)


def test_run_that_takes_too_long_says_so(agent: AgentProcess, room: ControlRoom) -> None:
    run = agent.new_run(python(CATCHES))
    run.launch.time_limit_duration.FromMilliseconds(700)
    agent.start()
    room.assign(run)

    told = room.ended(run.run_id)

    assert_failed(told, StateReason.STATE_REASON_TIME_LIMIT, "; the limit is 0.7 s")


def test_limits_hold_with_the_agent_away(agent: AgentProcess, room: ControlRoom) -> None:
    run = agent.new_run(python(TAKES))
    run.launch.memory_limit_bytes = 128 << 20
    run.launch.time_limit_duration.FromSeconds(600)
    start_and_lose_agent(agent, room, run)
    agent.start()

    told = room.ended(run.run_id)

    assert_failed(told, StateReason.STATE_REASON_OUT_OF_MEMORY, "the limit is 128.0 MiB")


def test_usage_is_told_before_the_end(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run("data = bytearray(64 << 20); sum(range(2_000_000))")

    told = room.ended(run_id)

    kinds = [report.WhichOneof("report") for report in told.reports]
    assert kinds[::-1].index("usage") > kinds[::-1].index("state")
    usage = told.usages[-1]
    assert usage.peak_memory_bytes > 64 << 20
    assert usage.processor_duration.ToMilliseconds() > 10


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def start_and_lose_agent(agent: AgentProcess, room: ControlRoom, run: Run) -> None:
    agent.start()
    room.assign(run)
    start = agent.folder(run.run_id) / "runner" / "start.json"
    room.wait(start.exists)
    agent.kill()
