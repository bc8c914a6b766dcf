"""Delivers the spools that earlier processes could not: the work behind `trackside sync`."""

import time
from dataclasses import dataclass
from typing import Final

from trackside.delivery.delivery import Delivery
from trackside.delivery.shipment import Shipment
from trackside.location import Location
from trackside.spool.folder import Abandoned, spools

PATIENCE_SECONDS: Final = 10.0
"""It is given up when nothing was acknowledged for so long."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of the spools in a home."""

    delivered: tuple[str, ...]
    """The runs of which everything is with the server now."""
    running: tuple[str, ...]
    """The runs whose programs still report, and of which everything so far is with the server."""
    remaining: tuple[str, ...]
    """The runs of which something is left in a spool."""
    busy: tuple[str, ...]
    """The runs whose spools another process delivers at present."""
    elsewhere: tuple[str, ...]
    """The runs that are meant for another server."""
    unreadable: tuple[str, ...]
    """The spools that are damaged from the beginning, or that a later version has written."""
    warnings: tuple[str, ...]
    """What the server had against some of it, for people."""


def deliver_spools(location: Location) -> DeliveryReport:
    """Deliver the spools of a home that are meant for this server.

    Returns when all is delivered that there is, or when nothing was acknowledged for ten
    seconds; who still writes is not waited for. Any number of processes may do this at once,
    and again after any of them was killed: each spool is delivered by one, and every batch is
    stored once. A run whose program died is reported as crashed. An agent delivers its own
    spools when it is back.
    """
    warnings: list[str] = []
    delivery = Delivery(location, on_warning=warnings.append)
    adopted: set[str] = set()
    busy: set[str] = set()
    elsewhere: set[str] = set()
    unreadable: list[str] = []
    for folder in spools(location.home):
        identity = folder.identity()
        if identity is None:
            if folder.has_contents() and not folder.has_writer():
                unreadable.append(str(folder.path))
            continue
        if identity.abandoned is Abandoned.KEPT:
            continue  # its writer comes back, and must find its epochs as it left them
        # A program that was given a token of its own has noted the address, which is this one.
        if identity.server not in (location.destination, location.server):
            elsewhere.add(identity.run_id)
        else:
            (adopted if delivery.adopt(folder) else busy).add(identity.run_id)
    is_all_there = _wait(delivery)
    left = delivery.left()
    running = {one.run_id for one in left if is_all_there and not one.given_up}
    remaining = {one.run_id for one in left} - running
    warnings += [f"run {one.run_id}: {one.given_up}" for one in left if one.given_up]
    complaint = [] if delivery.reach.connected else [delivery.reach.complaint]
    delivery.stop()
    return DeliveryReport(
        delivered=tuple(sorted(adopted - remaining - running)),
        running=tuple(sorted(running - remaining)),
        remaining=tuple(sorted(remaining)),
        busy=tuple(sorted(busy)),
        elsewhere=tuple(sorted(elsewhere)),
        unreadable=tuple(sorted(unreadable)),
        warnings=tuple(dict.fromkeys(filter(None, (*warnings, *complaint)))),
    )


def _wait(delivery: Delivery) -> bool:
    """Wait until nothing is left that could be delivered now; say whether it came to that."""
    started = time.monotonic()

    def is_all_there() -> bool:
        return all(_is_all_there(shipment) for shipment in delivery.left())

    def is_over() -> bool:
        newest = max(started, delivery.reach.last_progress)
        return is_all_there() or time.monotonic() - newest > PATIENCE_SECONDS

    delivery.wait(is_over, timeout=float("inf"))
    return time.monotonic() - max(started, delivery.reach.last_progress) <= PATIENCE_SECONDS


def _is_all_there(shipment: Shipment) -> bool:
    if shipment.given_up:
        return True
    return shipment.is_held and shipment.is_delivered() and shipment.folder.has_writer()
