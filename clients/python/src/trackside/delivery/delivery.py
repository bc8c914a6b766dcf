"""Delivers the spools of one process to one server; importing it imports grpc."""

import contextlib
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

from trackside.delivery import housekeeping
from trackside.delivery.channel import Channels
from trackside.delivery.depot import Depot, OnControl, Reach
from trackside.delivery.outbox import Outbox
from trackside.delivery.shipment import Shipment
from trackside.delivery.stream import ServiceStream
from trackside.delivery.syncing import Syncing
from trackside.location import Location
from trackside.spool.folder import Abandoned, Identity, SpoolFolder, spools
from trackside.spool.frames import SERVICES, Frame
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest

_HOUSEKEEPING_SECONDS: Final = 0.5
LEFTOVERS_AT_ONCE: Final = 16
"""So many spools of ended programs are delivered at once: each takes some room in memory."""


class Delivery:
    """Sends what stands in spools, exactly once, for ever, over one connection.

    Has the same few threads however many runs there are. Every method may be called from any
    thread, and none raises because of the server. `on_control` is told, from such a thread, of
    each request to control a run whose authority is one of these producers; again and again
    until a `ControlReport` acknowledges it.
    """

    def __init__(
        self,
        location: Location,
        *,
        on_control: OnControl | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._location = location
        self._depot = Depot(location, on_control or _ignore, on_warning or _be_silent)
        self._channels = Channels(location)
        self._streams: list[ServiceStream] = []
        self._syncing: Syncing | None = None
        self._leftovers_wanted = False
        self._over = threading.Event()
        self._housekeeper = threading.Thread(
            target=self._keep_house, name="trackside-housekeeping", daemon=True
        )

    @property
    def reach(self) -> Reach:
        """Whether the server answers."""
        return self._depot.reach

    def open(
        self,
        run_id: str,
        producer_id: str,
        *,
        epoch: int = 1,
        create: CreateRunRequest | None = None,
        abandoned: Abandoned = Abandoned.KEPT,
        durable: bool = False,
    ) -> Outbox:
        """Return the way out of this producer for this run, and deliver what is put into it.

        What spools of earlier epochs of the same run and producer still hold is delivered before,
        by whichever process has begun to, and the note that they ended with is the first `note` of
        the new one.

        Raises:
            ValueError: There is a spool of this very epoch, by an earlier process.
        """
        identity = Identity(run_id, producer_id, epoch, self._location.destination, abandoned)
        folder = SpoolFolder.of(self._location.home, identity)
        if folder.segments():
            message = f"epoch {epoch} of {producer_id} was used before: begin a later one"
            raise ValueError(message)
        earlier = self._epochs(run_id, producer_id)
        newest = self.newest(run_id, producer_id)
        note = newest.note if newest is not None else b""
        outbox = Outbox(folder, identity, create=create, note=note, durable=durable)
        if durable:
            for each in earlier:
                each.sync()
        if note:
            outbox.spool.begin()
        with self._depot.lock:
            before: Shipment | None = None
            for each in earlier:
                before = self._await(each, before) or before
            self._ship(outbox, before)
        return outbox

    def newest(self, run_id: str, producer_id: str) -> Frame | None:
        """Return the newest batch that is in any spool of this run and producer, with its note."""
        for folder in reversed(self._epochs(run_id, producer_id)):
            if (newest := folder.newest()) is not None:
                return newest
        return None

    def ship(self, outbox: Outbox) -> None:
        """Deliver what is in this outbox, and what will be."""
        with self._depot.lock:
            self._ship(outbox, None)

    def adopt(self, folder: SpoolFolder) -> bool:
        """Deliver the spool of a process that cannot; say whether nobody else does."""
        with self._depot.lock:
            return self._adopt(folder)

    def adopt_run(self, run_id: str, *, home: Path | None = None, also_kept: bool = False) -> None:
        """Deliver all spools of this run that nobody delivers, for example of forked children.

        Those to which their writer comes back are left to it, unless it is who asks.
        """
        with self._depot.lock:
            for folder in spools(home or self._location.home, run_id):
                identity = folder.identity()
                if identity is not None and (also_kept or identity.abandoned is not Abandoned.KEPT):
                    self._adopt(folder)

    def expect_leftovers(self) -> None:
        """Deliver what ended programs have left for this server, as soon as it answers."""
        self._leftovers_wanted = True

    def adopt_leftovers(self) -> bool:
        """Deliver what ended programs have left for this server, some of it at a time.

        Say whether that is all; else there is more to adopt when some is delivered.
        """
        for folder in spools(self._location.home):
            if self._is_leftover(folder):
                with self._depot.lock:
                    under_way = sum(s.outbox is None and s.is_moving for s in self._depot.shipments)
                if under_way >= LEFTOVERS_AT_ONCE:
                    return False
                self.adopt(folder)
        return True

    def is_delivered(self, run_id: str) -> bool:
        """Say whether everything that is known here of this run is acknowledged."""
        with self._depot.lock:
            return all(s.is_delivered() for s in self._depot.shipments if s.run_id == run_id)

    def is_delivered_but_for(self, producer_id: str, run_id: str) -> bool:
        """Say whether of this run only what this producer says is not delivered, if anything.

        What can never be delivered does not count.
        """
        with self._depot.lock:  # who looks whether something is delivered reads on in its spool
            return all(
                s.given_up or s.is_delivered()
                for s in self._depot.shipments
                if s.run_id == run_id and s.identity.producer_id != producer_id
            )

    def left(self) -> list[Shipment]:
        """Return what is not delivered, or may be added to."""
        with self._depot.lock:
            return self._depot.shipments

    def wait(self, is_enough: Callable[[], bool], timeout: float) -> bool:
        """Wait until this holds; it is asked again whenever something was acknowledged."""
        end = time.monotonic() + timeout
        with self._depot.lock:
            self._depot.waiting_count += 1
            for work in self._depot.work.values():
                work.notify_all()  # whoever pauses need not pause so long
            try:
                while not is_enough():
                    left = end - time.monotonic()
                    if left <= 0:
                        return False
                    self._depot.progress.wait(min(left, 0.1))
            finally:
                self._depot.waiting_count -= 1
        return True

    def flush(self, timeout: float) -> bool:
        """Wait until everything said so far is acknowledged; say whether it is."""
        return self.wait(lambda: all(s.is_delivered() for s in self._depot.shipments), timeout)

    def stop(self, timeout: float = 1.0) -> None:
        """Send nothing more; what is not delivered stays in its spool for another process."""
        self._depot.stop()
        self._over.set()
        for stream in self._streams:
            stream.stop(timeout)
        if self._syncing is not None:
            self._syncing.stop(timeout)
        if self._housekeeper.is_alive():
            self._housekeeper.join(timeout)
        self._channels.close()
        with self._depot.lock:
            for shipment in self._depot.shipments:
                housekeeping.keep(self._depot, shipment)
                shipment.let_go()
                self._depot.discard(shipment)

    def _epochs(self, run_id: str, producer_id: str) -> list[SpoolFolder]:
        found: dict[int, SpoolFolder] = {}
        for folder in spools(self._location.home, run_id):
            name, _, epoch = folder.path.name.rpartition("-")
            if name == producer_id and epoch.isdigit():
                found[int(epoch)] = folder
        return [found[epoch] for epoch in sorted(found)]

    def _ship(self, outbox: Outbox, before: Shipment | None) -> None:
        shipment = Shipment(outbox.spool.folder, outbox.identity, self._depot.loads, outbox)
        shipment.predecessor = before
        with contextlib.suppress(OSError):  # housekeeping tries again
            shipment.folder.make()
            shipment.hold()
        self._depot.add(shipment)
        self._start()
        if outbox.spool.durable:
            syncing = self._start_syncing()
            outbox.wake = lambda _: syncing.note(outbox)
            syncing.note(outbox)
        else:
            outbox.wake = lambda service: self._depot.mark(shipment.lanes[service])

    def _adopt(self, folder: SpoolFolder) -> bool:
        identity = folder.identity()
        if identity is None or self._depot.find(identity) is not None or self._depot.stopped:
            return False
        shipment = Shipment(folder, identity, self._depot.loads)
        if not shipment.hold():
            return False
        self._depot.add(shipment)
        self._chain(shipment.identity)
        self._start()
        return True

    def _chain(self, identity: Identity) -> None:
        """Let each epoch of a producer wait for the one before: a later one fences it off.

        The lock must be held since the newest of them was added.
        """
        epochs = [
            shipment
            for shipment in self._depot.shipments
            if (shipment.run_id, shipment.identity.producer_id)
            == (identity.run_id, identity.producer_id)
        ]
        for before, after in pairwise(sorted(epochs, key=lambda each: each.identity.epoch)):
            after.predecessor = before

    def _await(self, folder: SpoolFolder, before: Shipment | None) -> Shipment | None:
        """Return the shipment of an earlier epoch; None if there is nothing in it.

        Another process may deliver it: then housekeeping goes on when that has let go.
        """
        identity = folder.identity()
        if identity is None:
            return None
        shipment = self._depot.find(identity)
        if shipment is None:
            shipment = Shipment(folder, identity, self._depot.loads)
            shipment.predecessor = before
            shipment.hold()
            self._depot.add(shipment)
        return shipment

    def _start(self) -> None:
        if self._streams or self._depot.stopped:
            return
        self._streams = [ServiceStream(self._depot, s, self._channels) for s in SERVICES]
        # A thread cannot be started any more while the interpreter goes down: then the spool
        # keeps what there is.
        with contextlib.suppress(RuntimeError):
            for stream in self._streams:
                stream.start()
            self._housekeeper.start()

    def _start_syncing(self) -> Syncing:
        if self._syncing is None:
            self._syncing = Syncing(self._mark_all)
            self._syncing.start()
        return self._syncing

    def _mark_all(self, outbox: Outbox) -> None:
        with self._depot.lock:
            shipment = self._depot.find(outbox.identity)
            if shipment is not None:
                for lane in shipment.lanes.values():
                    self._depot.mark(lane)

    def _keep_house(self) -> None:
        while not self._over.wait(_HOUSEKEEPING_SECONDS):
            housekeeping.tidy(self._depot)
            if self._leftovers_wanted and self._depot.reach.ever:
                self._leftovers_wanted = not self.adopt_leftovers()

    def _is_leftover(self, folder: SpoolFolder) -> bool:
        identity = folder.identity()
        return (
            identity is not None
            and identity.server == self._location.destination
            and identity.abandoned is not Abandoned.KEPT
            and self._depot.find(identity) is None
            and not folder.has_writer()  # which delivers it itself
        )


def _ignore(_run_id: str, _request: ControlRequest) -> None:
    """Take no notice of a request."""


def _be_silent(_text: str) -> None:
    """Take no notice of a warning."""
