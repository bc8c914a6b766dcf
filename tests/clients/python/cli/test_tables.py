from trackside.cli.paint import Paint, Style, Text
from trackside.cli.tables import fields, shortened, table, width_of

_PLAIN = Paint()


def test_columns_are_straight_whatever_the_width_of_characters() -> None:
    lines = table(["A", "B"], [["日本", "x"], ["e\u0301", "y"]], _PLAIN)

    assert lines == ["A     B", "日本  x", "e\u0301     y"]


def test_colours_take_no_room() -> None:
    lines = table(["A", "B"], [[Text("ab", Style.BAD), "x"]], Paint(colors=True))

    assert lines[1] == "\x1b[31mab\x1b[0m  x"


def test_the_flexible_column_gives_way_on_a_narrow_screen() -> None:
    lines = table(["NAME", "B"], [["a" * 40, "x"]], _PLAIN, width=30, flexible=["NAME"])

    assert [width_of(line) for line in lines] == [30, 30]
    assert lines[1] == "a" * 26 + "…  x"


def test_a_column_stays_readable_on_a_screen_that_is_too_narrow() -> None:
    lines = table(["NAME", "B"], [["a" * 40, "x"]], _PLAIN, width=5, flexible=["NAME"])

    assert lines[1].startswith("aaaaaaaaaaa…")


def test_a_column_is_left_out_where_cutting_is_not_enough() -> None:
    rows = [["a" * 40, "12 min ago", "x"]]

    def shown(width: int) -> list[str]:
        heads = ["NAME", "CREATED", "B"]
        return table(heads, rows, _PLAIN, width=width, flexible=["NAME"], expendable=["CREATED"])

    assert "CREATED" in shown(27)[0]
    assert shown(26) == ["NAME" + " " * 21 + "B", "a" * 22 + "…  x"]


def test_shortening_counts_wide_characters() -> None:
    assert shortened("日本語", 5) == "日本…"
    assert shortened("日本語", 4) == "日…"


def test_fields_without_a_value_are_left_out() -> None:
    assert fields([("Name", "a"), ("Tags", ""), ("State", "b")], _PLAIN) == [
        "  Name   a",
        "  State  b",
    ]
