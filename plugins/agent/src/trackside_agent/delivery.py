"""The agent's use of the SDK's spool and sender: one spool per run, one sender for all.

The producer is the agent, under its id; its epoch is that of its start, so that an agent that was
left behind can write nothing more. Spools of earlier starts are delivered before later ones. They
are durable: the server never has anything that a later start would not find on the disk.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from trackside.delivery.delivery import Delivery
from trackside.delivery.outbox import Outbox
from trackside.delivery.wire import Item
from trackside.location import Location, default_home
from trackside.spool.frames import Service
from trackside_protos.runs.v1.run_pb2 import ControlRequest

CROWDED_BYTES: Final = 64 << 20
"""A spool with more than this takes in no output that can be read later as well."""

CHECK_SECONDS: Final = 1.0

GATHER_SECONDS: Final = 0.2
"""How long what a run says is gathered before it is spooled as one batch."""

GATHER_SECONDS_A_RUN: Final = 0.0025
LONGEST_GATHERING: Final = 1.0
"""With many runs for longer, for each batch costs something: with 200 for half a second."""


class Spool:
    """What is on its way of one run."""

    def __init__(self, outbox: Outbox, sender: "Sender") -> None:
        self._outbox = outbox
        self._sender = sender
        self._checked = 0.0
        self._crowded = False

    @property
    def is_connected(self) -> bool:
        """Whether the server answered last time."""
        return self._sender.is_connected

    @property
    def gather_seconds(self) -> float:
        """How long to gather what is said before it is added."""
        return self._sender.gather_seconds

    def has_company(self) -> bool:
        """Return whether something that the run's programs have left is still to be delivered."""
        return self._sender.has_company(self._outbox.identity.run_id)

    @property
    def note(self) -> bytes:
        """The note beside the newest batch, also of earlier starts of the agent."""
        return self._outbox.note

    def append(self, service: Service, items: Sequence[Item], note: bytes) -> None:
        """Add items that fit one batch, with their note. Survives the death of the agent."""
        self._outbox.append({service: items}, note=note)

    def close(self) -> None:
        """Say that nothing more comes."""
        self._outbox.close()
        self._sender.note_closed(self._outbox.identity.run_id)

    def is_crowded(self) -> bool:
        """Return whether so much waits for delivery that reading more output should wait too."""
        now = time.monotonic()
        if now - self._checked >= CHECK_SECONDS:
            self._checked, self._crowded = now, self._size() > CROWDED_BYTES
        return self._crowded

    def _size(self) -> int:
        folder = self._outbox.spool.folder
        size = 0
        for number in folder.segments():
            with suppress(FileNotFoundError):  # delivered meanwhile
                size += folder.segment(number).stat().st_size
        return size


class Sender:
    """Delivers all spools of this agent, exactly once, whenever the server can be reached."""

    def __init__(
        self,
        location: Location,
        agent_id: str,
        epoch: int,
        *,
        on_control: Callable[[str, ControlRequest], None],
        on_warning: Callable[[str], None],
    ) -> None:
        self._delivery = Delivery(location, on_control=on_control, on_warning=on_warning)
        self._agent_id = agent_id
        self._epoch = epoch
        self._open: set[str] = set()

    def open(self, run_id: str) -> Spool:
        """Return the spool of a run that is held; call it once a run."""
        outbox = self._delivery.open(run_id, self._agent_id, epoch=self._epoch, durable=True)
        self._open.add(run_id)
        return Spool(outbox, self)

    @property
    def is_connected(self) -> bool:
        """Whether the server answered last time."""
        return self._delivery.reach.connected

    @property
    def gather_seconds(self) -> float:
        """How long each spool's batches are gathered."""
        many = min(LONGEST_GATHERING, GATHER_SECONDS_A_RUN * len(self._open))
        return max(GATHER_SECONDS, many)

    def note_closed(self, run_id: str) -> None:
        """Take in that the spool of a run was closed."""
        self._open.discard(run_id)

    def is_open(self, run_id: str) -> bool:
        """Return whether an earlier start has left a spool of a run that it did not close."""
        newest = self._delivery.newest(run_id, self._agent_id)
        return newest is not None and not newest.closing

    def deliver_rest(self, run_id: str) -> None:
        """Deliver what ended producers of a run left in their spools, the agent's own too."""
        self._delivery.adopt_run(run_id, also_kept=True)
        # A launched program is not told the agent's home.
        self._delivery.adopt_run(run_id, home=default_home())

    def has_company(self, run_id: str) -> bool:
        """Take over what ended programs of a run have left, and return whether some still is."""
        self.deliver_rest(run_id)
        return not self._delivery.is_delivered_but_for(self._agent_id, run_id)

    def deliver_leftovers(self) -> None:
        """Deliver what programs of this home that ended without a server have left."""
        self._delivery.adopt_leftovers()

    def is_delivered(self, run_id: str) -> bool:
        """Return whether nothing is left of a run here that could be delivered."""
        return all(one.run_id != run_id or one.given_up for one in self._delivery.left())

    def stop(self) -> None:
        """Send nothing more; what is left waits for the next start."""
        self._delivery.stop()
