"""Machines whose date is wrong by days: work goes on as ever, and people are told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clocks import shifted_clock
from support.eventually import eventually
from support.whole_installation import WholeInstallation
from trackside_agent import detached

pytestmark = pytest.mark.end_to_end

DAY = 24 * 60 * 60
WORK = ["run", "--", "sh", "-c", "echo first; sleep 0.5; echo last; exit 7"]
DEAF = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
RESISTS = ["run", "-d", "-o", "name", "--", "sh", "-c", DEAF]
either_way = pytest.mark.parametrize("days", [-3, 3], ids=["behind", "ahead"])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    detached.stop(home)


def described(installation: WholeInstallation) -> dict[str, Any]:
    return json.loads(installation.command("describe", "@latest", "-o", "json").out)["run"]


@either_way
def test_an_agent_with_a_wrong_clock_works_as_ever_and_says_so(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    installation = WholeInstallation(home)
    installation.start()
    installation.kill_agent()
    with monkeypatch.context() as wrong:
        for name, value in shifted_clock(tmp_path, days * DAY).items():
            wrong.setenv(name, value)
        installation.start_agent()

    worked = installation.command(*WORK)
    told = described(installation)
    resisting = installation.command(*RESISTS).out.strip()
    eventually(lambda: installation.command("logs", resisting).out == "deaf\n")
    stopped = installation.command("stop", "--yes", "--grace", "1s", resisting)
    installation.stop()

    assert (worked.code, worked.out.split()) == (7, ["first", "last"])
    assert 0.4 < float(told["elapsedDuration"].rstrip("s")) < 60
    direction = "ahead of" if days > 0 else "behind"
    (condition,) = told["conditions"]
    assert condition["kind"] == "CONDITION_KIND_CLOCK_SKEW"
    assert condition["message"] == f"The agent's clock is 3 days {direction} the server's."
    assert stopped.code == 0
    assert "escalated +" in stopped.out


@either_way
def test_who_asks_with_another_clock_than_the_servers_sees_ages_as_they_are(
    home: Path, tmp_path: Path, days: int
) -> None:
    installation = WholeInstallation(home, **shifted_clock(tmp_path, days * DAY))
    installation.start()
    here = WholeInstallation(home)
    here.address = installation.address

    worked = here.command(*WORK)
    listed = here.command("get", "runs", "--since", "10m").out.splitlines()
    before = here.command("get", "runs", "--until", "10m").out
    installation.stop()

    assert worked.code == 7
    assert len(listed) == 2
    assert "just now" in listed[1] or "s ago" in listed[1]
    assert before == ""
