import asyncio
from collections.abc import AsyncIterator
from typing import Any

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
from support.runs import (
    ADMIN,
    AGENT,
    ANN,
    BOB,
    COMPLETED,
    Agent,
    Cluster,
    Report,
    Server,
    closed,
    state,
)
from trackside_journal.tasks import closing
from trackside_protos.runners.v1.runners_service_pb2 import ConnectRequest, ConnectResponse, Hello
from trackside_protos.runs.v1.runs_service_pb2 import ListOutputsRequest
from trackside_runs import output_reads
from trackside_runs.agent_lines import READS_AT_AGENT, READS_OF_CALLER, AgentLines
from trackside_runs.claims import Connected, connect
from trackside_runs.errors import (
    AgentAwayError,
    AgentElsewhereError,
    AgentReplacedError,
    NoReaderError,
    OffsetBeyondEndError,
    OutputChangedError,
    OutputGoneError,
    OutputNotRegularError,
    OutputUnreadableError,
)
from trackside_serving.calls import Call
from trackside_serving.errors import (
    InvalidFieldError,
    PartNotFoundError,
    RunNotFoundError,
    ServiceError,
    TooManyStreamsError,
)
from trackside_serving.identity import Caller, Role

TEN = b"0123456789"
HELLO = Hello(agent_id="agent-1", host="box")


@pytest.fixture
async def agent(server: Server) -> AsyncIterator[Agent]:
    async with server.connect() as agent:
        yield agent


@pytest.fixture
def sender(server: Server, agent: Agent) -> SendingAgent:
    return SendingAgent(server, agent)


async def exists(server: Server, run_id: str) -> list[bool]:
    listed = await server.call("ListOutputs", ListOutputsRequest(run_id=run_id), ADMIN)
    return [one.exists for one in listed.outputs]


async def refused(reading: Reading, sending: Any) -> ServiceError:
    """Return why a read is refused that the agent answers."""
    with pytest.raises(ServiceError) as raised:
        await asyncio.gather(reading.all(), sending)
    return raised.value


async def test_a_file_is_read_as_its_agent_sends_it(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id) as reading:
        sending = sender.send(file(10), data(TEN[:4]), data(TEN[4:]), END)
        _, taken = await asyncio.gather(reading.all(), sending)

    ask = sender.asks[0]
    assert (ask.run_id, ask.runner, ask.location) == (run_id, "local", "/data/model")
    assert reading.responses[0].output.path == "model"
    assert reading.responses[0].file.size_bytes == 10
    assert reading.data == TEN
    assert taken == 4


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 0, TEN), (3, 0, TEN[3:]), (3, 4, TEN[3:7]), (9, 5, b"9"), (10, 0, b""), (10, 9, b"")],
)
async def test_a_part_is_read(
    server: Server, agent: Agent, sender: SendingAgent, offset: int, length: int, expected: bytes
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id, offset=offset, length=length) as reading:
        pieces = [data(expected)] if expected else []
        await asyncio.gather(reading.all(), sender.send(file(10), *pieces, END))

    assert (sender.asks[0].offset, sender.asks[0].length) == (offset, length)
    assert reading.data == expected


async def test_nothing_is_read_from_behind_the_end(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id, offset=11) as reading:
        error = await refused(reading, sender.send(file(10), END))

    assert isinstance(error, OffsetBeyondEndError)
    assert error.metadata == {"size_bytes": "10"}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"offset": -1}, "offset"),
        ({"length": -1}, "length"),
        ({"path": ""}, "path"),
        ({"path": "a\0b"}, "path"),
        ({"path": "x" * 4097}, "path"),
        ({"run_id": "RUN"}, "run_id"),
        ({"member": "../other"}, "member"),
        ({"member": "/etc/passwd"}, "member"),
        ({"member": "a//b"}, "member"),
        ({"version": "x" * 257}, "version"),
    ],
)
async def test_what_is_wrong_whatever_the_state_is_refused(
    server: Server, agent: Agent, asked: dict[str, object], field: str
) -> None:
    run_id = await published(server, agent)

    with pytest.raises(InvalidFieldError) as raised:
        await Reading(server, **{"run_id": run_id, **asked}).all()  # pyright: ignore[reportArgumentType] - as given

    assert [violation.field for violation in raised.value.violations] == [field]


@pytest.mark.parametrize("path", ["other", "/data/model", "./model", "model\n", "\x1b[2J", "Model"])
async def test_only_what_was_published_is_read(server: Server, agent: Agent, path: str) -> None:
    run_id = await published(server, agent)

    with pytest.raises(PartNotFoundError):
        await Reading(server, run_id, path=path).all()


async def test_whoever_may_not_see_the_run_learns_nothing(server: Server, agent: Agent) -> None:
    run_id = await published(server, agent)

    with pytest.raises(RunNotFoundError):
        await Reading(server, run_id, BOB).all()


async def test_a_run_without_an_agent_has_nobody_to_read(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, output())

    with pytest.raises(NoReaderError):
        await Reading(server, run.run_id).all()


async def test_files_are_read_after_the_run_has_ended(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent, output(), state(COMPLETED), closed())

    async with Reading(server, run_id) as reading:
        await asyncio.gather(reading.all(), sender.send(file(10), data(TEN), END))

    assert reading.data == TEN


async def test_a_folder_tells_its_files(server: Server, agent: Agent, sender: SendingAgent) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id) as reading:
        sending = sender.send(members("a", "b/c"), members(skipped=2), END)
        await asyncio.gather(reading.all(), sending)

    assert not reading.responses[0].HasField("file")
    told = [one.members for one in reading.responses if one.HasField("members")]
    assert [member.path for page in told for member in page.members] == ["a", "b/c"]
    assert told[-1].skipped_count == 2


async def test_a_file_of_a_folder_may_have_any_size(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id, member="b/c") as reading:
        await asyncio.gather(reading.all(), sender.send(file(3), data(b"abc"), END))

    assert sender.asks[0].member == "b/c"
    assert reading.data == b"abc"


async def test_a_file_of_another_size_than_published_is_refused(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id) as reading:
        error = await refused(reading, sender.send(file(11), data(TEN), data(b"x"), END))

    assert isinstance(error, OutputChangedError)
    assert error.metadata == {"size_bytes": "11"}


async def test_a_changed_file_is_read_when_that_is_wanted(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id, accept_changed=True) as reading:
        await asyncio.gather(reading.all(), sender.send(file(3), data(b"abc"), END))

    assert reading.data == b"abc"


async def test_another_version_is_not_gone_on_with(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id, offset=5, version="v1") as reading:
        error = await refused(reading, sender.send(file(10, "v2"), data(TEN[5:]), END))

    assert isinstance(error, OutputChangedError)


@pytest.mark.parametrize(
    "pieces",
    [
        [data(TEN[:5]), END],
        [data(TEN), data(b"x"), END],
        [data(TEN[:5]), refusal("CHANGED")],
        [data(TEN[:5]), members("a")],
    ],
    ids=["short", "long", "written", "confused"],
)
async def test_what_is_not_the_file_does_not_pass_for_it(
    server: Server, agent: Agent, sender: SendingAgent, pieces: list[Any]
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id) as reading:
        error = await refused(reading, sender.send(file(10), *pieces))

    assert isinstance(error, OutputChangedError)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("NOT_REGULAR", OutputNotRegularError),
        ("UNREADABLE", OutputUnreadableError),
        ("UNSUPPORTED", NoReaderError),
        ("UNAVAILABLE", AgentAwayError),
        ("UNSPECIFIED", OutputUnreadableError),
    ],
)
async def test_the_agents_refusal_is_told(
    server: Server,
    agent: Agent,
    sender: SendingAgent,
    kind: str,
    expected: type[ServiceError],
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id) as reading:
        error = await refused(reading, sender.send(refusal(kind, "it \x1b[2J is a pipe")))

    assert type(error) is expected
    assert error.message == "The file cannot be read: it \\x1b[2J is a pipe."
    assert await exists(server, run_id) == [True]


async def test_an_output_that_is_gone_says_so_until_it_is_read_again(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent, output(), state(COMPLETED), closed())

    async with Reading(server, run_id) as reading:
        error = await refused(reading, sender.send(refusal("GONE")))
    gone = await exists(server, run_id)
    async with Reading(server, run_id) as reading:
        await asyncio.gather(reading.all(), sender.send(file(10), data(TEN), END, number=2))

    assert isinstance(error, OutputGoneError)
    assert gone == [False]
    assert await exists(server, run_id) == [True]


@pytest.mark.parametrize(("host", "is_seen"), [("box", False), ("elsewhere", True)])
async def test_what_was_published_on_another_machine_is_not_said_to_be_gone(
    server: Server, agent: Agent, sender: SendingAgent, *, host: str, is_seen: bool
) -> None:
    run_id = await published(server, agent)
    machine = Report()
    machine.provenance.machine.host = host
    await agent.report(run_id, machine)

    async with Reading(server, run_id) as reading:
        error = await refused(reading, sender.send(refusal("GONE")))

    assert isinstance(error, OutputGoneError)
    assert await exists(server, run_id) == [is_seen]


async def test_what_was_published_anew_meanwhile_is_not_said_to_be_gone(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id) as reading:
        asking = asyncio.create_task(reading.all())
        await sender.asked()
        await agent.report(run_id, output(size_bytes=11))
        await sender.send(refusal("GONE"))
        with pytest.raises(OutputGoneError):
            await asking

    assert await exists(server, run_id) == [True]


async def test_a_missing_file_of_a_folder_says_nothing_of_the_folder(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id, member="a") as reading:
        error = await refused(reading, sender.send(refusal("GONE")))

    assert isinstance(error, PartNotFoundError)
    assert await exists(server, run_id) == [True]


async def test_an_agent_that_goes_away_leaves_the_offset(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)

    async with Reading(server, run_id, offset=2) as reading:
        error = await refused(reading, sender.send(file(10), data(TEN[2:6])))

    assert isinstance(error, AgentAwayError)
    assert error.metadata == {"offset": "6"}
    assert error.retry_after is not None


async def test_an_agent_that_is_not_connected_is_told_at_once(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)
    waiting = asyncio.create_task(Reading(server, run_id).all())
    await sender.asked()

    await agent.__aexit__()

    with pytest.raises(AgentAwayError):  # who waited for it to begin
        await waiting
    with pytest.raises(AgentAwayError):  # who comes later
        await Reading(server, run_id).all()


def connecting(server: Server) -> AsyncIterator[bytes]:
    """Return an agent's connection, which goes on as far as it is read."""

    async def said() -> AsyncIterator[bytes]:
        yield ConnectRequest(hello=HELLO).SerializeToString()
        await asyncio.Event().wait()

    return server.handler("Connect")(said(), Call(AGENT))


def lines(server: Server) -> AgentLines:
    return server.application._runners._lines


async def asked_on(connection: AsyncIterator[bytes]) -> str:
    """Return what is asked to be read next on a connection."""
    while not (response := ConnectResponse.FromString(await anext(connection))).HasField("read"):
        pass
    return response.read.location


async def test_an_agent_is_asked_as_soon_as_it_is_welcome(server: Server, agent: Agent) -> None:
    run_id = await published(server, agent)
    await agent.__aexit__()

    async with closing(connecting(server)) as connection:
        await anext(connection)
        waiting = asyncio.create_task(Reading(server, run_id).all())
        await until(lambda: waiting.done() or bool(lines(server)._reads))

        assert await asked_on(connection) == "/data/model"
    with pytest.raises(AgentAwayError):
        await waiting


async def test_an_agent_is_asked_on_its_latest_connection_however_slow_an_earlier_one(
    server: Server, agent: Agent
) -> None:
    run_id = await published(server, agent)
    await agent.__aexit__()
    async with closing(connecting(server)) as earlier, closing(connecting(server)) as latest:
        await anext(earlier)
        await anext(latest)
        asked = asyncio.create_task(asked_on(latest))
        await until(lambda: lines(server).is_connected("agent-1"))
        with pytest.raises(AgentReplacedError):
            await anext(earlier)
        waiting = asyncio.create_task(Reading(server, run_id).all())

        assert await asked == "/data/model"
    with pytest.raises(AgentAwayError):
        await waiting


async def test_an_agent_that_is_just_coming_here_is_not_said_to_be_elsewhere(
    server: Server, agent: Agent
) -> None:
    run_id = await published(server, agent)
    await agent.__aexit__()
    coming = Connected("agent-1", lines(server).new_connection_id())

    await server.application._runners._commit(lambda ledger: connect(ledger, coming, HELLO))

    with pytest.raises(AgentAwayError):
        await Reading(server, run_id).all()


async def test_an_agent_that_does_not_begin_is_not_waited_for_long(
    server: Server, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_reads, "OPEN_SECONDS", 0.05)
    run_id = await published(server, agent)

    with pytest.raises(AgentAwayError, match="takes too long"):
        await Reading(server, run_id).all()


async def test_an_agent_is_held_up_by_a_reader_who_does_not_read(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent, output(size_bytes=100))

    async with Reading(server, run_id) as reading:
        sending = asyncio.create_task(sender.send(file(100), *[data(b"x")] * 100, END))
        await reading.next()
        await until(lambda: sender.sent >= 4)
        for _ in range(20):
            await asyncio.sleep(0)
        held = sender.sent
        await reading.all()
        await sending

    assert held <= 5
    assert len(reading.data) == 100


async def test_a_reader_who_goes_away_lets_the_agent_stop(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent, output(size_bytes=100))

    async with Reading(server, run_id) as reading:
        sending = asyncio.create_task(sender.send(file(100), *[data(b"x")] * 100, END))
        await reading.next()

    assert await sending <= 1
    assert sender.sent < 10


async def test_a_read_that_nobody_waits_for_is_not_taken(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)
    async with Reading(server, run_id) as reading:
        asking = asyncio.create_task(reading.next())
        ask = await sender.asked()
        with pytest.raises(PartNotFoundError):  # another agent's token
            await sender.send_as(ask.read_id, file(10), END, caller=Caller("other", Role.AGENT))
        with pytest.raises(PartNotFoundError):
            await sender.send_as("never-asked", file(10), END)
        first = asyncio.create_task(sender.send_as(ask.read_id, file(10), data(TEN), END))
        await asking
        with pytest.raises(PartNotFoundError):  # a second time
            await sender.send_as(ask.read_id, file(10), END, caller=AGENT)
    assert await first <= 3

    with pytest.raises(PartNotFoundError):  # when the reader has gone
        await sender.send_as(ask.read_id, file(10), END)


async def test_reads_of_one_caller_are_limited(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)
    waiting = [asyncio.create_task(Reading(server, run_id).all()) for _ in range(READS_OF_CALLER)]
    await sender.asked(READS_OF_CALLER)

    with pytest.raises(TooManyStreamsError):
        await Reading(server, run_id).all()

    other = asyncio.create_task(Reading(server, run_id, ADMIN).all())
    await sender.send(file(10), data(TEN), END, number=READS_OF_CALLER + 1)
    await other
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.gather(
        Reading(server, run_id, ANN).all(),
        sender.send(file(10), data(TEN), END, number=READS_OF_CALLER + 2),
    )


async def test_reads_at_one_agent_are_limited(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent)
    callers = [Caller(f"admin-{n}", Role.ADMIN) for n in range(READS_AT_AGENT + 1)]
    waiting = [
        asyncio.create_task(Reading(server, run_id, caller).all()) for caller in callers[:-1]
    ]
    await sender.asked(READS_AT_AGENT)

    with pytest.raises(TooManyStreamsError):
        await Reading(server, run_id, callers[-1]).all()

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_piece_that_is_too_large_is_not_taken(
    server: Server, agent: Agent, sender: SendingAgent
) -> None:
    run_id = await published(server, agent, output(size_bytes=1 << 20))
    waiting = asyncio.create_task(Reading(server, run_id).all())

    with pytest.raises(InvalidFieldError):
        await sender.send(file(1 << 20), data(b"x" * ((256 << 10) + 1)), END)

    with pytest.raises(AgentAwayError):
        await waiting


@pytest.mark.redis
@pytest.mark.postgresql
async def test_an_agent_at_another_replica_is_said_to_be_there(replicas: Cluster) -> None:
    async with replicas.one.connect() as agent:
        run_id = await published(replicas.one, agent)

        with pytest.raises(AgentElsewhereError):
            await Reading(replicas.other, run_id).all()

        sender = SendingAgent(replicas.one, agent)
        async with Reading(replicas.one, run_id) as reading:
            await asyncio.gather(reading.all(), sender.send(file(10), data(TEN), END))
    assert reading.data == TEN
