from collections.abc import Iterator
from pathlib import Path

import pytest

from support.append_server import AppendServer
from support.programs import Programs
from support.small_disk import small_disk

pytestmark = pytest.mark.processes


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path) as disk:
        yield disk


def test_on_a_full_disk_nothing_is_raised_and_what_is_dropped_is_counted(
    append_server: AppendServer, small_disk: Path
) -> None:
    append_server.stop()
    program = Programs(small_disk, append_server.address).start(
        """
        import sys, trackside
        with trackside.start_run("p", capture=False) as run:
            for number in range(2000):
                run.info("x" * 60_000)
                run.log(x=number)
            print("said", flush=True)
            sys.stdin.readline()
            run.flush(20)
        """
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "said\n"

    append_server.start()
    _, errors = program.communicate("go on\n", timeout=60)

    assert (program.returncode, errors) == (0, "")
    stored = append_server.only_run()
    assert stored.values("x") == [float(number) for number in range(2000)]
    arrived = stored.messages.count("x" * 60_000)
    gaps = [report.gap for report in stored.reports if report.HasField("gap")]
    assert arrived + sum(gap.item_count for gap in gaps) == 2000
    assert 100 < arrived < 1900
    assert {(gap.kind, gap.reason) for gap in gaps} == {("logs", "no room on disk and in memory")}


def test_output_that_a_full_disk_does_not_take_is_said_to_be_missing(
    append_server: AppendServer, small_disk: Path
) -> None:
    ended = Programs(small_disk, append_server.address).run(
        """
        import sys, trackside
        with trackside.start_run("p"):
            for number in range(4):
                sys.stdout.write("y" * 1_000_000 + "\\n")
                sys.stdout.flush()
        """
    )

    assert (ended.code, ended.errors) == (0, "")
    assert ended.output == ("y" * 1_000_000 + "\n") * 4
    (complaint,) = (each for each in append_server.only_run().messages if "not kept whole" in each)
    assert "No space left on device" in complaint
