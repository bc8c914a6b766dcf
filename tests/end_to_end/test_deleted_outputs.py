"""Outputs that are deleted by a real agent, asked by a real server, beside what must stay."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.folders import paths_below
from support.whole_installation import WholeInstallation
from trackside.client.connection import Connection
from trackside.client.errors import ConflictError, InvalidRequestError
from trackside.client.handle import RunHandle, get_run
from trackside_agent import detached

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

PUBLISHES = """
import os, sys, trackside
with trackside.start_run("made") as run:
    for number in range(int(sys.argv[1])):
        os.makedirs("parts", exist_ok=True)
        path = f"parts/{number:04}"
        with open(path, "w") as file:
            file.write(path)
        run.output(path)
    for path in ("model", "checkpoint/a", "checkpoint/deep/b", "private"):
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w") as file:
            file.write(path)
    os.symlink(sys.argv[2], "checkpoint/link")
    os.link(sys.argv[2] + "/precious", "further-name")
    for path in ("model", "checkpoint", "further-name"):
        run.output(path)
"""
PUBLISHES_HERE = """
import trackside
with trackside.start_run("own") as run:
    with open("mine", "w") as file:
        file.write("mine")
    run.output("mine")
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def decoy(tmp_path: Path) -> Iterator[Path]:
    """Make a tree beside the run's directory, linked from there, of which nothing may change."""
    folder = tmp_path / "decoy"
    (folder / "a").mkdir(parents=True)
    for name in ("precious", "a/precious"):
        (folder / name).write_text(f"in {name}")
    yield folder
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    assert sorted(found) == ["a", "a/precious", "precious"]
    assert [found[name].read_text() for name in ("precious", "a/precious")] == [
        "in precious",
        "in a/precious",
    ]


def made(installation: WholeInstallation, work: Path, decoy: Path, parts: int = 0) -> str:
    """Return a run that has published a file, a folder, and so many small files."""
    words = ["run", "-o", "name", "--workdir", str(work), "--", sys.executable, "-c", PUBLISHES]
    done = installation.command(*words, str(parts), str(decoy))
    assert done.code == 0, done
    return done.out.split()[0]


def left(work: Path) -> list[str]:
    return paths_below(work)


def existing(handle: RunHandle) -> list[str]:
    return [output.path for output in handle.outputs() if output.exists]


def test_what_a_run_published_is_deleted_and_nothing_else(
    installation: WholeInstallation, connection: Connection, work: Path, decoy: Path
) -> None:
    run_id = made(installation, work, decoy)
    (work / "model").write_text("trained further")

    planned = installation.command("delete", "--outputs", "--dry-run", run_id)
    done = installation.command("delete", "--outputs", "--yes", run_id)

    assert (planned.code, f"{run_id} {work}" in planned.out) == (0, True)
    assert done.code == 5  # the model was kept
    assert "deleted 2 outputs" in done.out
    assert "kept model: it has 15 bytes, and had 5 when published" in done.out
    assert left(work) == ["checkpoint", "checkpoint/link", "model", "private"]
    handle = get_run(run_id, connection=connection)
    assert existing(handle) == ["model"]
    assert "DELETE_OUTPUTS by" in installation.command("describe", run_id).out
    assert "checkpoint (gone)" in installation.command("get", "outputs", run_id).out


def test_from_python_it_is_the_same(
    installation: WholeInstallation, connection: Connection, work: Path, decoy: Path
) -> None:
    handle = get_run(made(installation, work, decoy), connection=connection)

    with pytest.raises(InvalidRequestError, match="confirmation"):
        handle.delete_outputs("yes")
    one = handle.outputs().named("checkpoint").delete("delete")
    rest = handle.delete_outputs("delete")
    again = handle.delete_outputs("delete")

    assert (one.deleted_count, rest.deleted_count) == (1, 2)
    assert again == rest
    assert existing(handle) == []
    assert handle.outputs().archive_bytes == 0
    assert left(work) == ["checkpoint", "checkpoint/link", "private"]


def test_an_agent_that_is_killed_in_the_midst_goes_on(
    installation: WholeInstallation, connection: Connection, tmp_path: Path, decoy: Path
) -> None:
    parts = 1_500

    def begun(work: Path) -> RunHandle:
        """Have a run's outputs deleted, and kill the agent meanwhile."""
        work.mkdir()
        handle = get_run(made(installation, work, decoy, parts), connection=connection)
        handle.delete_outputs("delete", wait=False)
        eventually(lambda: len(left(work)) < parts - 50)
        installation.kill_agent()
        installation.start_agent()
        return handle

    # Should the agent be done before it is killed, it is killed another time.
    folders = (tmp_path / f"work-{number}" for number in range(5))
    tries = ((work, begun(work), len(left(work))) for work in folders)
    work, handle, _ = next(one for one in tries if one[-1] > 4)
    outcome = handle.delete_outputs("delete", timeout=60)

    assert (outcome.deleted_count, outcome.absent_count, outcome.kept_count) == (parts + 3, 0, 0)
    assert existing(handle) == []
    assert left(work) == ["checkpoint", "checkpoint/link", "private"]


def test_what_was_asked_while_the_agent_was_away_is_done_when_it_is_back(
    installation: WholeInstallation, connection: Connection, work: Path, decoy: Path
) -> None:
    handle = get_run(made(installation, work, decoy), connection=connection)
    assert detached.stop(installation.home)

    late = installation.command("delete", "--outputs", "--yes", "--timeout", "1", handle.run_id)
    installation.kill()
    installation.start()
    installation.start_agent()

    assert late.code == 7
    eventually(lambda: left(work) == ["checkpoint", "checkpoint/link", "private"])
    eventually(lambda: existing(handle) == [])


def test_nothing_is_deleted_where_a_run_is_not_by_itself(
    installation: WholeInstallation, connection: Connection, work: Path, decoy: Path
) -> None:
    (work / ".git").mkdir()
    run_id = made(installation, work, decoy)

    done = installation.command("delete", "--outputs", "--yes", run_id)

    assert done.code == 5
    assert "it is the root of a git work tree" in done.err
    assert "hint: " in done.err
    assert existing(get_run(run_id, connection=connection)) == [
        "checkpoint",
        "further-name",
        "model",
    ]
    assert (work / "model").exists()


def test_a_run_that_no_agent_launched_is_out_of_reach(
    installation: WholeInstallation, connection: Connection, work: Path
) -> None:
    subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PUBLISHES_HERE],
        cwd=work,
        env=installation.environment,
        check=True,
    )

    with pytest.raises(ConflictError, match="launched by no agent") as raised:
        get_run("own", connection=connection).delete_outputs("delete")

    assert "shows where they are" in raised.value.hint
    assert (work / "mine").exists()
