from pathlib import Path

from trackside_runs.state_page import render_markdown

PAGE = Path(__file__).parents[3] / "docs" / "states.md"


def test_the_page_of_states_is_what_the_code_says() -> None:
    assert PAGE.read_text() == render_markdown()
