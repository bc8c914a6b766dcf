from hypothesis import given
from hypothesis import strategies as st

from trackside.capture.lines import LONGEST_MESSAGE, Line, LineCutter


def cut(*chunks: bytes) -> list[Line]:
    cutter = LineCutter()
    lines = [line for chunk in chunks for line in cutter.feed(chunk)]
    return [*lines, *cutter.end()]


def messages(*chunks: bytes) -> list[str]:
    return [line.message for line in cut(*chunks)]


def test_lines_are_put_together_from_chunks() -> None:
    assert messages(b"a", b"b\nc", b"\n", b"d") == ["ab", "c", "d"]


def test_empty_lines_stay() -> None:
    assert messages(b"a\n\nb\n") == ["a", "", "b"]


def test_both_kinds_of_line_ends_are_known_even_when_they_are_cut() -> None:
    assert messages(b"a\r\nb\r", b"\nc\n") == ["a", "b", "c"]


def test_of_a_line_that_is_drawn_over_the_last_state_stays() -> None:
    assert messages(b"\r10%\r20%", b"\r100%\n", b"done\n") == ["100%", "done"]


def test_the_present_state_of_a_progress_bar_can_be_seen() -> None:
    cutter = LineCutter()

    lines = list(cutter.feed(b"\r10%\r20%\r"))

    assert (lines, cutter.present(), cutter.is_redrawn) == ([], b"20%", True)


def test_a_long_line_becomes_parts_that_continue() -> None:
    lines = cut(b"x" * 200_000 + b"\nnext\n")

    assert [len(line.message) for line in lines] == [65_536] * 3 + [3_392, 4]
    assert [line.continues for line in lines] == [True, True, True, False, False]


def test_no_character_is_cut_in_two() -> None:
    text = "a" + "€" * 50_000

    lines = cut(text.encode())

    assert "".join(line.message for line in lines) == text
    assert all(not line.original for line in lines)


def test_bytes_that_are_no_text_are_kept_beside_what_can_be_shown() -> None:
    (line,) = cut(b"caf\xe9\n")

    assert line == Line("caf\N{REPLACEMENT CHARACTER}", original=b"caf\xe9")


@given(st.binary(max_size=300_000).map(lambda b: b.replace(b"\r", b"")), st.integers(1, 100_000))
def test_nothing_is_lost_and_no_message_is_too_long(data: bytes, size: int) -> None:
    lines = cut(*(data[start : start + size] for start in range(0, len(data), size)))

    again = b"".join(
        (line.original or line.message.encode()) + (b"" if line.continues else b"\n")
        for line in lines
    )
    assert again.rstrip(b"\n") == data.rstrip(b"\n")
    assert all(len(line.message.encode()) <= LONGEST_MESSAGE for line in lines)


@given(st.integers(100, 70_000))
def test_a_long_line_of_noise_is_kept(size: int) -> None:
    data = bytes(range(128, 256)) * 1_500

    lines = cut(*(data[start : start + size] for start in range(0, len(data), size)))

    assert b"".join(line.original for line in lines) == data
    assert all(len(line.message.encode()) <= LONGEST_MESSAGE for line in lines)
