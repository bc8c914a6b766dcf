from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from support.serving import ADMIN
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.errors import CursorExpiredError, CursorForeignError
from trackside_live.cursor import LiveCursor, decode
from trackside_live.servicer import LiveServicer, WatchPart
from trackside_protos.live.v1.live_service_pb2 import (
    LogsPart,
    MetricsPart,
    RunPart,
    WatchLiveRequest,
    WatchLiveResponse,
)
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import WatchMetricsResponse
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse
from trackside_protos.watches.v1.watch_start_pb2 import WatchStart
from trackside_serving.calls import Call
from trackside_serving.errors import InvalidFieldError, ShuttingDownError

RUN = "aaaabbbbccccdddd"


def cursor(kind: JournalKind, position: int) -> str:
    return CursorMint("0123456789abcdef", kind).encode(RUN, position)


class Watch:
    """A part's watch that gives what it was told and keeps what it was asked."""

    def __init__(self, *responses: Message | Exception) -> None:
        self._responses = responses
        self.asked: list[Any] = []

    def __call__(self, request: object, call: Call) -> AsyncIterator[bytes]:
        self.asked.append(request)
        return self._stream(call)

    async def _stream(self, call: Call) -> AsyncGenerator[bytes]:
        assert call.resume_cursor == "", "a part has a cursor of its own"
        for response in self._responses:
            if isinstance(response, Exception):
                raise response
            yield response.SerializeToString()


RUN_CURSOR, LOGS_CURSOR, METRICS_CURSOR = (
    cursor(JournalKind.RUNS, 3),
    cursor(JournalKind.LOGS, 9),
    cursor(JournalKind.METRICS, 1),
)


def live(
    run: WatchPart | None = None, logs: WatchPart | None = None, metrics: WatchPart | None = None
) -> LiveServicer:
    nothing: Callable[[], Watch] = Watch
    return LiveServicer(run=run or nothing(), logs=logs or nothing(), metrics=metrics or nothing())


async def told(
    servicer: LiveServicer, request: WatchLiveRequest, call: Call | None = None
) -> list[WatchLiveResponse]:
    return [
        WatchLiveResponse.FromString(data)
        async for data in servicer.watch_live(request, call or Call(ADMIN))
    ]


async def test_each_part_comes_in_its_own_field() -> None:
    servicer = live(
        run=Watch(WatchRunResponse(caught_up=True, cursor=RUN_CURSOR)),
        logs=Watch(WatchLogsResponse(blocks=[LogBlock(first_sequence=5)], cursor=LOGS_CURSOR)),
        metrics=Watch(WatchMetricsResponse(blocks=[PointBlock(sequence=2)])),
    )
    request = WatchLiveRequest(run_id=RUN, run=RunPart(), logs=LogsPart(), metrics=MetricsPart())

    responses = await told(servicer, request)

    merged = WatchLiveResponse()
    for response in responses:
        merged.MergeFrom(response)
    assert merged.run.caught_up
    assert merged.logs.blocks[0].first_sequence == 5
    assert merged.metrics.blocks[0].sequence == 2


async def test_there_is_a_cursor_as_soon_as_every_chosen_part_has_one() -> None:
    servicer = live(
        run=Watch(WatchRunResponse(), WatchRunResponse(cursor=RUN_CURSOR)),
        logs=Watch(WatchLogsResponse(cursor=LOGS_CURSOR)),
    )

    responses = await told(servicer, WatchLiveRequest(run_id=RUN, run=RunPart(), logs=LogsPart()))

    assert responses[0].cursor == ""
    assert decode(responses[-1].cursor) == LiveCursor(run=RUN_CURSOR, logs=LOGS_CURSOR)


async def test_each_part_goes_on_after_its_own_cursor() -> None:
    run, logs, metrics = Watch(), Watch(), Watch()
    resumed = LiveCursor(run=RUN_CURSOR, logs=LOGS_CURSOR, metrics=METRICS_CURSOR)
    request = WatchLiveRequest(
        run_id=RUN,
        cursor=resumed.encode(),
        run=RunPart(start=WatchStart(last=5)),
        logs=LogsPart(),
        metrics=MetricsPart(),
    )

    await told(live(run, logs, metrics), request)

    starts = [part.asked[0].start.cursor for part in (run, logs, metrics)]
    assert starts == [RUN_CURSOR, LOGS_CURSOR, METRICS_CURSOR]


async def test_each_part_has_its_own_start_and_filter() -> None:
    run, logs, metrics = Watch(), Watch(), Watch()
    request = WatchLiveRequest(run_id=RUN)
    request.run.task_filter = "state = FAILED"
    request.logs.start.last = 7
    request.logs.filter.text = "needle"
    request.metrics.filter.keys.append("loss")

    await told(live(run, logs, metrics), request)

    assert run.asked[0].task_filter == "state = FAILED"
    assert logs.asked[0].start.last == 7
    assert logs.asked[0].filter.text == "needle"
    assert list(metrics.asked[0].filter.keys) == ["loss"]


async def test_a_part_that_is_not_chosen_is_not_asked() -> None:
    run, logs = Watch(), Watch()

    await told(live(run, logs), WatchLiveRequest(run_id=RUN, logs=LogsPart()))

    assert run.asked == []
    assert len(logs.asked) == 1


async def test_no_part_at_all_is_refused() -> None:
    with pytest.raises(InvalidFieldError):
        await told(live(), WatchLiveRequest(run_id=RUN))


async def test_a_foreign_cursor_is_refused() -> None:
    with pytest.raises(CursorForeignError):
        await told(live(), WatchLiveRequest(run_id=RUN, run=RunPart(), cursor=RUN_CURSOR))


async def test_an_expired_part_names_a_merged_cursor_that_can_be_served() -> None:
    earliest = cursor(JournalKind.RUNS, 100)
    servicer = live(run=Watch(CursorExpiredError(earliest=earliest, latest=earliest)))
    before = LiveCursor(run=RUN_CURSOR, logs=LOGS_CURSOR)
    request = WatchLiveRequest(run_id=RUN, cursor=before.encode(), run=RunPart(), logs=LogsPart())

    with pytest.raises(CursorExpiredError) as caught:
        await told(servicer, request)

    assert decode(caught.value.metadata["earliest"]) == LiveCursor(run=earliest, logs=LOGS_CURSOR)


async def test_the_call_knows_the_cursor_of_what_was_sent_when_a_part_is_ended() -> None:
    servicer = live(logs=Watch(WatchLogsResponse(cursor=LOGS_CURSOR), ShuttingDownError()))
    call = Call(ADMIN)

    with pytest.raises(ShuttingDownError):
        await told(servicer, WatchLiveRequest(run_id=RUN, logs=LogsPart()), call)

    assert decode(call.resume_cursor) == LiveCursor(logs=LOGS_CURSOR)
