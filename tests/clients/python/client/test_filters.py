from trackside.client import filters


def test_quotes_stars_and_ends_of_lines_are_no_part_of_the_language() -> None:
    assert filters.quoted('a "b" * \\ \n') == '"a \\"b\\" \\* \\\\ \\n"'


def test_empty_filters_are_left_out() -> None:
    assert filters.all_of(["", filters.equals("owner", ""), "tag = a"]) == "tag = a"


def test_alternatives_stand_in_parentheses() -> None:
    assert filters.in_states(["running", "failed"]) == '(state = "RUNNING" OR state = "FAILED")'


def test_recent_runs_are_active_or_ended_lately() -> None:
    text = filters.recent(24)

    assert 'state = "RUNNING"' in text
    assert "end_time > -24h" in text
