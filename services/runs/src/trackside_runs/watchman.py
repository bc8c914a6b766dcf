"""The watchman: what time alone does to runs, once a second.

Seals what has ended, finds who has fallen silent, adds up the progress of parents, and
forgets changes that are old. Every verdict is decided again under the run's lock before it
is entered, so replicas do not contradict each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select, update

from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_runs import parents, silence
from trackside_runs.registry import Change, Work
from trackside_runs.rounds import Rounds
from trackside_runs.silences import Silences
from trackside_runs.storage import deletion, revocations, tables
from trackside_runs.storage.ledger import Ledger
from trackside_serving.clock import SERVERS_APART_MS, ClockMs, steady_ms

_LOOK_SECONDS: Final = 1.0
_LONGEST_PAUSE_MS: Final = 5_000
"""Between two steps; longer, and this process was stopped, or its machine asleep."""
_FORGET_SECONDS: Final = 600.0
_PURGE_SECONDS: Final = 10.0
_RUNS_A_WORK: Final = 100
_RUNS_A_LOOK: Final = 1000
_LOOKS_A_ROUND: Final = 50
_CHANGES_A_WORK: Final = 5000
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class _Old:
    """A run whose changes are old: those before `first_sequence` are to be forgotten."""

    run_id: str
    first_sequence: int


class Watchman:
    """Looks at the runs that are not sealed. Event loop only."""

    def __init__(
        self,
        database: Database,
        committer: Committer[Work],
        clock_ms: ClockMs,
        silences: Silences,
        change_retention_days: int,
    ) -> None:
        self._database = database
        self._committer = committer
        self._clock_ms = clock_ms
        self._silences = silences
        self._retention_ms = change_retention_days * _DAY_MS
        self._advanced: set[str] = set()
        self._steady_ms = steady_ms
        self._awake_ms: int | None = None
        self._looking = Rounds(
            self.look, name="watchman", every=_LOOK_SECONDS, on_outage=self._note_outage
        )
        self._forgetting = Rounds(
            self.forget, name="forgetting of what is old", every=_FORGET_SECONDS
        )
        self._purging = Rounds(self.purge_deleted, name="purging", every=_PURGE_SECONDS)

    def start(self) -> None:
        """Begin to look."""
        self._looking.start()
        self._forgetting.start()
        self._forgetting.wake()
        self._purging.start()

    def runs_removed(self) -> None:
        """Remove what is left of deleted runs now."""
        self._purging.wake()

    async def close(self) -> None:
        """End looking."""
        await self._looking.close()
        await self._forgetting.close()
        await self._purging.close()

    def children_advanced(self, parent_ids: set[str]) -> None:
        """Note that children of these parents have made progress."""
        self._advanced |= parent_ids

    async def look(self) -> None:
        """Look once at everything that is due."""
        if self._awake_ms is None:
            await self._committer.commit(Change((), _doubt_far_looks))
        await self._add_up()
        for _ in range(_LOOKS_A_ROUND):
            due = await self._database.read(self._due)
            if not due:
                break
            for start in range(0, len(due), _RUNS_A_WORK):
                await self._judge(due[start : start + _RUNS_A_WORK])
        self._note_awake()

    async def _add_up(self) -> None:
        advanced, self._advanced = self._advanced, set()
        if advanced:
            run_ids = sorted(advanced)
            try:
                await self._committer.commit(
                    Change(run_ids, lambda ledger: parents.add_up(ledger, run_ids))
                )
            except BaseException:
                self._advanced |= advanced  # their children may make no more progress
                raise

    async def _judge(self, run_ids: Sequence[str]) -> None:
        awake_ms = self._note_awake()

        def make(ledger: Ledger) -> None:
            # Stopped on the way here, it has heard nobody: the next look counts from now.
            if self._steady_ms() - awake_ms <= _LONGEST_PAUSE_MS:
                silence.look_at(ledger, run_ids)

        await self._committer.commit(Change(run_ids, make))
        self._note_awake()

    def _note_awake(self) -> int:
        """Note, and return, that this process is awake now, and an outage if it was not."""
        now_ms = self._steady_ms()
        if self._awake_ms is not None and now_ms - self._awake_ms > _LONGEST_PAUSE_MS:
            self._note_outage()
        self._awake_ms = now_ms
        return now_ms

    async def forget(self) -> None:
        """Drop whatever is kept for some time only."""
        await self.forget_old_changes()
        await self.forget_expired_revocations()

    async def forget_expired_revocations(self) -> None:
        """Drop the revocations of tokens that have expired, all of them."""
        now_ms = self._clock_ms()
        await self._committer.commit(
            Change((), lambda ledger: revocations.forget_expired(ledger.connection, now_ms))
        )

    async def forget_old_changes(self) -> None:
        """Drop the changes of runs that were sealed long ago; states, tasks and scopes stay."""
        while old := await self._database.read(self._old):
            run_ids = [run.run_id for run in old]
            change = Change(run_ids, lambda ledger, old=old: _forget(ledger, old))
            await self._committer.commit(change)
        before_ms = self._clock_ms() - self._retention_ms
        while await self._committer.commit(
            Change((), lambda ledger: _forget_deletions(ledger, before_ms))
        ):
            pass

    async def purge_deleted(self) -> None:
        """Remove what is left of deleted runs, some of it in each transaction."""
        while run_ids := await self._database.read(deletion.unpurged):
            for run_id in run_ids:
                await self._committer.commit(
                    Change((), lambda ledger, run_id=run_id: _purge(ledger, run_id))
                )

    def _due(self, connection: Connection) -> list[str]:
        return _due(connection, self._clock_ms())

    def _old(self, connection: Connection) -> list[_Old]:
        return _old(connection, self._clock_ms() - self._retention_ms)

    def _note_outage(self) -> None:
        # Nothing could be heard, so no silence is counted.
        self._silences.up_since_ms = self._clock_ms()


def _doubt_far_looks(ledger: Ledger) -> None:
    """Look now at what was to be looked at late: the clock may have been set back since."""
    run = tables.RUN
    ledger.connection.execute(
        update(run)
        .where(run.c.look_at_ms > ledger.now_ms + SERVERS_APART_MS)
        .values(look_at_ms=ledger.now_ms)
    )


def _due(connection: Connection, now_ms: int) -> list[str]:
    run = tables.RUN.c
    found = connection.execute(
        select(run.run_id)
        .where(run.look_at_ms > 0, run.look_at_ms <= now_ms)
        .order_by(run.look_at_ms)
        .limit(_RUNS_A_LOOK)
    )
    return [run_id for (run_id,) in found]


def _old(connection: Connection, before_ms: int) -> list[_Old]:
    """Return runs with old changes, as many as have a few thousand of them together."""
    run = tables.RUN.c
    found = connection.execute(
        select(run.run_id, run.sequence, run.first_sequence)
        .where(
            run.sealed,
            run.final_ms < before_ms,
            run.report_ms < before_ms,
            run.first_sequence <= run.sequence,
        )
        .limit(_CHANGES_A_WORK)
    )
    old: list[_Old] = []
    left = _CHANGES_A_WORK
    for run_id, sequence, first_sequence in found:
        count = min(left, sequence - first_sequence + 1)
        old.append(_Old(run_id, first_sequence + count))
        left -= count
        if not left:
            break
    return old


def _forget(ledger: Ledger, old: list[_Old]) -> None:
    change = tables.CHANGE
    last_position = 0
    for run in old:
        record = ledger.get(run.run_id)
        if record.first_sequence < run.first_sequence:
            record.first_sequence = run.first_sequence
            record.is_dirty = True
            last_position = max(last_position, record.position)
            ledger.connection.execute(
                change.delete().where(
                    change.c.run_id == run.run_id, change.c.sequence < run.first_sequence
                )
            )
    _begin_list_after(ledger, last_position)


def _forget_deletions(ledger: Ledger, before_ms: int) -> bool:
    last_position = deletion.forget_old_deletions(ledger.connection, before_ms)
    _begin_list_after(ledger, last_position)
    return last_position > 0


def _purge(ledger: Ledger, run_id: str) -> None:
    deletion.purge(ledger.connection, run_id)


def _begin_list_after(ledger: Ledger, position: int) -> None:
    """Note that a watch of the list that begins before would miss what was dropped."""
    head = tables.LIST_HEAD
    ledger.connection.execute(
        update(head).where(head.c.first_position <= position).values(first_position=position + 1)
    )
