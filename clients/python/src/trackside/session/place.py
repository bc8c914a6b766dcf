"""Where in a run the present code is: the innermost open scope and task, by contextvar."""

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """A place in one run."""

    run_id: str
    scope_path: str = ""
    task_id: str = ""
    task_name: str = ""
    labels: tuple["Labelled", ...] = ()
    """What is open and gives context, outermost first."""
    outer: "Place | None" = None
    """The place around it."""

    def is_in(self, place: "Place") -> bool:
        """Return whether this is that place, or inside it."""
        found: Place | None = self
        while found is not None and found is not place:
            found = found.outer
        return found is place

    def context(self) -> dict[str, str]:
        """Return what log entries, tasks and errors of this place carry as context."""
        context: dict[str, str] = {}
        for labelled in self.labels:
            context.update(labelled.labels())
        return context


class Labelled:
    """Something open that gives context to what happens in it."""

    def labels(self) -> dict[str, str]:
        """Return the context that it gives now."""
        raise NotImplementedError


_HERE: ContextVar[Place | None] = ContextVar("trackside_place", default=None)


def here(run_id: str) -> Place:
    """Return the place in this run where the caller is."""
    return within(run_id) or Place(run_id)


def within(run_id: str) -> Place | None:
    """Return the place in this run where the caller is; None outside of all that is open in it."""
    place = _HERE.get()
    return place if place is not None and place.run_id == run_id else None


def present_run_id() -> str:
    """Return the run of the innermost open scope or task around the caller; empty if none is."""
    place = _HERE.get()
    return place.run_id if place is not None else ""


class PlaceOfItsOwn:
    """Where code is that is left and gone back to, as a generator is; a context manager.

    It begins where the caller is, and whoever goes on outside meanwhile is where it was.
    """

    def __init__(self) -> None:
        self._inside = self._outside = _HERE.get()

    def __enter__(self) -> None:
        self._outside = _HERE.get()
        _HERE.set(self._inside)

    def __exit__(self, *_error: object) -> None:
        self._inside = _HERE.get()
        _HERE.set(self._outside)


@dataclass(slots=True)
class Visit:
    """Being in a place, from `enter` to `leave`."""

    place: Place
    _before: list[Place | None] = field(default_factory=list["Place | None"])

    def enter(self) -> None:
        """Be there."""
        self._before.append(_HERE.get())
        _HERE.set(self.place)

    def leave(self) -> None:
        """Be again where one was before, unless one is elsewhere by now.

        No token of the variable is kept: a generator may leave in another context than it entered.
        """
        if self._before:
            before, present = self._before.pop(), _HERE.get()
            if present is not None and present.is_in(self.place):
                _HERE.set(before)
