"""The tables of the runs service: narrow rows to find things by, messages beside them.

What lists and filters look at is in narrow tables, so that a scan of 100,000 runs reads a
few megabytes; encoded messages and long texts stand in tables of their own. Times are in
milliseconds since 1970, and 0 where there is none. Texts compare by code points everywhere.
"""

from typing import Any, Final, cast

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

BY_CODE_POINT: Final[Any] = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""A text that orders, and changes case, on PostgreSQL as it does on SQLite."""


_LARGE: Final[Any] = BigInteger().with_variant(Integer, "sqlite")
"""64 bits; so spelt, a key of one number is SQLite's own row number and needs no index."""


class RunsTables(SQLModel, registry=registry()):
    """The tables of this service, and of no other: `RunsTables.metadata`."""


def _text(*, is_key: bool = False) -> Any:  # noqa: ANN401 - as sqlmodel types its Field
    return Field(default="", sa_type=BY_CODE_POINT, primary_key=is_key)


def _number(*, is_key: bool = False) -> Any:  # noqa: ANN401 - as sqlmodel types its Field
    arguments = {"autoincrement": False} if is_key else {}
    return Field(default=0, sa_type=_LARGE, primary_key=is_key, sa_column_kwargs=arguments)


def _bytes() -> Any:  # noqa: ANN401 - as sqlmodel types its Field
    return Field(default=b"", sa_type=LargeBinary)


class RunRow(RunsTables, table=True):
    """What lists, filters, liveness and rights ask of a run."""

    __tablename__: Any = "run"
    __table_args__: Any = (
        Index("run_by_create_time", "create_time_ms", "run_id"),
        Index("run_by_start_time", "start_time_ms", "create_time_ms", "run_id"),
        Index("run_by_end_time", "end_time_ms", "create_time_ms", "run_id"),
        Index("run_by_state", "state", "create_time_ms", "run_id"),
        Index("run_by_owner", "owner", "create_time_ms", "run_id"),
        Index("run_by_project", "project", "create_time_ms", "run_id"),
        Index("run_by_parent", "parent_run_id", "create_time_ms", "run_id"),
        Index("run_by_name", "name", "create_time_ms", "run_id"),
        Index("run_by_session", "session_id"),
        Index(
            "run_to_look_at",
            "look_at_ms",
            sqlite_where=text("look_at_ms > 0"),
            postgresql_where=text("look_at_ms > 0"),
        ),
    )

    run_id: str = _text(is_key=True)
    create_time_ms: int = _number()
    start_time_ms: int = _number()
    end_time_ms: int = _number()
    state: int = Field(default=0, sa_type=Integer)
    state_reason: int = Field(default=0, sa_type=Integer)
    conditions: int = Field(default=0, sa_type=Integer)
    """Bit n is set while the condition of number n holds."""
    owner: str = _text()
    project: str = _text()
    name: str = _text()
    parent_run_id: str = _text()
    runner: str = _text()
    workflow_name: str = _text()
    session_id: str = _text()
    external_key: str | None = Field(default=None, sa_type=BY_CODE_POINT, unique=True)
    exit_code: int | None = Field(default=None, sa_type=Integer)
    is_parent: bool = False
    sealed: bool = False
    authority: str = _text()
    """The producer that alone moves the run to an end; empty until there is one."""
    position: int = _number()
    """The list position of its latest change."""
    sequence: int = _number()
    """The sequence of its latest change."""
    first_sequence: int = Field(default=1, sa_type=BigInteger)
    """The sequence of the first change that is kept."""
    heartbeat_ms: int = _number()
    """When the authority was last heard from, by the server's clock."""
    heartbeat_interval_ms: int = _number()
    lost_after_ms: int = _number()
    report_ms: int = _number()
    """When anything but a heartbeat last came from any producer, by the server's clock."""
    look_at_ms: int = _number()
    """When silence alone may change it; 0: never."""
    final_ms: int = _number()
    """When its final state was stored, by the server's clock."""


class RunMessageRow(RunsTables, table=True):
    """The run as lists show it: an encoded `Run` without provenance, scopes, launch, sweep."""

    __tablename__: Any = "run_message"

    run_id: str = _text(is_key=True)
    message: bytes = _bytes()
    facts: bytes = _bytes()
    """The encoded `RunFacts`, which nobody is shown."""


class RunDetailRow(RunsTables, table=True):
    """The large parts of a run, each an encoded message or empty."""

    __tablename__: Any = "run_detail"

    run_id: str = _text(is_key=True)
    provenance: bytes = _bytes()
    launch: bytes = _bytes()
    """As it is shown: its secrets are masked."""
    sweep: bytes = _bytes()
    secret_launch: bytes = _bytes()
    """As its agent is given it, if that differs; emptied when the run has ended."""


class RunSearchRow(RunsTables, table=True):
    """The text that bare words of filters are looked for in."""

    __tablename__: Any = "run_search"

    run_id: str = _text(is_key=True)
    text: str = _text()


class RunTagRow(RunsTables, table=True):
    """One tag of one run."""

    __tablename__: Any = "run_tag"
    __table_args__: Any = (Index("run_tag_by_run", "run_id"), {"sqlite_with_rowid": False})

    tag: str = _text(is_key=True)
    run_id: str = _text(is_key=True)


class RunLabelRow(RunsTables, table=True):
    """One label of one run."""

    __tablename__: Any = "run_label"
    __table_args__: Any = (Index("run_label_by_run", "run_id"), {"sqlite_with_rowid": False})

    key: str = _text(is_key=True)
    run_id: str = _text(is_key=True)
    value: str = _text()


class RunParameterRow(RunsTables, table=True):
    """One parameter of one run."""

    __tablename__: Any = "run_parameter"
    __table_args__: Any = (Index("run_parameter_by_run", "run_id"), {"sqlite_with_rowid": False})

    key: str = _text(is_key=True)
    run_id: str = _text(is_key=True)
    number: float | None = None
    text: str = _text()


class RunFigureRow(RunsTables, table=True):
    """What one series of one run has come to; NULL where that is NaN."""

    __tablename__: Any = "run_figure"
    __table_args__: Any = (Index("run_figure_by_run", "run_id"), {"sqlite_with_rowid": False})

    key: str = _text(is_key=True)
    run_id: str = _text(is_key=True)
    ordinal: int = _number(is_key=True)
    """Its place among the figures of the run."""
    last: float | None = None
    best: float | None = None


class TaskRow(RunsTables, table=True):
    """One task of one run; the message is without its script."""

    __tablename__: Any = "task"
    __table_args__: Any = (
        Index("task_by_id", "run_id", "task_id", unique=True),
        Index("task_by_state", "run_id", "state", "ordinal"),
        Index("task_by_process", "run_id", "process", "ordinal"),
        {"sqlite_with_rowid": False},
    )

    run_id: str = _text(is_key=True)
    ordinal: int = _number(is_key=True)
    """Its place in the order of creation, from 1."""
    task_id: str = _text()
    state: int = Field(default=0, sa_type=Integer)
    process: str = _text()
    name: str = _text()
    wait: int = Field(default=0, sa_type=Integer)
    parent_task_id: str = _text()
    scope_path: str = _text()
    attempts: int = Field(default=0, sa_type=Integer)
    cached: int = Field(default=0, sa_type=Integer)
    exit_code: int | None = Field(default=None, sa_type=Integer)
    """Of its latest attempt, as host and machine type are."""
    host: str = _text()
    machine_type: str = _text()
    create_time_ms: int = _number()
    start_time_ms: int = _number()
    end_time_ms: int = _number()
    duration_ms: int = _number()
    """From start to end; -1 of a task that has not ended."""
    search_text: str = _text()
    """What bare words of filters are looked for in."""
    message: bytes = _bytes()


class TaskContextRow(RunsTables, table=True):
    """One entry of the context of one task."""

    __tablename__: Any = "task_context"
    __table_args__: Any = ({"sqlite_with_rowid": False},)

    run_id: str = _text(is_key=True)
    key: str = _text(is_key=True)
    ordinal: int = _number(is_key=True)
    value: str = _text()


class TaskScriptRow(RunsTables, table=True):
    """The script of one task."""

    __tablename__: Any = "task_script"

    run_id: str = _text(is_key=True)
    task_id: str = _text(is_key=True)
    script: str = _text()


class ProcessRow(RunsTables, table=True):
    """The tasks of one process of one run, counted."""

    __tablename__: Any = "process"

    run_id: str = _text(is_key=True)
    process: str = _text(is_key=True)
    ordinal: int = _number()
    """Its place in the order of first appearance, from 1."""
    create_time_ms: int = _number()
    pending: int = 0
    submitted: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    aborted: int = 0
    cached: int = 0
    retried: int = 0
    total: int = 0
    task_duration_ms: int = _number()
    sequence: int = _number()


class ScopeRow(RunsTables, table=True):
    """One scope of one run, with the memory from which its remaining time is computed."""

    __tablename__: Any = "scope"
    __table_args__: Any = (Index("scope_by_ordinal", "run_id", "ordinal"),)

    run_id: str = _text(is_key=True)
    path: str = _text(is_key=True)
    ordinal: int = _number()
    """Its place in the order of first appearance, from 1."""
    is_open: bool = True
    items: bytes = _bytes()
    """The encoded `estimates.Items`."""
    message: bytes = _bytes()


class OutputRow(RunsTables, table=True):
    """One output of one run."""

    __tablename__: Any = "output"

    run_id: str = _text(is_key=True)
    path_key: str = _text(is_key=True)
    """The path, cut as `keys.path_key` does it, for an index takes no longer ones."""
    message: bytes = _bytes()


class ChangeRow(RunsTables, table=True):
    """One change of one run: an entry of the journal, never altered."""

    __tablename__: Any = "change"
    __table_args__: Any = (Index("change_by_sequence", "run_id", "sequence", unique=True),)

    position: int = _number(is_key=True)
    run_id: str = _text()
    sequence: int = _number()
    kind: int = Field(default=0, sa_type=Integer)
    """The field number of what changed in `RunChange`."""
    message: bytes = _bytes()


class ListHeadRow(RunsTables, table=True):
    """The head of the list of all runs: one row, updated last in every transaction."""

    __tablename__: Any = "list_head"

    head_id: int = Field(default=1, primary_key=True)
    position: int = _number()
    """The position of the latest change."""
    first_position: int = Field(default=1, sa_type=BigInteger)
    """The position of the first change that a watch can still be given."""


def table_of(row: type[RunsTables]) -> Table:
    """Return the table of a row class, for statements of SQLAlchemy Core."""
    return cast("Table", row.__table__)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # set by table=True


RUN: Final = table_of(RunRow)
RUN_MESSAGE: Final = table_of(RunMessageRow)
RUN_DETAIL: Final = table_of(RunDetailRow)
RUN_SEARCH: Final = table_of(RunSearchRow)
RUN_TAG: Final = table_of(RunTagRow)
RUN_LABEL: Final = table_of(RunLabelRow)
RUN_PARAMETER: Final = table_of(RunParameterRow)
RUN_FIGURE: Final = table_of(RunFigureRow)
TASK: Final = table_of(TaskRow)
TASK_CONTEXT: Final = table_of(TaskContextRow)
TASK_SCRIPT: Final = table_of(TaskScriptRow)
PROCESS: Final = table_of(ProcessRow)
SCOPE: Final = table_of(ScopeRow)
OUTPUT: Final = table_of(OutputRow)
CHANGE: Final = table_of(ChangeRow)
LIST_HEAD: Final = table_of(ListHeadRow)
