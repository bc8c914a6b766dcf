import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, child
from support.scripted_server import ScriptedServer
from trackside_protos.runs.v1.runs_service_pb2 import UpdateRunRequest, UpdateRunResponse


@pytest.fixture(autouse=True)
def updated(server: ScriptedServer) -> None:
    server.answers["UpdateRun"] = _update


def _update(asked: UpdateRunRequest) -> UpdateRunResponse:
    run = child()
    run.tags[:] = sorted({*run.tags, *asked.added_tags} - {*asked.removed_tags})
    return UpdateRunResponse(run=run)


def test_tags_are_added_and_removed_by_the_server(command: Command, server: ScriptedServer) -> None:
    done = command("tag", CHILD_ID, "+keep", "-quick", "best", "+away", "-away")

    (asked,) = server.requests["UpdateRun"]
    assert (done.code, done.out) == (0, "best\ndigits\nkeep\n")
    assert (asked.run.run_id, list(asked.update_mask.paths)) == (CHILD_ID, [])
    assert list(asked.added_tags) == ["keep", "best"]
    assert list(asked.removed_tags) == ["quick", "away"]


def test_without_changes_the_tags_are_shown(command: Command, server: ScriptedServer) -> None:
    assert command("tag", CHILD_ID).out == "digits\nquick\n"
    assert not server.requests["UpdateRun"]


def test_an_option_that_there_is_not_is_no_tag(command: Command, server: ScriptedServer) -> None:
    done = command("tag", CHILD_ID, "--profil", "work")

    assert (done.code, done.out) == (2, "")
    assert "No such option '--profil'" in done.err
    assert not server.requests["UpdateRun"]


@pytest.mark.parametrize("change", ["+", "-", ""])
def test_a_change_without_a_word_is_a_usage_error(
    change: str, command: Command, server: ScriptedServer
) -> None:
    done = command("tag", CHILD_ID, change)

    assert (done.code, "names no tag" in done.err) == (2, True)
    assert not server.requests["UpdateRun"]
