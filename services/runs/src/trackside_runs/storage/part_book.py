"""The rest of what belongs to one run, within a transaction: its large parts and outputs."""

from typing import Final, Literal, TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection, select

from trackside_journal.dialects import upsert
from trackside_protos.runs.v1 import output_pb2
from trackside_runs.record import RunRecord
from trackside_runs.storage import queries, rows, tables

Detail = Literal["provenance", "launch", "sweep", "secret_launch"]
M = TypeVar("M", bound=Message)

_DETAILS: Final = ("provenance", "launch", "sweep", "secret_launch")


class PartBook:
    """Reads what is asked for, and writes at the end."""

    def __init__(self, connection: Connection, record: RunRecord) -> None:
        self._connection = connection
        self._record = record
        self._details: dict[str, bytes] = {}
        self._outputs: dict[str, output_pb2.Output] = {}

    def detail(self, name: Detail, kind: type[M]) -> M:
        """Return a large part; an empty one if there is none."""
        if name not in self._details:
            column = tables.RUN_DETAIL.c[name]
            stored = self._connection.execute(
                select(column).where(tables.RUN_DETAIL.c.run_id == self._record.run_id)
            ).scalar_one_or_none()
            return kind.FromString(bytes(stored or b""))
        return kind.FromString(self._details[name])

    def put_detail(self, name: Detail, message: Message) -> None:
        """Enter a large part."""
        self._details[name] = message.SerializeToString()

    def output(self, path: str) -> output_pb2.Output | None:
        """Return an output as it is now, if there is one of this path."""
        if path in self._outputs:
            return self._outputs[path]
        return queries.output(self._connection, self._record.run_id, path)

    def put_output(self, output: output_pb2.Output) -> None:
        """Enter an output as it is now."""
        self._outputs[output.path] = output

    @property
    def new_details(self) -> dict[str, bytes]:
        """What is to be written of the large parts, by name."""
        return self._details

    def write(self) -> None:
        """Write what has changed, but the large parts of new runs."""
        run_id = self._record.run_id
        if self._outputs:
            self._connection.execute(
                upsert(self._connection, tables.OUTPUT),
                [rows.output_row(run_id, output) for output in self._outputs.values()],
            )
        if self._details and not self._record.is_new:
            self._connection.execute(
                upsert(self._connection, tables.RUN_DETAIL, only=tuple(self._details)),
                [detail_row(run_id, self._details)],
            )


def detail_row(run_id: str, details: dict[str, bytes]) -> dict[str, object]:
    """Return the row of large parts."""
    return {"run_id": run_id, **dict.fromkeys(_DETAILS, b""), **details}
