import asyncio
import time

import pytest
from google.protobuf.struct_pb2 import Value

from support.runs import (
    ADMIN,
    ANN,
    BOB,
    COMPLETED,
    PENDING,
    Cluster,
    Run,
    Server,
    closed,
    launched,
    new_run_id,
    state,
    sweep,
)
from trackside_protos.runs.v1 import run_pb2, run_state_pb2, runs_service_pb2
from trackside_runs.errors import ParentClosedError, RunConflictError
from trackside_serving.errors import (
    InvalidFieldError,
    NotAllowedError,
    RunNotFoundError,
    ServiceError,
)

ACTIONS = run_state_pb2.RunAction


async def create(server: Server, run: Run) -> runs_service_pb2.CreateRunResponse:
    request = runs_service_pb2.CreateRunRequest(run=run, producer_id="sdk-1")
    return await server.call("CreateRun", request)


async def test_a_run_is_as_it_was_asked_for(server: Server) -> None:
    run = await server.create(name="fit", tags=["b", "a", "b"], labels={"team": "pit"})

    assert run == await server.get(run.run_id)
    assert (run.name, run.owner, run.project, run.state) == ("fit", "ann", "default", PENDING)
    assert run.tags == ["a", "b"]
    assert run.session_id == run.run_id
    assert run.heartbeat_interval.seconds == 10
    assert run.lost_after_duration.seconds == 86400
    assert list(run.actions) == [
        ACTIONS.RUN_ACTION_STOP,
        ACTIONS.RUN_ACTION_KILL,
        ACTIONS.RUN_ACTION_UPDATE,
    ]
    assert run.sequence == 1


async def test_what_only_the_server_sets_is_ignored(server: Server) -> None:
    run = await server.create(owner="eve", state=COMPLETED, sealed=True, sequence=77, closed=True)

    assert (run.owner, run.state, run.sealed, run.closed) == ("ann", PENDING, False, False)
    assert run.sequence == 1


async def test_the_same_request_again_finds_the_run(cluster: Cluster) -> None:
    wanted = Run(run_id=new_run_id(), name="fit", parameters={"x": Value(number_value=1)})

    first = await create(cluster.one, wanted)
    await cluster.one.report(wanted.run_id, state(COMPLETED), closed())
    again = await create(cluster.other, wanted)

    assert (first.existed, again.existed) == (False, True)
    assert again.run.state == COMPLETED


async def test_another_request_with_the_same_id_is_a_conflict(server: Server) -> None:
    run_id = new_run_id()
    await server.create(run_id=run_id, name="fit")

    with pytest.raises(RunConflictError):
        await server.create(run_id=run_id, name="fat")

    assert (await server.get(run_id)).name == "fit"


async def test_reporters_meet_in_the_run_of_an_external_key(server: Server) -> None:
    first = await create(server, Run(external_key="nextflow/1/abc", name="x"))
    second = await create(server, Run(external_key="nextflow/1/abc", name="x"))

    assert second.existed
    assert second.run.run_id == first.run.run_id


async def test_an_external_key_with_other_contents_is_a_conflict(server: Server) -> None:
    await server.create(external_key="key", name="x")

    with pytest.raises(RunConflictError):
        await server.create(external_key="key", name="y")


async def test_an_id_of_somebody_else_is_a_conflict_whatever_the_contents(server: Server) -> None:
    wanted = Run(run_id=new_run_id(), name="x")
    await server.create(wanted)

    with pytest.raises(RunConflictError):
        await server.create(wanted, caller=BOB)


@pytest.mark.parametrize("key", ["", "engine/session/run"], ids=["by id", "by key"])
async def test_many_at_once_on_both_replicas_make_one_run(cluster: Cluster, key: str) -> None:
    run_id = new_run_id()
    runs = [
        Run(run_id="" if key else run_id, external_key=key, name="fit", tags=["a"])
        for _ in range(12)
    ]

    made = await asyncio.gather(
        *(create((cluster.one, cluster.other)[i % 2], run) for i, run in enumerate(runs))
    )

    assert len({response.run.run_id for response in made}) == 1
    assert [response.existed for response in made].count(False) == 1
    assert len(await cluster.one.runs()) == 1


async def test_other_contents_at_once_on_both_replicas_leave_one_run(cluster: Cluster) -> None:
    run_id = new_run_id()

    made = await asyncio.gather(
        cluster.one.create(run_id=run_id, name="x"),
        cluster.other.create(run_id=run_id, name="y"),
        return_exceptions=True,
    )

    conflicts = [result for result in made if isinstance(result, RunConflictError)]
    [run] = [result for result in made if isinstance(result, Run)]
    assert len(conflicts) == 1
    assert (await cluster.one.get(run_id)).name == run.name


async def test_wrong_fields_are_all_named_and_nothing_changes(server: Server) -> None:
    run = Run(run_id="no id", name="a\nb", tags=["x" * 200])

    with pytest.raises(InvalidFieldError) as refused:
        await create(server, run)

    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["run.run_id", "run.name", "run.tags[0]"]
    assert await server.runs() == []


async def test_a_child_of_an_unknown_parent_is_refused(server: Server) -> None:
    with pytest.raises(RunNotFoundError):
        await server.create(parent_run_id=new_run_id())


async def test_a_child_of_a_run_that_is_no_parent_is_refused(server: Server) -> None:
    run = await server.create()

    with pytest.raises(InvalidFieldError) as refused:
        await server.create(parent_run_id=run.run_id)

    assert refused.value.violations[0].field == "run.parent_run_id"


async def test_a_parent_of_others_is_as_if_it_were_not_there(server: Server) -> None:
    parent = await server.create(is_parent=True)

    with pytest.raises(RunNotFoundError):
        await server.create(parent_run_id=parent.run_id, caller=BOB)


async def test_who_only_sees_a_parent_adds_no_children(server: Server) -> None:
    parent = await server.create(is_parent=True, project="blue")
    member = type(BOB)("bob", BOB.role, projects=frozenset({"blue"}))

    with pytest.raises(NotAllowedError):
        await server.create(parent_run_id=parent.run_id, caller=member)


async def test_a_closed_parent_takes_no_children(server: Server) -> None:
    parent = await server.create(is_parent=True)
    child = await server.create(parent_run_id=parent.run_id, name="c", run_id=new_run_id())
    await server.call("CloseRun", runs_service_pb2.CloseRunRequest(run_id=parent.run_id))

    with pytest.raises(ParentClosedError):
        await server.create(parent_run_id=parent.run_id)

    again = await create(server, Run(parent_run_id=parent.run_id, name="c", run_id=child.run_id))
    assert again.existed


async def test_a_refusal_harms_nobody_in_the_same_commit(server: Server) -> None:
    parent = await server.create(is_parent=True)
    await server.call("CloseRun", runs_service_pb2.CloseRunRequest(run_id=parent.run_id))

    results = await asyncio.gather(
        *(
            server.create(name=f"r{i}", parent_run_id="" if i % 2 else parent.run_id)
            for i in range(20)
        ),
        return_exceptions=True,
    )

    assert [isinstance(result, ParentClosedError) for result in results] == [True, False] * 10


async def test_runs_that_resume_one_another_share_a_session(server: Server) -> None:
    first = await server.create()
    second = await server.create(resumed_run_id=first.run_id)
    third = await server.create(resumed_run_id=second.run_id)

    assert first.run_id == second.session_id == third.session_id
    assert run_pb2.RUN_FACET_HISTORY in third.facets


async def test_what_one_may_not_see_one_cannot_resume(server: Server) -> None:
    first = await server.create()

    with pytest.raises(RunNotFoundError):
        await server.create(resumed_run_id=first.run_id, caller=BOB)


# Sweeps.


async def test_the_children_of_a_grid_are_made_in_its_order(server: Server) -> None:
    parent = await server.create(sweep(a=[1, 2], b=[10, 20, 30]))

    request = runs_service_pb2.ListRunsRequest(filter=f"parent={parent.run_id}")
    runs = (await server.call("ListRuns", request, ADMIN)).runs
    agent = await server.connect().welcomed()
    given = await agent.given(6)
    launches = {a.run.run_id: list(a.run.launch.command) for a in agent.assignments}
    assert {run.name for run in runs} == {f"a={a}, b={b}" for a in (1, 2) for b in (10, 20, 30)}
    assert [launches[run_id] for run_id in given] == [
        ["fit", f"--a={a}", f"--b={b}"] for a in (1, 2) for b in (10, 20, 30)
    ]


async def test_children_have_what_their_parent_was_given(server: Server) -> None:
    wanted = sweep(epsilon=[0.02])
    wanted.tags.append("digits")
    wanted.labels["team"] = "pit"
    wanted.parameters["seed"].number_value = 7
    wanted.heartbeat_interval.seconds = 3
    wanted.lost_after_duration.seconds = 60
    parent = await server.create(wanted, caller=ANN)

    [child] = await server.children(parent)

    assert (child.name, child.owner, child.runner) == ("epsilon=0.02", "ann", "local")
    assert (list(child.tags), dict(child.labels)) == (["digits"], {"team": "pit"})
    assert child.parameters["seed"].number_value == 7
    assert child.parameters["epsilon"].number_value == pytest.approx(0.02)
    assert child.heartbeat_interval.seconds == 3
    assert child.lost_after_duration.seconds == 60
    assert child.state_reason == run_state_pb2.STATE_REASON_QUEUED


async def test_a_sweep_is_closed_with_its_grid_if_it_is_to_be(server: Server) -> None:
    closed_one = await server.create(sweep(a=[1], is_closed=True))
    open_one = await server.create(sweep(a=[1], is_closed=False))

    assert (closed_one.closed, open_one.closed) == (True, False)
    assert ACTIONS.RUN_ACTION_CLOSE not in closed_one.actions
    assert ACTIONS.RUN_ACTION_CLOSE in open_one.actions
    await server.create(launched(parent_run_id=open_one.run_id))


async def test_a_sweep_again_makes_no_more_children(server: Server) -> None:
    wanted = sweep(a=[1, 2])
    wanted.run_id = new_run_id()

    parent = await server.create(wanted)
    await server.create(wanted)

    assert len(await server.children(parent)) == 2


async def test_a_command_names_only_parameters_that_are_there(server: Server) -> None:
    wanted = sweep(a=[1])
    wanted.launch.command.append("{c}")

    with pytest.raises(InvalidFieldError) as refused:
        await server.create(wanted)

    assert refused.value.violations[0].field == "run.launch.command[2]"


async def test_a_run_that_nobody_could_end_is_refused(server: Server) -> None:
    with pytest.raises(ServiceError) as refused:
        await server.create(producer_id="")

    assert refused.value.violations[0].field == "producer_id"


async def seconds_for(server: Server, count: int) -> float:
    """Return how long the processor needs for a sweep of so many children."""
    began = time.process_time()

    parent = await server.create(sweep(a=range(count // 10), b=range(10)))

    assert parent.children.total_count == count
    return time.process_time() - began


@pytest.mark.exhaustive
async def test_ten_thousand_children_take_no_longer_each_than_a_few(server: Server) -> None:
    await seconds_for(server, 100)  # what only the first one takes

    few = await seconds_for(server, 1_000)

    assert await seconds_for(server, 10_000) < 40 * few  # about 10 times, on any machine
