"""What agents are to delete of what runs have published, and where runs have their outputs."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, delete, select

from trackside_journal.dialects import upsert
from trackside_protos.runners.v1.runners_service_pb2 import DeletionOrder
from trackside_protos.runs.v1.output_deletion_pb2 import DoomedOutput
from trackside_runs.record import RunRecord
from trackside_runs.storage import fact_tables
from trackside_runs.storage.keys import path_key

_PAGE_BYTES: Final = 256 << 10


def note_directory(connection: Connection, record: RunRecord) -> None:
    """Note below which directory a launched run has its outputs."""
    path = record.message.output_directory.path
    row = {
        "run_id": record.run_id,
        "authority": record.facts.authority,
        "path_key": path_key(path),
    }
    connection.execute(upsert(connection, fact_tables.OUTPUT_DIRECTORY), [row])


def run_below(connection: Connection, record: RunRecord) -> str:
    """Return another run whose directory is below that of a run; empty if there is none.

    Of directories with so long a path that their keys are cut, what begins alike counts, too.
    """
    table = fact_tables.OUTPUT_DIRECTORY.c
    above = path_key(record.message.output_directory.path)
    begin, end = f"{above}/", f"{above}0"  # the character after the slash
    if above != record.message.output_directory.path:
        begin, _, _ = above.rpartition("\N{HORIZONTAL ELLIPSIS}")
        end = f"{begin}\U0010ffff"
    found = connection.execute(
        select(table.run_id)
        .where(
            table.authority == record.facts.authority,
            table.path_key >= begin,
            table.path_key < end,
            table.run_id != record.run_id,
        )
        .limit(1)
    )
    return found.scalar_one_or_none() or ""


def add(
    connection: Connection, authority: str, order: DeletionOrder, outputs: Sequence[DoomedOutput]
) -> None:
    """Keep an order until its end is noted.

    Args:
        connection: The transaction.
        authority: The agent that is to carry it out.
        order: What is the same in all its pages.
        outputs: What is to be deleted, at least one.
    """
    pages = list(_pages(order, outputs))
    pages[-1].is_last = True
    rows = [
        {
            "request_id": order.request_id,
            "page": number,
            "run_id": order.run_id,
            "authority": authority,
            "message": page.SerializeToString(),
        }
        for number, page in enumerate(pages)
    ]
    connection.execute(fact_tables.DELETION_ORDER.insert(), rows)


def remove(connection: Connection, request_id: str) -> None:
    """Forget an order that is carried out."""
    table = fact_tables.DELETION_ORDER
    connection.execute(delete(table).where(table.c.request_id == request_id))


def open_orders(connection: Connection, authority: str) -> list[tuple[str, str]]:
    """Return (run, request) of what an agent has not said to be done."""
    table = fact_tables.DELETION_ORDER.c
    found = connection.execute(
        select(table.run_id, table.request_id).where(table.authority == authority, table.page == 0)
    )
    return [(run_id, request_id) for run_id, request_id in found]


def pages_of(connection: Connection, request_id: str) -> list[DeletionOrder]:
    """Return the pages of an order; nothing once it is carried out."""
    table = fact_tables.DELETION_ORDER.c
    found = connection.execute(
        select(table.message).where(table.request_id == request_id).order_by(table.page)
    )
    return [DeletionOrder.FromString(message) for (message,) in found]


def paths_ordered(connection: Connection, run_id: str) -> dict[str, str]:
    """Return the request that is open for each path of a run that is to be deleted."""
    table = fact_tables.DELETION_ORDER.c
    found = connection.execute(select(table.message).where(table.run_id == run_id))
    orders = [DeletionOrder.FromString(message) for (message,) in found]
    return {output.path: order.request_id for order in orders for output in order.outputs}


def _pages(order: DeletionOrder, outputs: Sequence[DoomedOutput]) -> Iterator[DeletionOrder]:
    page, size = DeletionOrder(), 0
    page.CopyFrom(order)
    for output in outputs:
        if size > _PAGE_BYTES:
            yield page
            page, size = DeletionOrder(), 0
            page.CopyFrom(order)
        page.outputs.append(output)
        size += output.ByteSize()
    yield page
