"""Reads of outputs at a replica that the run's agent is not connected to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import pytest

from support.conditions import until
from support.reads import (
    END,
    Reading,
    SendingAgent,
    data,
    file,
    members,
    output,
    published,
    refusal,
)
from support.runs import ADMIN, BOB, Agent, Cluster, Starter
from support.serving import Served, served
from trackside_runs.errors import AgentAwayError, AgentElsewhereError, OutputGoneError
from trackside_serving.errors import (
    PartNotFoundError,
    RunNotFoundError,
    ShuttingDownError,
    TooManyStreamsError,
)

pytestmark = [pytest.mark.redis, pytest.mark.postgresql]

TEN: Final = b"0123456789"
PIECE: Final = b"x" * (64 << 10)
MANY: Final = 400


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def there(replicas: Cluster, stack: AsyncExitStack) -> Served:
    """The server of the replica that the agent is connected to."""
    server = await stack.enter_async_context(served(*replicas.one.application.services))
    replicas.one.address = f"127.0.0.1:{server.port}"
    return server


@pytest.fixture
async def agent(replicas: Cluster, there: Served) -> AsyncIterator[Agent]:
    del there  # listens before the agent comes
    async with replicas.one.connect() as agent:
        yield agent


@pytest.fixture
def sender(replicas: Cluster, agent: Agent) -> SendingAgent:
    return SendingAgent(replicas.one, agent)


async def test_a_file_is_read_through_any_replica(
    replicas: Cluster, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(replicas.one, agent)

    async with Reading(replicas.other, run_id) as reading:
        first, *_ = await asyncio.gather(
            reading.next(), sender.send(file(10), data(TEN[:4]), data(TEN[4:]), END)
        )
        await reading.all()

    assert (first.output.path, first.file.size_bytes) == ("model", 10)
    assert reading.data == TEN


async def test_so_is_a_folder_and_a_part_of_a_file(
    replicas: Cluster, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(replicas.one, agent)

    async with Reading(replicas.other, run_id, offset=2, length=3, version="v1") as part:
        await asyncio.gather(part.all(), sender.send(file(10), data(TEN[2:5]), END))
    async with Reading(replicas.other, run_id) as folder:
        await asyncio.gather(folder.all(), sender.send(members("a", "b"), END, number=2))

    assert part.data == TEN[2:5]
    assert [m.path for r in folder.responses for m in r.members.members] == ["a", "b"]


async def test_what_the_agent_refuses_is_told_as_it_is(
    replicas: Cluster, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(replicas.one, agent)

    with pytest.raises(OutputGoneError):
        await asyncio.gather(Reading(replicas.other, run_id).all(), sender.send(refusal("GONE")))
    with pytest.raises(PartNotFoundError):
        await Reading(replicas.other, run_id, path="other").all()


async def test_who_may_not_see_the_run_reads_nothing_anywhere(
    replicas: Cluster, agent: Agent
) -> None:
    run_id = await published(replicas.one, agent)

    with pytest.raises(RunNotFoundError):
        await Reading(replicas.other, run_id, BOB).all()


async def test_reads_count_as_the_callers_own(
    replicas: Cluster, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(replicas.one, agent)
    waiting = [asyncio.create_task(Reading(replicas.other, run_id).all()) for _ in range(8)]
    await sender.asked(8)

    with pytest.raises(TooManyStreamsError):
        await Reading(replicas.other, run_id).all()

    other = Reading(replicas.other, run_id, ADMIN)
    await asyncio.gather(other.all(), sender.send(file(10), data(TEN), END, number=9))
    assert other.data == TEN
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_reader_who_does_not_read_holds_the_agent_up_and_nobody_else(
    replicas: Cluster, agent: Agent, sender: SendingAgent
) -> None:
    size = MANY * len(PIECE)
    run_id = await published(replicas.one, agent, output(size_bytes=size))

    async with Reading(replicas.other, run_id) as slow:
        sending = asyncio.create_task(sender.send(file(size), *[data(PIECE)] * MANY, END))
        await slow.next()
        async with Reading(replicas.other, run_id) as quick:
            pieces = [file(size), *[data(PIECE)] * MANY, END]
            await asyncio.gather(
                quick.all(), SendingAgent(replicas.one, agent).send(*pieces, number=2)
            )
        held = sender.sent  # all this time
        await slow.all()
        await sending

    assert held < 64  # of 400; a line of its own windows would take them all
    assert len(slow.data) == len(quick.data) == size


async def test_a_reader_who_goes_away_lets_the_agent_stop(
    replicas: Cluster, agent: Agent, sender: SendingAgent
) -> None:
    size = MANY * len(PIECE)
    run_id = await published(replicas.one, agent, output(size_bytes=size))

    async with Reading(replicas.other, run_id) as reading:
        sending = asyncio.create_task(sender.send(file(size), *[data(PIECE)] * MANY, END))
        await reading.next()

    await sending
    assert sender.sent < MANY


async def test_a_replica_that_dies_while_it_reads_leaves_the_offset(
    replicas: Cluster, there: Served, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(replicas.one, agent)

    async with Reading(replicas.other, run_id, offset=2) as reading:
        sending = asyncio.create_task(sender.send(file(10), data(TEN[2:6])))
        while reading.data != TEN[2:6]:
            await reading.next()
        with pytest.raises(AgentAwayError) as caught:
            await asyncio.gather(reading.next(), there.server.drain_and_stop(grace=0))
    await sending

    assert caught.value.metadata == {"offset": "6"}
    assert caught.value.retry_after is not None


async def test_a_replica_that_is_gone_is_said_to_be_so(
    replicas: Cluster, there: Served, agent: Agent
) -> None:
    run_id = await published(replicas.one, agent)
    await there.server.drain_and_stop(grace=0)

    with pytest.raises(AgentAwayError, match="replica") as caught:
        await Reading(replicas.other, run_id, offset=3).all()

    assert caught.value.metadata == {"offset": "3"}


async def test_one_that_goes_down_itself_says_so(
    replicas: Cluster, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(replicas.one, agent)

    async with Reading(replicas.other, run_id) as reading:
        waiting = asyncio.create_task(reading.next())
        await sender.asked()
        reading.call.draining.set()
        with pytest.raises(ShuttingDownError):
            await waiting


async def test_a_read_is_handed_on_once(replicas: Cluster, agent: Agent) -> None:
    run_id = await published(replicas.one, agent)

    with pytest.raises(AgentElsewhereError):
        await Reading(replicas.other, run_id, handed_on=True).all()


async def test_an_agent_that_changes_replicas_is_found_where_it_is_now(
    replicas: Cluster, agent: Agent, stack: AsyncExitStack
) -> None:
    run_id = await published(replicas.one, agent)
    server = await stack.enter_async_context(served(*replicas.other.application.services))
    replicas.other.address = f"127.0.0.1:{server.port}"

    async with replicas.other.connect() as moved:
        await moved.welcomed()
        await until(lambda: not replicas.one.application._runners._lines.is_connected("agent-1"))
        sender = SendingAgent(replicas.other, moved)
        async with Reading(replicas.one, run_id) as reading:
            await asyncio.gather(reading.all(), sender.send(file(10), data(TEN), END))
    del agent

    assert reading.data == TEN


async def test_the_address_that_is_set_goes_before_the_one_that_clients_are_told(
    starter: Starter, postgresql_url: str, redis_url: str
) -> None:

    one = await starter.start(postgresql_url, redis_url, peer_address="10.0.0.1:8760")
    one.address = "127.0.0.1:1"

    assert one.application._runners._lines.address() == "10.0.0.1:8760"
