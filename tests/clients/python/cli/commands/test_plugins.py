import json

from support.command_line import Command
from support.example_runs import runners
from support.scripted_server import ScriptedServer
from trackside_protos.runners.v1.runners_service_pb2 import ListRunnersResponse


def test_what_is_installed_and_what_is_offered_is_shown(
    command: Command, server: ScriptedServer
) -> None:
    server.answers["ListRunners"] = ListRunnersResponse(runners=runners())

    people = command("plugins")
    programs = json.loads(command("plugins", "-o", "json").out)

    lines = [line.split() for line in people.out.splitlines()]
    assert ["local", "plugin", "trackside-runner-local", "0.1.0"] in [line[:4] for line in lines]
    assert ["up", "command", "trackside-standalone", "0.1.0"] in [line[:4] for line in lines]
    assert ["slurm", "login1"] in [line[:2] for line in lines]
    assert programs["installed"][0]["place"] == "trackside_runner_local.plugin"
    assert [runner["name"] for runner in programs["runners"]] == ["local", "slurm"]


def test_without_a_server_what_is_installed_is_shown_all_the_same(
    command: Command, server: ScriptedServer
) -> None:
    server.stop()

    done = command("plugins", "-o", "name")

    assert done.code == 0
    assert "local" in done.out.split()
    assert "no server answers" in done.err
