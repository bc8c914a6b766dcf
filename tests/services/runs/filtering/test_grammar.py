import contextlib
import time

import pytest

from trackside_runs.filtering.errors import FilterError
from trackside_runs.filtering.grammar import parse_filter
from trackside_runs.filtering.runs import RUN_SCHEMA
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
)

NOW_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def parse(text: str) -> Node:
    return parse_filter(text, RUN_SCHEMA, now_ms=NOW_MS)


def error_of(text: str) -> FilterError:
    with pytest.raises(FilterError) as caught:
        parse(text)
    return caught.value


A, B, C = FreeText("a"), FreeText("b"), FreeText("c")


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_filter_holds_for_everything(text: str) -> None:
    assert parse(text) == And(())


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a AND b OR c", And((A, Or((B, C))))),
        ("a b OR c", And((A, Or((B, C))))),
        ("a b AND c", And((And((A, B)), C))),
        ("NOT a OR b", Or((Not(A), B))),
        ("-a b", And((Not(A), B))),
        ("(a b) OR c", Or((And((A, B)), C))),
        ("NOT (a OR b)", Not(Or((A, B)))),
        ("a and b", And((A, FreeText("and"), B))),
    ],
)
def test_or_binds_tighter_than_and(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("name=ridge", FieldTest("name", "", Matches(("ridge",)))),
        ('name = "a b"', FieldTest("name", "", Matches(("a b",)))),
        (r'name = "say \"hi\" \\ \* \n"', FieldTest("name", "", Matches(('say "hi" \\ * \n',)))),
        ("name = 'it\"s'", FieldTest("name", "", Matches(('it"s',)))),
        ("name = a*b*", FieldTest("name", "", Matches(("a", "b", "")))),
        (r"name = a\*b", FieldTest("name", "", Matches(("a*b",)))),
        ("name:Ridge", FieldTest("name", "", Contains("ridge"))),
        ("name:*", FieldTest("name", "", Present())),
        ("name = *", FieldTest("name", "", Present())),
        ("parent != *", Not(FieldTest("parent", "", Present()))),
        ("name >= b", FieldTest("name", "", Compares(">=", "b"))),
        ("external_key = nf:x=1", FieldTest("external_key", "", Matches(("nf:x=1",)))),
    ],
)
def test_texts_are_compared_matched_and_searched(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize("word", ["RUNNING", "running", "Running", '"running"'])
def test_states_are_named_in_any_case(word: str) -> None:
    assert parse(f"state = {word}") == FieldTest("state", "", Compares("=", 3))


def test_an_absent_value_differs_from_nothing() -> None:
    present, same = FieldTest("owner", "", Present()), FieldTest("owner", "", Matches(("me",)))

    assert parse("owner != me") == And((present, Not(same)))


def test_a_run_without_the_tag_differs_from_it() -> None:
    assert parse("tag != gpu") == Not(FieldTest("tag", "", Matches(("gpu",))))


@pytest.mark.parametrize(
    "text", ["label.a.b = 1", 'label."a.b" = 1', "label.'a'.b=1", 'label.a.b = "1"']
)
def test_keys_may_have_dots_and_quotes(text: str) -> None:
    assert parse(text) == FieldTest("label", "a.b", Matches(("1",)))


def test_a_keyed_field_has_a_key() -> None:
    assert parse("label:gpu") == FieldTest("label", "gpu", Present())
    assert parse("parameter.epsilon:*") == FieldTest("parameter", "epsilon", Present())


def test_a_number_finds_a_parameter_given_as_number_or_text() -> None:
    number, text = Compares("=", 0.02), Matches(("0.02",))

    either = PassesAny((number, text))
    assert parse("parameter.x = 0.02") == FieldTest("parameter", "x", either)
    assert parse('parameter.x = "0.02"') == FieldTest("parameter", "x", text)
    assert parse("parameter.x < -3e-1") == FieldTest("parameter", "x", Compares("<", -0.3))


def test_true_and_false_are_whole_words() -> None:
    assert parse("parameter.x:true") == FieldTest("parameter", "x", Matches(("true",)))


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-03-01T12:00:00Z", NOW_MS),
        ('"2026-03-01T14:00:00.500+02:00"', NOW_MS + 500),
        ("2026-03-01", NOW_MS - 12 * 3_600_000),
        ("-2h30m", NOW_MS - 9_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_times_are_absolute_or_so_long_ago(value: str, moment: int) -> None:
    assert parse(f"create_time > {value}") == FieldTest("create_time", "", Compares(">", moment))


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("stat = RUNNING", 0, "did you mean state"),
        ("epsilon=1", 0, "There is no field"),
        ("name = a AND (b", 13, "not closed"),
        ("a) b", 1, "closes nothing"),
        ("a AND", 5, "too early"),
        ("AND a", 0, "A term is expected"),
        ("a OR OR b", 5, "A term is expected"),
        ("NOT", 3, "too early"),
        ("()", 1, "before this parenthesis"),
        ("= a", 0, "field's name"),
        ("name == b", 6, "One value"),
        ("name =", 6, "One value"),
        ("state = (RUNNING OR FAILED)", 8, "One value"),
        ('name = "b', 7, "not closed"),
        (r"name = b\q", 8, "backslash"),
        ("name = \x01", 7, "Control characters"),
        ("a!b", 1, "no place"),
        ("state = JOGGING", 8, "one of PENDING"),
        ("state > RUNNING", 6, "no order"),
        ("tag < a", 4, "no order"),
        ("exit_code = one", 12, "a number"),
        ("create_time > yesterday", 14, "a time"),
        ("create_time > 2026-02-30", 14, "a time"),
        ("create_time > 2h", 14, "a time"),
        ('owner = ""', 8, "NOT owner:*"),
        ("label = a", 0, "Name the label"),
        ("label.=a", 0, "key"),
        ("name.x = a", 0, "not followed by a key"),
        ("na*me = a", 0, "wildcard"),
        ('""', 0, "nothing to look for"),
        ("a AND *", 6, "nothing to look for"),
        ("a' OR 1=1 --", 1, "not closed"),
    ],
)
def test_an_error_says_what_is_wrong_and_where(text: str, position: int, part: str) -> None:
    error = error_of(text)

    assert part in error.message
    assert error.position == position


def test_parentheses_are_nested_at_most_32_deep() -> None:
    assert parse("(" * 32 + "a" + ")" * 32) == A
    assert "32 deep" in error_of("(" * 33 + "a" + ")" * 33).message


def test_a_filter_has_at_most_100_terms() -> None:
    parse("a " * 100)

    assert "100 terms" in error_of("a " * 101).message


def test_a_filter_has_at_most_4096_characters() -> None:
    parse("a" * 4096)

    assert error_of("a" * 4097).position == 4096


@pytest.mark.parametrize("text", ["%" * 4096, "(" * 4096, "*" * 4096, "-" * 4096, 'a"' * 2048])
def test_hostile_filters_are_read_in_a_moment(text: str) -> None:
    begin = time.process_time()
    with contextlib.suppress(FilterError):
        parse(text)

    assert time.process_time() - begin < 2  # a few milliseconds, however slow the machine
