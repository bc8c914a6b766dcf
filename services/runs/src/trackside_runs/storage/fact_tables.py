"""The tables of what the service remembers of producers and agents, and of the directory."""

from typing import Any, Final

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, text
from sqlmodel import Field

from trackside_journal.producers import ProducerColumns
from trackside_runs.storage.tables import BY_CODE_POINT, RunsTables, table_of


def _text(*, is_key: bool = False) -> Any:  # noqa: ANN401 - as sqlmodel types its Field
    return Field(default="", sa_type=BY_CODE_POINT, primary_key=is_key)


def _number() -> Any:  # noqa: ANN401 - as sqlmodel types its Field
    return Field(default=0, sa_type=BigInteger)


class DirectoryRow(RunsTables, table=True):
    """What the other services must know of a run, at the position of its latest change."""

    __tablename__: Any = "directory"
    __table_args__: Any = (Index("directory_by_position", "position"),)

    run_id: str = _text(is_key=True)
    position: int = _number()
    owner: str = _text()
    project: str = _text()
    sealed: bool = False
    end_time_ms: int = _number()
    deleted: bool = False


class DeletedRunRow(RunsTables, table=True):
    """A run that was deleted: its id is never given again."""

    __tablename__: Any = "deleted_run"
    __table_args__: Any = (
        Index("deleted_run_by_position", "position"),
        Index(
            "deleted_run_to_purge",
            "run_id",
            sqlite_where=text("not is_purged"),
            postgresql_where=text("not is_purged"),
        ),
    )

    run_id: str = _text(is_key=True)
    requester: str = _text()
    """Who had it deleted."""
    delete_time_ms: int = _number()
    position: int = _number()
    """Of its last change, which tells of the deletion; 0 once that is forgotten."""
    is_purged: bool = False
    """Whether nothing else of it is left here."""
    is_confirmed_by_logs: bool = False
    """Whether the logs service has said that nothing of it is left there."""
    is_confirmed_by_metrics: bool = False
    """The same of the metrics service."""


class RevocationRow(RunsTables, table=True):
    """Tokens that are refused: one, or all of a subject, at the position of the latest word."""

    __tablename__: Any = "revocation"
    __table_args__: Any = (
        Index("revocation_by_position", "position"),
        Index("revocation_by_expiry", "expire_ms"),
    )

    token_id: str = _text(is_key=True)
    """Empty: all tokens of the subject."""
    subject: str = _text(is_key=True)
    """Empty: whomever the one token speaks for."""
    position: int = _number()
    latest_issue_ms: int = _number()
    expire_ms: int = _number()
    revoke_ms: int = _number()
    requester: str = _text()


class ProducerRow(ProducerColumns, RunsTables, table=True):
    """What is remembered of a producer, so that every batch counts once."""

    __tablename__: Any = "producer"


class AgentRow(RunsTables, table=True):
    """An agent that has connected."""

    __tablename__: Any = "agent"

    agent_id: str = _text(is_key=True)
    connection_id: str = _text()
    """Of the connection that holds the lease; a later one takes it over."""
    peer_address: str = _text()
    """Where other replicas reach the one that it is connected to; empty: nowhere."""
    host: str = _text()
    version: str = _text()
    heartbeat_ms: int = _number()
    """When it was last heard from, by the server's clock."""


class RunnerRow(RunsTables, table=True):
    """A runner that an agent offers."""

    __tablename__: Any = "runner"

    agent_id: str = _text(is_key=True)
    name: str = _text(is_key=True)
    capacity: int = Field(default=1, sa_type=Integer)
    fault: str = _text()


class AssignmentRow(RunsTables, table=True):
    """A run that an agent was given: from the claim until the run has ended."""

    __tablename__: Any = "assignment"
    __table_args__: Any = (
        Index("assignment_by_agent", "agent_id"),
        Index("assignment_by_parent", "parent_run_id"),
    )

    run_id: str = _text(is_key=True)
    agent_id: str = _text()
    runner: str = _text()
    parent_run_id: str = _text()
    is_stored: bool = False
    """Whether the agent has said that it keeps it."""


class QueuedRunRow(RunsTables, table=True):
    """A run that waits for an agent, in the order in which it came."""

    __tablename__: Any = "queued_run"
    __table_args__: Any = (
        Index("queued_run_by_runner", "runner", "position", "parent_run_id", "run_id"),
    )

    run_id: str = _text(is_key=True)
    runner: str = _text()
    position: int = _number()
    parent_run_id: str = _text()


class ControlRow(RunsTables, table=True):
    """A control request that its authority has not acknowledged yet."""

    __tablename__: Any = "control"
    __table_args__: Any = (Index("control_by_authority", "authority"),)

    request_id: str = _text(is_key=True)
    run_id: str = _text()
    authority: str = _text()
    """The producer that is to carry it out."""


class OutputDirectoryRow(RunsTables, table=True):
    """Below which directory a launched run has its outputs."""

    __tablename__: Any = "output_directory"
    __table_args__: Any = (Index("output_directory_by_path", "authority", "path_key"),)

    run_id: str = _text(is_key=True)
    authority: str = _text()
    """The agent where the directory is."""
    path_key: str = _text()
    """The path, cut as `keys.path_key` does it."""


class DeletionOrderRow(RunsTables, table=True):
    """A page of outputs that an agent is to delete, and has not said to have deleted."""

    __tablename__: Any = "deletion_order"
    __table_args__: Any = (
        Index("deletion_order_by_authority", "authority"),
        Index("deletion_order_by_run", "run_id"),
    )

    request_id: str = _text(is_key=True)
    page: int = Field(default=0, sa_type=Integer, primary_key=True)
    run_id: str = _text()
    authority: str = _text()
    """The agent that is to carry it out."""
    message: bytes = Field(default=b"", sa_type=LargeBinary)
    """The page, as the agent is sent it."""


DIRECTORY: Final = table_of(DirectoryRow)
DELETED_RUN: Final = table_of(DeletedRunRow)
REVOCATION: Final = table_of(RevocationRow)
PRODUCER: Final = table_of(ProducerRow)
AGENT: Final = table_of(AgentRow)
RUNNER: Final = table_of(RunnerRow)
ASSIGNMENT: Final = table_of(AssignmentRow)
QUEUED_RUN: Final = table_of(QueuedRunRow)
CONTROL: Final = table_of(ControlRow)
OUTPUT_DIRECTORY: Final = table_of(OutputDirectoryRow)
DELETION_ORDER: Final = table_of(DeletionOrderRow)
