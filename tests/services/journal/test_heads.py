import threading
from collections import Counter
from collections.abc import Callable

import pytest

from support.chance import seeded
from support.journal import ENTRIES, HEADS, OTHER_RUN, RUN, stored
from trackside_journal.database import Database
from trackside_journal.errors import StoreUnavailableError
from trackside_journal.heads import lock_heads, read_heads, store_heads


def append(database: Database, counts: dict[str, int]) -> None:
    with database.writing() as connection:
        heads = lock_heads(connection, HEADS, counts)
        for run_id, count in counts.items():
            first = heads[run_id].advance(count)
            rows = [
                {"run_id": run_id, "sequence": n, "payload": b""}
                for n in range(first, first + count)
            ]
            connection.execute(ENTRIES.insert(), rows)
        store_heads(connection, HEADS, heads.values())


def heads_of(database: Database, *run_ids: str) -> dict[str, int]:
    return database.read_now(lambda connection: read_heads(connection, HEADS, run_ids))


def test_sequences_are_dense_from_1(database: Database) -> None:
    append(database, {RUN: 2})
    append(database, {RUN: 3, OTHER_RUN: 1})

    assert heads_of(database, RUN, OTHER_RUN) == {RUN: 5, OTHER_RUN: 1}
    assert len(stored(database)) == 5


def test_a_run_that_has_nothing_has_no_head(database: Database) -> None:
    assert heads_of(database, RUN) == {}


def test_nobody_asks_for_no_heads(database: Database) -> None:
    with database.writing() as connection:
        assert lock_heads(connection, HEADS, []) == {}
        store_heads(connection, HEADS, [])


def test_a_head_that_did_not_advance_is_not_written(database: Database) -> None:
    with database.writing() as connection:
        heads = lock_heads(connection, HEADS, [RUN])
        store_heads(connection, HEADS, heads.values())

    assert heads_of(database, RUN) == {RUN: 0}


def test_more_runs_than_a_query_takes(database: Database) -> None:
    run_ids = [f"{n:016d}" for n in range(1200)]

    append(database, dict.fromkeys(run_ids, 1))

    assert heads_of(database, *run_ids) == dict.fromkeys(run_ids, 1)


def test_sequences_beyond_32_bits(database: Database) -> None:
    with database.writing() as connection:
        heads = lock_heads(connection, HEADS, [RUN])
        heads[RUN].advance(2**40)
        store_heads(connection, HEADS, heads.values())

    assert heads_of(database, RUN) == {RUN: 2**40}


@pytest.mark.parametrize("seed", range(3))
def test_two_writers_keep_sequences_dense_and_never_wait_in_a_circle(
    open_database: Callable[[str], Database], postgresql_url: str, seed: int
) -> None:
    writers = [open_database(postgresql_url) for _ in range(3)]
    run_ids = [f"{n:016d}" for n in range(12)]
    appended: list[Counter[str]] = [Counter() for _ in writers]
    nothing: Counter[str] = Counter()
    failures: list[StoreUnavailableError] = []

    def write(index: int) -> None:
        chance = seeded(seed * 100 + index)
        for _ in range(40):
            some = chance.sample(run_ids, chance.randint(1, 8))
            counts = {run_id: chance.randint(1, 3) for run_id in some}
            try:
                append(writers[index], counts)
            except StoreUnavailableError as error:
                failures.append(error)
            else:
                appended[index].update(counts)

    threads = [threading.Thread(target=write, args=[index]) for index in range(len(writers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert {run_id: len(stored(writers[0], run_id)) for run_id in run_ids} == sum(appended, nothing)
