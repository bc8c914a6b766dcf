from trackside.capture.expected_lines import ExpectedLines


def expecting(*lines: str, most: int = 1_000) -> ExpectedLines[int]:
    expected = ExpectedLines[int](most, overtaken=64)
    for number, line in enumerate(lines):
        expected.expect(line, number)
    return expected


def test_lines_are_met_in_their_order_each_once() -> None:
    lines = expecting("a", "b", "a")

    assert [lines.meet(line) for line in ("a", "b", "other", "a", "a")] == [0, 1, None, 2, None]


def test_a_line_that_another_thread_has_overtaken_is_met_too() -> None:
    lines = expecting("a", "b", "c")

    assert [lines.meet(line) for line in ("b", "a", "c")] == [1, 0, 2]


def test_those_that_were_never_seen_are_forgotten() -> None:
    lines = expecting("never", *(str(number) for number in range(100)), "never")

    assert [lines.meet(line) for line in ("99", "never", "never")] == [100, 101, None]


def test_of_very_many_the_newest_are_known() -> None:
    lines = expecting(*map(str, range(6)), most=3)

    assert [lines.meet(str(number)) for number in (2, 3, 5)] == [None, 3, 5]
