"""Delivers the spools that earlier processes could not: the work behind `trackside sync`."""

import time
from dataclasses import dataclass
from typing import Final

from trackside.delivery.delivery import Delivery
from trackside.location import Location
from trackside.spool.folder import Abandoned, spools

PATIENCE_SECONDS: Final = 10.0
"""It is given up when nothing was acknowledged for so long."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of the spools in a home."""

    delivered: tuple[str, ...]
    """The runs of which everything is with the server now."""
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

    Returns when all is delivered, or when nothing was acknowledged for ten seconds. Any
    number of processes may do this at once, and again after any of them was killed: each spool is
    delivered by one, and every batch is stored once. A run whose program died is reported as
    crashed; what a forked child that still runs has said so far is delivered too. An agent
    delivers its own spools when it is back.
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
        if identity.server != location.destination:
            elsewhere.add(identity.run_id)
        else:
            (adopted if delivery.adopt(folder) else busy).add(identity.run_id)
    _wait(delivery)
    left = delivery.left()
    remaining = {shipment.run_id for shipment in left}
    warnings += [f"run {one.run_id}: {one.given_up}" for one in left if one.given_up]
    complaint = [] if delivery.reach.connected else [delivery.reach.complaint]
    delivery.stop()
    return DeliveryReport(
        delivered=tuple(sorted(adopted - remaining)),
        remaining=tuple(sorted(remaining)),
        busy=tuple(sorted(busy)),
        elsewhere=tuple(sorted(elsewhere)),
        unreadable=tuple(sorted(unreadable)),
        warnings=tuple(dict.fromkeys(filter(None, (*warnings, *complaint)))),
    )


def _wait(delivery: Delivery) -> None:
    started = time.monotonic()

    def is_over() -> bool:
        newest = max(started, delivery.reach.last_progress)
        nothing_left = all(shipment.given_up for shipment in delivery.left())
        return nothing_left or time.monotonic() - newest > PATIENCE_SECONDS

    delivery.wait(is_over, timeout=float("inf"))
