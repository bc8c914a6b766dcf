from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from support.watches import TOPIC, Record, entries, notice
from trackside_journal import watching
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.errors import CursorAheadError, CursorExpiredError, CursorForeignError
from trackside_journal.fanout import Hub
from trackside_journal.pieces import Piece
from trackside_journal.splice import splice
from trackside_journal.watching import (
    BOOKMARK_SECONDS,
    LAST_LIMIT,
    Range,
    Tail,
    starting_position,
    wants_present,
    with_tails,
)
from trackside_journal.wire import bytes_field
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunDirectoryResponse
from trackside_protos.watches.v1.watch_start_pb2 import WatchPosition, WatchStart
from trackside_serving.errors import InvalidFieldError

MINT = CursorMint("s" * 16, JournalKind.LOGS)
TAIL = Tail(cursor_field=2, caught_up_field=3)
BEGINNING = WatchStart(position=WatchPosition.WATCH_POSITION_BEGINNING)
NOW = WatchStart(position=WatchPosition.WATCH_POSITION_NOW)


@dataclass(slots=True)
class Call:
    resume_cursor: str = ""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def start_at(start: WatchStart, available: Range) -> int:
    return starting_position(start, available, MINT, TOPIC)


def cursor(position: int) -> WatchStart:
    return WatchStart(cursor=MINT.encode(TOPIC, position))


@pytest.mark.parametrize(
    ("start", "available", "position"),
    [
        (BEGINNING, Range(9), 0),
        (NOW, Range(9), 9),
        (WatchStart(), Range(9), 9),
        (WatchStart(position=WatchPosition.WATCH_POSITION_UNSPECIFIED), Range(9), 9),
        (WatchStart(last=4), Range(9), 5),
        (WatchStart(last=0), Range(9), 9),
        (WatchStart(last=LAST_LIMIT), Range(9), 0),
        (WatchStart(last=4), Range(9, earliest=7), 7),
        (NOW, Range(9, earliest=9), 9),
        (cursor(0), Range(9), 0),
        (cursor(9), Range(9), 9),
        (cursor(7), Range(9, earliest=7), 7),
    ],
)
def test_a_watch_begins_where_it_is_told(
    start: WatchStart, available: Range, position: int
) -> None:
    assert start_at(start, available) == position


@pytest.mark.parametrize("start", [BEGINNING, cursor(0), cursor(6)])
def test_what_is_no_longer_kept_is_told_with_what_is(start: WatchStart) -> None:
    with pytest.raises(CursorExpiredError) as caught:
        start_at(start, Range(9, earliest=7))

    assert caught.value.metadata == {
        "earliest": MINT.encode(TOPIC, 7),
        "latest": MINT.encode(TOPIC, 9),
    }


def test_a_cursor_ahead_of_the_store_is_told() -> None:
    with pytest.raises(CursorAheadError) as caught:
        start_at(cursor(10), Range(9))

    assert caught.value.metadata == {"latest": MINT.encode(TOPIC, 9)}


def test_a_cursor_of_something_else_is_foreign() -> None:
    with pytest.raises(CursorForeignError):
        start_at(WatchStart(cursor="x"), Range(9))


@pytest.mark.parametrize(
    ("start", "field"),
    [
        (WatchStart(last=-1), "start.last"),
        (WatchStart(last=LAST_LIMIT + 1), "start.last"),
        (WatchStart.FromString(b"\x10\x63"), "start.position"),
    ],
)
def test_a_start_that_does_not_exist_names_its_field(start: WatchStart, field: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        start_at(start, Range(9))

    assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        (WatchStart(), True),
        (NOW, True),
        (WatchStart(last=3), True),
        (BEGINNING, False),
        (cursor(3), False),
    ],
)
def test_the_present_state_is_sent_at_now_and_before_the_last_items(
    start: WatchStart, *, wanted: bool
) -> None:
    assert wants_present(start) is wanted


async def pieces_of(*pieces: Piece) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


def tailed(pieces: AsyncIterator[Piece], call: Call, clock: Clock) -> AsyncIterator[bytes]:
    return with_tails(pieces, mint=MINT, topic=TOPIC, tail=TAIL, call=call, clock=clock)


def parsed(response: bytes) -> WatchRunDirectoryResponse:
    return WatchRunDirectoryResponse.FromString(response)


async def test_every_piece_ends_with_its_cursor_and_the_mark() -> None:
    payload = bytes_field(1, bytes_field(1, b"run"))
    pieces = pieces_of(Piece(payload, 4), Piece(payload * 2, 6, caught_up=True))

    responses = [parsed(one) async for one in tailed(pieces, Call(), Clock())]

    assert [len(response.entries) for response in responses] == [1, 2]
    assert [MINT.decode(TOPIC, response.cursor) for response in responses] == [4, 6]
    assert [response.caught_up for response in responses] == [False, True]


async def test_the_cursor_of_what_was_sent_is_kept_once_the_next_is_asked_for() -> None:
    call = Call()
    responses = tailed(pieces_of(Piece(b"", 4, caught_up=True), Piece(b"x", 6)), call, Clock())

    seen = [call.resume_cursor async for _ in responses]

    assert [*seen, call.resume_cursor] == ["", MINT.encode(TOPIC, 4), MINT.encode(TOPIC, 6)]


async def test_an_empty_piece_is_sent_only_when_a_bookmark_is_due() -> None:
    clock, sent = Clock(), list[tuple[float, int]]()

    async def ticking() -> AsyncIterator[Piece]:
        for second in range(12):
            clock.now = float(second)
            yield Piece(b"x" if second == 6 else b"", second)

    async for response in tailed(ticking(), Call(), clock):
        sent.append((clock.now, MINT.decode(TOPIC, parsed(response.lstrip(b"x")).cursor)))

    assert sent == [(4, 4), (6, 6), (10, 10)]


async def test_bookmarks_of_a_filtered_watch_are_at_most_five_seconds_apart() -> None:
    clock = Clock()

    async def busy_and_then_quiet() -> AsyncIterator[Piece]:
        for second in range(30):
            clock.now = float(second)
            yield Piece(b"filtered out" if second < 15 else b"", second)

    responses = with_tails(
        busy_and_then_quiet(),
        mint=MINT,
        topic=TOPIC,
        tail=TAIL,
        call=Call(),
        transform=lambda _: b"",
        clock=clock,
    )
    sent = [0.0, *[clock.now async for _ in responses]]

    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert max(gaps) <= 5
    assert min(gaps) >= BOOKMARK_SECONDS


async def test_a_filter_changes_the_contents_and_never_the_cursor() -> None:
    payload = bytes_field(1, bytes_field(1, b"run"))
    responses = with_tails(
        pieces_of(Piece(payload * 3, 3), Piece(payload, 4, caught_up=True)),
        mint=MINT,
        topic=TOPIC,
        tail=TAIL,
        call=Call(),
        transform=lambda contents: contents[len(payload) :],
    )

    found = [parsed(response) async for response in responses]

    assert [len(response.entries) for response in found] == [2, 0]
    assert [MINT.decode(TOPIC, response.cursor) for response in found] == [3, 4]
    assert found[1].caught_up


async def test_watchers_that_are_equally_far_get_the_same_bytes_encoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, written = Hub(), list[int]()
    encode = CursorMint.encode

    def counted(mint: CursorMint, topic: str, position: int) -> str:
        written.append(position)
        return encode(mint, topic, position)

    monkeypatch.setattr(CursorMint, "encode", counted)
    watches = [tailed(splice(Record(), hub, TOPIC, 0), Call(), Clock()) for _ in range(5)]
    for watch in watches:
        await anext(watch)
    written.clear()

    hub.deliver(notice(0, 1))
    responses = [await anext(watch) for watch in watches]

    assert written == [1]
    assert all(response is responses[0] for response in responses)
    assert responses[0].startswith(entries(1, 1))


async def test_watches_of_two_kinds_share_pieces_and_have_tails_of_their_own() -> None:
    piece = Piece(b"", 1, caught_up=True)
    one = tailed(pieces_of(piece), Call(), Clock())
    other = with_tails(
        pieces_of(piece),
        mint=CursorMint("t" * 16, JournalKind.LOGS),
        topic=TOPIC,
        tail=Tail(cursor_field=7, caught_up_field=8),
        call=Call(),
    )

    responses = [await anext(one), await anext(other)]

    assert responses[0] != responses[1]


async def test_a_watch_that_is_closed_leaves_the_hub() -> None:
    hub = Hub()
    responses = with_tails(
        splice(Record(head=3), hub, TOPIC, 0), mint=MINT, topic=TOPIC, tail=TAIL, call=Call()
    )
    await anext(responses)

    await responses.aclose()

    assert not hub.is_watched(TOPIC)


def test_a_bookmark_is_sent_within_five_seconds_though_ticks_are_a_second_apart() -> None:
    assert watching.BOOKMARK_SECONDS + 1 < 5
