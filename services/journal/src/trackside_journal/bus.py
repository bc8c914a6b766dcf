"""The bus: how replicas hear of new entries. Fast and lossy; the store is the truth.

A notice may be lost, repeated or late. It always says which position it follows, so whoever
listens sees a hole and goes back to the store.
"""

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from trackside_journal.fanout import Hub
from trackside_journal.notices import Notice

__all__ = ["Bus", "InProcessBus", "Notice"]


class Bus(Protocol):
    """Tells every replica's hub what was committed. At most once, order not promised."""

    async def start(self) -> None:
        """Begin to listen."""
        ...

    def publish(self, notices: Sequence[Notice]) -> None:
        """Tell everybody, this process first. Never blocks and never fails; event loop only."""
        ...

    async def close(self) -> None:
        """End listening."""
        ...


class InProcessBus(Bus):
    """The bus of one process: complete, in order, immediate."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @override
    async def start(self) -> None:
        pass

    @override
    def publish(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self._hub.deliver(notice)

    @override
    async def close(self) -> None:
        pass
