from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, select

from trackside_protos.runs.v1.task_pb2 import Task, TaskAttempt, TaskState, TaskWait
from trackside_runs.filtering.conditions import Dialect, to_condition
from trackside_runs.filtering.errors import FilterError
from trackside_runs.filtering.grammar import parse_filter
from trackside_runs.filtering.predicates import to_predicate
from trackside_runs.filtering.tasks import TASK_READERS, TASK_SCHEMA
from trackside_runs.filtering.tree import (
    And,
    Compares,
    Contains,
    FieldTest,
    FreeText,
    Matches,
    Node,
    Not,
    Or,
    Present,
    lower_ascii,
)
from trackside_runs.storage.tables import TASK, TASK_CONTEXT
from trackside_runs.storage.task_rows import TASK_FACTS, context_rows, task_facts
from trackside_runs.storage.task_sources import task_sources

RUN_ID = "0123456789abcdef"
OTHER_RUN_ID = "fedcba9876543210"

letters = st.sampled_from(["a", "A", "ä", "ß", "*", "[", "%", "_", "\\", "'"])
words = st.text(letters, max_size=4)
full_words = st.text(letters, min_size=1, max_size=4)
keys = st.sampled_from(["k", 'x."y', "\\"])
moments = st.integers(-3, 3)
times = st.one_of(st.none(), moments.map(lambda s: Timestamp(seconds=s)))
attempts = st.builds(
    TaskAttempt,
    exit_code=st.one_of(st.none(), st.sampled_from([0, 1, -9])),
    host=words,
    machine_type=words,
)
tasks = st.builds(
    Task,
    task_id=full_words,
    name=words,
    process=words,
    parent_task_id=words,
    state=st.sampled_from(TaskState.values()[1:]),
    wait=st.sampled_from(TaskWait.values()),
    message=words,
    attempts=st.lists(attempts, max_size=3),
    cached=st.booleans(),
    scope_path=words,
    context=st.dictionaries(keys, words, max_size=2),
    create_time=times,
    start_time=times,
    end_time=times,
)
operators: Any = st.sampled_from(["=", "<", "<=", ">", ">="])
text_checks = st.one_of(
    st.just(Present()),
    st.lists(words, min_size=1, max_size=3).map(lambda parts: Matches(tuple(parts))),
    st.builds(Contains, full_words.map(lower_ascii)),
    st.builds(Compares, operators, full_words),
)


def asked(names: list[str], checks: st.SearchStrategy[Any]) -> st.SearchStrategy[FieldTest]:
    every = st.one_of(st.just(Present()), checks)
    return st.builds(FieldTest, st.sampled_from(names), st.just(""), every)


texts = ["task_id", "name", "process", "parent_task", "scope", "host", "machine_type"]
tests = st.one_of(
    asked(texts, text_checks),
    asked(["state", "wait"], st.builds(Compares, st.just("="), st.integers(1, 5))),
    asked(["retried", "cached"], st.builds(Compares, st.just("="), st.integers(0, 1))),
    asked(["attempts", "exit_code"], st.builds(Compares, operators, st.floats(-2, 3))),
    asked(
        ["create_time", "start_time", "end_time", "duration"],
        st.builds(Compares, operators, moments.map(lambda s: s * 1000)),
    ),
    st.builds(FieldTest, st.just("context"), keys, text_checks),
    st.builds(FreeText, full_words.map(str.casefold)),
)
trees: st.SearchStrategy[Node] = st.recursive(
    tests,
    lambda children: st.one_of(
        st.builds(Not, children),
        st.builds(And, st.lists(children, max_size=3).map(tuple)),
        st.builds(Or, st.lists(children, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
some_tasks = st.lists(tasks, min_size=1, max_size=6, unique_by=lambda task: task.task_id)
some_trees = st.lists(trees, min_size=1, max_size=4)


def store(connection: Connection, run_id: str, stored: list[Task]) -> None:
    for ordinal, task in enumerate(stored, start=1):
        facts = dict(zip(TASK_FACTS, task_facts(task), strict=True))
        where = {"run_id": run_id, "ordinal": ordinal, "task_id": task.task_id}
        kept = {"state": task.state, "process": task.process}
        connection.execute(insert(TASK), {**where, **kept, **facts})
        for row in context_rows(run_id, ordinal, task):
            connection.execute(insert(TASK_CONTEXT).values(row))


def assert_agreement(
    connection: Connection, tree: Node, stored: list[Task], dialect: Dialect
) -> None:
    condition = to_condition(tree, task_sources(RUN_ID), dialect)
    predicate = to_predicate(tree, TASK_READERS)

    found = connection.scalars(select(TASK.c.task_id).where(TASK.c.run_id == RUN_ID, condition))

    assert set(found) == {task.task_id for task in stored if predicate(task)}


@pytest.mark.exhaustive
@settings(max_examples=200)
@given(stored=some_tasks, others=some_tasks, asked=some_trees)
def test_the_database_finds_what_the_predicate_finds(
    engine: Engine, stored: list[Task], others: list[Task], asked: list[Node]
) -> None:
    with engine.connect() as connection:
        store(connection, RUN_ID, stored)
        store(connection, OTHER_RUN_ID, others)
        for tree in asked:
            assert_agreement(connection, tree, stored, "sqlite")
        connection.rollback()


@settings(max_examples=60)
@given(stored=some_tasks, others=some_tasks, asked=some_trees)
def test_postgresql_finds_what_the_predicate_finds(
    postgresql_engine: Engine, stored: list[Task], others: list[Task], asked: list[Node]
) -> None:
    with postgresql_engine.connect() as connection:
        store(connection, RUN_ID, stored)
        store(connection, OTHER_RUN_ID, others)
        for tree in asked:
            assert_agreement(connection, tree, stored, "postgresql")
        connection.rollback()


TASK_ITSELF = Task(
    task_id="align-7",
    name="ALIGN (S7)",
    process="RNASEQ:ALIGN",
    parent_task_id="align",
    state=TaskState.TASK_STATE_FAILED,
    wait=TaskWait.TASK_WAIT_COMPUTE,
    message="no memory",
    attempts=[
        TaskAttempt(number=1, exit_code=0, host="box1"),
        TaskAttempt(number=2, exit_code=137, host="box2", machine_type="c5.large"),
    ],
    scope_path="fold=2",
    context={"sample": "S7", "empty": ""},
    create_time=Timestamp(seconds=1_772_366_400),
    start_time=Timestamp(seconds=1_772_366_410),
    end_time=Timestamp(seconds=1_772_366_500),
)


def holds(text: str) -> bool:
    tree = parse_filter(text, TASK_SCHEMA, now_ms=1_772_366_400_000 + 3_600_000)
    return to_predicate(tree, TASK_READERS)(TASK_ITSELF)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "state = failed AND attempts > 1 AND context.sample = S7",
        "task_id = align-* name:s7 process:rnaseq parent_task = align scope = fold*",
        "wait = COMPUTE retried = true cached = false attempts = 2",
        "exit_code = 137 host = box2 machine_type:c5",
        "NOT host = box1",
        "duration = 1m30s duration >= 90 duration < 1.6m duration != 89999ms",
        "start_time > -1h end_time > -2h create_time < 2026-03-02",
        'context.empty = "" context:sample NOT context.other:*',
        'MEMORY align "sample=s7" fold',
    ],
)
def test_a_filter_finds_the_task(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "state = RUNNING",
        "cached = true",
        "retried != true",
        "duration > 1m30s",
        "context.sample = S8",
        "context.other != S7",
        "NOT host = box2",
        "nonsense",
    ],
)
def test_a_filter_passes_the_task_over(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("duration > long", 11),
        ("duration > -5s", 11),
        ("cached = maybe", 9),
        ("owner = ann", 0),
        ("context = S7", 0),
    ],
)
def test_what_no_task_has_is_refused_with_its_place(text: str, position: int) -> None:
    with pytest.raises(FilterError) as refused:
        parse_filter(text, TASK_SCHEMA, now_ms=0)

    assert refused.value.position == position


def test_the_duration_of_a_task_at_work_is_absent() -> None:
    running = Task(task_id="t", start_time=Timestamp(seconds=5))
    tree = parse_filter("duration:*", TASK_SCHEMA, now_ms=0)

    assert not to_predicate(tree, TASK_READERS)(running)
