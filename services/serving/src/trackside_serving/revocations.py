"""The revocations that a server knows: which tokens it refuses although their signature is good.

What is known only grows until it expires: a revocation is never taken back. The service whose
server it is keeps it in step with RunsService, and keeps a copy for when that is away.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from trackside_protos.runs.v1 import revocation_pb2

KeyT = TypeVar("KeyT")

EVERYBODY: Final = ""
"""The subject of a revocation that holds for a token whomever it speaks for."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One token, or all of a subject that were made until some time; times in ms since 1970."""

    token_id: str
    """Empty: all tokens of the subject."""
    subject: str
    """`EVERYBODY`: whomever the one token speaks for."""
    latest_issue_ms: int
    """The time of the latest tokens of the subject that are meant; 0 for one token."""
    expire_ms: int
    """When no such token could be good any more."""


def revocation_of(message: revocation_pb2.Revocation) -> Revocation:
    """Return what a message of RunsService says."""
    return Revocation(
        message.token_id,
        message.subject,
        message.latest_issue_time.ToMilliseconds(),
        message.expire_time.ToMilliseconds(),
    )


class Revocations:
    """What is known now. Used from one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._of_tokens: dict[tuple[str, str], Revocation] = {}
        self._of_subjects: dict[str, Revocation] = {}
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._of_tokens) + len(self._of_subjects)

    def on_news(self, listener: Callable[[], None]) -> None:
        """Call `listener()` after more has become known."""
        self._listeners.append(listener)

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Learn of revocations, whether or not they are known, in any order."""
        news = [revocation for revocation in revocations if self._learn(revocation)]
        if not news:
            return
        self._forget_expired()
        for listener in self._listeners:
            listener()

    def cover(self, token_id: str, subject: str, issue_ms: int) -> bool:
        """Whether a token is revoked."""
        if (token_id, subject) in self._of_tokens or (token_id, EVERYBODY) in self._of_tokens:
            return True
        return issue_ms <= self.latest_issue_ms(subject)

    def latest_issue_ms(self, subject: str) -> int:
        """Return until when the tokens of a subject were made that are all revoked; -1: none."""
        found = self._of_subjects.get(subject)
        return -1 if found is None else found.latest_issue_ms

    def _learn(self, revocation: Revocation) -> bool:
        if revocation.token_id:
            key = revocation.token_id, revocation.subject
            is_news = key not in self._of_tokens
            self._of_tokens.setdefault(key, revocation)
            return is_news
        is_news = revocation.latest_issue_ms > self.latest_issue_ms(revocation.subject)
        if is_news:
            self._of_subjects[revocation.subject] = revocation
        return is_news

    def _forget_expired(self) -> None:
        now_ms = self._clock() * 1000
        self._of_tokens = _kept(self._of_tokens, now_ms)
        self._of_subjects = _kept(self._of_subjects, now_ms)


def _kept(known: dict[KeyT, Revocation], now_ms: float) -> dict[KeyT, Revocation]:
    return {key: found for key, found in known.items() if found.expire_ms > now_ms}
