"""Which runs a list shows: the options, and the filter that they make."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Final

import click

from trackside.cli.quantities import Moment
from trackside.cli.times import resolved
from trackside.client import filters
from trackside.client.connection import Connection
from trackside.client.errors import InvalidRequestError
from trackside.client.listing import list_runs
from trackside.client.resolve import resolve_run

RECENT_HOURS: Final = 24
"""How long ended runs stay in the list that is shown without options."""


@dataclass(frozen=True, slots=True)
class RunChoice:
    """The runs that somebody wants to see."""

    every: bool = False
    owner: str = ""
    states: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    project: str = ""
    parent: str = ""
    search: str = ""
    filter_text: str = ""
    created_since: Moment | None = None
    created_until: Moment | None = None

    def filter_for(self, connection: Connection) -> str:
        """Return the filter; asks the server who the caller is, or which run a parent is."""
        parent = resolve_run(connection, self.parent) if self.parent else ""
        me = connection.server.subject if self._means_me else ""
        return self.filter_of(me, parent, connection.now())

    @contextmanager
    def own_words(self, connection: Connection) -> Generator[None]:
        """Have a refused filter refused once more as it was typed, without what is added here.

        A quote that is not closed ends in what is added, so that the server names a place there.
        """
        try:
            yield
        except InvalidRequestError as error:
            if error.reason == "INVALID_FILTER" and self.filter_text:
                next(list_runs(connection, self.filter_text, limit=1), None)
            raise

    @property
    def _means_me(self) -> bool:
        return self.owner == "me" or (not self.every and not self.owner)

    def filter_of(self, me: str, parent_run_id: str, now: datetime) -> str:
        """Return the filter, given the caller's name, the parent's id and the present."""
        since, until = resolved(self.created_since, now), resolved(self.created_until, now)
        dated = since is not None or until is not None
        every_state = self.every or bool(self.states) or bool(self.parent) or dated
        with_children = self.every or bool(self.parent)
        return filters.all_of(
            [
                # First and as it is, so that the server's words of its characters are right: of
                # the operators AND binds loosest.
                self.filter_text,
                filters.equals("owner", me if self._means_me else self._named_owner),
                filters.in_states(self.states),
                "" if every_state else filters.recent(RECENT_HOURS),
                filters.children_of(parent_run_id),
                "" if with_children else filters.without_parent(),
                *(f"tag = {filters.quoted(tag)}" for tag in self.tags),
                filters.equals("project", self.project),
                filters.not_before("create_time", since),
                filters.before("create_time", until),
                filters.with_words(self.search),
            ]
        )

    @property
    def _named_owner(self) -> str:
        return "" if self.owner == "any" else self.owner


_STATES: Final = (
    "pending",
    "initializing",
    "running",
    "stopping",
    "idle",
    "completed",
    "failed",
    "terminated",
)

_OPTIONS: Final = (
    click.option("-a", "--all", "every", is_flag=True, help="Everyone's, every state, any time."),
    click.option("--owner", default="", help="This owner's; `me`, or `any` for everyone's."),
    click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice(_STATES, case_sensitive=False),
        help="In this state, at any time; may be repeated.",
    ),
    click.option("--tag", "tags", multiple=True, help="With this tag; may be repeated."),
    click.option("--project", default="", help="Of this project."),
    click.option("--parent", default="", metavar="RUN", help="The children of this parent."),
    click.option("--search", default="", metavar="WORDS", help="With these words, anywhere."),
    click.option("--filter", "filter_text", default="", help="See `trackside help filter`."),
)


def choice_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose runs; the command gets them as one `choice`."""

    @wraps(function)
    def with_choice(**given: Any) -> Any:  # noqa: ANN401  # whatever the command takes
        names = RunChoice.__dataclass_fields__
        choice = RunChoice(**{name: given.pop(name) for name in names if name in given})
        return function(choice=choice, **given)

    for option in reversed(_OPTIONS):
        with_choice = option(with_choice)
    return with_choice
