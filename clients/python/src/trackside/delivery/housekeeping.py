"""What is done with shipments now and then: written down, taken over, ended, removed."""

import socket

from trackside.delivery import endings
from trackside.delivery.depot import Depot
from trackside.delivery.shipment import Shipment
from trackside.spool.folder import Abandoned, SpoolFolder


def tidy(depot: Depot) -> None:
    """Do this with all shipments."""
    with depot.lock:
        for shipment in depot.shipments:
            keep(depot, shipment)


def keep(depot: Depot, shipment: Shipment) -> None:
    """Write down how far a shipment is, and settle it when all is delivered.

    The lock must be held.
    """
    if not shipment.is_held:
        _hold(depot, shipment)
    shipment.save()
    if shipment.given_up or shipment.predecessor is not None or not shipment.is_delivered():
        return
    if shipment.is_newer():
        shipment.given_up = "the rest was written by a later version, which can deliver it"
    elif shipment.is_closed():
        _remove(depot, shipment)
    elif shipment.outbox is None and shipment.is_held:
        _settle_abandoned(depot, shipment)


def _hold(depot: Depot, shipment: Shipment) -> None:
    """Try again to keep other processes from delivering it, or to follow on one that did."""
    if shipment.is_gone():
        depot.discard(shipment)
    elif shipment.hold():
        depot.wake()


def _settle_abandoned(depot: Depot, shipment: Shipment) -> None:
    if shipment.identity.host != socket.gethostname():
        return  # whether its writer lives cannot be seen from here
    lock = shipment.folder.lock_for_writing()
    if lock is None:
        return
    try:
        if not shipment.is_delivered():
            return  # it wrote something just before it went
        shipment.look_for_closing()
        if shipment.is_closed() or _has_successor(depot, shipment):
            _remove(depot, shipment)
        elif shipment.identity.abandoned is Abandoned.KEPT:
            shipment.let_go()
            depot.discard(shipment)
        elif (original := shipment.folder.original()) and _goes_on(original, shipment.folder):
            shipment.given_up = f"what was said after it was copied is in {original.path}"
            depot.progress.notify_all()
        else:
            shipment.end_with(endings.epilogue(shipment))
            depot.wake()
    finally:
        lock.release()


def _goes_on(original: SpoolFolder, copy: SpoolFolder) -> bool:
    """Say whether something was said behind the end of a copy, which tells no end then."""
    copied = {frame.service: frame.sequence for frame in copy.last_frames()}
    return any(frame.sequence > copied.get(frame.service, 0) for frame in original.last_frames())


def _has_successor(depot: Depot, shipment: Shipment) -> bool:
    """Say whether there is a later epoch that has its note on disk."""
    return any(
        other.predecessor is shipment and other.folder.segments() for other in depot.shipments
    )


def _remove(depot: Depot, shipment: Shipment) -> None:
    shipment.remove()
    depot.discard(shipment)
