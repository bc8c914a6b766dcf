import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, suppress

import pytest

import trackside
from support.append_server import AppendServer, StoredRun
from trackside_protos.runs.v1.task_pb2 import TaskState

pytestmark = pytest.mark.usefixtures("reporting")


def say(text: str) -> None:
    run = trackside.current_run()
    assert run is not None
    run.info(text)


def said(stored: StoredRun) -> list[tuple[str, str]]:
    """Return what was said, and in which task."""
    names = {r.task.task_id: r.task.name for r in stored.reports if r.HasField("task")}
    return [(entry.message, names.get(entry.task_id, "")) for entry in stored.entries]


def ends(stored: StoredRun) -> dict[str, str]:
    """Return how the tasks ended."""
    last = {r.task.name: r.task.state for r in stored.reports if r.HasField("task")}
    return {name: TaskState.Name(state)[len("TASK_STATE_") :] for name, state in last.items()}


@trackside.task
def rows(count: int) -> Iterator[int]:
    for number in range(count):
        say(f"makes {number}")
        yield number
    say("has no more")


@trackside.task
async def async_rows(count: int) -> AsyncGenerator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        say(f"makes {number}")
        yield number


def test_what_a_generator_says_is_in_its_task_and_what_goes_through_it_is_not(
    append_server: AppendServer,
) -> None:
    with trackside.start_run(capture=False), trackside.task("outer"):
        for number in rows(2):
            say(f"takes {number}")

    stored = append_server.only_run()
    assert said(stored) == [
        ("makes 0", "rows"),
        ("takes 0", "outer"),
        ("makes 1", "rows"),
        ("takes 1", "outer"),
        ("has no more", "rows"),
    ]
    assert ends(stored) == {"outer": "SUCCEEDED", "rows": "SUCCEEDED"}


async def test_so_is_what_an_asynchronous_generator_says(append_server: AppendServer) -> None:
    async def take() -> None:
        async for number in async_rows(2):
            say(f"takes {number}")

    with trackside.start_run(capture=False):
        await asyncio.gather(take(), take())

    stored = append_server.only_run()
    assert {task for text, task in said(stored) if text.startswith("makes")} == {"async_rows"}
    assert {task for text, task in said(stored) if text.startswith("takes")} == {""}
    assert len({entry.task_id for entry in stored.entries}) == 3


def test_a_scope_that_is_open_in_a_generator_is_there_again_when_it_goes_on(
    append_server: AppendServer,
) -> None:
    @trackside.scope("load", total=1)
    def load() -> Iterator[int]:
        with trackside.scope("part", total=1):
            yield 1
            say("goes on")

    with trackside.start_run(capture=False):
        for _ in load():
            with trackside.scope("other", total=1):
                say("elsewhere")

    contexts = [dict(entry.context) for entry in append_server.only_run().entries]
    assert contexts == [{"other": "1"}, {"load": "1", "part": "1"}]


def test_a_generator_that_is_left_early_has_ended_well(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False):
        for _ in rows(10):
            break

    assert ends(append_server.only_run()) == {"rows": "SUCCEEDED"}


async def test_an_asynchronous_generator_that_is_closed_early_has_ended_well(
    append_server: AppendServer,
) -> None:
    with trackside.start_run(capture=False):
        async with aclosing(async_rows(10)) as items:
            async for _ in items:
                break

    assert ends(append_server.only_run()) == {"async_rows": "SUCCEEDED"}


def test_a_generator_that_fails_is_a_task_that_failed(append_server: AppendServer) -> None:
    @trackside.task
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no more rows")

    with trackside.start_run(capture=False), pytest.raises(ValueError, match="no more rows"):
        list(broken())

    assert ends(append_server.only_run()) == {"broken": "FAILED"}


def test_what_is_sent_thrown_and_returned_reaches_the_generator_as_ever(
    append_server: AppendServer,
) -> None:
    @trackside.task
    def adds() -> Generator[int, int, str]:
        total = 0
        while total < 10:
            with suppress(KeyError):
                total += yield total
        return "enough"

    def all_of_it() -> Generator[int, int, None]:
        result = yield from adds()
        say(result)

    with trackside.start_run(capture=False):
        adding = all_of_it()
        assert next(adding) == 0
        assert adding.send(4) == 4
        assert adding.throw(KeyError("mine")) == 4
        with suppress(StopIteration):
            adding.send(6)

    assert append_server.only_run().messages == ["enough"]
    assert ends(append_server.only_run()) == {"adds": "SUCCEEDED"}


async def test_what_is_sent_and_thrown_reaches_an_asynchronous_generator_too(
    append_server: AppendServer,
) -> None:
    @trackside.task
    async def adds() -> AsyncGenerator[int, int]:
        total = 0
        while total < 10:
            try:
                total += yield total
            except KeyError:
                say("was thrown at")

    with trackside.start_run(capture=False):
        adding = adds()
        assert await anext(adding) == 0
        assert await adding.asend(4) == 4
        assert await adding.athrow(KeyError("mine")) == 4
        with pytest.raises(StopAsyncIteration):
            await adding.asend(6)

    assert said(append_server.only_run()) == [("was thrown at", "adds")]


def test_without_a_run_a_decorated_generator_just_works(append_server: AppendServer) -> None:
    @trackside.task
    def numbers() -> Iterator[int]:
        yield from range(3)

    assert list(numbers()) == [0, 1, 2]
    assert append_server.runs == {}
