"""How a runner ends what it has launched: by a kill, a stop, a limit."""

# ruff: noqa: D103, PLR2004 - tests: their names say what they are about

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from trackside_plugin_interface.reports import EndReason
from trackside_plugin_interface.runner import Runner
from trackside_plugin_interface.testing import programs
from trackside_plugin_interface.testing.host import Host, Hosts, Specs, as_stored, ending, locked
from trackside_plugin_interface.testing.programs import python
from trackside_plugin_interface.testing.recording import RecordingReporter

MEBIBYTE: Final = 1024 * 1024


def test_kill_leaves_no_process(hosts: Hosts, specs: Specs, tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    program = programs.RESISTS
    spec = specs(python(program, folder, 2), environment={"TEST_PROGRAM": program})
    host, reporter = hosts(), RecordingReporter()

    async def kill() -> None:
        handle = await host.within(host.runner.launch(spec, reporter))
        with host.following(handle, reporter) as follower:
            await follower.until(lambda _: len(locked(folder)) == 7)
            await host.within(host.runner.kill(handle))
            assert not locked(folder)
            await follower.until_ended()
            await host.within(host.runner.kill(handle))

    try:
        asyncio.run(kill())
    finally:
        shutil.rmtree(folder)

    assert ending(reporter).exit_code != 0


def test_killing_a_run_that_has_ended_changes_nothing(hosts: Hosts, specs: Specs) -> None:
    spec, host = specs(python(programs.ENDS, 7)), hosts()
    reporter = RecordingReporter()

    async def kill() -> None:
        handle = await host.within(host.runner.launch(spec, reporter))
        await host.within(host.runner.adopt(handle, RecordingReporter()))
        await host.within(host.runner.kill(handle))
        await host.within(host.runner.adopt(handle, reporter))

    asyncio.run(kill())

    assert ending(reporter).exit_code == 7
    assert ending(reporter).on_request is not True


@pytest.fixture(name="gentle")
def _gentle(hosts: Hosts) -> Host:
    host = hosts()
    if type(host.runner).stop is Runner.stop:
        pytest.skip("the engine knows no gentle end, and a stop kills")
    return host


def test_stop_lets_a_run_clean_up(gentle: Host, specs: Specs, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    spec = specs(python(programs.CLEANS_UP, tmp_path / "go", 5))
    reporter = RecordingReporter()

    async def stop() -> bool:
        handle = await gentle.within(gentle.runner.launch(spec, reporter))
        with gentle.following(handle, reporter) as follower:
            await follower.until(lambda reporter: b"up\n" in reporter.output())
            in_time = await gentle.within(gentle.runner.stop(handle, 600.0))
            await follower.until_ended()
        return in_time

    assert asyncio.run(stop())
    assert reporter.output() == b"up\ntold 1\ncleaned up\n"
    assert ending(reporter).exit_code == 5


@pytest.mark.parametrize("crashed", [False, True], ids=["same host", "host after a crash"])
def test_stop_that_comes_twice_tells_a_run_once(
    gentle: Host, hosts: Hosts, specs: Specs, tmp_path: Path, *, crashed: bool
) -> None:
    spec = specs(python(programs.CLEANS_UP, tmp_path / "go", 0))
    reporter = RecordingReporter()
    other = hosts() if crashed else gentle

    async def stop() -> None:
        handle = as_stored(await gentle.within(gentle.runner.launch(spec, reporter)))
        with gentle.following(handle, reporter) as follower:
            await follower.until(lambda reporter: b"up\n" in reporter.output())
            first = asyncio.ensure_future(gentle.runner.stop(handle, 600.0))
            await follower.until(lambda reporter: b"told" in reporter.output())
            first.cancel()
            second = asyncio.ensure_future(other.runner.stop(handle, 600.0))
            await asyncio.sleep(0)
            (tmp_path / "go").touch()
            await follower.until_ended()
            await other.within(_result(second))

    asyncio.run(stop())

    assert reporter.output() == b"up\ntold 1\ncleaned up\n"


def test_stop_says_that_the_grace_time_was_not_enough(
    gentle: Host, specs: Specs, tmp_path: Path
) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    spec, reporter = specs(python(programs.RESISTS, folder, 0)), RecordingReporter()

    async def stop() -> bool:
        handle = await gentle.within(gentle.runner.launch(spec, reporter))
        with gentle.following(handle, reporter) as follower:
            await follower.until(lambda _: len(locked(folder)) == 1)
            in_time = await gentle.within(gentle.runner.stop(handle, 0.3))
            await gentle.within(gentle.runner.kill(handle))
            assert not locked(folder)
            await follower.until_ended()
        return in_time

    try:
        assert not asyncio.run(stop())
    finally:
        shutil.rmtree(folder)


def test_kill_overtakes_a_stop(gentle: Host, specs: Specs, tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    spec, reporter = specs(python(programs.RESISTS, folder, 0)), RecordingReporter()

    async def stop_and_kill() -> None:
        handle = await gentle.within(gentle.runner.launch(spec, reporter))
        with gentle.following(handle, reporter) as follower:
            await follower.until(lambda _: len(locked(folder)) == 1)
            stopping = asyncio.ensure_future(gentle.runner.stop(handle, 600.0))
            await asyncio.sleep(0)
            stopping.cancel()
            await gentle.within(gentle.runner.kill(handle))
            assert not locked(folder)
            await follower.until_ended()

    try:
        asyncio.run(stop_and_kill())
    finally:
        shutil.rmtree(folder)


def test_stopping_a_run_that_has_ended_changes_nothing(gentle: Host, specs: Specs) -> None:
    spec, reporter = specs(python(programs.ENDS, 7)), RecordingReporter()

    async def stop() -> bool:
        handle = await gentle.within(gentle.runner.launch(spec, reporter))
        await gentle.within(gentle.runner.adopt(handle, RecordingReporter()))
        in_time = await gentle.within(gentle.runner.stop(handle, 600.0))
        await gentle.within(gentle.runner.adopt(handle, reporter))
        return in_time

    assert asyncio.run(stop())
    assert ending(reporter).exit_code == 7
    assert ending(reporter).on_request is not True


def test_time_limit_holds_with_the_host_away(hosts: Hosts, specs: Specs, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    spec = specs(python(programs.CLEANS_UP, tmp_path / "go", 0))
    first, second, reporter = hosts(), hosts(), RecordingReporter()
    limited = replace(spec, time_limit_seconds=1.0)
    handle = asyncio.run(first.within(first.runner.launch(limited, RecordingReporter())))

    asyncio.run(second.within(second.runner.adopt(as_stored(handle), reporter)))

    assert ending(reporter).reason == EndReason.TIME_LIMIT


def test_memory_limit_holds_with_the_host_away(hosts: Hosts, specs: Specs) -> None:
    spec = specs(python(programs.TAKES_MEMORY, 192))
    first, second, reporter = hosts(), hosts(), RecordingReporter()
    limited = replace(spec, memory_limit_bytes=96 * MEBIBYTE)
    handle = asyncio.run(first.within(first.runner.launch(limited, RecordingReporter())))

    asyncio.run(second.within(second.runner.adopt(as_stored(handle), reporter)))

    assert ending(reporter).reason == EndReason.OUT_OF_MEMORY


async def _result(task: asyncio.Future[bool]) -> bool:
    return await task
