"""Secrets of launches, parameters and provenance: what is shown, given, and kept."""

from google.protobuf.struct_pb2 import Value
from sqlalchemy import Connection, select

from support.runs import (
    BEGINNING,
    COMPLETED,
    Cluster,
    Report,
    Run,
    Server,
    closed,
    launched,
    state,
    sweep,
)
from trackside_protos.runs.v1 import provenance_pb2, report_pb2
from trackside_runs.storage.tables import RunsTables

SECRET = "hunter2hunter2"  # noqa: S105 - what must not be seen


def with_secrets(run: Run) -> Run:
    run.launch.command.extend(["--password", SECRET, "{db_password}"])
    run.launch.environment["API_TOKEN"] = SECRET
    run.launch.environment["HOME"] = "/home/ann"
    run.parameters["db_password"].string_value = SECRET
    run.provenance.environment["SECRET_KEY"] = SECRET
    return run


async def stored(server: Server) -> bytes:
    """Return everything that the store holds."""

    def read(connection: Connection) -> bytes:
        rows = [
            row
            for table in RunsTables.metadata.sorted_tables
            for row in connection.execute(select(table))
        ]
        return b"\n".join(v if isinstance(v, bytes) else str(v).encode() for r in rows for v in r)

    return await server.application._database.read(read)


async def test_secrets_are_given_to_the_agent_and_shown_to_nobody(cluster: Cluster) -> None:
    run = await cluster.one.create(with_secrets(launched(name="")))

    async with cluster.other.connect() as agent:
        await agent.given()
    watchers = [cluster.one.watch(run.run_id, start) for start in (None, BEGINNING)]
    for watcher in watchers:
        async with watcher:
            await watcher.caught_up()

    [assignment] = agent.assignments
    assert list(assignment.run.launch.command) == ["fit", "--password", SECRET, SECRET]
    assert assignment.run.launch.environment["API_TOKEN"] == SECRET
    assert assignment.run.launch.environment["HOME"] == "/home/ann"
    shown = await cluster.one.get(run.run_id)
    assert list(shown.launch.command) == ["fit", "--password", "***", "***"]
    assert dict(shown.launch.environment) == {"API_TOKEN": "***", "HOME": "/home/ann"}
    listed = await cluster.one.runs()
    watched = [response for watcher in watchers for response in watcher.responses]
    for told in (run, shown, *listed, *watched):
        assert SECRET not in str(told)


async def test_secrets_are_gone_from_the_store_when_the_run_has_ended(server: Server) -> None:
    run = await server.create(with_secrets(launched()))
    assert SECRET.encode() in await stored(server)
    async with server.connect() as agent:
        await agent.given()
        await agent.report(run.run_id, state(COMPLETED), closed())

    assert SECRET.encode() not in await stored(server)
    assert (await server.get(run.run_id)).launch.command[0] == "fit"


async def test_secrets_of_a_killed_queued_run_are_gone(server: Server) -> None:
    run = await server.create(with_secrets(launched()))

    await server.kill(run.run_id)

    assert SECRET.encode() not in await stored(server)


async def test_secrets_of_a_sweep_are_masked_in_parent_and_children(server: Server) -> None:
    wanted = with_secrets(sweep(a=[1, 2]))
    wanted.sweep.axes.add(key="api_key", values=[Value(string_value=SECRET)])
    parent = await server.create(wanted)

    shown = [await server.get(run.run_id) for run in await server.children(parent)]
    assert [run.name for run in shown] == ["a=1, api_key=***", "a=2, api_key=***"]
    for run in (parent, await server.get(parent.run_id), *shown):
        assert SECRET not in str(run)
    async with server.connect() as agent:
        for run_id in list(await agent.given(2)):
            await agent.report(run_id, state(COMPLETED), closed())

    assert [list(a.run.launch.command)[-1] for a in agent.assignments] == [SECRET] * 2
    assert SECRET.encode() not in await stored(server)


async def test_a_name_is_made_from_masked_parameters(server: Server) -> None:
    parent = await server.create(is_parent=True)

    child = await server.create(
        parent_run_id=parent.run_id, parameters={"token": Value(string_value=SECRET)}
    )

    assert child.name == "token=***"


async def test_what_is_reported_is_masked_before_it_is_stored(server: Server) -> None:
    run = await server.create()
    told = report_pb2.AttributesReport()
    told.parameters["password"].string_value = SECRET
    result = Report()
    result.result.values["api_key"] = SECRET

    await server.report(
        run.run_id,
        Report(provenance=provenance_pb2.Provenance(command=["x", f"--token={SECRET}"])),
        Report(attributes=told),
        result,
    )

    assert SECRET.encode() not in await stored(server)
