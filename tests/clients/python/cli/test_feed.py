import threading

import grpc

from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside.cli.feed import Event, Feed
from trackside.client.connection import Connection
from trackside.client.errors import NotFoundError, ServerUnreachableError
from trackside.client.watch import watch_run
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse


def _change(sequence: int) -> WatchRunResponse:
    return WatchRunResponse(changes=[RunChange(sequence=sequence)], cursor=f"c{sequence}")


def _next(feed: Feed) -> Event:
    event = feed.next(60)
    assert event is not None
    return event


def test_what_a_watch_tells_comes_in_order_and_then_its_end(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["WatchRun"] = [_change(1), _change(2)]

    with Feed() as feed:
        feed.add("run", watch_run(connection, "r"))
        events = [_next(feed) for _ in range(3)]

    assert [event.response for event in events] == [_change(1), _change(2), None]
    assert all(event.error is None for event in events)


def test_a_failure_is_an_event(server: ScriptedServer, connection: Connection) -> None:
    server.answers["WatchRun"] = Refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")

    with Feed() as feed:
        feed.add("run", watch_run(connection, "r"))
        event = _next(feed)

    assert isinstance(event.error, NotFoundError)


def test_nothing_in_time_is_none() -> None:
    assert Feed().next(0) is None


def test_closing_ends_the_threads(server: ScriptedServer, connection: Connection) -> None:
    before = set(threading.enumerate())
    server.answers["WatchRun"] = [_change(1), HangUntilCancelled()]
    feed = Feed()
    feed.add("run", watch_run(connection, "r"))
    _next(feed)
    started = [t for t in set(threading.enumerate()) - before if "_pump" in t.name]

    feed.close()

    for thread in started:
        thread.join(60)
    assert started
    assert not any(thread.is_alive() for thread in started)


def test_asking_again_and_again_passes_over_failures() -> None:
    answers = [ServerUnreachableError("away"), Run(run_id="a"), Run(run_id="b")]

    def ask() -> Run:
        answer = answers.pop(0) if answers else Run(run_id="last")
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Feed() as feed:
        feed.add_polling("run", ask, 0.0)
        events = [_next(feed).response for _ in range(2)]

    assert events == [Run(run_id="a"), Run(run_id="b")]
