"""One spool on its way to the server: what was sent, what was acknowledged, what may go next."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from trackside.delivery import wire
from trackside.delivery.outbox import Outbox
from trackside.delivery.wire import Item
from trackside.spool.folder import Abandoned, Identity, Position, SpoolFolder
from trackside.spool.frames import SERVICES, CorruptFrameError, Frame, Service, frames_in
from trackside.spool.reader import SpoolReader
from trackside_protos.producers.v1.batch_pb2 import Batch
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest

if TYPE_CHECKING:
    from trackside.spool.locks import FileLock

WINDOW: Final = 32
"""So many batches of one producer and service may be under way without an acknowledgement."""

_LONGEST_OUTAGE_PAUSE: Final = 5.0


@dataclass(slots=True)
class Load:
    """What is under way to one service, of all runs together."""

    batches: int = 0
    size_bytes: int = 0


class Lane:
    """The batches of one spool for one service, in order. Guarded by the delivery's lock."""

    def __init__(
        self, shipment: "Shipment", service: Service, acknowledged: int, load: Load
    ) -> None:
        self.shipment = shipment
        self.service = service
        self.acknowledged: int = acknowledged
        """Everything up to this number of the spool is stored by the server."""
        self.sent: int = 0
        """How many of the loaded batches are under way on the present stream."""
        self._sent_bytes = 0
        self._load = load
        self.loaded: deque[Frame] = deque()
        """Batches that follow the acknowledged ones, without a gap."""
        self._reader = SpoolReader(shipment.folder, service, acknowledged)
        self._has_looked_back = False

    def next_request(self, window: int = WINDOW) -> bytes | None:
        """Return the next request to send, counted as sent; None when there is none now."""
        if self.sent >= window or not self.shipment.may_send():
            return None
        if self.sent == len(self.loaded) and not self.load():
            return None
        frame = self.loaded[self.sent]
        if not self.shipment.may_go(frame):
            return None
        self._count(1, len(frame.payload))
        batch = Batch(
            run_id=self.shipment.identity.run_id,
            producer_id=self.shipment.identity.producer_id,
            epoch=self.shipment.identity.epoch,
            sequence=self.on_wire(frame.sequence),
        )
        payload = frame.payload
        if frame.closing:
            payload = self.shipment.postscript + payload
        return wire.request_of(batch, payload)

    def on_wire(self, sequence: int) -> int:
        """Return the number by which the server knows this batch of the spool."""
        return sequence - self.shipment.position.shift[self.service]

    def in_spool(self, sequence: int) -> int:
        """Return the number that a batch of the wire has in the spool."""
        return sequence + self.shipment.position.shift[self.service]

    def load(self) -> bool:
        """Read on in the spool, over what is acknowledged already; say whether something came.

        The server may have more of it than was read here yet: an earlier process delivered that,
        and could not write down how far it was.
        """
        expected = first = (self.loaded[-1].sequence if self.loaded else self.acknowledged) + 1
        while expected == first and (frames := self._read()):
            for frame in frames:
                while expected < frame.sequence:
                    self.loaded.append(self._lost(expected))
                    expected += 1
                if frame.sequence == expected:
                    self.loaded.append(frame)
                    expected += 1
        return self.sent < len(self.loaded)

    def acknowledge(self, through: int) -> bool:
        """Note that everything up to this number of the spool is stored; say whether it is new."""
        if through <= self.acknowledged:
            return False
        if self.loaded and through > self.loaded[-1].sequence:
            self.say_later()
        self.acknowledged = through
        while self.loaded and self.loaded[0].sequence <= through:
            frame = self.loaded.popleft()
            if self.sent:
                self._count(-1, -len(frame.payload))
        return True

    def say_later(self) -> None:
        """Number what is said for a writer that is gone again, behind what is acknowledged then.

        The server can have more of it than was found here: a machine that went down lost the end
        of its files.
        """
        said = [frame for frame in self.loaded if frame.sequence > self._reader.last]
        if said and self.shipment.outbox is None:
            self._has_looked_back = True
            self.begin_again()
            while self.loaded and self.loaded[-1].sequence > self._reader.last:
                self.loaded.pop()
            self.shipment.end_with(said)

    def look_back(self, count: int) -> None:
        """Go back, once, to what was found here, if the server has so many batches more.

        They can be what was said before for the same writer, in the same words, by a delivery
        that could not write down how far it was. Others under these numbers are refused.
        """
        behind = self.acknowledged - self._reader.last
        if 0 < behind <= count and not (self.loaded or self._has_looked_back):
            self._has_looked_back = True
            self.acknowledged = self._reader.last

    @property
    def standing(self) -> int:
        """Up to which of the batches that were found here everything is stored by the server."""
        if self.shipment.outbox is not None:
            return self.acknowledged
        return min(self.acknowledged, self._reader.last)

    def begin_again(self) -> None:
        """Forget what was sent: the stream has ended."""
        self._count(-self.sent, -self._sent_bytes)

    def replace(self, sequence: int, frame: Frame) -> None:
        """Put another frame in the place of a loaded one. Nothing may be under way."""
        for index, present in enumerate(self.loaded):
            if present.sequence == sequence:
                self.loaded[index] = frame

    def find(self, sequence: int) -> Frame | None:
        """Return the loaded frame of this number."""
        return next((frame for frame in self.loaded if frame.sequence == sequence), None)

    def restart_at(self, expected: int) -> None:
        """Number what is left from `expected` on: the server has lost its count."""
        self.load()
        first = self.acknowledged + 1
        self.shipment.position.shift[self.service] = first - expected

    @property
    def is_empty(self) -> bool:
        """Whether everything that was put into the spool was found there and is acknowledged."""
        if self.loaded or self.load():
            return False
        outbox = self.shipment.outbox
        return outbox is None or outbox.spool.last[self.service] <= self.acknowledged

    @property
    def is_newer(self) -> bool:
        """Whether a later version has written what follows."""
        return self._reader.is_newer

    def _count(self, batches: int, size_bytes: int) -> None:
        self.sent += batches
        self._sent_bytes += size_bytes
        self._load.batches += batches
        self._load.size_bytes += size_bytes

    def _read(self) -> list[Frame]:
        outbox = self.shipment.outbox
        if outbox is not None and outbox.spool.last[self.service] <= self._reader.last:
            return []
        frames = self._reader.read()
        if outbox is not None and frames:
            outbox.spool.taken[self.service] = self._reader.last
        elif outbox is not None:
            behind = max(self._reader.last, self.acknowledged)
            behind = max(behind, self.loaded[-1].sequence if self.loaded else 0)
            frames = outbox.spool.waiting(self.service, behind)
        if not frames and self.service is Service.RUNS:
            frames = self.shipment.take_epilogue()
        return frames

    def _lost(self, sequence: int) -> Frame:
        frame = Frame(self.service, sequence, b"", items=0, substitute=True)
        return replace(frame, payload=wire.substitute(frame, "because the file was damaged"))


class Shipment:
    """A spool that this process delivers. Guarded by the delivery's lock."""

    def __init__(
        self,
        folder: SpoolFolder,
        identity: Identity,
        loads: Mapping[Service, Load],
        outbox: Outbox | None = None,
    ) -> None:
        """Take a spool on; `outbox` is its writer when that is in this process.

        One without is sent only after `hold`.
        """
        self.folder = folder
        self.identity = identity
        self.outbox = outbox
        self.create: CreateRunRequest | None = (
            outbox.create if outbox else creation_of(folder, identity)
        )
        self.position: Position = Position(created=self.create is None)
        self.lanes: dict[Service, Lane] = {
            service: Lane(self, service, 0, loads[service]) for service in SERVICES
        }
        self.predecessor: Shipment | None = None
        """The spool of an earlier epoch, which must be delivered before."""
        self.patience: float = 0.0
        """How long the last refusal made us wait."""
        self.given_up = ""
        """Why nothing more of it can ever be sent."""
        self.postscript: bytes = b""
        """Reports that were made after the closing one, and go in one batch with it."""
        self._wait_until = 0.0
        self._epilogue: list[Frame] = []
        self._loads = loads
        self._lock: FileLock | None = None
        self._unsaved = False
        self._is_closed = False

    @property
    def run_id(self) -> str:
        """The run that it reports on."""
        return self.identity.run_id

    @property
    def is_moving(self) -> bool:
        """Whether the server has not refused it, so that it is gone as soon as that answers."""
        return not self.given_up and self.patience <= _LONGEST_OUTAGE_PAUSE

    @property
    def is_held(self) -> bool:
        """Whether no other process can deliver it meanwhile."""
        return self._lock is not None

    def hold(self) -> bool:
        """See that no other process delivers it, and how far others did; say whether it is so."""
        self._lock = self._lock or self.folder.lock_for_delivery()
        if self._lock is not None and self.outbox is None:
            if self.is_gone():
                self.remove()  # the name that was locked may have been made anew
                return False
            self._find_position()
            self.look_for_closing()
        return self._lock is not None

    def is_gone(self) -> bool:
        """Say whether another process has delivered and deleted it."""
        return self.outbox is None and self.folder.identity() is None

    def may_send(self) -> bool:
        """Say whether batches may go now."""
        return self.position.created and self._is_free()

    def must_create(self) -> bool:
        """Say whether the run is to be created now."""
        return not self.position.created and self._is_free()

    def may_go(self, frame: Frame) -> bool:
        """Say whether it is time for this batch: it is next, and all before it were sent."""
        if self.outbox is not None and not self.outbox.spool.may_go(frame):
            return False
        return not frame.closing or self.only_closing_left()

    def wait(self, first: float, longest: float) -> None:
        """Send nothing for a while, longer each time until something succeeds."""
        self.patience = min(max(first, self.patience * 2), longest)
        self._wait_until = time.monotonic() + self.patience

    def go_on(self) -> None:
        """Note that something succeeded."""
        self.patience = 0.0
        self._unsaved = True

    def set_created(self, *, created: bool) -> None:
        """Note whether the server knows the run."""
        self.position.created = created
        self._unsaved = True

    def only_closing_left(self) -> bool:
        """Say whether everything but the closing report is acknowledged."""
        runs = self.lanes[Service.RUNS]
        others = all(self.lanes[s].is_empty for s in (Service.LOGS, Service.METRICS))
        return others and len(runs.loaded) == 1

    def is_delivered(self) -> bool:
        """Say whether everything that there is now is acknowledged, the run's creation too."""
        return self.position.created and all(lane.is_empty for lane in self.lanes.values())

    def is_newer(self) -> bool:
        """Say whether a later version has written what is left."""
        return any(lane.is_newer for lane in self.lanes.values())

    def is_closed(self) -> bool:
        """Say whether its writer has said that this is all, or it was said for it."""
        return self._is_closed or (self.outbox is not None and self.outbox.closed)

    def acknowledge(self, service: Service, through_on_wire: int) -> bool:
        """Note an acknowledgement; say whether it is news."""
        lane = self.lanes[service]
        news = lane.acknowledge(lane.in_spool(through_on_wire))
        if news:
            self.go_on()
            if self.outbox is not None:
                self.outbox.spool.release(self._standing())
        return news

    def report_gap(self, lost: Frame, reason: str) -> None:
        """Say that the contents of this frame were lost."""
        if self.outbox is not None and not self.outbox.closed:
            self.outbox.report_gap([lost], reason)
        else:
            item = Item(wire.gap_report([lost], reason).SerializeToString())
            self.postscript += next(wire.frames_of(Service.RUNS, [item])).payload

    def look_for_closing(self) -> None:
        """See in its files whether its writer, in another process, has closed it."""
        newest = self.folder.newest()
        self._is_closed = newest is not None and newest.closing

    def end_with(self, frames: list[Frame]) -> None:
        """Say these things behind the last batch of a spool whose writer is gone."""
        self._epilogue += frames
        self._is_closed = True

    def take_epilogue(self) -> list[Frame]:
        """Return, once, what is to be said behind the last batch, numbered."""
        runs = self.lanes[Service.RUNS]
        runs.look_back(len(self._epilogue))
        last = runs.loaded[-1].sequence if runs.loaded else runs.acknowledged
        frames = [replace(f, sequence=last + n) for n, f in enumerate(self._epilogue, 1)]
        self._epilogue = []
        return frames

    def save(self) -> None:
        """Write down how far it is, if that has changed, and delete what is delivered."""
        if self._unsaved:
            self._unsaved = False
            self.position.acknowledged = self._standing()
            self.folder.write_position(self.position)
            self.folder.drop_delivered(self.position.acknowledged)

    def remove(self) -> None:
        """Delete the spool: everything is delivered."""
        self.folder.remove()
        self.let_go()

    def let_go(self) -> None:
        """Let another process deliver it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _is_free(self) -> bool:
        if self.given_up or self.predecessor is not None or time.monotonic() < self._wait_until:
            return False
        return self.outbox is not None or self.is_held

    def _find_position(self) -> None:
        self.position = self.folder.read_position()
        if self.create is None:
            self.position.created = True
        at = self.position.acknowledged
        self.lanes = {s: Lane(self, s, at[s], self._loads[s]) for s in SERVICES}

    def _standing(self) -> dict[Service, int]:
        return {service: lane.standing for service, lane in self.lanes.items()}


def creation_of(folder: SpoolFolder, identity: Identity) -> CreateRunRequest | None:
    """Return the request that makes the run of a spool, if its writer made the run."""
    try:
        for frame, _ in frames_in(folder.create_request.read_bytes()):
            return CreateRunRequest.FromString(frame.payload)
    except (OSError, CorruptFrameError, DecodeError):
        pass
    if identity.abandoned is Abandoned.CRASHED:  # the file was damaged, and nobody else makes it
        return CreateRunRequest(run=Run(run_id=identity.run_id), producer_id=identity.producer_id)
    return None
