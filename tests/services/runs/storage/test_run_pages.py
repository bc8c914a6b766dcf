from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ColumnElement, Connection, create_engine, insert, true

from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import ListRunsRequest
from trackside_runs.filtering.orders import KEYED_ORDERS, NEWEST_FIRST, RUN_ORDERS, Order
from trackside_runs.page_keys import key_before, token_after
from trackside_runs.storage.run_pages import key_shape, page_of_runs, visible_to
from trackside_runs.storage.run_rows import run_values
from trackside_runs.storage.tables import RUN, RUN_MESSAGE, RunsTables

RUNS = [
    Run(
        run_id=f"{number:016}",
        name=f"name {number % 3}",
        owner="ada" if number % 2 else "bob",
        project="red" if number % 5 == 0 else "blue",
        state=list(RunState.values())[1 + number % 4],
        create_time=Timestamp(seconds=1000 + number // 2),
        start_time=Timestamp(seconds=2000 - number) if number % 3 else None,
    )
    for number in range(23)
]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    RunsTables.metadata.create_all(engine)
    with engine.begin() as connection:
        for run in RUNS:
            connection.execute(insert(RUN), run_values(run))
            message = {"run_id": run.run_id, "message": run.SerializeToString()}
            connection.execute(insert(RUN_MESSAGE), message)
        yield connection
    engine.dispose()


def pages(
    connection: Connection, order: Order, condition: ColumnElement[bool] | None = None
) -> list[Run]:
    """Read everything in pages of four, as a client does."""
    found: list[Run] = []
    request = ListRunsRequest()
    while True:
        after = key_before(request, key_shape(order))
        wanted = true() if condition is None else condition
        statement = page_of_runs(wanted, order, after=after, limit=5)
        rows: list[Any] = list(connection.execute(statement))
        found += [Run.FromString(row[-1]) for row in rows[:4]]
        if len(rows) < 5:
            return found
        request.page_token = token_after(list(rows[3][:-2]), request)


@pytest.mark.parametrize("field", sorted(set(RUN_ORDERS) - KEYED_ORDERS))
@pytest.mark.parametrize("descending", [False, True])
def test_pages_hold_every_run_once_in_order(
    connection: Connection, field: str, *, descending: bool
) -> None:
    def key(run: Run) -> tuple[Any, ...]:
        value = getattr(run, field)
        first = value.seconds if isinstance(value, Timestamp) else value
        return (first, run.create_time.seconds, run.run_id)

    found = pages(connection, Order(field, descending=descending))

    assert found == sorted(RUNS, key=key, reverse=descending)


def test_a_caller_sees_own_runs_and_those_of_their_projects(connection: Connection) -> None:
    found = pages(connection, NEWEST_FIRST, visible_to("ada", {"red"}))

    assert {run.run_id for run in found} == {
        run.run_id for run in RUNS if run.owner == "ada" or run.project == "red"
    }


def test_a_caller_without_projects_sees_own_runs(connection: Connection) -> None:
    found = pages(connection, NEWEST_FIRST, visible_to("bob", ()))

    assert {run.owner for run in found} == {"bob"}
