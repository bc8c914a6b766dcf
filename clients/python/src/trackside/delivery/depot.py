"""What is to be delivered, and the lock under which all threads of a delivery see it."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trackside.client.errors import TracksideError
from trackside.delivery.shipment import Lane, Load, Shipment
from trackside.location import Location
from trackside.spool.folder import Identity
from trackside.spool.frames import SERVICES, Service
from trackside_protos.runs.v1.run_pb2 import ControlRequest

OnControl = Callable[[str, ControlRequest], None]
"""Is told the run and what is asked of it; called from a delivery thread, may take its time."""

Key = tuple[str, str, int]


@dataclass(slots=True)
class Reach:
    """Whether the server answers."""

    connected: bool = False
    """Whether the server answered last time."""
    ever: bool = False
    """Whether it ever answered."""
    failures: int = 0
    """How often in a row it did not."""
    last_progress: float = 0.0
    """When something was acknowledged last, on the monotonic clock."""
    failure: TracksideError | None = None
    """What the server, or the way to it, last had against us."""


class Depot:
    """The shipments of a process. Everything in it is guarded by `lock`."""

    def __init__(
        self, location: Location, on_control: OnControl, on_warning: Callable[[str], None]
    ) -> None:
        self.location = location
        self.on_control = on_control
        self.on_warning = on_warning
        self.lock: threading.RLock = threading.RLock()
        self.progress: threading.Condition = threading.Condition(self.lock)
        """Notified when something was acknowledged or could not be."""
        self.work: dict[Service, threading.Condition] = {
            service: threading.Condition(self.lock) for service in SERVICES
        }
        """Notified when there may be something to send to this service."""
        self.stopped: bool = False
        self.waiting_count = 0
        """How many wait for the delivery: then the server is tried more often."""
        self.reach: Reach = Reach()
        self.loads: dict[Service, Load] = {service: Load() for service in SERVICES}
        self._shipments: dict[Key, Shipment] = {}
        # Dicts, for sets that keep their order: lanes take turns.
        self._ready: dict[Service, dict[Lane, None]] = {service: {} for service in SERVICES}

    @property
    def shipments(self) -> list[Shipment]:
        """Everything that is to be delivered."""
        return list(self._shipments.values())

    def add(self, shipment: Shipment) -> None:
        """Deliver this too."""
        with self.lock:
            self._shipments[_key(shipment)] = shipment
            self.wake()

    def discard(self, shipment: Shipment) -> None:
        """Deliver this no more."""
        with self.lock:
            self._shipments.pop(_key(shipment), None)
            for lane in shipment.lanes.values():
                lane.begin_again()
                self._ready[lane.service].pop(lane, None)
            for other in self._shipments.values():
                if other.predecessor is shipment:
                    other.predecessor = None
            self.wake()

    def find(self, identity: Identity) -> Shipment | None:
        """Return the shipment of this producer's spool, if there is one."""
        return self._shipments.get((identity.run_id, identity.producer_id, identity.epoch))

    def wake(self, *services: Service) -> None:
        """Look at every lane to these services, by default to all: it may have something."""
        with self.lock:
            for service in services or SERVICES:
                self._ready[service] = dict.fromkeys(self.lanes(service))
                self.work[service].notify_all()
            self.progress.notify_all()

    def mark(self, lane: Lane) -> None:
        """Look at this lane: it may have something to send."""
        with self.lock:
            self._ready[lane.service][lane] = None
            self.work[lane.service].notify_all()

    def next_request(self, service: Service) -> bytes | None:
        """Return what is to be sent next, lanes taking turns; None when there is nothing now."""
        ready = self._ready[service]
        while ready:
            lane = next(iter(ready))
            del ready[lane]
            request = lane.next_request()
            if request is not None:
                ready[lane] = None
                return request
        return None

    def stop(self) -> None:
        """Send nothing more."""
        with self.lock:
            self.stopped = True
            self.wake()

    def lanes(self, service: Service) -> list[Lane]:
        """Return the lanes to this service."""
        return [shipment.lanes[service] for shipment in self._shipments.values()]

    def lane(self, service: Service, key: Key) -> Lane | None:
        """Return the lane of this run, producer and epoch."""
        shipment = self._shipments.get(key)
        return None if shipment is None else shipment.lanes[service]

    def uncreated(self) -> Iterator[Shipment]:
        """Yield those whose run is to be created now."""
        return (s for s in self.shipments if s.must_create())

    def advanced(self, shipment: Shipment | None, *services: Service) -> None:
        """Note that the server took something of a shipment, so that more may be sent of it."""
        self.reach = Reach(connected=True, ever=True, last_progress=time.monotonic())
        self.progress.notify_all()
        if shipment is not None:
            for service in services:
                self.mark(shipment.lanes[service])
            if shipment.is_closed():  # its closing report waits for all others
                self.mark(shipment.lanes[Service.RUNS])

    def failed(self, error: TracksideError) -> None:
        """Note that the server could not be reached, or took nothing."""
        self.reach.connected = False
        self.reach.failures += 1
        self.reach.failure = error
        self.progress.notify_all()


def _key(shipment: Shipment) -> Key:
    identity = shipment.identity
    return identity.run_id, identity.producer_id, identity.epoch
