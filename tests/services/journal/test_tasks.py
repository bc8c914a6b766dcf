import asyncio
from collections.abc import AsyncIterator

import pytest

from trackside_journal.tasks import cancel, closing


async def test_cancelling_waits_until_the_tasks_have_ended() -> None:
    ended: list[str] = []

    async def tidy_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("tidied up")

    task = asyncio.create_task(tidy_up())
    await asyncio.sleep(0)
    await cancel(task)

    assert ended == ["tidied up"]


async def test_a_task_that_failed_before_does_not_disturb() -> None:
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)

    await cancel(task)

    assert task.done()


async def test_a_generator_is_closed_when_it_is_left() -> None:
    closed: list[bool] = []

    async def count() -> AsyncIterator[int]:
        try:
            for number in range(9):
                yield number
        finally:
            closed.append(True)

    async with closing(count()) as numbers:
        assert await anext(numbers) == 0

    assert closed == [True]


async def test_an_iterator_that_cannot_be_closed_is_just_left() -> None:
    class Endless(AsyncIterator[int]):
        async def __anext__(self) -> int:
            return 1

    with pytest.raises(ZeroDivisionError):
        async with closing(Endless()) as numbers:
            raise ZeroDivisionError(await anext(numbers))
