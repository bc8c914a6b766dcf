import re
from math import isnan
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.dialects import postgresql

from trackside_protos.runs.v1.run_pb2 import Run, SeriesFigure
from trackside_protos.runs.v1.run_state_pb2 import Condition, ConditionKind, RunState
from trackside_runs.filtering.conditions import Dialect, to_condition
from trackside_runs.filtering.grammar import parse_filter
from trackside_runs.filtering.predicates import to_predicate
from trackside_runs.filtering.runs import RUN_READERS, RUN_SCHEMA
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
    PassesAny,
    Present,
    lower_ascii,
)
from trackside_runs.storage.run_rows import (
    figure_rows,
    label_rows,
    parameter_rows,
    run_values,
    search_row,
    tag_rows,
)
from trackside_runs.storage.run_sources import RUN_SOURCES
from trackside_runs.storage.tables import (
    RUN,
    RUN_FIGURE,
    RUN_LABEL,
    RUN_PARAMETER,
    RUN_SEARCH,
    RUN_TAG,
)

letters = st.sampled_from(["a", "A", "b", "ä", "Ä", "ß", "*", "?", "[", "]", "%", "_", "\\", "'"])
words = st.text(letters, max_size=4)
full_words = st.text(letters, min_size=1, max_size=4)
keys = st.sampled_from(["k", "x.y"])
numbers = st.sampled_from([-1.5, 0.0, 0.02, 1.0, 3.0, 1e300, float("inf"), float("nan")])
moments = st.integers(-3, 3)
values = st.one_of(
    st.builds(Value, string_value=words),
    st.builds(Value, number_value=numbers),
    st.builds(Value, bool_value=st.booleans()),
    st.builds(Value, string_value=numbers.map(str)),
)
times = st.one_of(st.none(), moments.map(lambda ms: Timestamp(nanos=0, seconds=ms)))
figures = st.builds(
    SeriesFigure,
    key=keys,
    context=st.dictionaries(st.just("fold"), words, max_size=1),
    last=st.one_of(st.none(), numbers.filter(lambda number: not isnan(number))),
    best=st.one_of(st.none(), numbers.filter(lambda number: not isnan(number))),
)
runs = st.builds(
    Run,
    run_id=st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=16, max_size=16),
    name=words,
    owner=words,
    state=st.sampled_from(RunState.values()),
    conditions=st.lists(
        st.builds(Condition, kind=st.sampled_from(ConditionKind.values()[1:])), max_size=2
    ),
    tags=st.lists(full_words, max_size=3),
    labels=st.dictionaries(keys, words, max_size=2),
    parameters=st.dictionaries(keys, values, max_size=2),
    parent_run_id=words,
    workflow_name=words,
    description=words,
    create_time=moments.map(lambda s: Timestamp(seconds=s)),
    start_time=times,
    end_time=times,
    exit_code=st.one_of(st.none(), st.sampled_from([0, 1, 3])),
    series_figures=st.lists(figures, max_size=3),
)
operators: Any = st.sampled_from(["=", "<", "<=", ">", ">="])
text_checks = st.one_of(
    st.just(Present()),
    st.lists(words, min_size=1, max_size=3).map(lambda parts: Matches(tuple(parts))),
    st.builds(Contains, full_words.map(lower_ascii)),
    st.builds(Compares, operators, full_words),
)
number_checks = st.builds(Compares, operators, numbers.filter(lambda number: not isnan(number)))
whole_checks = st.builds(Compares, operators, moments.map(lambda s: s * 1000))
choice_checks = st.builds(Compares, st.just("="), st.integers(1, 4))
value_checks = st.one_of(
    text_checks,
    number_checks,
    st.tuples(number_checks, st.builds(Matches, st.tuples(words))).map(PassesAny),
)
texts = st.sampled_from(["name", "owner", "parent", "workflow", "run_id", "external_key"])
tests = st.one_of(
    st.builds(FieldTest, texts, st.just(""), text_checks),
    st.builds(FieldTest, st.just("tag"), st.just(""), text_checks),
    st.builds(FieldTest, st.just("label"), keys, text_checks),
    st.builds(FieldTest, st.just("parameter"), keys, value_checks),
    st.builds(FieldTest, st.sampled_from(["state", "condition"]), st.just(""), choice_checks),
    st.builds(FieldTest, st.just("condition"), st.just(""), st.just(Present())),
    st.builds(
        FieldTest,
        st.sampled_from(["create_time", "start_time", "end_time"]),
        st.just(""),
        st.one_of(st.just(Present()), whole_checks),
    ),
    st.builds(
        FieldTest, st.just("exit_code"), st.just(""), st.one_of(st.just(Present()), number_checks)
    ),
    st.builds(
        FieldTest,
        st.sampled_from(["last", "best"]),
        keys,
        st.one_of(st.just(Present()), number_checks),
    ),
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


def store(connection: Connection, stored: list[Run]) -> None:
    for run in stored:
        connection.execute(insert(RUN), run_values(run))
        connection.execute(insert(RUN_SEARCH), search_row(run))
        for table, rows in (
            (RUN_TAG, tag_rows(run)),
            (RUN_LABEL, label_rows(run)),
            (RUN_PARAMETER, parameter_rows(run)),
        ):
            if rows:
                connection.execute(insert(table), rows)
        for row in figure_rows(run):
            connection.execute(insert(RUN_FIGURE).values(row))


def assert_agreement(
    connection: Connection, tree: Node, stored: list[Run], dialect: Dialect
) -> None:
    condition = to_condition(tree, RUN_SOURCES, dialect)
    predicate = to_predicate(tree, RUN_READERS)

    found = set(connection.scalars(select(RUN.c.run_id).where(condition)))

    assert found == {run.run_id for run in stored if predicate(run)}


some_runs = st.lists(runs, min_size=1, max_size=6, unique_by=lambda run: run.run_id)
some_trees = st.lists(trees, min_size=1, max_size=4)


@pytest.mark.exhaustive
@settings(max_examples=200)
@given(stored=some_runs, asked=some_trees)
def test_the_database_finds_what_the_predicate_finds(
    engine: Engine, stored: list[Run], asked: list[Node]
) -> None:
    with engine.connect() as connection:
        store(connection, stored)
        for tree in asked:
            assert_agreement(connection, tree, stored, "sqlite")
        connection.rollback()


@settings(max_examples=60)
@given(stored=some_runs, asked=some_trees)
def test_postgresql_finds_what_the_predicate_finds(
    postgresql_engine: Engine, stored: list[Run], asked: list[Node]
) -> None:
    with postgresql_engine.connect() as connection:
        store(connection, stored)
        for tree in asked:
            assert_agreement(connection, tree, stored, "postgresql")
        connection.rollback()


@pytest.mark.parametrize(
    "hostile", ['name = "a\' OR 1=1 --"', 'tag:"\'; drop table run"', 'label."k\' --" = 1']
)
def test_nothing_of_a_filter_becomes_sql(hostile: str) -> None:
    tree = parse_filter(hostile, RUN_SCHEMA, now_ms=0)

    compiled = to_condition(tree, RUN_SOURCES, "postgresql").compile(dialect=postgresql.dialect())

    assert not re.search(r"drop|1=1|--", str(compiled))


def test_a_hundred_terms_nested_deeply_still_run(engine: Engine) -> None:
    terms = " ".join(f"-(a{n} OR parameter.k > {n})" for n in range(50))
    tree = parse_filter("(" * 31 + terms + ")" * 31, RUN_SCHEMA, now_ms=0)

    with engine.connect() as connection:
        condition = to_condition(tree, RUN_SOURCES, "sqlite")
        found = connection.scalars(select(RUN.c.run_id).where(condition)).all()

    assert found == []
