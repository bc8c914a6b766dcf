"""A program whose token is revoked while it reports loses nothing of what it says."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.eventually import eventually
from support.plain_client import PlainClient
from support.whole_installation import TRACKSIDE, WholeInstallation

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(180)]

REPORTS: Final = """
import sys, trackside
with trackside.start_run("fit") as run:
    for number in range(200):
        run.info(f"said {number}")
        if number == 99:
            print(run.run_id, flush=True)
            sys.stdin.readline()
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home")
    installation.start()
    yield installation
    assert installation.stop() == 0


def test_what_a_program_says_with_a_revoked_token_is_delivered_with_another_one(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    made = installation.command("token", "create", "ann")
    away = {
        **installation.environment,
        "TRACKSIDE_HOME": str(tmp_path / "away"),
        "TRACKSIDE_TOKEN": made.out.strip(),
    }
    owner = (installation.home / "token").read_text()
    program = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", REPORTS],
        env=away,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout
    run_id = program.stdout.readline().strip()
    with PlainClient(installation.address, owner) as client:
        eventually(lambda: client.find(run_id) and len(said(client, run_id)) == 100)

        revoked = installation.command("token", "revoke", "--yes", "--subject", "ann")
        _, errors = program.communicate("go on\n", timeout=120)
        before = said(client, run_id)
        fresh = installation.command("token", "create", "ann").out.strip()
        delivered = subprocess.run(  # noqa: S603 - our own program
            [TRACKSIDE, "sync"],
            env={**away, "TRACKSIDE_TOKEN": fresh},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

        assert revoked.code == 0, revoked
        assert (program.returncode, "This token was revoked" in errors) == (0, True), errors
        assert len(before) == 100
        assert (delivered.returncode, delivered.stdout) == (0, f"{run_id} delivered\n"), delivered
        assert said(client, run_id) == [f"said {number}" for number in range(200)]


def said(client: PlainClient, run_id: str) -> list[str]:
    return [entry.message for _, entry in client.log_entries(run_id) if entry.stream == "log"]
