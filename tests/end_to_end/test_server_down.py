import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.eventually import eventually
from support.plain_client import PlainClient
from support.whole_installation import WholeInstallation
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RUN_STATE_FAILED

pytestmark = pytest.mark.end_to_end

PROGRAM: Final = textwrap.dedent("""
    import sys
    import trackside

    run = trackside.start_run("offline", params={"alpha": 0.5})
    print(run.run_id)
    with run.scope("step", total=200) as scope:
        for step in range(200):
            run.log({"loss": 1 / (step + 1)}, step=step)
            run.info(f"line {step}")
            scope.advance()
    sys.exit(7)
""")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home")
    yield installation
    assert installation.stop() == 0


def said_by_the_program(client: PlainClient, run_id: str) -> list[LogEntry]:
    entries = [entry for _, entry in client.log_entries(run_id)]
    return [entry for entry in entries if entry.stream == "log"]


def test_what_was_said_without_a_server_is_there_after_up(
    installation: WholeInstallation,
) -> None:
    began = time.time()
    ended = subprocess.run(  # noqa: S603 - the test's own words
        [sys.executable, "-c", PROGRAM],
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    over = time.time()
    installation.start()

    run_id = ended.stdout.strip()
    assert ended.returncode == 7
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 1
    with PlainClient(installation.address, (installation.home / "token").read_text()) as client:
        run = eventually(lambda: delivered(client, run_id))
        entries = said_by_the_program(client, run_id)
        (series,) = client.points(run_id)
    assert (run.state, run.exit_code) == (RUN_STATE_FAILED, 7)
    assert [e.message for e in entries] == [f"line {n}" for n in range(200)]
    times = [e.time.ToNanoseconds() / 1e9 for e in entries]
    assert times == sorted(times)
    assert began <= times[0] <= times[-1] <= over
    assert list(series.points.steps) == list(range(200))
    assert began * 1000 - 1 <= series.points.times_millis[0] <= over * 1000
    assert began <= run.start_time.ToNanoseconds() / 1e9 <= over
    assert began <= run.end_time.ToNanoseconds() / 1e9 <= over


def delivered(client: PlainClient, run_id: str) -> Run | None:
    """Return the run when it is sealed: every producer has said everything."""
    found = client.find(run_id)
    return found if found is not None and found.sealed else None
