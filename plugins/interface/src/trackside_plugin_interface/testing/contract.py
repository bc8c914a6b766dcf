"""The contract of a runner, as tests; collected by `pytest --trackside-runner NAME`."""

# ruff: noqa: D103, PLR2004 - tests: their names say what they are about

import asyncio
import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from trackside_plugin_interface.deletions import DoomedOutput, OutputDirectory
from trackside_plugin_interface.discovery import NAME
from trackside_plugin_interface.errors import (
    FileChangedError,
    FileGoneError,
    FileNotRegularError,
    FileOutsideError,
    FileUnreadableError,
    ReadingUnsupportedError,
    SpecRefusedError,
    UnsafeDirectoryError,
)
from trackside_plugin_interface.files import OpenedFile, OpenedFolder, OutputPlace
from trackside_plugin_interface.reports import EndReason, RunState
from trackside_plugin_interface.runner import Handle, Runner, RunSpec
from trackside_plugin_interface.testing import programs
from trackside_plugin_interface.testing.host import Host, as_stored, ending, locked
from trackside_plugin_interface.testing.programs import python
from trackside_plugin_interface.testing.recording import RecordingReporter

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
MEBIBYTE: Final = 1024 * 1024


Hosts = Callable[[], Host]
Specs = Callable[..., RunSpec]


@pytest.fixture(name="hosts")
def _hosts(request: pytest.FixtureRequest) -> Hosts:
    options = request.config.option
    return lambda: Host(options.trackside_runner, options.trackside_timeout)


@pytest.fixture(name="specs")
def _specs(tmp_path: Path) -> Specs:
    def make(
        command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: str = ""
    ) -> RunSpec:
        run_id = "".join(secrets.choice(ALPHABET) for _ in range(16))
        run_directory = tmp_path / run_id
        run_directory.mkdir()
        return RunSpec(
            run_id=run_id,
            name="contract",
            command=command,
            work_directory=folder or str(tmp_path),
            environment=environment or {},
            server="127.0.0.1:1",
            token=run_id[::-1],
            run_directory=run_directory,
        )

    return make


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


@pytest.fixture(name="published")
def _published(hosts: Hosts, specs: Specs, tmp_path: Path) -> Path:
    """Return the folder in which a run that has ended has written its files."""
    folder = tmp_path / "published"
    asyncio.run(hosts().run(specs(python(programs.PUBLISHES, folder))))
    return folder


def test_published_file_is_read_from_anywhere_in_it(hosts: Hosts, published: Path) -> None:
    contents = b"0123456789" * 30_000

    async def read(offset: int, limit: int) -> bytes:
        host = hosts()  # another than the one that ran it
        file = await _opened(host, published / "file")
        assert isinstance(file, OpenedFile)
        assert file.size_bytes == len(contents)
        try:
            return await host.within(file.read(offset, limit))
        finally:
            await host.within(file.close())
            await host.within(file.close())

    for offset, limit in ((0, 262_144), (123_457, 1), (len(contents) - 3, 3)):
        piece = asyncio.run(read(offset, limit))
        assert piece
        assert piece == contents[offset : offset + limit][: len(piece)]


def test_published_folder_tells_its_files_and_no_links(hosts: Hosts, published: Path) -> None:
    async def listed() -> Mapping[str, int]:
        host = hosts()
        folder = await _opened(host, published / "folder")
        assert isinstance(folder, OpenedFolder)
        found: dict[str, int] = {}
        while files := await host.within(folder.next_files(1)):
            found |= {file.path: file.size_bytes for file in files}
        assert folder.skipped_count == 1
        await host.within(folder.close())
        return found

    assert asyncio.run(listed()) == {"a": 300_000, "deep/b\n": 300_000}


def test_file_of_a_published_folder_is_read(hosts: Hosts, published: Path) -> None:
    async def read() -> bytes:
        host = hosts()
        file = await _opened(host, published / "folder", "deep/b\n")
        assert isinstance(file, OpenedFile)
        try:
            return await host.within(file.read(5, 10))
        finally:
            await host.within(file.close())

    assert asyncio.run(read()) == b"5678901234"


@pytest.mark.parametrize(
    ("location", "member"),
    [
        ("link", ""),
        ("pipe", ""),
        ("folders", ""),
        ("folders/a", ""),
        ("folder", "link"),
        ("folder/../secret", ""),
        ("folder", "../secret"),
    ],
)
def test_links_and_pipes_are_refused_and_nothing_waits(
    hosts: Hosts, published: Path, location: str, member: str
) -> None:
    with pytest.raises(FileNotRegularError):
        asyncio.run(_opened(hosts(), f"{published}/{location}", member))


@pytest.mark.parametrize(("location", "member"), [("gone", ""), ("folder", "gone")])
def test_file_that_is_gone_is_said_to_be_gone(
    hosts: Hosts, published: Path, location: str, member: str
) -> None:
    with pytest.raises(FileGoneError):
        asyncio.run(_opened(hosts(), published / location, member))


@pytest.fixture(name="deletable")
def _deletable(hosts: Hosts, specs: Specs, tmp_path: Path) -> OutputDirectory:
    """Return the directory of a run that has ended and has written its files there."""
    work = tmp_path / "work"
    work.mkdir()
    spec = specs(python(programs.PUBLISHES, work / "published"), folder=str(work))
    reports = asyncio.run(hosts().run(spec)).reports
    directories = [report for report in reports if isinstance(report, OutputDirectory)]
    if not directories:
        pytest.skip("the runner deletes nothing")
    return directories[-1]


def test_published_file_is_deleted_and_nothing_else(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    folder = Path(deletable.path, "published")
    before = sorted(folder.rglob("*"))

    assert asyncio.run(_deleted(hosts, _doomed(deletable, folder / "file"))) == 300_000

    assert [path for path in before if not os.path.lexists(path)] == [folder / "file"]


def test_published_folder_is_deleted_but_for_what_is_no_file(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    folder = Path(deletable.path, "published")
    doomed = replace(_doomed(deletable, folder / "folder"), size_bytes=600_000)

    assert asyncio.run(_deleted(hosts, doomed)) == 600_000

    assert [path.name for path in (folder / "folder").iterdir()] == ["link"]
    assert (folder / "secret").read_text() == "secret"


def test_what_is_deleted_already_is_gone_and_counts(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    doomed = _doomed(deletable, Path(deletable.path, "published", "file"))

    async def delete() -> int:
        examined = as_stored(await hosts().runner.examine_output(doomed))
        await hosts().runner.delete_output(doomed, examined)
        return await hosts().runner.delete_output(doomed, examined)

    assert asyncio.run(delete()) == 300_000
    with pytest.raises(FileGoneError):
        asyncio.run(hosts().runner.examine_output(doomed))


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("link", FileNotRegularError),
        ("pipe", FileNotRegularError),
        ("folders", FileNotRegularError),
        ("folders/a", FileNotRegularError),
        ("gone", FileGoneError),
        ("folder/../file", FileOutsideError),
        ("../../elsewhere", FileOutsideError),
        ("secret", FileChangedError),
    ],
)
def test_what_is_not_what_was_published_is_kept(
    hosts: Hosts, deletable: OutputDirectory, location: str, error: type[FileUnreadableError]
) -> None:
    folder = Path(deletable.path, "published")
    before = sorted(folder.rglob("*"))

    with pytest.raises(error):
        asyncio.run(_deleted(hosts, _doomed(deletable, f"{folder}/{location}")))

    assert sorted(folder.rglob("*")) == before


def test_in_another_directory_of_that_name_nothing_is_deleted(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    work = Path(deletable.path)
    shutil.copytree(
        work, work.with_name("copy"), symlinks=True, ignore=shutil.ignore_patterns("pipe")
    )
    work.rename(work.with_name("moved"))
    work.with_name("copy").rename(work)

    with pytest.raises(UnsafeDirectoryError):
        asyncio.run(_deleted(hosts, _doomed(deletable, work / "published" / "file")))

    assert (work / "published" / "file").exists()


def _doomed(directory: OutputDirectory, location: Path | str) -> DoomedOutput:
    return DoomedOutput(
        run_id="0" * 16,
        directory=directory,
        location=str(location),
        size_bytes=300_000,
        checksum="",
    )


async def _deleted(hosts: Hosts, doomed: DoomedOutput) -> int:
    host = hosts()  # another than the one that ran it
    examined = as_stored(await host.within(host.runner.examine_output(doomed)))
    return await host.within(hosts().runner.delete_output(doomed, examined))


async def _opened(host: Host, location: Path | str, member: str = "") -> OpenedFile | OpenedFolder:
    place = OutputPlace(run_id="0" * 16, location=str(location), member=member)
    try:
        return await host.within(host.runner.open_output(place))
    except ReadingUnsupportedError:
        pytest.skip("the runner reads no files")


async def _appears(path: Path) -> None:
    while not path.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.01)


async def _result(task: asyncio.Future[bool]) -> bool:
    return await task
