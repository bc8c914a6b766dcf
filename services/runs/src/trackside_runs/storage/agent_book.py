"""What waits for agents and sessions: queued runs, assignments, control requests."""

from sqlalchemy import Connection, delete, update

from trackside_journal.dialects import upsert
from trackside_runs.record import RunRecord
from trackside_runs.storage import fact_tables
from trackside_runs.storage.run_store import IDS_A_QUERY


class AgentBook:
    """Writes at the end, but for what is given to agents, which is counted in between."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._queued: dict[str, RunRecord] = {}
        self._dequeued: list[str] = []
        self._released: list[str] = []
        self._let_off: list[str] = []
        self.has_work = False
        """Whether agents may now have something to claim."""
        self.has_requests = False
        """Whether somebody is newly asked to do something."""

    def enqueue(self, record: RunRecord) -> None:
        """Let a run wait for an agent; the order is that of the calls."""
        self._queued[record.run_id] = record
        self.has_work = True

    def dequeue(self, record: RunRecord) -> None:
        """Let a run no longer wait for an agent."""
        self._queued.pop(record.run_id, None)
        if record.facts.is_launched:
            self._dequeued.append(record.run_id)

    def assign(self, record: RunRecord, agent_id: str) -> None:
        """Give a run to an agent."""
        self._connection.execute(
            upsert(self._connection, fact_tables.ASSIGNMENT),
            [
                {
                    "run_id": record.run_id,
                    "agent_id": agent_id,
                    "runner": record.message.runner,
                    "parent_run_id": record.message.parent_run_id,
                    "is_stored": False,
                }
            ],
        )

    def release(self, record: RunRecord, *, is_let_off: bool = True) -> None:
        """Take a run from whoever has it, and unless it is not let off, drop what is asked."""
        if not record.facts.authority:
            return  # nobody ever had it
        self._released.append(record.run_id)
        if is_let_off:
            self._let_off.append(record.run_id)
        self.has_work |= record.facts.is_launched  # there is room for another

    def add_request(self, record: RunRecord, request_id: str) -> None:
        """Keep a control request until it is acknowledged."""
        self.has_requests = True
        self._connection.execute(
            fact_tables.CONTROL.insert(),
            [
                {
                    "request_id": request_id,
                    "run_id": record.run_id,
                    "authority": record.facts.authority,
                }
            ],
        )

    def remove_request(self, request_id: str) -> None:
        """Forget a control request that is acknowledged: it survives a crash over there."""
        table = fact_tables.CONTROL
        self._connection.execute(delete(table).where(table.c.request_id == request_id))

    def mark_launch_stored(self, run_id: str, agent_id: str) -> None:
        """Note that an agent keeps an assignment."""
        table = fact_tables.ASSIGNMENT
        self._connection.execute(
            update(table)
            .where(table.c.run_id == run_id, table.c.agent_id == agent_id)
            .values(is_stored=True)
        )

    def write(self, first_position: int) -> None:
        """Write the queue; runs of one transaction get places from its first position on."""
        for table, run_ids in (
            (fact_tables.QUEUED_RUN, self._dequeued),
            (fact_tables.ASSIGNMENT, self._released),
            (fact_tables.CONTROL, self._let_off),
        ):
            for start in range(0, len(run_ids), IDS_A_QUERY):
                some = run_ids[start : start + IDS_A_QUERY]
                self._connection.execute(delete(table).where(table.c.run_id.in_(some)))
        if self._queued:
            self._connection.execute(
                upsert(self._connection, fact_tables.QUEUED_RUN),
                [
                    {
                        "run_id": record.run_id,
                        "runner": record.message.runner,
                        "position": first_position + index,
                        "parent_run_id": record.message.parent_run_id,
                    }
                    for index, record in enumerate(self._queued.values())
                ],
            )
