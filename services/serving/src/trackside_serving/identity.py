"""Who calls, and which runs that opens: roles, owners, projects."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a token is for."""

    VIEWER = "viewer"
    """Reads what its projects have."""
    REPORTER = "reporter"
    """Reports to the runs that its token names, and reads those."""
    AGENT = "agent"
    """Hosts runners; trusted with every run."""
    USER = "user"
    """Creates runs, and acts on those it owns."""
    ADMIN = "admin"
    """Sees every run and acts on every run."""
    SERVICE = "service"
    """One of our own services; reads every run."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a valid token speaks for. `run_ids` counts for reporters only."""

    subject: str
    role: Role
    projects: frozenset[str] = frozenset()
    run_ids: frozenset[str] = frozenset()


ANONYMOUS: Final = Caller(subject="", role=Role.VIEWER)
"""The caller of a method that needs no token: it sees no run."""

_SEES_EVERY_RUN: Final = frozenset({Role.ADMIN, Role.AGENT, Role.SERVICE})
_MAY_OWN: Final = frozenset({Role.VIEWER, Role.USER})


def may_see(caller: Caller, *, run_id: str, owner: str, project: str) -> bool:
    """Whether the caller may know that this run exists, and read it."""
    if caller.role is Role.REPORTER:
        return run_id in caller.run_ids
    if caller.role in _SEES_EVERY_RUN:
        return True
    return _owns(caller, owner) or project in caller.projects


def may_act(caller: Caller, *, owner: str) -> bool:
    """Whether the caller may change, stop or end a run with this owner."""
    return caller.role is Role.ADMIN or (caller.role is Role.USER and _owns(caller, owner))


def may_report(caller: Caller, *, run_id: str, owner: str) -> bool:
    """Whether the caller may report states, tasks, logs and metrics of this run."""
    if caller.role is Role.REPORTER:
        return run_id in caller.run_ids
    return caller.role is Role.AGENT or may_act(caller, owner=owner)


def _owns(caller: Caller, owner: str) -> bool:
    return caller.role in _MAY_OWN and bool(owner) and caller.subject == owner
