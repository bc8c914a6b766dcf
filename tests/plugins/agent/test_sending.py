"""A whole agent that is asked for the files of its runs, by a server in memory."""

import os
from pathlib import Path
from typing import Final

import pytest

from support.agents import AgentProcess, new_run_id
from support.control_room import ControlRoom, Sent
from trackside_protos.runners.v1.runners_service_pb2 import FileRead, FileRefusalKind

pytestmark = pytest.mark.end_to_end

PIECE: Final = 256 << 10
MEBIBYTE: Final = 1 << 20


def ask(path: Path | str, **fields: object) -> FileRead:
    values = {"run_id": new_run_id(), "runner": "local", "location": str(path), **fields}
    return FileRead(read_id=new_run_id(), **values)  # pyright: ignore[reportArgumentType] - whatever a test asks


def kind(sent: Sent) -> str:
    name = FileRefusalKind.Name(sent.pieces[-1].refusal.kind)
    return name.removeprefix("FILE_REFUSAL_KIND_")


def files_of(pid: int) -> set[str]:
    """Return what a process has open."""
    found: set[str] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(link))  # noqa: PTH115 - as the system has it
        except OSError:
            continue
    return found


def resident(pid: int) -> int:
    """Return how much memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 0), (0, 1), (PIECE - 1, 2), (PIECE, 0), (3 * PIECE - 1, 9), (3 * PIECE, 0)],
)
def test_the_part_that_was_asked_for_is_sent(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path, offset: int, length: int
) -> None:
    contents = os.urandom(3 * PIECE)
    (tmp_path / "file").write_bytes(contents)
    agent.start()

    sent = room.read(ask(tmp_path / "file", offset=offset, length=length))
    room.wait(lambda: sent.has_ended)

    assert sent.pieces[0].file.size_bytes == len(contents)
    assert sent.data == contents[offset:][: length or None]
    assert sent.pieces[-1].HasField("end")


def test_a_folder_is_listed_page_by_page(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    for number in range(1_234):
        (tmp_path / "folder" / str(number % 3)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / str(number % 3) / str(number)).write_text("x" * (number % 5))
    (tmp_path / "folder" / "link").symlink_to("0")
    agent.start()

    sent = room.read(ask(tmp_path / "folder"))
    room.wait(lambda: sent.has_ended)

    pages = [piece.members for piece in sent.pieces if piece.HasField("members")]
    found = {member.path: member.size_bytes for page in pages for member in page.members}
    assert found == {f"{number % 3}/{number}": number % 5 for number in range(1_234)}
    assert max(len(page.members) for page in pages) == 500
    assert pages[-1].skipped_count == 1


@pytest.mark.parametrize(
    ("name", "runner", "expected"),
    [
        ("gone", "local", "GONE"),
        ("link", "local", "NOT_REGULAR"),
        ("pipe", "local", "NOT_REGULAR"),
        ("file", "no-such-runner", "UNSUPPORTED"),
    ],
)
def test_what_cannot_be_read_is_refused(
    agent: AgentProcess,
    room: ControlRoom,
    tmp_path: Path,
    name: str,
    runner: str,
    expected: str,
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    agent.start()

    sent = room.read(ask(tmp_path / name, runner=runner))
    room.wait(lambda: sent.has_ended)

    assert kind(sent) == expected
    assert str(tmp_path) not in sent.pieces[-1].refusal.message


def test_nothing_stays_open_when_the_server_wants_no_more(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 40)  # what would never be sent to its end
    agent.start()
    room.wait(lambda: room.renewals)

    for _ in range(5):
        sent = room.read(ask(large), pieces=3)
        room.wait(lambda one=sent: one.has_ended)

    room.wait(lambda: str(large) not in files_of(agent.pid), "the end of reading")
    sent = room.read(ask(large, offset=(1 << 40) - 1))
    room.wait(lambda: sent.has_ended)
    assert sent.data == b"\0"


def test_a_large_file_takes_no_memory(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    size = 100 * MEBIBYTE
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    agent.start()
    warm = room.read(ask(tmp_path / "large", length=8 * MEBIBYTE))
    room.wait(lambda: warm.has_ended)
    before = resident(agent.pid)

    sent = room.read(ask(tmp_path / "large"))
    room.wait(lambda: sent.has_ended)

    assert len(sent.data) == size
    assert resident(agent.pid) - before < 16 * MEBIBYTE


def test_no_more_is_sent_ahead_than_was_agreed(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bytes(20 * PIECE))
    agent.start()

    held = room.read(ask(tmp_path / "file"), says_taken=False)
    room.wait(lambda: len(held.pieces) == 8)
    other = room.read(ask(tmp_path / "file"))
    room.wait(lambda: other.has_ended)

    assert len(other.data) == 20 * PIECE
    assert len(held.pieces) == 8


def test_runs_are_taken_while_files_are_read(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 36)
    agent.start()
    reads = [room.read(ask(tmp_path / "large"), pieces=2_000) for _ in range(4)]
    room.wait(lambda: all(sent.pieces for sent in reads))

    told = room.ended(agent.run("print('hello')"))

    assert told.text() == "hello\n"


def test_files_are_read_after_the_agent_was_killed(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 36)
    agent.start()
    cut = room.read(ask(tmp_path / "large"))
    room.wait(lambda: len(cut.pieces) > 10)

    agent.kill()
    room.wait(lambda: cut.has_ended)
    agent.start()

    sent = room.read(ask(tmp_path / "large", length=3))
    room.wait(lambda: sent.has_ended)
    assert sent.data == b"\0\0\0"
    assert not cut.pieces[-1].HasField("end")
