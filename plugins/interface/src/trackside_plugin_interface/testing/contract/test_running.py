"""What a runner tells of what it launches, and that it launches it once."""

# ruff: noqa: D103, PLR2004 - tests: their names say what they are about

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from trackside_plugin_interface.discovery import NAME
from trackside_plugin_interface.errors import (
    SpecRefusedError,
)
from trackside_plugin_interface.reports import RunState
from trackside_plugin_interface.runner import Handle
from trackside_plugin_interface.testing import programs
from trackside_plugin_interface.testing.host import Hosts, Specs, as_stored, ending
from trackside_plugin_interface.testing.programs import python
from trackside_plugin_interface.testing.recording import RecordingReporter

MEBIBYTE: Final = 1024 * 1024


def test_name_and_capacity_are_legal(hosts: Hosts) -> None:
    runner = hosts().runner

    assert NAME.fullmatch(runner.name)
    assert runner.capacity >= 1


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code_is_reported(hosts: Hosts, specs: Specs, code: int) -> None:
    reporter = asyncio.run(hosts().run(specs(python(programs.ENDS, code))))

    assert ending(reporter).exit_code == code
    assert ending(reporter).exit_signal is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signal_is_reported(hosts: Hosts, specs: Specs, number: signal.Signals) -> None:
    spec = specs(python(programs.ENDS_BY_SIGNAL), environment={"TEST_SIGNAL": str(number.value)})

    end = ending(asyncio.run(hosts().run(spec)))

    assert end.exit_signal == number or end.exit_code == 128 + number


def test_running_is_reported(hosts: Hosts, specs: Specs) -> None:
    reporter = asyncio.run(hosts().run(specs(python(programs.ENDS, 0))))

    assert RunState.RUNNING in reporter.states


def test_output_is_complete_and_in_order(hosts: Hosts, specs: Specs) -> None:
    reporter = asyncio.run(hosts().run(specs(python(programs.COUNTS, 30_000))))

    lines = b"".join(bytes(text) for text in reporter.written.values()).split()
    assert sorted(lines, key=int) == [b"%d" % number for number in range(30_000)]
    for text in reporter.written.values():
        numbers = [int(line) for line in text.split()]
        assert len(reporter.written) == 1 or numbers == sorted(numbers)


@pytest.mark.parametrize("written", [b"\xff\xfe\x00\xc3(\n", b"no line end", b"a\r\nb\rc\n"])
def test_bytes_are_reported_as_they_are(hosts: Hosts, specs: Specs, written: bytes) -> None:
    reporter = asyncio.run(hosts().run(specs(python(programs.WRITES_HEX, written.hex()))))

    assert reporter.output() == written


def test_very_long_line_is_reported_whole(hosts: Hosts, specs: Specs) -> None:
    reporter = asyncio.run(hosts().run(specs(python(programs.WRITES_LONG_LINE, 8 * MEBIBYTE))))

    assert reporter.output() == b"x" * 8 * MEBIBYTE + b"\nlast\n"


def test_arguments_directory_and_environment_arrive(
    hosts: Hosts, specs: Specs, tmp_path: Path
) -> None:
    arguments = ["a b", "$HOME", "'", '"', "*", ";", "-x", "", "ä\n"]
    spec = specs(python(programs.PRINTS_FACTS, *arguments), environment={"TEST_VALUE": "ä = 1"})

    facts = json.loads(asyncio.run(hosts().run(spec)).output())

    assert facts["arguments"] == arguments
    assert Path(facts["directory"]).resolve() == tmp_path.resolve()
    expected = {
        "TEST_VALUE": "ä = 1",
        "TRACKSIDE_SERVER": spec.server,
        "TRACKSIDE_RUN_ID": spec.run_id,
        "TRACKSIDE_TOKEN": spec.token,
    }
    ours = {key: facts["environment"].get(key) for key in expected}
    assert ours == expected
    assert {key for key in facts["environment"] if key.startswith("TRACKSIDE_")} <= set(expected)


def test_command_that_does_not_exist_is_refused(hosts: Hosts, specs: Specs) -> None:
    with pytest.raises(SpecRefusedError, match="/no/such/program"):
        asyncio.run(hosts().run(specs(["/no/such/program"])))


def test_second_launch_finds_the_first(hosts: Hosts, specs: Specs, tmp_path: Path) -> None:
    spec = specs(python(programs.APPENDS, tmp_path / "starts"))
    host, reporter = hosts(), RecordingReporter()

    async def twice() -> Sequence[Handle]:
        first = await host.within(host.runner.launch(spec, reporter))
        second = await host.within(host.runner.launch(spec, reporter))
        await host.within(host.runner.adopt(as_stored(second), reporter))
        return [as_stored(first), as_stored(second)]

    first, second = asyncio.run(twice())

    assert first == second
    assert (tmp_path / "starts").read_text() == "started "


def test_launch_after_a_crash_of_the_host_finds_the_first(
    hosts: Hosts, specs: Specs, tmp_path: Path
) -> None:
    spec = specs(python(programs.APPENDS, tmp_path / "starts"))
    first, second = hosts(), hosts()

    async def launch() -> None:
        await first.within(first.runner.launch(spec, RecordingReporter()))
        await first.within(_appears(tmp_path / "starts"))

    asyncio.run(launch())

    reporter = asyncio.run(second.run(spec))

    assert (tmp_path / "starts").read_text() == "started "
    assert ending(reporter).exit_code == 0


def test_launches_at_the_same_time_start_one(hosts: Hosts, specs: Specs, tmp_path: Path) -> None:
    spec = specs(python(programs.APPENDS, tmp_path / "starts"))
    host = hosts()

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            launches = [
                group.create_task(host.within(host.runner.launch(spec, RecordingReporter())))
                for _ in range(5)
            ]
        await host.within(host.runner.adopt(launches[0].result(), RecordingReporter()))

    asyncio.run(together())

    assert (tmp_path / "starts").read_text() == "started "


@pytest.mark.parametrize("ended", [False, True], ids=["still running", "ended meanwhile"])
def test_restarted_host_goes_on_where_it_was(
    hosts: Hosts, specs: Specs, tmp_path: Path, *, ended: bool
) -> None:
    spec = specs(python(programs.COUNTS_SLOWLY, tmp_path / "go"))
    first, before = hosts(), RecordingReporter()

    async def begin() -> Handle:
        handle = await first.within(first.runner.launch(spec, before))
        with first.following(handle, before) as follower:
            await follower.until(lambda reporter: b"\n200\n" in reporter.output())
        await first.runner.close()
        return as_stored(handle)

    handle = asyncio.run(begin())
    if ended:
        (tmp_path / "go").touch()
    second, after = hosts(), before.after_restart()

    async def go_on() -> None:
        with second.following(handle, after) as follower:
            if not ended:
                await follower.until(lambda reporter: b"\n499\n" in reporter.output())
                (tmp_path / "go").touch()
            await follower.until_ended()

    asyncio.run(go_on())

    assert [int(line) for line in after.output().split()] == list(range(1000))
    assert ending(after).exit_code == 3


async def _appears(path: Path) -> None:
    while not path.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.01)
