"""The live page: draws a run, or a list of runs, in place until it is over."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from trackside.cli.end_of_run import EndOfRun
from trackside.cli.feed import Event, Feed
from trackside.cli.live_model import LiveModel, Received
from trackside.cli.paint import Paint
from trackside.cli.rendering.live import list_lines, live_lines
from trackside.client import filters
from trackside.client.connection import Connection
from trackside.client.listing import get_run
from trackside.client.watch import last, watch_live, watch_logs, watch_run, watch_runs
from trackside_protos.live.v1.live_service_pb2 import LogsPart, RunPart, WatchLiveRequest
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesRequest, ListSeriesResponse
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunsResponse

_FRAME: Final = 0.1
"""Seconds between two drawings when things change."""

_IDLE_FRAME: Final = 0.5
"""Seconds between two drawings when only durations count."""

_FIRST_LINES: Final = 20
_CHILD_LINES: Final = 3
_FOLLOWED_CHILDREN: Final = 3
_SERIES: Final = 50
_SERIES_SECONDS: Final = 1.0
_SERIES_TIMEOUT: Final = 5.0

Draw = Callable[[Callable[[tuple[int, int]], list[str]]], None]


def follow(run_id: str, connection: Connection, console: Console) -> Run:
    """Draw a run until it is over, and return it as it is then.

    Shows state, progress and remaining time, children or nodes, scores and the latest log
    lines, in place; the last drawing stays. An outage of the server is shown and waited out.
    A `KeyboardInterrupt` ends the drawing and is raised on; the run does not notice.

    Args:
        run_id: The whole id of the run.
        connection: The way to its server.
        console: Where to draw; one that is no terminal gets the last drawing only.

    Raises:
        TracksideError: There is no such run, or no server in the first place.
    """
    return follow_until(run_id, connection, console, lambda _: False)


def follow_until(
    run_id: str, connection: Connection, console: Console, is_enough: Callable[[Run], bool]
) -> Run:
    """Draw a run as `follow` does, but stop as soon as `is_enough`."""
    model = LiveModel(get_run(connection, run_id), time.monotonic())
    end = EndOfRun()
    with Feed() as feed, _drawing(console) as draw:
        _add_sources(feed, connection, model)
        while not is_enough(model.run):
            if end.is_over(model.run, told_all=_has_told_all(feed, model)):
                break
            had_news = False
            for event in feed.within(_IDLE_FRAME):
                had_news = _take(model, event) or had_news
            _follow_children(feed, connection, model)
            outage = feed.outage()
            model.away = outage.message if outage else ""
            if outage is None:
                end.listened(_IDLE_FRAME, had_news=had_news)
            draw(partial(_page, model, _paint(console)))
            time.sleep(_FRAME)
        draw(partial(_page, model, _paint(console)))
    return model.run


def follow_list(filter_text: str, connection: Connection, console: Console) -> None:
    """Draw the runs that match a filter until interrupted."""
    runs: dict[str, Received] = {}
    with Feed() as feed, _drawing(console) as draw:
        feed.add("runs", watch_runs(connection, filter_text))
        while True:
            for event in feed.within(_IDLE_FRAME):
                if event.error is not None:
                    raise event.error
                if isinstance(event.response, WatchRunsResponse):
                    take_list(runs, event.response, time.monotonic())
            draw(partial(_list_page, list(runs.values()), _paint(console)))
            time.sleep(_FRAME)


def take_list(runs: dict[str, Received], response: WatchRunsResponse, at: float) -> None:
    """Take what a watch of a list told into the runs shown."""
    for run in response.present:
        runs[run.run_id] = Received(run, at)
    for change in response.changes:
        if change.HasField("run"):
            runs[change.run.run_id] = Received(change.run, at)
        else:
            runs.pop(change.left_run_id, None)


def _page(model: LiveModel, paint: Paint, size: tuple[int, int]) -> list[str]:
    return live_lines(model, time.monotonic(), paint, size)


def _list_page(runs: Sequence[Received], paint: Paint, size: tuple[int, int]) -> list[str]:
    return list_lines(runs, time.monotonic(), paint, size)


def _paint(console: Console) -> Paint:
    colors = console.color_system is not None and not console.no_color
    return Paint(colors=colors, symbols=console.encoding.lower().startswith("utf"))


@contextmanager
def _drawing(console: Console) -> Generator[Draw]:
    """Yield what draws lines in place of those drawn before."""
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:

        def draw(lines: Callable[[tuple[int, int]], list[str]]) -> None:
            text = Text.from_ansi("\n".join(lines((console.width, console.height - 1))))
            text.no_wrap = True
            text.overflow = "ellipsis"
            live.update(text, refresh=True)

        yield draw


def _take(model: LiveModel, event: Event) -> bool:
    if event.error is not None and event.source == model.run.run_id:
        raise event.error  # what a child's log cannot give is merely not shown
    return model.take(event.source, event.response, time.monotonic())


def _has_told_all(feed: Feed, model: LiveModel) -> bool:
    """Say whether the watch of the run has ended, and all children were told to have."""
    all_ended = model.ended_children() >= model.run.children.total_count
    return feed.has_told_all(model.run.run_id) and all_ended


def _add_sources(feed: Feed, connection: Connection, model: LiveModel) -> None:
    run_id = model.run.run_id
    if model.run.is_parent:
        feed.add(run_id, watch_run(connection, run_id, patient=True))
        children = watch_runs(connection, filters.children_of(run_id), patient=True)
        feed.add("children", children)
        return
    request = WatchLiveRequest(
        run_id=run_id, run=RunPart(), logs=LogsPart(start=last(_FIRST_LINES))
    )
    feed.add(run_id, watch_live(connection, request, patient=True))
    feed.add_polling("series", partial(_series, connection, run_id), _SERIES_SECONDS)


def _series(connection: Connection, run_id: str) -> ListSeriesResponse:
    request = ListSeriesRequest(run_id=run_id, page_size=_SERIES)
    return connection.call(connection.metrics.ListSeries, request, timeout=_SERIES_TIMEOUT)


def _follow_children(feed: Feed, connection: Connection, model: LiveModel) -> None:
    """Read the logs of the first few children at work; each to its own end."""
    for run_id in model.active_children()[:_FOLLOWED_CHILDREN]:
        if run_id not in feed:
            feed.add(run_id, watch_logs(connection, run_id, last(_CHILD_LINES), patient=True))
