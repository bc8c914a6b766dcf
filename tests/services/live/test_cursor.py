import pytest

from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.errors import CursorForeignError
from trackside_live.cursor import LiveCursor, decode

SERVER = "0123456789abcdef"
RUN = "aaaabbbbccccdddd"


def made(kind: JournalKind, position: int) -> str:
    return CursorMint(SERVER, kind).encode(RUN, position)


def test_a_cursor_comes_back_as_it_was() -> None:
    cursor = LiveCursor(
        run=made(JournalKind.RUNS, 7),
        logs=made(JournalKind.LOGS, 2**62),
        metrics=made(JournalKind.METRICS, 0),
    )

    assert decode(cursor.encode()) == cursor


def test_a_part_that_was_left_out_stays_left_out() -> None:
    cursor = LiveCursor(logs=made(JournalKind.LOGS, 3))

    assert decode(cursor.encode()) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "R.L",
        "Ra.Lb.Mc.Nd",
        "R a.L.M",
        "R.L.M\n",
        "Rä.L.M",
        made(JournalKind.RUNS, 7),
        "R.L.M" * 1000,
    ],
)
def test_what_is_no_merged_cursor_is_foreign(text: str) -> None:
    with pytest.raises(CursorForeignError):
        decode(text)
