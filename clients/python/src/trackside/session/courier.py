"""The delivery that all runs of this process share, from the first start to the last end."""

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from trackside.location import Location
from trackside.session.mode import launched_run_id

if TYPE_CHECKING:
    from trackside.delivery.delivery import Delivery
    from trackside.delivery.outbox import Outbox
    from trackside_protos.runs.v1.run_pb2 import ControlRequest

OnControl = Callable[["ControlRequest"], None]


class _Sender(NamedTuple):
    run_id: str
    on_control: OnControl


@dataclass(slots=True)
class _Post:
    delivery: "Delivery"
    senders: dict[str, _Sender] = field(default_factory=dict[str, _Sender])
    """By producer: a program that was launched for a run may report to it several times."""


class _Courier:
    """Knows the deliveries of this process, by location."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posts: dict[Location, _Post] = {}
        self._before_fork: list[dict[Location, _Post]] = []
        self._has_warned = False
        os.register_at_fork(after_in_child=self._forget)

    def hire(self, location: Location, outbox: "Outbox", on_control: OnControl) -> "Delivery":
        """Deliver what is in this outbox. Imports grpc when it is the first."""
        from trackside.delivery.delivery import Delivery  # noqa: PLC0415 - takes a tenth of a second

        with self._lock:
            post = self._posts.get(location)
            if post is None:
                delivery = Delivery(
                    location, on_control=self._dispatcher(location), on_warning=self.warn
                )
                if not launched_run_id():  # its token is good for its own run only
                    delivery.expect_leftovers()
                post = self._posts[location] = _Post(delivery)
            identity = outbox.identity
            post.senders[identity.producer_id] = _Sender(identity.run_id, on_control)
        post.delivery.ship(outbox)
        return post.delivery

    def dismiss(self, location: Location, producer_id: str) -> None:
        """Deliver nothing more of this producer; with the last one the connection ends."""
        with self._lock:
            post = self._posts.get(location)
            if post is None:
                return
            post.senders.pop(producer_id, None)
            if post.senders:
                return
            del self._posts[location]
        post.delivery.stop()

    def warn(self, text: str) -> None:
        """Print one line on the standard error, once in the life of this process."""
        with self._lock:
            if self._has_warned:
                return
            self._has_warned = True
        if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison] - as under pythonw
            try:
                sys.stderr.write(f"trackside: {text}\n")
                sys.stderr.flush()
            except (OSError, ValueError):
                return

    def _dispatcher(self, location: Location) -> "Callable[[str, ControlRequest], None]":
        def dispatch(run_id: str, request: "ControlRequest") -> None:
            post = self._posts.get(location)
            for sender in tuple(post.senders.values()) if post else ():
                if sender.run_id == run_id:
                    sender.on_control(request)

        return dispatch

    def _forget(self) -> None:
        """Leave to the parent what is the parent's. Its channels must not even be closed here."""
        self._before_fork.append(self._posts)
        self._posts = {}
        self._lock = threading.Lock()


courier: _Courier = _Courier()
"""The one of this process."""
