import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.client.errors import (
    CursorExpiredError,
    ErrorFacts,
    OverloadedError,
    ServerFailedError,
    ServerUnreachableError,
)
from trackside.client.resumption import LAST_DELAY, Resumption
from trackside_protos.live.v1.live_service_pb2 import WatchLiveResponse
from trackside_protos.runs.v1.change_pb2 import RunChange, RunSnapshot
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse

_AWAY = ServerUnreachableError("away", ErrorFacts(status="UNAVAILABLE"))


def _resumption(*, patient: bool = True) -> Resumption[WatchRunResponse]:
    return Resumption(patient=patient, jitter=lambda: 1.0)


def _change(sequence: int) -> WatchRunResponse:
    return WatchRunResponse(changes=[RunChange(sequence=sequence)], cursor=f"c{sequence}")


def test_pages_of_a_present_state_are_held_until_there_is_a_cursor() -> None:
    resumption = _resumption()
    first = WatchRunResponse(snapshot=RunSnapshot())
    second = WatchRunResponse(snapshot=RunSnapshot(), cursor="c0")

    assert resumption.received(first) == ()
    assert resumption.received(second) == [first, second]


def test_a_present_state_that_was_cut_is_not_repeated() -> None:
    resumption = _resumption()
    resumption.received(WatchRunResponse(snapshot=RunSnapshot()))

    resumption.broke(_AWAY)
    whole = WatchRunResponse(snapshot=RunSnapshot(), cursor="c0")

    assert resumption.received(whole) == [whole]


def test_a_cursor_is_kept_over_an_interruption() -> None:
    resumption = _resumption()
    resumption.received(_change(3))

    resumption.broke(_AWAY)

    assert resumption.cursor == "c3"


def test_caught_up_is_said_once() -> None:
    resumption = _resumption()
    told = resumption.received(WatchRunResponse(cursor="c1", caught_up=True))

    again = resumption.received(WatchRunResponse(cursor="c2", caught_up=True))

    assert [told[0].caught_up, again[0].caught_up] == [True, False]


def test_each_part_of_a_merged_watch_is_caught_up_once() -> None:
    resumption = Resumption[WatchLiveResponse](patient=True)
    run = WatchRunResponse(caught_up=True)
    resumption.received(WatchLiveResponse(run=run, cursor="c1"))

    again = resumption.received(WatchLiveResponse(run=run, cursor="c2"))

    assert not again[0].run.caught_up


def test_delays_grow_to_a_limit_and_begin_anew_after_news() -> None:
    resumption = _resumption()

    grown = [resumption.broke(_AWAY) for _ in range(12)]
    resumption.received(_change(1))

    assert grown == sorted(grown)
    assert grown[-1] == LAST_DELAY
    assert resumption.broke(_AWAY) == grown[0]


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    busy = OverloadedError("full", ErrorFacts(reason="TOO_MANY_STREAMS", retry_after=9.0))

    assert _resumption().broke(busy) == 9.0


@pytest.mark.parametrize(
    "error",
    [
        CursorExpiredError("gone", ErrorFacts("OUT_OF_RANGE", "CURSOR_EXPIRED")),
        ServerFailedError("broken", ErrorFacts("INTERNAL", "INTERNAL")),
    ],
    ids=["expired", "failed"],
)
def test_what_waiting_cannot_mend_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        _resumption().broke(error)  # pyright: ignore[reportArgumentType]  # both are ours


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    with pytest.raises(ServerUnreachableError):
        _resumption(patient=False).broke(_AWAY)


def test_a_transport_that_broke_is_waited_out() -> None:
    reset = ServerFailedError("RST_STREAM", ErrorFacts(status="INTERNAL"))

    assert _resumption().broke(reset) > 0


def test_an_outage_is_known_until_news_come() -> None:
    resumption = _resumption()
    resumption.broke(_AWAY)
    during = resumption.outage

    resumption.received(_change(1))

    assert (during, resumption.outage) == (_AWAY, None)


@given(
    pages=st.integers(0, 4),
    changes=st.integers(0, 30),
    cuts=st.lists(st.integers(0, 8), max_size=12),
)
def test_a_watch_cut_anywhere_delivers_everything_once(
    pages: int, changes: int, cuts: list[int]
) -> None:
    resumption = _resumption()
    delivered: list[WatchRunResponse] = []

    def serve(cursor: str, limit: int | None) -> bool:
        known = int(cursor[1:]) if cursor else -1
        responses = [] if known >= 0 else [WatchRunResponse(snapshot=RunSnapshot())] * pages
        if known < 0:
            responses = [*responses, WatchRunResponse(cursor="c0", caught_up=True)]
        responses += [_change(sequence) for sequence in range(max(known, 0) + 1, changes + 1)]
        for response in responses[:limit]:
            copy = WatchRunResponse()
            copy.CopyFrom(response)
            delivered.extend(resumption.received(copy))
        return limit is None or limit >= len(responses)

    for cut in cuts:
        if serve(resumption.cursor, cut):
            break
        resumption.broke(_AWAY)
    else:
        serve(resumption.cursor, None)

    assert sum(r.HasField("snapshot") for r in delivered) == pages
    sequences = [change.sequence for r in delivered for change in r.changes]
    assert sequences == list(range(1, changes + 1))
