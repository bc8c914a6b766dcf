import json
import sqlite3

from support.command_line import Command
from support.scripted_server import ScriptedServer
from trackside.version import VERSION


def test_programs_get_the_versions_of_what_is_beneath(command: Command) -> None:
    facts = json.loads(command("version", "-o", "json").out)

    assert facts["version"] == VERSION
    assert facts["python"].startswith("3.")
    assert facts["sqlite"] == {
        "version": sqlite3.sqlite_version,
        "walResetBug": sqlite3.sqlite_version_info < (3, 51, 3),
    }


def test_the_server_is_asked_when_wanted(command: Command, server: ScriptedServer) -> None:
    done = command("version", "--server")

    assert done.out.splitlines() == [
        f"trackside {VERSION}",
        f"server 0.1.0 at {server.address} (sqlite 3.40.1), you are ann (admin)",
    ]


def test_the_server_is_described_to_programs(command: Command, server: ScriptedServer) -> None:
    facts = json.loads(command("version", "-o", "json", "--server", server.address).out)

    assert (facts["server"]["address"], facts["server"]["role"]) == (server.address, "admin")


def test_a_server_that_is_away_leaves_the_own_version(
    command: Command, server: ScriptedServer
) -> None:
    server.stop()

    done = command("version", "--server")

    assert (done.code, done.out) == (6, f"trackside {VERSION}\n")
