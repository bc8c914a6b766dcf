import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_journal.cursor import LIST_TOPIC, CursorMint, JournalKind
from trackside_journal.errors import CursorForeignError

RUN = "0123456789abcdef"
MINT = CursorMint("s" * 16, JournalKind.LOGS)
POSITIONS = st.integers(0, 2**64 - 1)


@given(position=POSITIONS, topic=st.sampled_from([RUN, LIST_TOPIC]))
def test_a_cursor_leads_back_to_its_position(position: int, topic: str) -> None:
    assert MINT.decode(topic, MINT.encode(topic, position)) == position


def test_a_cursor_fits_into_a_url_and_a_header() -> None:
    assert MINT.encode(RUN, 2**64 - 1).replace("-", "").replace("_", "").isalnum()
    assert len(MINT.encode(RUN, 0)) == 62


@pytest.mark.parametrize(
    ("mint", "topic"),
    [
        pytest.param(CursorMint("t" * 16, JournalKind.LOGS), RUN, id="another server"),
        pytest.param(CursorMint("s" * 16, JournalKind.METRICS), RUN, id="another service"),
        pytest.param(MINT, "fedcba9876543210", id="another run"),
        pytest.param(MINT, LIST_TOPIC, id="a list"),
    ],
)
def test_a_cursor_of_something_else_is_foreign(mint: CursorMint, topic: str) -> None:
    cursor = MINT.encode(RUN, 5)

    with pytest.raises(CursorForeignError):
        mint.decode(topic, cursor)


@given(position=POSITIONS)
def test_every_single_flipped_bit_makes_a_cursor_foreign(position: int) -> None:
    raw = base64.urlsafe_b64decode(MINT.encode(RUN, position) + "==")

    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CursorForeignError):
            MINT.decode(RUN, base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


def test_every_other_spelling_of_a_cursor_is_foreign() -> None:
    cursor = MINT.encode(RUN, 5)

    for index in range(len(cursor)):
        for other in "A_-+/=!\n\0é":
            if cursor[index] != other:
                with pytest.raises(CursorForeignError):
                    MINT.decode(RUN, cursor[:index] + other + cursor[index + 1 :])


@given(text=st.text(max_size=200))
def test_any_text_is_foreign(text: str) -> None:
    with pytest.raises(CursorForeignError):
        MINT.decode(RUN, text)


@pytest.mark.parametrize("change", ["{}=", " {}", "{}\n", "{}A", "A{}"])
def test_a_cursor_with_something_around_it_is_foreign(change: str) -> None:
    with pytest.raises(CursorForeignError):
        MINT.decode(RUN, change.format(MINT.encode(RUN, 5)))
