import pytest

from support.append_server import AppendServer
from support.programs import Programs

pytestmark = pytest.mark.processes


def test_output_of_children_is_captured_and_still_seen(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import os, subprocess, sys, trackside
        with trackside.start_run("p"):
            print("from python")
            os.write(2, b"to stderr\\n")
            subprocess.run(["sh", "-c", "echo from a child"])
            print("key is", os.environ["MY_API_KEY"])
        print("afterwards")
        """,
        MY_API_KEY="hunter22",
    )

    assert set(ended.output.splitlines()) == {
        "from python",
        "from a child",
        "key is hunter22",
        "afterwards",
    }
    assert ended.errors == "to stderr\n"
    entries = {(e.stream, e.message) for e in append_server.only_run().entries}
    assert entries == {
        ("stdout", "from python"),
        ("stdout", "from a child"),
        ("stdout", "key is ********"),
        ("stderr", "to stderr"),
    }


def test_what_logging_prints_is_one_entry_and_still_printed(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import logging, trackside
        with trackside.start_run("p"):
            logging.getLogger().warning("not configured")
            logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
            logging.getLogger("mine").info("twice")
            logging.getLogger("mine").info("twice")
            print("INFO twice")
        """
    )

    assert ended.errors.splitlines() == ["not configured", "INFO twice", "INFO twice"]
    entries = [(entry.stream, entry.message) for entry in append_server.only_run().entries]
    assert sorted(entries) == [
        ("log", "not configured"),
        ("log", "twice"),
        ("log", "twice"),
        ("stdout", "INFO twice"),
    ]
