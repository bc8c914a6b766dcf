"""A full disk costs output, and says how much; it costs nobody the end of a run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.local_runs import LocalRun, until
from support.small_disk import fill, small_disk
from trackside_plugin_interface import NothingLaunchedError
from trackside_runner_local.processes import is_alive

WRITES_MUCH = """
import os, sys, time
print("first", flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
sys.stdout.write("x" * (1 << 20))
sys.stdout.flush()
os._exit(5)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path) as disk:
        yield disk


async def test_end_of_a_run_on_a_full_disk_is_told_when_there_is_room(
    disk: Path, tmp_path: Path
) -> None:
    run = LocalRun.python(disk, WRITES_MUCH, tmp_path / "go")
    handle = await run.launch()
    await until(lambda: (run.folder / "output").stat().st_size)
    filler = fill(disk)
    (tmp_path / "go").touch()
    await until(lambda: not is_alive(run.process))

    assert is_alive(run.supervisor)
    filler.unlink()
    ending = await run.follow(handle)

    assert ending.exit_code == 5
    kept = run.reporter.output()
    lost = re.findall(r"(\d+) bytes of output were lost", run.reporter.output("engine").decode())
    # A record that was replaced meanwhile leaves a little room, in which some of it stands.
    assert kept.startswith(b"first\n")
    assert kept.count(b"x") + sum(map(int, lost)) == 1 << 20
    assert kept.count(b"x") < 1 << 16


async def test_launch_that_finds_the_disk_full_is_tried_again(disk: Path) -> None:
    run = LocalRun.python(disk, "print('here')")
    filler = fill(disk)

    with pytest.raises(NothingLaunchedError, match="No space left on device"):
        await run.launch()
    filler.unlink()
    await run.to_the_end()

    assert run.reporter.output() == b"here\n"
