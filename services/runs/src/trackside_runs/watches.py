"""The watches of RunsService: a run, a list of runs, the directory."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from trackside_journal import wire
from trackside_journal.cursor import LIST_TOPIC, CursorMint
from trackside_journal.database import Database
from trackside_journal.fanout import Hub
from trackside_journal.splice import Page, splice
from trackside_journal.tasks import closing
from trackside_journal.watching import (
    Range,
    Tail,
    starting_position,
    until_draining,
    wants_present,
    with_tails,
)
from trackside_protos.runs.v1 import change_pb2, run_pb2, runs_service_pb2
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_runs.filtering.orders import AS_CREATED
from trackside_runs.listing import Membership
from trackside_runs.present import present, present_task
from trackside_runs.storage import queries
from trackside_runs.storage.notices import DIRECTORY_TOPIC
from trackside_runs.task_listing import WantsTask
from trackside_serving.calls import Call
from trackside_serving.errors import RunDeletedError, RunNotFoundError

_RUN_TAIL: Final = Tail(cursor_field=3, caught_up_field=4)
_LIST_TAIL: Final = Tail(cursor_field=3, caught_up_field=4)
_DIRECTORY_TAIL: Final = Tail(cursor_field=2, caught_up_field=3)
_SNAPSHOT_FIELD: Final = 1
_TASKS_A_PAGE: Final = 500
_PROCESSES: Final = 1000
_REMEMBERED_RUNS: Final = 100_000
_ENTRIES_A_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class _RunSource:
    database: Database
    run_id: str

    async def read(self, after: int) -> Page:
        return await self.database.read(
            lambda connection: queries.run_page(connection, self.run_id, after)
        )


@dataclass(frozen=True, slots=True)
class _ListSource:
    database: Database

    async def read(self, after: int) -> Page:
        return await self.database.read(lambda connection: queries.list_page(connection, after))


@dataclass(frozen=True, slots=True)
class _DirectorySource:
    database: Database
    with_runs: bool

    async def read(self, after: int) -> Page:
        return await self.database.read(
            lambda connection: queries.directory_page(
                connection, after, _ENTRIES_A_PAGE, with_runs=self.with_runs
            )
        )


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The first page of a run's present state."""

    page: change_pb2.RunSnapshot
    head: int
    """The sequence as of which it is."""
    last_task: int | None
    """The number of its last open task; None: it has them all."""


@dataclass(frozen=True, slots=True)
class Mints:
    """What makes the cursors of each of the three records."""

    run: CursorMint
    listing: CursorMint
    directory: CursorMint


class RunWatches:
    """Opens watches on the store and the hub."""

    def __init__(self, database: Database, hub: Hub, mints: Mints) -> None:
        self._database = database
        self._hub = hub
        self._mints = mints

    async def watch_run(
        self,
        run_id: str,
        start: watch_start_pb2.WatchStart,
        call: Call,
        *,
        wants_task: WantsTask | None = None,
    ) -> AsyncIterator[bytes]:
        """Yield a run's present state if asked for, then its changes, until it is sealed.

        Args:
            run_id: Which run.
            start: Where to begin.
            call: The caller's.
            wants_task: Which tasks are told of; None: all.
        """
        mint = self._mints.run
        available = await self._range(run_id)
        position = starting_position(start, available, mint, run_id)
        if wants_present(start):
            first = await self._database.read(lambda connection: _snapshot(connection, run_id))
            yield _told(first.page, wants_task)
            async with closing(self._further_tasks(run_id, first)) as pages:
                async for page in pages:
                    if response := _told(page, wants_task):
                        yield response
            # Changes that the snapshot has already are sent only to those who want the last.
            is_last = start.WhichOneof("start") == "last"
            position = first.head
            if is_last:
                position = max(position - start.last, available.earliest)
        pieces = splice(_RunSource(self._database, run_id), self._hub, run_id, position)
        responses = with_tails(
            until_draining(pieces, call),
            mint=mint,
            topic=run_id,
            tail=_RUN_TAIL,
            call=call,
            transform=None if wants_task is None else _leaving_out(wants_task),
        )
        async with closing(responses):
            async for response in responses:
                yield response

    async def _further_tasks(
        self, run_id: str, first: _Snapshot
    ) -> AsyncIterator[change_pb2.RunSnapshot]:
        """Yield pages of the open tasks that had no room in the first.

        Read one by one, so that a run of any size opens at once. What has changed since the
        first page is left out: the changes tell it.
        """
        after = first.last_task
        while after is not None:
            found = await self._database.read(
                lambda connection, after=after: queries.open_tasks(
                    connection, run_id, after=after, limit=_TASKS_A_PAGE
                )
            )
            page = change_pb2.RunSnapshot(
                open_tasks=[present_task(task) for _, task in found if task.sequence <= first.head]
            )
            after = found[-1][0] if len(found) == _TASKS_A_PAGE else None
            yield page

    async def watch_list(
        self,
        present_runs: Callable[[], AsyncIterator[list[run_pb2.Run]]],
        membership: Membership,
        start: watch_start_pb2.WatchStart,
        call: Call,
    ) -> AsyncIterator[bytes]:
        """Yield the runs that match, if asked for, then the changes to that list.

        Args:
            present_runs: Yields the pages of the present state.
            membership: Decides which runs belong to the list.
            start: Where to begin.
            call: The caller's.
        """
        mint = self._mints.listing
        available = await self._database.read(queries.list_range)
        position = starting_position(start, available, mint, LIST_TOPIC)
        members = _Members(membership, start)
        if wants_present(start):
            async with closing(present_runs()) as pages:
                async for page in pages:
                    members.show(page)
                    yield runs_service_pb2.WatchRunsResponse(present=page).SerializeToString()
        pieces = splice(_ListSource(self._database), self._hub, LIST_TOPIC, position)
        responses = with_tails(
            until_draining(pieces, call),
            mint=mint,
            topic=LIST_TOPIC,
            tail=_LIST_TAIL,
            call=call,
            transform=members.transform,
        )
        async with closing(responses):
            async for response in responses:
                yield response

    async def watch_directory(
        self, start: watch_start_pb2.WatchStart, call: Call, *, with_runs: bool
    ) -> AsyncIterator[bytes]:
        """Yield what other services must know: all of it, or what has changed after a cursor.

        What is kept of the directory is its present state, so no cursor ever expires and a
        start NOW is one from the beginning.
        """
        mint = self._mints.directory
        available = Range((await self._database.read(queries.list_range)).head)
        if wants_present(start):
            start = watch_start_pb2.WatchStart(position=watch_start_pb2.WATCH_POSITION_BEGINNING)
        position = starting_position(start, available, mint, DIRECTORY_TOPIC)
        pieces = splice(
            _DirectorySource(self._database, with_runs), self._hub, DIRECTORY_TOPIC, position
        )
        responses = with_tails(
            until_draining(pieces, call),
            mint=mint,
            topic=DIRECTORY_TOPIC,
            tail=_DIRECTORY_TAIL,
            call=call,
        )
        async with closing(responses):
            async for response in responses:
                yield response

    async def directory_entry(self, run_id: str) -> bytes:
        """Return one entry of the directory as a response.

        Raises:
            RunNotFoundError: There is no such run.
        """
        entry = await self._database.read(
            lambda connection: queries.directory_entry(connection, run_id)
        )
        if entry is None:
            raise RunNotFoundError
        return wire.bytes_field(1, entry)

    async def _range(self, run_id: str) -> Range:
        return await self._database.read(lambda connection: queries.run_range(connection, run_id))


def _told(page: change_pb2.RunSnapshot, wants_task: WantsTask | None) -> bytes:
    """Return a page of the present state as a response; empty if nothing of it is wanted."""
    if wants_task is not None:
        wanted = [task for task in page.open_tasks if wants_task(task)]
        del page.open_tasks[:]
        page.open_tasks.extend(wanted)
    if not page.open_tasks and not page.HasField("run"):
        return b""
    return wire.bytes_field(_SNAPSHOT_FIELD, page.SerializeToString())


def _leaving_out(wants_task: WantsTask) -> Callable[[bytes], bytes]:
    """Return what takes the tasks out of changes that a watch is not to tell of.

    It remembers nothing: of every task that does not match, a watcher is told that it left,
    for it may have it from a list or from an earlier watch. So the sequences stay dense and
    the counts of processes right.
    """

    def transform(payload: bytes) -> bytes:
        response = runs_service_pb2.WatchRunResponse.FromString(payload)
        for change in response.changes:
            if change.HasField("task") and not wants_task(change.task.task):
                change.task.left_task_id = change.task.task.task_id
                change.task.ClearField("task")
        return response.SerializeToString()

    return transform


class _Members:
    """Which runs a watcher of a list has been shown, so that it is told when one leaves.

    Of a run that was neither shown nor seen to be absent since the watch began, a watcher
    that goes on from a cursor may know from an earlier connection: it is told once that it
    left. Of a run that it may not see a watcher is told nothing.
    """

    def __init__(self, membership: Membership, start: watch_start_pb2.WatchStart) -> None:
        self._membership = membership
        self._is_known_before = start.WhichOneof("start") == "cursor"
        self._skips_shown = start.WhichOneof("start") != "last"
        self._known: OrderedDict[str, int] = OrderedDict()
        """The sequence as of which a member was shown, 0 for what is absent."""

    def show(self, runs: Iterable[run_pb2.Run]) -> None:
        """Note that runs are sent as members."""
        for run in runs:
            self._remember(run.run_id, run.sequence)

    def transform(self, payload: bytes) -> bytes:
        """Return what of the changes of all runs this watcher is sent."""
        response = runs_service_pb2.WatchRunsResponse.FromString(payload)
        kept = runs_service_pb2.WatchRunsResponse()
        for change in response.changes:
            run = change.run
            known = self._known.get(run.run_id)
            is_old = self._skips_shown and known is not None and run.sequence <= known
            if is_old or not self._membership.is_visible(run):
                continue
            if not run.HasField("delete_time") and self._membership.matches(run):
                kept.changes.append(change)
                present(kept.changes[-1].run)
                self._remember(run.run_id, run.sequence)
            elif self._is_known_before if known is None else known:
                kept.changes.add(position=change.position, left_run_id=run.run_id)
                self._remember(run.run_id, 0)
        return kept.SerializeToString()

    def _remember(self, run_id: str, sequence: int) -> None:
        self._known[run_id] = sequence
        self._known.move_to_end(run_id)
        if len(self._known) > _REMEMBERED_RUNS:
            self._known.popitem(last=False)
            self._is_known_before = True


def _snapshot(connection: Connection, run_id: str) -> _Snapshot:
    if connection.dialect.name == "postgresql":
        # Run, processes and tasks as of one moment; SQLite gives that by itself.
        connection.execution_options(isolation_level="REPEATABLE READ")
    run = queries.complete_run(connection, run_id)
    if run is None:
        raise RunDeletedError  # since it was found
    tasks = queries.open_tasks(connection, run_id, after=0, limit=_TASKS_A_PAGE)
    page = change_pb2.RunSnapshot(
        scopes=run.scopes,
        processes=queries.processes(connection, run_id, AS_CREATED, limit=_PROCESSES),
        open_tasks=[present_task(task) for _, task in tasks],
    )
    run.ClearField("scopes")
    page.run.CopyFrom(present(run))
    is_full = len(tasks) == _TASKS_A_PAGE
    return _Snapshot(page, run.sequence, tasks[-1][0] if is_full else None)
