import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.eventually import eventually
from support.evidence import (
    chatter_sweep,
    check_the_sweep,
    check_what_was_told,
    two_running,
    wait_for_news,
)
from support.plain_client import PlainClient
from support.plain_watchers import PlainWatcher
from support.probe import Probe
from support.store_rows import StoreRows
from support.whole_installation import WholeInstallation
from trackside.identifiers import new_identifier
from trackside_agent import detached

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(240)]

KILLS_AFTER_AN_ACKNOWLEDGEMENT: Final = 8
KILLS_AFTER_NEWS: Final = 12
SOON: Final = 0.5
"""A kill that is later than that after an acknowledgement is one more, and counts for nothing.

Mostly it is a few thousandths of a second, but a busy machine may let a process go late.
"""
CHATTER: Final = Path(__file__).with_name("chatter.py")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path / "home")
    installation.start()
    yield installation
    assert installation.stop() == 0
    detached.stop(installation.home)


def token_of(installation: WholeInstallation) -> str:
    return (installation.home / "token").read_text()


def client_of(installation: WholeInstallation) -> PlainClient:
    return PlainClient(installation.address, token_of(installation))


def kill_after_an_acknowledgement(
    installation: WholeInstallation, probe: Probe, chance: random.Random
) -> float:
    """Kill the server and return how long that was after the acknowledgement."""
    with client_of(installation) as client:
        probe.report_until(client, chance.randrange(1, 20))
        acknowledged_at = time.monotonic()
        installation.kill()
        return time.monotonic() - acknowledged_at


def kill_after_news(
    installation: WholeInstallation, watchers: list[PlainWatcher], chance: random.Random
) -> None:
    """Kill the server once the watchers have heard a little more."""
    wait_for_news(watchers, chance.randrange(1, 60))
    installation.kill()


def test_twenty_kills_of_the_server_cost_no_watcher_anything(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    chance = random.Random(8750)  # noqa: S311 - a test's own
    parent_id = installation.command(*chatter_sweep(tmp_path)).out.strip()
    probe = Probe(new_identifier())
    with client_of(installation) as client:
        children = two_running(client, parent_id)
        probe.create(client)
    watched = [parent_id, probe.run_id, *(run.run_id for run in children)]
    watchers = [
        PlainWatcher(tmp_path, run_id, token_of(installation), installation.address)
        for run_id in watched
    ]
    try:
        soon = 0
        while soon < KILLS_AFTER_AN_ACKNOWLEDGEMENT:
            delay = kill_after_an_acknowledgement(installation, probe, chance)
            soon += delay <= SOON
            installation.start()
        for _ in range(KILLS_AFTER_NEWS):
            kill_after_news(installation, watchers, chance)
            installation.start()
        wait_for_news(watchers, 50)  # programs that end while no server answers say so
        (tmp_path / "stop").touch()
        with client_of(installation) as client:
            probe.close(client)
        for watcher in watchers:
            watcher.wait(60)
    finally:
        for watcher in watchers:
            watcher.end()

    with client_of(installation) as client:
        store = StoreRows(installation.home / "data")
        for watcher in watchers:
            check_what_was_told(watcher, client, store)
        check_the_sweep(client, parent_id, tmp_path)
        labels = [change.run.labels["n"] for change in client.changes(probe.run_id)][1:-2]
        assert int(labels[-1]) == probe.acknowledged - 1


def test_a_server_that_was_killed_finds_its_agent_again(installation: WholeInstallation) -> None:
    before = eventually(lambda: detached.find_running(installation.home))

    installation.kill()
    installation.start()
    followed = installation.command("run", "--", "echo", "still here")

    assert followed.out == "still here\n"
    assert detached.find_running(installation.home) == before
