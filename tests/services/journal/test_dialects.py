from sqlalchemy import select

from support.journal import HEADS, PRODUCERS, RUN
from trackside_journal.database import Database
from trackside_journal.dialects import upsert, upsert_rows


def test_a_row_of_the_same_key_is_replaced(database: Database) -> None:
    for sequence in (1, 2):
        with database.writing() as connection:
            row = {"run_id": RUN, "sequence": sequence}
            connection.execute(upsert(connection, HEADS), row)

    query = select(HEADS.c.sequence)
    assert database.read_now(lambda c: c.execute(query).scalars().all()) == [2]


def test_a_row_of_the_same_key_may_be_kept(database: Database) -> None:
    for sequence in (1, 2):
        with database.writing() as connection:
            row = {"run_id": RUN, "sequence": sequence}
            connection.execute(upsert(connection, HEADS, only=()), row)

    query = select(HEADS.c.sequence)
    assert database.read_now(lambda c: c.execute(query).scalars().all()) == [1]


def test_only_the_named_columns_are_replaced(database: Database) -> None:
    for through in (1, 2):
        with database.writing() as connection:
            row = {
                "run_id": RUN,
                "producer_id": "p",
                "epoch": through,
                "through": through,
                "checksums": b"",
            }
            connection.execute(upsert(connection, PRODUCERS, only=["through"]), row)

    query = select(PRODUCERS.c.epoch, PRODUCERS.c.through)
    assert database.read_now(lambda c: c.execute(query).one()) == (1, 2)


def test_many_rows_are_put_in_at_once_and_other_columns_are_left_alone(
    database: Database,
) -> None:
    columns = ("run_id", "producer_id", "epoch", "through", "checksums")
    with database.writing() as connection:
        upsert_rows(connection, PRODUCERS, columns, [(RUN, f"p{n}", 1, n, b"a") for n in range(3)])
        connection.execute(PRODUCERS.update().values(closed=True))
        upsert_rows(connection, PRODUCERS, columns, [(RUN, "p1", 2**40, 9, b"%s\0\xff")])
        upsert_rows(connection, PRODUCERS, columns, [])

    query = select(PRODUCERS).order_by(PRODUCERS.c.producer_id)
    rows = database.read_now(lambda c: [tuple(row) for row in c.execute(query)])
    assert rows == [
        (RUN, "p0", 1, 0, b"a", True),
        (RUN, "p1", 2**40, 9, b"%s\0\xff", True),
        (RUN, "p2", 1, 2, b"a", True),
    ]
