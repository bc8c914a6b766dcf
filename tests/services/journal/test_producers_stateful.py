import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from typing_extensions import override

from support.journal import RUN, EntryBatch, EntryTable, batch, stored
from support.journal_gate import Door, other_bytes
from trackside_journal.database import Database
from trackside_journal.errors import BatchConflictError, BatchGapError, StaleEpochError
from trackside_journal.producers import Stored
from trackside_journal.windows import AHEAD_LIMIT, HOLD_SECONDS, REMEMBERED

if TYPE_CHECKING:
    from trackside_journal.committer import Ticket

PRODUCER_IDS: Final = st.sampled_from(["a", "b"])

# How far a batch is from the expected one, mostly near; which epoch; whether its bytes are others.
SENDINGS: Final = st.lists(
    st.tuples(
        PRODUCER_IDS,
        st.integers(-3, 5) | st.integers(-80, 40),
        st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1]),
        st.integers(0, 9).map(lambda number: number == 0),
    ),
    min_size=1,
    max_size=12,
)


class GateMachine(RuleBasedStateMachine):
    """Resends, shuffles, epochs, conflicts, failures and pauses, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(
            f"sqlite:///{Path(self.folder.name) / 'store.sqlite'}", schema="entries"
        )
        self.database.create_tables(EntryTable.metadata)
        self.door = Door(self.database)
        self.taken: dict[tuple[str, int], list[EntryBatch]] = defaultdict(list)
        self.entries: list[bytes] = []
        self.held: dict[Ticket[EntryBatch], float] = {}

    @rule(sendings=SENDINGS)
    def send(self, sendings: list[tuple[str, int, int, bool]]) -> None:
        before = len(self.door.tickets)
        self.door.send(*self.works(sendings))
        self.held |= dict.fromkeys(self.door.tickets[before:], self.door.now)
        self.check_results()

    @rule(sendings=SENDINGS)
    def fail(self, sendings: list[tuple[str, int, int, bool]]) -> None:
        before = len(self.door.tickets)
        given_up = self.door.fail(*self.works(sendings))

        assert set(given_up) == {*self.held, *self.door.tickets[before:]}
        self.held.clear()

    @rule(seconds=st.floats(0.1, 6))
    def wait(self, seconds: float) -> None:
        self.door.now += seconds
        self.door.send()
        self.check_results()

    @invariant()
    def everything_taken_is_stored_in_order(self) -> None:
        assert stored(self.database) == self.entries

    @invariant()
    def what_is_held_belongs_into_the_window(self) -> None:
        assert self.door.applier.gate.held_run_ids() == ({RUN} if self.held else set())
        for ticket, since in self.held.items():
            key = ticket.work.key
            through = len(self.taken[key.producer_id, key.epoch])
            assert self.door.now - since <= HOLD_SECONDS
            assert key.epoch >= self.epoch(key.producer_id)
            assert through + 1 < key.sequence <= through + AHEAD_LIMIT

    @override
    def teardown(self) -> None:
        self.wait(HOLD_SECONDS + 1)
        assert not self.held
        assert not self.door.applier.wants_tick
        self.database.close()
        self.folder.cleanup()

    def works(self, sendings: list[tuple[str, int, int, bool]]) -> list[EntryBatch]:
        works: list[EntryBatch] = []
        for producer_id, distance, epoch_step, is_other in sendings:
            epoch = max(1, self.epoch(producer_id) + epoch_step)
            sequence = max(1, len(self.taken[producer_id, epoch]) + 1 + distance)
            work = batch(sequence, producer_id=producer_id, epoch=epoch)
            works.append(other_bytes(work) if is_other else work)
        return works

    def epoch(self, producer_id: str) -> int:
        return max(
            (e for (p, e), taken in self.taken.items() if p == producer_id and taken), default=1
        )

    def check_results(self) -> None:
        """Go through the new results in the order in which they were decided."""
        news = [ticket for ticket in self.door.results if ticket in self.held]
        for ticket in news:
            del self.held[ticket]
            self.check(ticket.work, self.door.results[ticket])

    def check(self, work: EntryBatch, result: object) -> None:
        key = work.key
        taken = self.taken[key.producer_id, key.epoch]
        through = len(taken)
        match result:
            case Stored(duplicate=False):
                assert key.sequence == through + 1 == result.through
                assert key.epoch >= self.epoch(key.producer_id)
                taken.append(work)
                self.entries.append(work.payload)
            case Stored():
                assert key.sequence <= through == result.through
                assert taken[key.sequence - 1] == work or key.sequence <= through - REMEMBERED
            case BatchConflictError():
                assert through - REMEMBERED < key.sequence <= through
                assert taken[key.sequence - 1] != work
            case StaleEpochError():
                assert key.epoch < self.epoch(key.producer_id)
            case BatchGapError():
                assert key.sequence > through + 1
                assert result.metadata["expected"] == str(through + 1)
            case _:
                raise AssertionError(result)


TestGateMachine = pytest.mark.exhaustive(GateMachine.TestCase)
TestGateMachine.settings = settings(max_examples=25, stateful_step_count=30)
