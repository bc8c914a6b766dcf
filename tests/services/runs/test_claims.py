import asyncio
from collections import Counter

import pytest
from sqlalchemy import func, select

from support.conditions import until
from support.runs import (
    ADMIN,
    COMPLETED,
    RUNNING,
    Agent,
    Cluster,
    Run,
    Server,
    closed,
    launched,
    new_run_id,
    state,
    sweep,
)
from trackside_journal import fanout
from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runs.v1 import run_state_pb2, runs_service_pb2
from trackside_runs import runners_servicer
from trackside_runs.claims import Connected, Outlook
from trackside_runs.errors import AgentReplacedError
from trackside_runs.storage.fact_tables import ASSIGNMENT, QUEUED_RUN
from trackside_serving.calls import Call
from trackside_serving.errors import InvalidFieldError, MalformedMessageError


async def runners(server: Server) -> list[runners_service_pb2.Runner]:
    request = runners_service_pb2.ListRunnersRequest()
    return list((await server.call("ListRunners", request)).runners)


async def work(agent: Agent) -> None:
    """Store, run and end whatever the agent is given."""
    done = 0
    while True:
        await until(lambda n=done: len(agent.assigned) > n)
        run_id = agent.assigned[done]
        done += 1
        agent.store(run_id)
        await agent.report(run_id, state(RUNNING), state(COMPLETED), closed())


async def test_an_agent_is_welcomed_with_its_lease(server: Server) -> None:
    async with server.connect() as agent:
        await agent.welcomed()

    assert agent.responses[0].welcome.lease_duration.seconds == 30


async def test_a_waiting_run_is_assigned_complete(server: Server) -> None:
    run = await server.create(launched(name="fit", tags=["a"]))

    async with server.connect() as agent:
        await agent.given()

    [assignment] = agent.assignments
    assert assignment.run.name == "fit"
    assert list(assignment.run.launch.command) == ["fit"]
    assert assignment.reporter_token
    claimed = await server.get(run.run_id)
    assert claimed.state_reason == run_state_pb2.STATE_REASON_SUBMITTED
    assert claimed.HasField("submit_time")


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be found but by who hears of it."""
    monkeypatch.setattr(runners_servicer, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(fanout, "TICK_SECONDS", 3600.0)


@pytest.mark.usefixtures("nobody_looks")
async def test_an_assignment_comes_at_once(cluster: Cluster) -> None:
    async with cluster.other.connect(capacity=100) as agent:
        await agent.welcomed()
        for number in range(15):
            await cluster.one.create(launched())
            await agent.given(number + 1)

    assert len(agent.assigned) == 15


@pytest.mark.usefixtures("nobody_looks")
async def test_room_that_is_given_back_is_used_at_once(cluster: Cluster) -> None:
    async with cluster.one.connect(capacity=1) as agent:
        working = asyncio.create_task(work(agent))
        parent = await cluster.other.create(sweep(a=range(10)))
        await until(lambda: len(set(agent.assigned)) == 10)
        working.cancel()

    assert agent.assigned == [run.run_id for run in await _in_order(cluster.one, parent.run_id)]


async def test_each_run_is_given_to_one_agent_once(cluster: Cluster) -> None:
    await cluster.one.create(sweep(a=range(60)))
    servers = [cluster.one, cluster.other]

    agents = [servers[i % 2].connect(f"agent-{i}", capacity=30) for i in range(4)]
    await until(lambda: sum(len(agent.assigned) for agent in agents) >= 60)
    await asyncio.gather(*(cluster.other.create(launched()) for _ in range(30)))
    await until(lambda: sum(len(agent.assigned) for agent in agents) >= 90)
    for agent in agents:
        await agent.__aexit__()

    given = Counter(run_id for agent in agents for run_id in agent.assigned)
    assert len(given) == 90
    assert set(given.values()) == {1}
    assert all(len(agent.assigned) <= 30 for agent in agents)


async def test_no_agent_is_given_more_than_it_takes(server: Server) -> None:
    await server.create(sweep(a=range(10)))

    async with server.connect(capacity=3) as agent:
        first = list(await agent.given(3))
        assert [r.active_count for r in await runners(server)] == [3]
        await agent.report(first[0], state(COMPLETED), closed())
        await agent.given(4)
        assert [r.active_count for r in await runners(server)] == [3]


async def test_a_parent_lets_only_so_many_run_at_once(cluster: Cluster) -> None:
    parent = await cluster.one.create(sweep(parallelism=2, a=range(6)))
    agents = [cluster.one.connect("a", capacity=9), cluster.other.connect("b", capacity=9)]
    working = [asyncio.create_task(work(agent)) for agent in agents]

    await until(lambda: sum(len(agent.assigned) for agent in agents) == 6)
    while (await cluster.one.get(parent.run_id)).state != COMPLETED:  # noqa: ASYNC110 - in the store
        await asyncio.sleep(0.01)
    for job, agent in zip(working, agents, strict=True):
        job.cancel()
        await agent.__aexit__()

    assert (await cluster.one.get(parent.run_id)).children.peak_concurrency <= 2


async def test_a_parent_at_its_limit_blocks_nobody_behind_it(server: Server) -> None:
    await server.create(sweep(parallelism=1, a=range(1500)))
    behind = await server.create(launched())

    async with server.connect(capacity=5) as agent:
        given = await agent.given(2)

    assert given[1] == behind.run_id


async def test_an_assignment_is_given_again_until_it_is_stored(cluster: Cluster) -> None:
    run = await cluster.one.create(launched())
    for server in (cluster.one, cluster.other):
        async with server.connect() as agent:
            assert await agent.given() == [run.run_id]

    async with cluster.one.connect() as agent:
        await agent.given()
        agent.store(run.run_id)
        await until_stored(cluster.one)
    async with cluster.other.connect() as agent:
        await agent.welcomed()
        other = await cluster.one.create(launched())
        assert await agent.given() == [other.run_id]


async def test_a_run_that_is_deleted_while_it_is_handed_over_is_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await server.create(launched())
    news = server.application._runners._news
    look = news._look
    deleted: list[str] = []

    async def look_and_lose(connected: Connected) -> Outlook:
        outlook = await look(connected)
        if outlook.unstored and not deleted:
            await server.kill(run.run_id)
            await server.force_end(run.run_id)
            await server.call("DeleteRun", runs_service_pb2.DeleteRunRequest(run_id=run.run_id))
            deleted.append(run.run_id)
        return outlook

    monkeypatch.setattr(news, "_look", look_and_lose)
    async with server.connect() as agent:
        await agent.until(lambda: bool(deleted))
        other = await server.create(launched())

        assert await agent.given() == [other.run_id]


async def test_a_child_that_waits_while_its_family_is_deleted_keeps_nobody_back(
    server: Server,
) -> None:
    child = {"run_id": new_run_id(), "runner": "local", "position": 1}
    with server.application._database.writing() as connection:
        connection.execute(QUEUED_RUN.insert(), {**child, "parent_run_id": new_run_id()})
    behind = await server.create(launched())

    async with server.connect() as agent:
        assert await agent.given() == [behind.run_id]


async def test_a_later_connection_takes_the_agents_id_over(cluster: Cluster) -> None:
    async with cluster.one.connect() as first:
        await first.welcomed()
        async with cluster.other.connect() as second:
            await second.welcomed()
            first.renew()

            with pytest.raises(AgentReplacedError):
                await first.ended()

            run = await cluster.one.create(launched())
            assert await second.given() == [run.run_id]


async def test_what_a_replaced_connection_says_counts_no_more(server: Server) -> None:
    run = await server.create(launched())
    async with server.connect() as first:
        await first.given()
        async with server.connect() as second:
            await second.given()
            first.store(run.run_id)
            with pytest.raises(AgentReplacedError):
                await first.ended()


async def test_runners_are_listed_with_their_leases(cluster: Cluster) -> None:
    offers = [
        runners_service_pb2.RunnerOffer(name="local", capacity=4),
        runners_service_pb2.RunnerOffer(name="slurm", capacity=9, fault="no sbatch"),
    ]
    async with cluster.one.connect("b", runners=offers, version="1"), cluster.other.connect("a"):
        while len(await runners(cluster.one)) < 3:  # noqa: ASYNC110 - in the store
            await asyncio.sleep(0.01)

        listed = await runners(cluster.other)
        assert [(r.name, r.agent_id) for r in listed] == [
            ("local", "a"), ("local", "b"), ("slurm", "b"),
        ]  # fmt: skip
        assert all(r.connected and r.host == "box" for r in listed)
        assert (listed[2].fault, listed[2].version, listed[2].capacity) == ("no sbatch", "1", 9)
        cluster.clock.advance(31)
        assert not any(r.connected for r in await runners(cluster.one))


async def test_a_renewal_keeps_the_lease(server: Server) -> None:
    server.clock.stand_still()
    async with server.connect() as agent:
        await agent.welcomed()
        server.clock.advance(25)
        before = (await runners(server))[0].heartbeat_time
        agent.renew()
        while (await runners(server))[0].heartbeat_time == before:  # noqa: ASYNC110 - in the store
            await asyncio.sleep(0.01)
        server.clock.advance(25)

        assert (await runners(server))[0].connected


async def test_a_runner_with_a_fault_is_given_nothing(server: Server) -> None:
    run = await server.create(launched())
    offer = runners_service_pb2.RunnerOffer(name="local", capacity=4, fault="broken")
    async with server.connect("broken", runners=[offer]) as broken:
        await broken.welcomed()
        async with server.connect("whole") as whole:
            assert await whole.given() == [run.run_id]

    assert broken.assigned == []


async def test_a_run_is_for_the_runner_that_it_names(server: Server) -> None:
    other = launched()
    other.runner = "slurm"
    await server.create(other)
    run = await server.create(launched())

    async with server.connect() as agent:
        assert await agent.given() == [run.run_id]


async def test_an_idle_run_takes_no_room(server: Server) -> None:
    runs = [await server.create(launched(termination_protection=True)) for _ in range(2)]

    async with server.connect(capacity=1) as agent:
        [first] = await agent.given()
        await agent.report(first, state(COMPLETED), closed())
        given = await agent.given(2)

    assert given == [run.run_id for run in runs]


@pytest.mark.parametrize(
    ("hello", "field"),
    [
        ({"agent_id": "no id"}, "hello.agent_id"),
        ({}, "hello.agent_id"),
        ({"agent_id": "a", "runners": [{"name": "UPPER", "capacity": 1}]}, "hello.runners[0].name"),
        ({"agent_id": "a", "runners": [{"name": "x"}]}, "hello.runners[0].capacity"),
        (
            {"agent_id": "a", "runners": [{"name": "x", "capacity": 1}] * 2},
            "hello.runners[1].name",
        ),
    ],
)
async def test_an_agent_that_cannot_be_is_refused(
    server: Server, hello: dict[str, object], field: str
) -> None:
    agent = Agent(server, "a")
    agent.say(hello=hello)
    agent.start()

    with pytest.raises(InvalidFieldError) as refused:
        await agent.ended()

    assert refused.value.violations[0].field == field


async def test_an_agent_that_says_nonsense_is_refused(server: Server) -> None:
    async def nonsense():  # noqa: ANN202 - bytes
        yield runners_service_pb2.ConnectRequest(
            hello=runners_service_pb2.Hello(agent_id="a")
        ).SerializeToString()
        yield b"\xff"

    with pytest.raises(MalformedMessageError):
        async for _ in server.handler("Connect")(nonsense(), Call(ADMIN)):
            pass


async def test_an_agent_that_hangs_up_is_let_go(server: Server) -> None:
    async def said():  # noqa: ANN202 - bytes
        yield runners_service_pb2.ConnectRequest(
            hello=runners_service_pb2.Hello(agent_id="a")
        ).SerializeToString()

    responses = [raw async for raw in server.handler("Connect")(said(), Call(ADMIN))]

    assert len(responses) == 1


async def _in_order(server: Server, parent_id: str) -> list[Run]:
    found = await server.runs(f"parent={parent_id}", page_size=100)
    return sorted(found, key=lambda run: run.parameters["a"].number_value)


async def until_stored(server: Server) -> None:
    """Wait until no assignment is to be given again."""
    query = select(func.count()).where(~ASSIGNMENT.c.is_stored)
    database = server.application._database
    while await database.read(lambda connection: connection.execute(query).scalar_one()):  # noqa: ASYNC110 - in the store
        await asyncio.sleep(0.01)
