"""Follows runs line by line: their output, their states, their progress."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from trackside.cli.end_of_run import EndOfRun
from trackside.cli.feed import Event, Feed
from trackside.cli.paint import Paint
from trackside.cli.parameters import child_label, varying_keys
from trackside.cli.queue_note import QueueNote
from trackside.cli.rendering.changes import RunChanges
from trackside.cli.rendering.log import LogText
from trackside.cli.safe_text import harmless_cell
from trackside.cli.terminal import Terminal
from trackside.client import filters
from trackside.client.connection import Connection
from trackside.client.listing import get_run
from trackside.client.log_lines import lines_of
from trackside.client.run_view import RunView
from trackside.client.states import has_ended
from trackside.client.watch import BEGINNING, watch_live, watch_run, watch_runs
from trackside_protos.live.v1.live_service_pb2 import (
    LogsPart,
    RunPart,
    WatchLiveRequest,
    WatchLiveResponse,
)
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse, WatchRunsResponse

_TICK: Final = 0.25
_MOMENT: Final = 1.0
"""Seconds for which a server may be away without a word about it."""

_RUN: Final = "run"
"""The source that tells of the run itself."""

Say = Callable[[Sequence[str]], None]


class Follower:
    """Puts what watches tell of a run into words, each thing once."""

    def __init__(self, run: Run, paint: Paint, say: Say, write: Callable[[str], object]) -> None:
        """Begin with a run.

        Args:
            run: The run as it is now.
            paint: How to decorate what is said.
            say: Takes lines about the run.
            write: Takes text of its log, with line ends.
        """
        self.view: RunView = RunView(run)
        self._paint = paint
        self._say = say
        self._write = write
        self._log = LogText(Paint())
        self._changes = RunChanges("", paint)
        self._children: dict[str, RunChanges] = {}
        self.ended_children: set[str] = set()
        self._away_since: float | None = None
        self._said_away = False
        self.say_news()

    def take(self, event: Event) -> bool:
        """Take in one event; return whether there was something new in it.

        Raises:
            TracksideError: The source failed for good.
        """
        if event.error is not None:
            raise event.error
        match event.response:
            case WatchLiveResponse() as live:
                has_lines = self._take_logs(live.logs)
                return self._take_run(live.run) or has_lines
            case WatchRunResponse() as response:
                return self._take_run(response)
            case WatchRunsResponse() as children:
                return self._take_children(children)
            case _:
                return False

    def say_news(self) -> None:
        """Say what has changed of the run."""
        self._say(self._changes.lines(self.view.run, time.monotonic()))

    def _take_run(self, response: WatchRunResponse) -> bool:
        self.view.apply(response)
        self.say_news()
        return bool(response.changes)

    def _take_logs(self, response: WatchLogsResponse) -> bool:
        for line in lines_of(response.blocks):
            self._write(self._log.text(line))
        return bool(response.blocks)

    def _take_children(self, response: WatchRunsResponse) -> bool:
        children = [
            *response.present[::-1],
            *(c.run for c in response.changes if c.HasField("run")),
        ]
        keys = varying_keys(self.view.run, children)
        for child in children:
            if has_ended(child):
                self.ended_children.add(child.run_id)
            label = child_label(child, keys)
            changes = self._children.setdefault(child.run_id, RunChanges(label, self._paint))
            self._say(changes.lines(child, time.monotonic()))
        return bool(children)

    def note_outage(self, *, is_away: bool) -> None:
        """Say once that the server is away for longer than a moment, and once that it is back."""
        if not is_away:
            if self._said_away:
                self._say(["Connected again."])
            self._away_since, self._said_away = None, False
            return
        self._away_since = self._away_since or time.monotonic()
        if not self._said_away and time.monotonic() - self._away_since > _MOMENT:
            self._said_away = True
            self._say(["The server is away; waiting for it."])


def follow_lines(connection: Connection, run: Run, terminal: Terminal) -> Run:
    """Write a run's output to stdout and what it does to stderr, until it is over.

    Returns the run as it is then. A `KeyboardInterrupt` is raised on; the run does not notice.
    """

    def say(lines: Sequence[str]) -> None:
        if lines:
            terminal.say(*lines)

    follower = Follower(run, terminal.err_paint, say, terminal.out.write)
    with Feed() as feed:
        if run.is_parent:
            _add_run(feed, connection, run)
        else:
            request = WatchLiveRequest(
                run_id=run.run_id, run=RunPart(), logs=LogsPart(start=BEGINNING)
            )
            feed.add(_RUN, watch_live(connection, request, patient=True))
        queue = QueueNote(connection, terminal)
        return _follow(feed, follower, terminal, lambda _: False, queue)


def follow_changes(
    connection: Connection, run_id: str, terminal: Terminal, is_enough: Callable[[Run], bool]
) -> Run:
    """Write each change of a run as one line to stdout, until it is over or it is enough."""
    run = get_run(connection, run_id)
    follower = Follower(run, terminal.paint, terminal.show, _nowhere)
    with Feed() as feed:
        _add_run(feed, connection, run)
        queue = QueueNote(connection, terminal)
        return _follow(feed, follower, terminal, is_enough, queue)


def follow_list_changes(connection: Connection, filter_text: str, terminal: Terminal) -> None:
    """Write each change of the runs that match a filter as one line to stdout, for ever."""
    changes: dict[str, RunChanges] = {}
    with watch_runs(connection, filter_text) as responses:
        for response in responses:
            runs = [*response.present[::-1], *(change.run for change in response.changes)]
            for run in runs:
                if run.run_id:
                    label = f"{run.run_id} {harmless_cell(run.name)}"
                    new = changes.setdefault(run.run_id, RunChanges(label, terminal.paint))
                    terminal.show(new.lines(run, time.monotonic()))


def _nowhere(_: str) -> None:
    pass


def _add_run(feed: Feed, connection: Connection, run: Run) -> None:
    feed.add(_RUN, watch_run(connection, run.run_id, patient=True))
    if run.is_parent:
        children = filters.children_of(run.run_id)
        feed.add("children", watch_runs(connection, children, patient=True))


def _follow(
    feed: Feed,
    follower: Follower,
    terminal: Terminal,
    is_enough: Callable[[Run], bool],
    queue: QueueNote,
) -> Run:
    end = EndOfRun()
    while not is_enough(follower.view.run):
        if end.is_over(follower.view.run, told_all=_has_told_all(feed, follower)):
            break
        had_news = False
        for event in feed.within(_TICK):
            had_news = follower.take(event) or had_news
        terminal.out.flush()
        is_away = feed.outage() is not None
        follower.note_outage(is_away=is_away)
        if not is_away:
            end.listened(_TICK, had_news=had_news)
        queue.look(follower.view.run)
    return follower.view.run


def _has_told_all(feed: Feed, follower: Follower) -> bool:
    """Say whether the watch of the run has ended, and all children were told to have."""
    all_ended = len(follower.ended_children) >= follower.view.run.children.total_count
    return feed.has_told_all(_RUN) and all_ended
