"""A sweep of programs that say much, and what must hold of it and of those who watched it."""

import sys
from pathlib import Path
from typing import Final

from support.eventually import eventually
from support.plain_client import PlainClient
from support.plain_watchers import PlainWatcher
from support.store_rows import StoreRows, Told, digest
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RUN_STATE_COMPLETED, RUN_STATE_RUNNING

_CHATTER: Final = Path(__file__).parent.parent / "end_to_end" / "chatter.py"


def chatter_sweep(folder: Path) -> list[str]:
    """Return the command line of a sweep of three, two at a time, until `folder/stop` is there."""
    words = ["run", "--detach", "-o", "name", "--sweep", "variant=1,2,3", "--parallelism", "2"]
    files = [str(folder / "stop"), str(folder / "count-{variant}")]
    return [*words, "--", sys.executable, str(_CHATTER), *files]


def two_running(client: PlainClient, parent_id: str) -> list[Run]:
    """Return the two children that run, as soon as they do."""

    def running() -> list[Run]:
        found = [r for r in client.children(parent_id) if r.state == RUN_STATE_RUNNING]
        return found if len(found) == 2 else []

    return eventually(running)


def wait_for_news(watchers: list[PlainWatcher], count: int) -> None:
    """Return when the watchers were told so many more things."""
    enough = sum(watcher.line_count() for watcher in watchers) + count
    eventually(lambda: sum(watcher.line_count() for watcher in watchers) >= enough)


def check_what_was_told(watcher: PlainWatcher, client: PlainClient, store: StoreRows) -> None:
    told, run_id = watcher.told(), watcher.run_id
    for service, items in told.items():
        assert [s for s, _ in items] == list(range(1, len(items) + 1)), (run_id, service)
    changes = eventually(lambda: _changes_as_stored(client, store, run_id))
    # What the last metrics have come to is known after the seal, with which a watch ends.
    seal, *later = changes[len(told["runs"]) - 1 :]
    assert seal.run.sealed
    assert all(_but_for_figures(late.run) == _but_for_figures(seal.run) for late in later)
    listed_entries: Told = [(n, digest(entry)) for n, entry in client.log_entries(run_id)]
    assert told["runs"] == [(c.sequence, digest(c)) for c in changes[: len(told["runs"])]]
    assert told["logs"] == listed_entries == store.log_entries(run_id)
    assert [s for s, _ in told["metrics"]] == store.block_sequences(run_id)


def _changes_as_stored(client: PlainClient, store: StoreRows, run_id: str) -> list[RunChange]:
    """Return a run's changes if they are those stored, and none came between the two readings."""
    changes = list(client.changes(run_id))
    return changes if [(c.sequence, digest(c)) for c in changes] == store.changes(run_id) else []


def _but_for_figures(run: Run) -> Run:
    rest = Run()
    rest.CopyFrom(run)
    for field in ("series_figures", "sequence", "update_time"):
        rest.ClearField(field)
    return rest


def check_the_sweep(client: PlainClient, parent_id: str, folder: Path) -> None:
    children = client.children(parent_id)
    assert client.run(parent_id).state == RUN_STATE_COMPLETED
    assert [(run.state, run.exit_code) for run in children] == [(RUN_STATE_COMPLETED, 0)] * 3
    for variant, run in enumerate(children, start=1):
        count = int((folder / f"count-{variant}").read_text())
        numbers = [str(n) for n in range(count)]
        entries = [entry for _, entry in client.log_entries(run.run_id)]
        said = [e.message.split() for e in entries if e.stream == "log"]
        printed = [e.message.split() for e in entries if e.stream == "stdout"]
        assert said == [["said", number] for number in numbers]
        assert printed == [["printed", number] for number in numbers]
        assert [e.message for e in entries if e.stream not in {"log", "stdout"}] == []
        points = [series for series in client.points(run.run_id) if series.key == "number"]
        assert [list(series.points.steps) for series in points] == [list(range(count))] * bool(
            count
        )
