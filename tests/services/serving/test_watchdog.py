import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from trackside_serving.admission import Kind, Limits, OpenCall, OpenCalls
from trackside_serving.calls import Call
from trackside_serving.errors import (
    CallTooLongError,
    ServiceError,
    TokenRefusedError,
    TokenRevokedError,
)
from trackside_serving.identity import ANONYMOUS
from trackside_serving.tokens import VerifiedToken
from trackside_serving.watchdog import Patience, Watchdog

LIMITS = Limits(control=9, unary=9, streams=9, streams_of_caller=9)
NOW = 1000.0


class Watched:
    def __init__(self, opened: OpenCall) -> None:
        self.refusal: ServiceError | None = None
        self.opened = opened
        self.calls = OpenCalls(LIMITS)
        self.calls.admit(opened)
        self.watchdog = Watchdog(
            self.calls,
            Patience(slow=60, idle=60, long=60),
            lambda token: TokenRefusedError() if token.expires <= NOW else self.refusal,
        )

    def look(self, times: int) -> ServiceError | None:
        for _ in range(times):
            self.watchdog.look()
        return self.opened.ending


@asynccontextmanager
async def watched(kind: Kind, *, expires: float = NOW + 1) -> AsyncGenerator[Watched]:
    task: asyncio.Task[object] = asyncio.create_task(asyncio.Event().wait())
    yield Watched(OpenCall(Call(ANONYMOUS), kind, task, VerifiedToken(ANONYMOUS, expires)))
    task.cancel()
    await asyncio.wait([task])


async def test_progress_starts_the_time_anew() -> None:
    async with watched(Kind.STREAM) as w:
        w.opened.writes = 1

        assert w.look(11) is None
        w.opened.writes = 3
        assert w.look(11) is None
        assert w.look(2) is not None


async def test_a_call_with_one_answer_has_an_end() -> None:
    async with watched(Kind.UNARY) as w:
        assert w.look(11) is None
        assert isinstance(w.look(1), CallTooLongError)


async def test_a_stream_may_last_for_ever() -> None:
    async with watched(Kind.STREAM) as w:
        assert w.look(1000) is None


async def test_a_stream_ends_with_its_token() -> None:
    async with watched(Kind.STREAM, expires=NOW) as w:
        assert isinstance(w.look(1), TokenRefusedError)


async def test_a_stream_ends_at_once_with_a_token_that_is_revoked() -> None:
    async with watched(Kind.STREAM) as w:
        w.refusal = TokenRevokedError()
        w.watchdog.look_at_tokens()

        assert isinstance(w.opened.ending, TokenRevokedError)


async def test_a_call_that_was_begun_before_its_token_was_revoked_gets_its_answer() -> None:
    async with watched(Kind.UNARY) as w:
        w.refusal = TokenRevokedError()
        w.watchdog.look_at_tokens()

        assert w.look(1) is None


async def test_a_call_that_says_its_last_word_is_left_alone() -> None:
    async with watched(Kind.STREAM, expires=NOW) as w:
        w.opened.is_closing = True

        assert w.look(5) is None


@pytest.mark.parametrize(("slow", "interval"), [(60, 5), (6, 1)])
def test_it_looks_often_enough(slow: float, interval: float) -> None:
    assert Patience(slow=slow, idle=300).interval == interval
