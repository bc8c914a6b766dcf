"""What a run has published, had elsewhere by a real server from a real agent."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command_line import Done
from support.eventually import eventually
from support.programs import pause
from support.whole_installation import WholeInstallation
from trackside.client.connection import Connection
from trackside.client.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
)
from trackside.client.handle import RunHandle, get_run
from trackside.client.output_stream import OutputStream
from trackside.location import Location
from trackside_agent import detached
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputRequest

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

MEBIBYTE = 1 << 20
LARGE = 100 * MEBIBYTE
NAMES = ["plain", "a b", "ä/日本", "-rf", "a\nb", "\x1b[2J", "%s", "$(touch x)", "'\"", "CON", "a."]
PUBLISHES = """
import json, os, sys, trackside
names = json.loads(sys.argv[1])
with trackside.start_run("made") as run:
    for name in names:
        os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
        with open(name, "w") as file:
            file.write("in " + name)
        run.output(name)
    with open("bytes", "wb") as file:
        file.write(bytes(range(256)) * 4096)
    run.output("bytes")
    os.makedirs("checkpoint/deep")
    for path in ("checkpoint/config.json", "checkpoint/deep/weights"):
        with open(path, "w") as file:
            file.write('{"layers": 3}')
    os.symlink("/etc/passwd", "checkpoint/link")
    run.output("checkpoint")
"""
PUBLISHES_LARGE = """
import random, trackside
with trackside.start_run("large") as run:
    piece = random.Random(7).randbytes(1 << 20)
    with open("large", "wb") as file:
        for number in range(100):
            file.write(number.to_bytes(4) + piece[4:])
    run.output("large")
"""


def launched(installation: WholeInstallation, folder: Path, program: str, *arguments: str) -> str:
    folder.mkdir()
    words = ["run", "-o", "name", "--workdir", str(folder), "--", sys.executable, "-c", program]
    done = installation.command(*words, *arguments)
    assert done.code == 0, done
    return done.out.split()[0]


@pytest.fixture
def made(
    installation: WholeInstallation, connection: Connection, tmp_path: Path
) -> tuple[RunHandle, Path]:
    """Return a run that has published small files, and where they are."""
    folder = tmp_path / "work"
    run_id = launched(installation, folder, PUBLISHES, json.dumps(NAMES))
    return get_run(run_id, connection=connection), folder


@pytest.fixture(scope="module")
def large(
    installation: WholeInstallation, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Return a run that has published a large file, and where that is."""
    folder = tmp_path_factory.mktemp("large") / "work"
    return launched(installation, folder, PUBLISHES_LARGE), folder / "large"


def resident(pid: int) -> int:
    """Return how much memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def agent_of(installation: WholeInstallation) -> int:
    return eventually(lambda: detached.find_running(installation.home))


def download(installation: WholeInstallation, *words: str) -> Done:
    return installation.command("download", *words)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_every_part_of_a_file_can_be_had(made: tuple[RunHandle, Path]) -> None:
    handle, folder = made
    contents = (folder / "bytes").read_bytes()
    output = handle.outputs().named("bytes")
    size, piece = len(contents), 256 << 10

    for offset in (0, 1, piece - 1, piece, piece + 1, size - 1, size):
        for length in (0, 1, piece - 1, piece, piece + 1, size, size + 1):
            part = output.read(offset, length)
            assert part == contents[offset:][: length or None], (offset, length)


def test_parts_that_cannot_be_are_refused(made: tuple[RunHandle, Path]) -> None:
    handle, _ = made
    output = handle.outputs().named("bytes")

    for offset, length in ((-1, 0), (0, -1), (MEBIBYTE + 1, 0), ((1 << 63) - 1, 1)):
        with pytest.raises(InvalidRequestError):
            output.read(offset, length)


def test_everything_is_had_whatever_its_name(
    installation: WholeInstallation, made: tuple[RunHandle, Path], tmp_path: Path
) -> None:
    handle, folder = made

    done = download(installation, handle.run_id, "--to", str(tmp_path / "here"))

    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert len(done.out.splitlines()) == len(NAMES) + 2
    for name in NAMES:
        had = tmp_path / "here" / name.replace("\n", "_").replace("\x1b", "_")
        assert had.read_text() == f"in {name}"
    assert (tmp_path / "here" / "bytes").read_bytes() == (folder / "bytes").read_bytes()
    checkpoint = tmp_path / "here" / "checkpoint"
    assert (checkpoint / "deep" / "weights").read_text() == '{"layers": 3}'
    assert not os.path.lexists(checkpoint / "link")
    words = ["checkpoint/deep", "checkpoint/config.json", "--to", str(tmp_path / "part")]
    assert download(installation, handle.run_id, *words).code == 0
    had = {str(path.relative_to(tmp_path / "part")) for path in (tmp_path / "part").rglob("*.*")}
    assert had == {"checkpoint/config.json"}
    assert (tmp_path / "part" / "checkpoint" / "deep" / "weights").is_file()


def test_what_took_a_files_place_is_refused_and_what_is_gone_says_so(
    installation: WholeInstallation, made: tuple[RunHandle, Path], tmp_path: Path
) -> None:
    handle, folder = made
    secret = tmp_path / "secret"
    secret.write_text("in plain")  # as long as what was published
    (folder / "plain").unlink()
    (folder / "plain").symlink_to(secret)
    (folder / "a b").unlink()
    os.mkfifo(folder / "a b")
    (folder / "CON").write_text("more than was published")
    (folder / "%s").write_text("if %s")
    (folder / "-rf").unlink()
    (folder / "ä").rename(folder / "moved")
    (folder / "ä").symlink_to("moved")

    done = download(installation, handle.run_id, "--to", str(tmp_path / "here"))
    listed = installation.command("get", "outputs", handle.run_id).out

    had = {path.name for path in (tmp_path / "here").rglob("*") if path.is_file()}
    assert had.isdisjoint({"plain", "a b", "CON", "%s", "-rf", "日本"})
    assert {"bytes", "weights"} <= had
    assert done.code == 1  # that of the first, `%s`
    assert "error: plain: The file cannot be read: it is a link" in done.err
    assert "error: ä/日本: The file cannot be read: it is behind a link" in done.err
    assert "error: a b: The file cannot be read: it is a device, a socket or a pipe" in done.err
    assert "error: CON: The file has 23 bytes, and had 6 when published." in done.err
    assert "error: %s: what came is not what was published" in done.err
    assert "-rf (gone)" in listed
    assert listed.count("(gone)") == 1


def test_other_peoples_runs_are_not_there(
    installation: WholeInstallation, made: tuple[RunHandle, Path], tmp_path: Path
) -> None:
    handle, _ = made
    words = ["token", "create", "ben", "--project", "other"]
    token = installation.command(*words).out.strip()
    location = Location(installation.address, token, tmp_path)

    with Connection(location) as of_ben:
        stream = OutputStream(of_ben, ReadOutputRequest(run_id=handle.run_id, path="bytes"))
        with pytest.raises(NotFoundError) as theirs:
            next(stream)
        nowhere = OutputStream(of_ben, ReadOutputRequest(run_id="0" * 16, path="bytes"))
        with pytest.raises(NotFoundError) as none:
            next(nowhere)

    assert (theirs.value.reason, theirs.value.message) == (none.value.reason, none.value.message)


def test_a_run_that_reports_by_itself_is_read_where_it_is(
    installation: WholeInstallation, connection: Connection, tmp_path: Path
) -> None:
    subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PUBLISHES, '["x"]'],
        cwd=tmp_path,
        env=installation.environment,
        check=True,
    )
    run_id = installation.command("get", "runs", "-o", "name", "--limit", "1").out.split()[0]
    handle = get_run(run_id, connection=connection)

    assert handle.outputs().named("x").read() == b"in x"
    (tmp_path / "x").write_text("xx x")
    with pytest.raises(ConflictError) as raised:
        handle.outputs().named("x").read()
    assert raised.value.reason == "NO_READER"


def test_a_large_file_takes_no_memory_on_its_way(
    installation: WholeInstallation, large: tuple[str, Path], tmp_path: Path
) -> None:
    run_id, path = large
    assert installation._up is not None
    server, agent = installation._up.pid, agent_of(installation)
    download(installation, run_id, "--to", str(tmp_path / "warm"))
    before = (resident(server), resident(agent))
    peaks = [0, 0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.01):
            for index, pid in enumerate((server, agent)):
                peaks[index] = max(peaks[index], resident(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    done = download(installation, run_id, "--to", str(tmp_path / "here"))
    is_over.set()
    watching.join()

    assert done.code == 0
    assert sha256(tmp_path / "here" / "large") == sha256(path)
    grown = [peak - start for peak, start in zip(peaks, before, strict=True)]
    assert max(grown) < 24 * MEBIBYTE, grown


def test_readers_who_do_not_read_hold_nothing_up(
    installation: WholeInstallation, connection: Connection, large: tuple[str, Path]
) -> None:
    run_id, path = large
    assert installation._up is not None
    server, agent = installation._up.pid, agent_of(installation)
    output = get_run(run_id, connection=connection).outputs()[0]
    output.read()
    before = (resident(server), resident(agent))
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(output.open()) for _ in range(8)]
        assert [file.read(1) for file in files] == [path.read_bytes()[:1]] * 8
        with pytest.raises(OverloadedError) as raised:
            output.read()

        done = installation.command("run", "--", "echo", "still here")
        grown = [resident(pid) - start for pid, start in zip((server, agent), before, strict=True)]

    assert raised.value.reason == "TOO_MANY_STREAMS"
    assert done.out == "still here\n"
    assert max(grown) < 48 * MEBIBYTE, grown
    assert len(eventually(lambda: _read(output.read))) == LARGE  # their room is given back
    eventually(lambda: str(path) not in _files_of(agent))


def test_a_read_goes_on_when_agent_and_server_were_killed(
    installation: WholeInstallation, connection: Connection, large: tuple[str, Path]
) -> None:
    run_id, path = large
    output = get_run(run_id, connection=connection).outputs()[0]
    digest = hashlib.sha256()

    with output.open() as file:
        digest.update(file.read(10 * MEBIBYTE))
        installation.kill_agent()
        back = threading.Timer(
            1.0, detached.start_detached, (installation.home, installation.address)
        )
        back.start()
        digest.update(file.read(40 * MEBIBYTE))
        back.join()
        installation.kill()
        installation.start()
        digest.update(file.read())

    assert digest.hexdigest() == sha256(path)


def test_an_interrupted_download_goes_on_where_it_was(
    installation: WholeInstallation, large: tuple[str, Path], tmp_path: Path
) -> None:
    run_id, path = large
    here = tmp_path / "here"
    agent = agent_of(installation)
    pause(agent)  # so that it is for certain not over before it is interrupted
    downloading = installation.open("download", run_id, "--to", str(here))
    os.kill(agent, signal.SIGCONT)
    eventually(lambda: part_bytes(here) or (here / "large").exists())
    downloading.send_signal(signal.SIGINT)
    code = downloading.wait(60)
    left = part_bytes(here)
    was_whole = (here / "large").exists()  # and only then interrupted, or not at all

    done = download(installation, run_id, "--to", str(here))

    assert code in (0, 130)
    assert was_whole == (left == 0)
    assert done.code == 0
    assert [each.name for each in here.iterdir()] == ["large"]
    assert sha256(here / "large") == sha256(path)


def part_bytes(folder: Path) -> int:
    """Return how much of a download is there that is not whole yet."""
    for part in folder.glob(".large.*.part"):
        with contextlib.suppress(FileNotFoundError):  # whole in this moment
            return part.stat().st_size
    return 0


def _read(read: Callable[[], bytes]) -> bytes:
    """Return what is read; nothing while there are too many readers."""
    try:
        return read()
    except OverloadedError:
        return b""


def _files_of(pid: int) -> set[str]:
    found: set[str] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(link))  # noqa: PTH115 - as the system has it
    return found
