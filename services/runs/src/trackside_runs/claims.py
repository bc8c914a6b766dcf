"""Agents and their leases: who may launch what, decided by compare-and-set.

A run that waits is given to one agent, for good: should the agent vanish, the run is
DISCONNECTED, never launched elsewhere. What could be claimed is looked for without a lock;
then those runs are locked, in the order in which everybody locks, and looked at again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, func, select, update

from trackside_journal.dialects import upsert
from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runs.v1 import run_pb2, run_state_pb2
from trackside_runs import offers
from trackside_runs.errors import AgentReplacedError
from trackside_runs.record import RunRecord
from trackside_runs.storage import deletion_orders, fact_tables, tables
from trackside_runs.storage.ledger import Ledger

_State: Final = run_state_pb2.RunState
_UNLIMITED: Final = 1 << 30
_LOOKED_AT: Final = 200
_CLAIMED_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Connected:
    """An agent's connection."""

    agent_id: str
    connection_id: str
    peer_address: str = ""
    """Where other replicas reach the one that holds it; empty: nowhere."""


@dataclass(slots=True)
class Outlook:
    """What there is to do for an agent now."""

    claimable: list[str] = field(default_factory=list[str])
    """Waiting runs that it may claim, first come first."""
    unstored: list[str] = field(default_factory=list[str])
    """Runs that it was given and has not said to keep."""
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(run, request) of what it is asked and has not acknowledged."""
    deletions: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(run, request) of outputs that it is to delete and has not said to have."""


def connect(ledger: Ledger, connected: Connected, hello: runners_service_pb2.Hello) -> None:
    """Take an agent in; an earlier connection of the same id loses its lease."""
    connection = ledger.connection
    connection.execute(
        upsert(connection, fact_tables.AGENT),
        [
            {
                "agent_id": connected.agent_id,
                "connection_id": connected.connection_id,
                "peer_address": connected.peer_address,
                "host": hello.host,
                "version": hello.version,
                "heartbeat_ms": ledger.now_ms,
            }
        ],
    )
    runners = fact_tables.RUNNER
    connection.execute(delete(runners).where(runners.c.agent_id == connected.agent_id))
    if hello.runners:
        connection.execute(
            runners.insert(),
            [
                {
                    "agent_id": connected.agent_id,
                    "name": offer.name,
                    "capacity": offer.capacity,
                    "fault": offer.fault,
                }
                for offer in hello.runners
            ],
        )


def renew(ledger: Ledger, connected: Connected) -> None:
    """Renew a lease.

    Raises:
        AgentReplacedError: A later connection has taken the agent's id.
    """
    agents = fact_tables.AGENT
    renewed = ledger.connection.execute(
        update(agents)
        .where(
            agents.c.agent_id == connected.agent_id,
            agents.c.connection_id == connected.connection_id,
        )
        .values(heartbeat_ms=ledger.now_ms)
    )
    if renewed.rowcount == 0:
        raise AgentReplacedError


def look(connection: Connection, connected: Connected) -> Outlook:
    """Return what there is to do for an agent.

    Raises:
        AgentReplacedError: A later connection has taken the agent's id.
    """
    agent, assignment = fact_tables.AGENT.c, fact_tables.ASSIGNMENT.c
    holder = connection.execute(
        select(agent.connection_id).where(agent.agent_id == connected.agent_id)
    ).scalar_one_or_none()
    if holder != connected.connection_id:
        raise AgentReplacedError
    unstored = connection.execute(
        select(assignment.run_id).where(
            assignment.agent_id == connected.agent_id, ~assignment.is_stored
        )
    )
    requests = open_requests(connection, connected.agent_id)
    outlook = Outlook(
        unstored=[run_id for (run_id,) in unstored],
        requests=requests,
        deletions=deletion_orders.open_orders(connection, connected.agent_id),
    )
    for runner, room in _room(connection, connected.agent_id).items():
        if room > 0:
            outlook.claimable += _waiting(connection, runner, min(room, _CLAIMED_AT_ONCE))
    return outlook


def claim(ledger: Ledger, connected: Connected, run_ids: Sequence[str]) -> list[str]:
    """Give waiting runs to an agent, as many as it has room for, and return their ids.

    Raises:
        AgentReplacedError: A later connection has taken the agent's id.
    """
    renew(ledger, connected)
    room = _room(ledger.connection, connected.agent_id)
    allowances: dict[str, int] = {}
    claimed: list[str] = []
    for run_id in run_ids:
        record = ledger.find(run_id)
        if record is None or not _is_waiting(record):
            continue  # another replica gave it away, or it was killed, since we looked
        runner, parent_id = record.message.runner, record.message.parent_run_id
        if parent_id and parent_id not in allowances:
            parallelism = ledger.get(parent_id).message.children.parallelism
            allowances[parent_id] = _allowance(ledger.connection, parent_id, parallelism)
        if room.get(runner, 0) > 0 and allowances.get(parent_id, 1) > 0:
            room[runner] -= 1
            if parent_id:
                allowances[parent_id] -= 1
            _give(ledger, record, connected.agent_id)
            claimed.append(run_id)
    return claimed


def store_launch(ledger: Ledger, connected: Connected, run_id: str) -> None:
    """Note that an agent keeps an assignment.

    Raises:
        AgentReplacedError: A later connection has taken the agent's id.
    """
    renew(ledger, connected)
    ledger.agents.mark_launch_stored(run_id, connected.agent_id)


def open_requests(connection: Connection, authority: str) -> list[tuple[str, str]]:
    """Return (run, request) of what an authority is asked and has not acknowledged."""
    table = fact_tables.CONTROL.c
    found = connection.execute(
        select(table.run_id, table.request_id).where(table.authority == authority)
    )
    return [(run_id, request_id) for run_id, request_id in found]


def all_open_requests(connection: Connection) -> list[tuple[str, str, str]]:
    """Return (authority, run, request) of what anybody is asked and has not acknowledged."""
    table = fact_tables.CONTROL.c
    found = connection.execute(select(table.authority, table.run_id, table.request_id))
    return [(authority, run_id, request_id) for authority, run_id, request_id in found]


def list_runners(connection: Connection) -> Sequence[RowMapping]:
    """Return every runner with its agent and how many runs it holds, by name, then agent."""
    runner, agent, assignment = (
        fact_tables.RUNNER.c,
        fact_tables.AGENT.c,
        fact_tables.ASSIGNMENT.c,
    )
    active = (
        select(func.count())
        .where(assignment.agent_id == runner.agent_id, assignment.runner == runner.name)
        .scalar_subquery()
    )
    found = connection.execute(
        select(
            runner.name,
            runner.agent_id,
            runner.capacity,
            runner.fault,
            agent.host,
            agent.version,
            agent.heartbeat_ms,
            active.label("active_count"),
        )
        .join_from(fact_tables.RUNNER, fact_tables.AGENT, agent.agent_id == runner.agent_id)
        .order_by(runner.name, runner.agent_id)
    )
    return found.mappings().all()


def _room(connection: Connection, agent_id: str) -> dict[str, int]:
    runner, assignment = fact_tables.RUNNER.c, fact_tables.ASSIGNMENT.c
    counted = connection.execute(
        select(assignment.runner, func.count())
        .where(assignment.agent_id == agent_id)
        .group_by(assignment.runner)
    )
    active: dict[str, int] = {row[0]: row[1] for row in counted}
    offered = connection.execute(
        select(runner.name, runner.capacity).where(runner.agent_id == agent_id, runner.fault == "")
    )
    return {name: capacity - active.get(name, 0) for name, capacity in offered}


def _waiting(connection: Connection, runner: str, room: int) -> list[str]:
    """Return waiting runs, first come first, but for those whose parents let no more run."""
    queue = fact_tables.QUEUED_RUN.c
    allowances: dict[str, int] = {}
    chosen: list[str] = []
    after = 0
    while True:
        exhausted = [parent for parent, allowance in allowances.items() if allowance <= 0]
        found = connection.execute(
            select(queue.run_id, queue.parent_run_id, queue.position)
            .where(
                queue.runner == runner,
                queue.position > after,
                queue.parent_run_id.not_in(exhausted),
            )
            .order_by(queue.position)
            .limit(_LOOKED_AT)
        ).all()
        for run_id, parent_id, position in found:
            after = position
            if parent_id and parent_id not in allowances:
                allowances[parent_id] = _allowance(connection, parent_id)
            if allowances.get(parent_id, 1) > 0:
                chosen.append(run_id)
                if parent_id:
                    allowances[parent_id] -= 1
            if len(chosen) == room:
                return chosen
        if len(found) < _LOOKED_AT:
            return chosen


def _allowance(connection: Connection, parent_id: str, parallelism: int | None = None) -> int:
    """Return how many more children a parent lets run."""
    if parallelism is None:
        parent = tables.RUN_MESSAGE.c
        message = connection.execute(
            select(parent.message).where(parent.run_id == parent_id)
        ).scalar_one_or_none()
        if message is None:
            return 0  # deleted with its children, since one of them was looked at
        parallelism = run_pb2.Run.FromString(bytes(message)).children.parallelism
    if parallelism <= 0:
        return _UNLIMITED
    assignment = fact_tables.ASSIGNMENT.c
    given: int = connection.execute(
        select(func.count()).where(assignment.parent_run_id == parent_id)
    ).scalar_one()
    return parallelism - given


def _is_waiting(record: RunRecord) -> bool:
    return record.message.state == _State.RUN_STATE_PENDING and not record.facts.authority


def _give(ledger: Ledger, record: RunRecord, agent_id: str) -> None:
    record.facts.authority = agent_id
    record.heartbeat_ms = ledger.now_ms
    record.message.state_reason = run_state_pb2.StateReason.STATE_REASON_SUBMITTED
    record.message.submit_time.FromMilliseconds(ledger.now_ms)
    ledger.agents.dequeue(record)
    ledger.agents.assign(record, agent_id)
    offers.refresh(record)
    record.touch()
