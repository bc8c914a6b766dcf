import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from support.apart_installation import ApartInstallation
from support.evidence import (
    chatter_sweep,
    check_the_sweep,
    check_what_was_told,
    two_running,
    wait_for_news,
)
from support.plain_client import PlainClient
from support.plain_watchers import PlainWatcher
from support.redis_server import RedisServer
from support.store_rows import StoreRows

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.redis,
    pytest.mark.postgresql,
    pytest.mark.timeout(240),
]

KILLS: Final = 20
TRACKSIDE: Final = str(Path(sys.executable).with_name("trackside"))


def troubles_of(redis: RedisServer) -> dict[int, Callable[[], None]]:
    """Return what befalls Redis before which kill."""
    return {
        3: redis.stop,
        6: redis.start,
        9: redis.empty,
        12: redis.kill,
        15: redis.start,
        17: redis.empty,
    }


def test_twenty_kills_and_a_failing_redis_cost_no_watcher_anything(
    replicas: ApartInstallation, own_redis: RedisServer, postgresql_url: str, tmp_path: Path
) -> None:
    chance = random.Random(8760)  # noqa: S311 - a test's own
    submitted = subprocess.run(  # noqa: S603 - our own program
        [TRACKSIDE, *chatter_sweep(tmp_path)],
        env=replicas.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    parent_id = submitted.stdout.strip()
    first, second = replicas.addresses
    token = replicas.token
    with PlainClient(first, token) as client:
        watched = [parent_id, *(run.run_id for run in two_running(client, parent_id))]
    watchers = [PlainWatcher(tmp_path, run_id, token, second, first) for run_id in watched]
    troubles = troubles_of(own_redis)
    try:
        for number in range(KILLS):
            if trouble := troubles.get(number):
                trouble()
            wait_for_news(watchers, chance.randrange(1, 40))
            process = chance.choice(replicas.processes)
            process.kill()
            process.start()
        wait_for_news(watchers, 50)  # programs that end while no server answers say so
        (tmp_path / "stop").touch()
        for watcher in watchers:
            watcher.wait(60)
    finally:
        for watcher in watchers:
            watcher.end()

    store = StoreRows(postgresql_url)
    for address in replicas.addresses:
        with PlainClient(address, token) as client:
            for watcher in watchers:
                check_what_was_told(watcher, client, store)
            check_the_sweep(client, parent_id, tmp_path)
