from datetime import UTC, datetime, timedelta

import pytest

from trackside.cli.run_choice import RunChoice

_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

_ACTIVE_OR_RECENT = (
    '((state = "PENDING" OR state = "INITIALIZING" OR state = "RUNNING" OR state = "STOPPING"'
    ' OR state = "IDLE") OR end_time > -24h)'
)


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (RunChoice(), f'owner = "ann" AND {_ACTIVE_OR_RECENT} AND NOT parent:*'),
        (RunChoice(every=True), ""),
        (RunChoice(every=True, owner="me"), 'owner = "ann"'),
        (RunChoice(owner="bob"), f'owner = "bob" AND {_ACTIVE_OR_RECENT} AND NOT parent:*'),
        (RunChoice(owner="any"), f"{_ACTIVE_OR_RECENT} AND NOT parent:*"),
        (
            RunChoice(every=True, states=("failed", "idle")),
            '(state = "FAILED" OR state = "IDLE")',
        ),
        (RunChoice(states=("failed",)), 'owner = "ann" AND state = "FAILED" AND NOT parent:*'),
        (RunChoice(every=True, tags=("a", "b")), 'tag = "a" AND tag = "b"'),
        (RunChoice(every=True, search="ridge fold"), '"ridge" AND "fold"'),
        (
            RunChoice(every=True, project="p", filter_text="a = 1 OR b = 2"),
            'a = 1 OR b = 2 AND project = "p"',
        ),
        (
            RunChoice(owner="any", created_since=timedelta(hours=2)),
            'NOT parent:* AND create_time >= "2026-11-21T10:00:00Z"',
        ),
        (RunChoice(parent="@latest"), 'owner = "ann" AND parent = "the-parent"'),
    ],
    ids=[
        "mine, active and recent",
        "all",
        "all of mine",
        "another's",
        "anybody's",
        "states",
        "a state shows any time",
        "tags",
        "words",
        "own filter",
        "so long ago",
        "children",
    ],
)
def test_options_make_a_filter(choice: RunChoice, text: str) -> None:
    parent = "the-parent" if choice.parent else ""

    assert choice.filter_of("ann", parent, _NOW) == text
