"""The agent's use of the SDK's sender."""

import threading
from pathlib import Path

import pytest

from trackside.delivery.shipment import Lane
from trackside.location import Location
from trackside.spool.folder import Abandoned, Identity, SpoolFolder
from trackside.spool.frames import Frame, Service
from trackside.spool.writer import SpoolWriter
from trackside_agent.delivery import Sender

RUN_ID = "0123456789abcdef"


def test_what_a_program_left_is_looked_at_only_by_who_may_read_on_in_its_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = Location("127.0.0.1:1", "token", tmp_path)
    sender = Sender(location, "agent-1", 1, on_control=print, on_warning=print)
    identity = Identity(RUN_ID, "sdk-1", 1, location.destination, Abandoned.CLOSED)
    left = SpoolWriter(SpoolFolder.of(tmp_path, identity), identity, substitute=lambda _: b"")
    left.append([Frame(Service.LOGS, 0, b"said")])
    left.close()
    lock = sender._delivery._depot.lock
    alone: list[bool] = []
    load = Lane.load

    def watched(lane: Lane) -> bool:
        alone.append(is_held_by_us(lock))
        return load(lane)

    monkeypatch.setattr(Lane, "load", watched)

    has_company = sender.has_company(RUN_ID)
    sender.stop()

    assert has_company
    assert alone
    assert all(alone)


def is_held_by_us(lock: threading.RLock) -> bool:  # pyright: ignore[reportGeneralTypeIssues, reportUnknownParameterType] - a function, to the checker
    """Return whether no other thread could take a lock."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(lock.acquire(blocking=False))
        if taken[0]:
            lock.release()

    other = threading.Thread(target=take)
    other.start()
    other.join()
    return not taken[0]
