"""Lines out of bytes, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from trackside_agent.lines import LONGEST, Line, LineMaker, texts_of

LATER = 1e9


def lines_of(pieces: list[bytes], *, restored: bool = False) -> list[bytes]:
    maker, found = LineMaker(), list[Line]()
    for piece in pieces:
        found.extend(maker.feed(piece, 0.0))
        if restored:
            maker = LineMaker.restored(maker.state())
    return [line.data for line in (*found, *maker.end())]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(ends)]


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"one\ntwo", [b"one", b"two"]),
        (b"\n\n", [b"", b""]),
        (b"dos\r\nends\r\n", [b"dos", b"ends"]),
        (b"twice\r\r\n", [b"twice"]),
        (b"\r10%\r20%\r30%\n", [b"30%"]),
        (b"10%\r20%\r", [b"20%"]),
        (b"10%\r20%\rdone\nnext\n", [b"done", b"next"]),
        (b"\0\n\x1b[1m\n", [b"\0", b"\x1b[1m"]),
    ],
)
@pytest.mark.parametrize("restored", [False, True])
def test_lines_are_what_a_terminal_shows_in_the_end(
    data: bytes, lines: list[bytes], *, restored: bool
) -> None:
    assert lines_of([data], restored=restored) == lines
    assert lines_of([bytes([byte]) for byte in data], restored=restored) == lines


@given(
    some.lists(
        some.sampled_from(
            [b"a", b"bc\n", b"\n", b"\r\n", b"1\r", b"\r", "é".encode(), b"\xff", b"\0"]
        )
    ),
    some.lists(some.integers(0, 1000)),
    some.booleans(),
)
def test_how_bytes_are_cut_changes_no_line(
    parts: list[bytes],
    places: list[int],
    restored: bool,  # noqa: FBT001 - given by hypothesis
) -> None:
    data = b"".join(parts)

    assert lines_of(cut(data, places), restored=restored) == lines_of([data])


def whole(lines: list[Line]) -> bytes:
    """Return what the lines were made of, as far as they tell."""
    return b"".join(line.data + (b"" if line.continues else b"\n") for line in lines)


@given(
    some.lists(
        some.sampled_from([b"a", b"b\r", b"\r\n", b"\n", b"\xff", b"\xe2\x82", b"\0" * 40_000])
    ),
    some.lists(some.integers(0, 1 << 20)),
    some.booleans(),
)
def test_of_what_is_no_text_every_byte_is_in_a_line(
    parts: list[bytes],
    places: list[int],
    restored: bool,  # noqa: FBT001 - given by hypothesis
) -> None:
    data = b"\x89PNG\r\n\x1a\n\0\r\n" + b"".join(parts) + b"\n"
    maker, found = LineMaker(), list[Line]()
    for piece in cut(data, places):
        for place in range(0, len(piece), LONGEST):
            found.extend(maker.feed(piece[place : place + LONGEST], 0.0))
        maker = LineMaker.restored(maker.state()) if restored else maker

    assert whole([*found, *maker.end()]) == data


def test_what_was_shown_before_bytes_that_are_no_text_is_kept_before_them() -> None:
    assert lines_of([b"10%\r20%\r\xff\r\n30%\r40%\n"]) == [b"20%\r\xff\r", b"40%"]
    assert lines_of([b"10%\r20%\r\0\r\n30%\r40%\n"]) == [b"20%\r\0\r", b"30%\r40%"]


def test_state_of_an_earlier_version_is_gone_on_with() -> None:
    maker = LineMaker.restored({"rest": "YQ==", "overwritten": ""})

    assert [line.data for line in maker.feed(b"b\r\n", 0.0)] == [b"ab"]


def test_progress_is_shown_once_a_second() -> None:
    maker = LineMaker()
    shown = [
        line.data for step in range(100) for line in maker.feed(b"%d%%\r" % step, 10 + step / 20)
    ]

    assert len(shown) == 5


def test_progress_that_pauses_is_shown() -> None:
    maker = LineMaker()
    first = list(maker.feed(b"1%\r2%\r3%\r", 10.0))
    silent = list(maker.feed(b"4%\r5%\r", 10.1))

    assert [line.data for line in first] == [b"2%"]
    assert silent == []
    assert [line.data for line in maker.overwritten(LATER)] == [b"4%"]


def test_consumed_and_state_belong_together() -> None:
    data = (b"ab\nb\n\n" * 70 + b"a\r\nb") * 3
    maker, seen = LineMaker(), list[Line]()
    for line in maker.feed(data, 0.0):
        seen.append(line)
        rest = LineMaker.restored(maker.state())
        again = [*rest.feed(data[line.consumed :], 0.0), *rest.end()]
        assert [one.data for one in (*seen, *again)] == lines_of([data])


def test_long_line_is_cut_between_characters() -> None:
    maker = LineMaker()
    text = "é" * LONGEST + "x"
    data = b"y" + text.encode() + b"\n"

    found = [
        line
        for place in range(0, len(data), LONGEST)
        for line in maker.feed(data[place : place + LONGEST], 0.0)
    ]

    assert [line.continues for line in found] == [*[True] * (len(found) - 1), False]
    assert "".join(line.data.decode() for line in found) == "y" + text
    assert max(len(line.data) for line in found) <= LONGEST


def test_text_of_a_line_is_its_bytes() -> None:
    assert list(texts_of(Line("é".encode(), 0))) == [("é", b"", False)]


def test_bytes_that_are_no_text_stand_beside_it() -> None:
    assert list(texts_of(Line(b"caf\xe9", 0, continues=True))) == [
        ("caf\N{REPLACEMENT CHARACTER}", b"caf\xe9", True)
    ]


def test_bytes_that_are_no_text_stay_within_the_longest_text() -> None:
    texts = list(texts_of(Line(b"\xff" * LONGEST, 0)))

    assert b"".join(original for _, original, _ in texts) == b"\xff" * LONGEST
    assert max(len(text.encode()) for text, _, _ in texts) <= LONGEST
    assert [continues for _, _, continues in texts] == [*[True] * (len(texts) - 1), False]
