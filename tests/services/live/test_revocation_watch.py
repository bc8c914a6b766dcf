import asyncio
from collections.abc import AsyncIterator

import pytest

from support.conditions import until
from trackside_journal.errors import CursorForeignError
from trackside_live import revocation_watch
from trackside_live.revocation_watch import RevocationWatch
from trackside_protos.runs.v1.revocation_pb2 import Revocation
from trackside_protos.runs.v1.runs_service_pb2 import (
    WatchRunDirectoryRequest,
    WatchRunDirectoryResponse,
)
from trackside_serving.errors import ServiceUnreachableError
from trackside_serving.revocations import Revocations


class Runs:
    """Stands where RunsService stands: says what a test tells it, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[WatchRunDirectoryRequest] = []
        self.news: asyncio.Queue[WatchRunDirectoryResponse | Exception] = asyncio.Queue()

    async def watch(
        self, request: WatchRunDirectoryRequest
    ) -> AsyncIterator[WatchRunDirectoryResponse]:
        self.asked.append(request)
        while True:
            answer = await self.news.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer


def revoked(token_id: str, cursor: str) -> WatchRunDirectoryResponse:
    message = Revocation(token_id=token_id)
    message.expire_time.FromMilliseconds(1 << 42)
    return WatchRunDirectoryResponse(revocations=[message], cursor=cursor)


async def test_revocations_are_followed_through_whatever_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revocation_watch, "_RETRY_SECONDS", 0.001)
    runs, known = Runs(), Revocations()
    watch = RevocationWatch(runs.watch, known)
    await watch.start()

    for answer in (
        ServiceUnreachableError(),
        revoked("t1", "c1"),
        RuntimeError("a bug"),
        CursorForeignError(),
        revoked("t2", "c9"),
    ):
        runs.news.put_nowait(answer)
    await until(lambda: known.cover("t2", "ann", 0))
    await watch.close()

    assert known.cover("t1", "ann", 0)
    assert [each.start.cursor for each in runs.asked] == ["", "", "c1", ""]
    assert all(each.revocations_only for each in runs.asked)
