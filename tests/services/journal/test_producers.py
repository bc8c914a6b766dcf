from collections.abc import Callable

import pytest

from support.chance import seeded
from support.journal import (
    OTHER_RUN,
    PRODUCERS,
    RUN,
    EntryBatch,
    batch,
    stored,
)
from support.journal_gate import Door, other_bytes
from trackside_journal.database import Database
from trackside_journal.errors import BatchConflictError, BatchGapError, StaleEpochError
from trackside_journal.producers import Stored
from trackside_journal.windows import AHEAD_LIMIT, HOLD_SECONDS


@pytest.fixture
def door(database: Database) -> Door:
    return Door(database)


def payloads(*works: EntryBatch) -> list[bytes]:
    return [work.payload for work in works]


def test_a_batch_is_stored_once_however_often_it_is_sent(door: Door, database: Database) -> None:
    first = door.send(batch(1), batch(1))
    second = door.send(batch(1))

    assert first == [Stored(1, duplicate=False), Stored(1, duplicate=True)]
    assert second == [Stored(1, duplicate=True)]
    assert stored(database) == payloads(batch(1))


def test_what_comes_early_is_held_until_the_gap_is_filled(door: Door, database: Database) -> None:
    held = door.send(batch(3), batch(2))

    assert held == [None, None]
    assert door.applier.wants_tick
    assert door.applier.gate.held_run_ids() == {RUN}

    door.send(batch(1))

    assert set(door.results.values()) == {Stored(n, duplicate=False) for n in (1, 2, 3)}
    assert stored(database) == payloads(batch(1), batch(2), batch(3))
    assert not door.applier.wants_tick


def test_a_batch_sent_three_times_in_any_order_over_two_connections_counts_once(
    door: Door, database: Database
) -> None:
    works = [batch(n) for n in range(1, 200)]
    disorder = seeded(8750)
    # Nobody is sent further ahead than the window: at most 20 places from where it belongs.
    shuffled = sorted(works * 3, key=lambda work: work.key.sequence + disorder.uniform(0, 20))

    while shuffled:
        size = disorder.randrange(1, 9)
        door.send(*shuffled[:size])
        shuffled = shuffled[size:]

    assert stored(database) == payloads(*works)
    results = list(door.results.values())
    assert len(results) == len(works) * 3
    assert sum(isinstance(r, Stored) and not r.duplicate for r in results) == len(works)


def test_a_gap_that_stays_open_for_ten_seconds_is_told_with_the_expected_number(
    door: Door, database: Database
) -> None:
    door.send(batch(1), batch(3))

    door.now = HOLD_SECONDS
    door.send()
    assert door.results.get(door.tickets[1]) is None

    door.now = HOLD_SECONDS + 0.1
    door.send()

    error = door.results[door.tickets[1]]
    assert isinstance(error, BatchGapError)
    assert error.metadata == {"batch_sequence": "3", "expected": "2"}
    assert not door.applier.wants_tick
    assert stored(database) == payloads(batch(1))


def test_what_is_further_ahead_than_the_window_is_a_gap_at_once(door: Door) -> None:
    results = door.send(batch(AHEAD_LIMIT + 1))

    assert isinstance(results[0], BatchGapError)


def test_other_bytes_for_a_stored_number_are_a_conflict(door: Door, database: Database) -> None:
    door.send(batch(1))

    results = door.send(other_bytes(batch(1)))

    assert isinstance(results[0], BatchConflictError)
    assert results[0].metadata == {"batch_sequence": "1"}
    assert stored(database) == payloads(batch(1))


def test_other_bytes_for_a_held_number_are_a_conflict_when_it_is_stored(
    door: Door, database: Database
) -> None:
    door.send(batch(2), other_bytes(batch(2)))

    door.send(batch(1))

    assert door.results[door.tickets[0]] == Stored(2, duplicate=False)
    assert isinstance(door.results[door.tickets[1]], BatchConflictError)
    assert stored(database) == payloads(batch(1), batch(2))


def test_an_epoch_is_fenced_by_the_first_batch_of_a_later_one(
    door: Door, database: Database
) -> None:
    door.send(batch(1))

    later = door.send(batch(1, epoch=2))
    earlier = door.send(batch(2))

    assert later == [Stored(1, duplicate=False)]
    assert isinstance(earlier[0], StaleEpochError)
    assert earlier[0].metadata == {"batch_sequence": "2", "epoch": "2"}
    assert stored(database) == payloads(batch(1), batch(1, epoch=2))


def test_a_refused_batch_of_a_later_epoch_fences_nobody(door: Door) -> None:
    door.applier.refuse = lambda work: ValueError() if work.key.epoch == 2 else None

    door.send(batch(1, epoch=2))

    assert door.send(batch(1)) == [Stored(1, duplicate=False)]


def test_held_batches_of_two_epochs_do_not_meet(door: Door, database: Database) -> None:
    door.send(batch(2), batch(2, epoch=2))

    door.send(batch(1, epoch=2))

    assert isinstance(door.results[door.tickets[0]], StaleEpochError)
    assert stored(database) == payloads(batch(1, epoch=2), batch(2, epoch=2))


def test_the_number_of_a_refused_batch_stays_free(door: Door, database: Database) -> None:
    refusal = ValueError()
    door.applier.refuse = lambda work: refusal if work.payload == b"wrong" else None

    first = door.send(batch(1, b"wrong"), batch(2))
    second = door.send(batch(1, b"right"))

    assert first == [refusal, None]
    assert second == [Stored(1, duplicate=False)]
    assert stored(database) == [b"right", batch(2).payload]


def test_producers_and_runs_have_windows_of_their_own(door: Door, database: Database) -> None:
    works = [batch(1), batch(1, producer_id="other"), batch(1, run_id=OTHER_RUN)]

    results = door.send(*works)

    assert results == [Stored(1, duplicate=False)] * 3
    assert stored(database) == payloads(works[0], works[1])
    assert stored(database, OTHER_RUN) == payloads(works[2])


def test_numbers_of_64_bits_are_kept(door: Door) -> None:
    epoch = 2**63 - 1

    door.send(batch(1, epoch=epoch))

    assert door.send(batch(1, epoch=epoch)) == [Stored(1, duplicate=True)]


def test_more_producers_than_a_query_takes(door: Door, database: Database) -> None:
    works = [batch(1, producer_id=f"producer-{n}") for n in range(450)]

    door.send(*works)
    results = Door(database).send(*works)

    assert results == [Stored(1, duplicate=True)] * len(works)


def test_a_failed_transaction_gives_up_what_was_held_before_it_and_in_it(
    door: Door, database: Database
) -> None:
    door.send(batch(3))

    given_up = door.fail(batch(4), batch(1), batch(2))

    assert {ticket.work.key.sequence for ticket in given_up} == {1, 2, 3, 4}
    assert not door.applier.wants_tick
    assert not door.results
    assert door.send(batch(1)) == [Stored(1, duplicate=False)]
    assert stored(database) == payloads(batch(1))


def test_a_later_column_of_a_producers_row_is_left_alone(door: Door, database: Database) -> None:
    door.send(batch(1))
    with database.writing() as connection:
        connection.execute(PRODUCERS.update().values(closed=True))

    door.send(batch(2))

    query = PRODUCERS.select()
    row = database.read_now(lambda connection: connection.execute(query).one())
    assert (row.closed, row.through) == (True, 2)


def test_rows_that_were_deleted_are_forgotten(door: Door, database: Database) -> None:
    door.send(batch(1), batch(1, run_id=OTHER_RUN))
    with database.writing() as connection:
        connection.execute(PRODUCERS.delete().where(PRODUCERS.c.run_id == RUN))

    door.applier.gate.forget(RUN)

    assert door.send(batch(1)) == [Stored(1, duplicate=False)]
    assert door.send(batch(1, run_id=OTHER_RUN)) == [Stored(1, duplicate=True)]


def test_a_held_batch_goes_when_another_replica_fills_the_gap(
    open_database: Callable[[str], Database], postgresql_url: str
) -> None:
    here, there = (Door(open_database(postgresql_url)) for _ in range(2))
    here.send(batch(2))

    there.send(batch(1))
    here.send()

    assert list(here.results.values()) == [Stored(2, duplicate=False)]
    assert here.send(batch(1)) == [Stored(2, duplicate=True)]


def test_a_held_batch_that_another_replica_stored_is_a_duplicate(
    open_database: Callable[[str], Database], postgresql_url: str
) -> None:
    here, there = (Door(open_database(postgresql_url)) for _ in range(2))
    here.send(batch(2))

    there.send(batch(1), batch(2))
    here.send()

    assert list(here.results.values()) == [Stored(2, duplicate=True)]
