"""What a program writes, as its log."""

from itertools import pairwise

import pytest

from support.agents import AgentProcess, resident_mebibytes
from support.control_room import ControlRoom
from trackside_agent.lines import SHOWN_SECONDS

pytestmark = pytest.mark.end_to_end


def test_bytes_that_are_no_text_are_kept(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    told = room.ended(agent.run("import os; os.write(1, b'caf\\xe9 \\xff\\nfine \\xc3\\xa9\\n')"))

    assert [(entry.message, entry.original) for entry in told.entries] == [
        ("caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}", b"caf\xe9 \xff"),
        ("fine é", b""),
    ]


def test_output_that_is_no_text_is_kept_byte_for_byte(
    agent: AgentProcess, room: ControlRoom
) -> None:
    agent.start()
    told = room.ended(
        agent.run("import sys; sys.stdout.buffer.write(bytes(range(255, -1, -1)) * 1000)")
    )

    kept = b"".join(
        (entry.original or entry.message.encode()) + (b"" if entry.continues else b"\n")
        for entry in told.entries
    )
    assert kept == bytes(range(255, -1, -1)) * 1000 + b"\n"


def test_line_of_64_mebibytes_is_cut_and_whole(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(
        "import sys\nfor _ in range(64): sys.stdout.write('0123456789abcdef' * 65536)\nprint('end')"
    )

    told = room.ended(run_id)

    assert told.text() == "0123456789abcdef" * 65536 * 64 + "end\n"
    assert max(len(entry.message) for entry in told.entries) <= 64 * 1024
    assert resident_mebibytes(agent.pid, "VmHWM") < 150


def test_progress_bar_becomes_its_last_state(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    told = room.ended(
        agent.run(
            "import sys\n"
            "for n in range(101): sys.stderr.write(f'\\r{n}%'); sys.stderr.flush()\n"
            "sys.stderr.write('\\n')"
        )
    )

    *passing, last = told.entries
    assert last.message == "100%"
    assert len({entry.message for entry in told.entries}) == len(told.entries)
    times = [entry.time.ToNanoseconds() / 1e9 for entry in passing]
    assert all(later - earlier > SHOWN_SECONDS - 0.001 for earlier, later in pairwise(times))


def test_last_line_without_line_end_is_told(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    told = room.ended(agent.run("import sys; sys.stdout.write('one\\ntwo')"))

    assert [entry.message for entry in told.entries] == ["one", "two"]
