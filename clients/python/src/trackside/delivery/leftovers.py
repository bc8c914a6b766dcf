"""Delivers the spools that earlier processes could not: the work behind `trackside sync`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trackside.client.errors import ServerUnreachableError, TracksideError
from trackside.delivery.delivery import Delivery
from trackside.delivery.shipment import Shipment
from trackside.location import Location
from trackside.spool.folder import Abandoned, spools, spools_in

PATIENCE_SECONDS: Final = 10.0
"""It is given up when nothing was acknowledged for so long."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of spools."""

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
    agents: tuple[str, ...]
    """The runs of which an agent has kept something, which it delivers itself when it is back."""
    unreadable: tuple[str, ...]
    """The spools that are damaged from the beginning, or that a later version has written."""
    warnings: tuple[str, ...]
    """What the server had against some of it, for people."""
    failure: TracksideError | None
    """Why nothing more was taken in the end, if it was the server or the way to it."""


def deliver_spools(location: Location, folders: Sequence[Path] = ()) -> DeliveryReport:
    """Deliver the spools of a home that are meant for this server, or all that are in folders.

    Those in folders are delivered whatever server they were meant for: a machine elsewhere may
    have another name for this one, or its programs none.

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
    agents: set[str] = set()
    unreadable: list[str] = []
    found = (one for each in folders for one in spools_in(each))
    for folder in found if folders else spools(location.home):
        identity = folder.identity()
        if identity is None:
            if folder.has_contents() and not folder.has_writer():
                unreadable.append(str(folder.path))
            continue
        # A program that was given a token of its own has noted the address, which is this one.
        is_meant = bool(folders) or identity.server in (location.destination, location.server)
        if identity.abandoned is Abandoned.KEPT:
            agents.add(identity.run_id)  # it must find its epochs as it left them
        elif not is_meant:
            elsewhere.add(identity.run_id)
        else:
            (adopted if delivery.adopt(folder) else busy).add(identity.run_id)
    is_all_there = _wait(delivery)
    left = delivery.left()
    running = {one.run_id for one in left if is_all_there and not one.given_up}
    remaining = {one.run_id for one in left} - running
    warnings += [f"run {one.run_id}: {one.given_up}" for one in left if one.given_up]
    failure = None if is_all_there else _failure(delivery, location)
    if failure is not None:
        warnings = [said for said in warnings if failure.message not in said]
    delivery.stop()
    return DeliveryReport(
        delivered=tuple(sorted(adopted - remaining - running)),
        running=tuple(sorted(running - remaining)),
        remaining=tuple(sorted(remaining)),
        busy=tuple(sorted(busy - adopted)),
        elsewhere=tuple(sorted(elsewhere)),
        agents=tuple(sorted(agents)),
        unreadable=tuple(sorted(unreadable)),
        warnings=tuple(dict.fromkeys(warnings)),
        failure=failure,
    )


def _failure(delivery: Delivery, location: Location) -> TracksideError:
    if delivery.reach.failure is not None and not delivery.reach.connected:
        return delivery.reach.failure
    return ServerUnreachableError(
        f"{location.server} took nothing for {PATIENCE_SECONDS:g} seconds",
        hint="what is left stays kept: try again later",
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
