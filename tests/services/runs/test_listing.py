from itertools import pairwise

import pytest
from google.protobuf.struct_pb2 import Value

from support.runs import (
    ADMIN,
    ANN,
    BOB,
    COMPLETED,
    FAILED,
    RUNNING,
    Run,
    Server,
    closed,
    launched,
    new_run_id,
    state,
    task,
)
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_serving.errors import (
    InvalidFieldError,
    InvalidFilterError,
    InvalidPageTokenError,
    PartNotFoundError,
    RunNotFoundError,
)
from trackside_serving.identity import Caller, Role

FILTERS = [
    "",
    "state=RUNNING",
    "state=RUNNING OR state=FAILED",
    "NOT state=RUNNING",
    "tag:gpu",
    "-tag:gpu",
    "label.team=pit",
    "label.team:*",
    "parameter.depth>=2",
    "parameter.kind=svc*",
    "name=fit*",
    'ridge "depth=3"',
    "owner=ann project=blue",
    "runner=local",
    "exit_code>0",
    "exit_code=0",
    "NOT exit_code=0",
    "end_time:*",
    "create_time>-1h",
    "external_key=key/1",
    "condition:KILLING",
    "parent:*",
]


async def zoo(server: Server) -> list[Run]:
    """Make runs of many kinds."""
    parent = await server.create(is_parent=True, name="parent")
    for number in range(8):
        run = Run(
            name=("fit ridge", "fit svc", "load")[number % 3],
            project=("blue", "default")[number % 2],
            tags=["gpu", "quick"] if number % 3 else ["cpu"],
            labels={"team": "pit"} if number % 2 else {},
            external_key=f"key/{number}",
            parent_run_id=parent.run_id if number > 5 else "",
            parameters={
                "depth": Value(number_value=number),
                "kind": Value(string_value=("svc-a", "tree")[number % 2]),
            },
        )
        run = await server.create(run)
        if number % 4:
            await server.report(run.run_id, state(RUNNING))
        if number % 4 > 1:
            end = (COMPLETED, FAILED)[number % 2]
            await server.report(run.run_id, state(end, exit_code=number % 2), closed())
    await server.kill((await server.create()).run_id)
    await server.create(launched(name="waiting"))
    return await server.runs(page_size=100)


@pytest.mark.parametrize("filter_", FILTERS)
async def test_a_watch_of_a_filter_shows_what_the_list_shows(server: Server, filter_: str) -> None:
    async with server.watch_list(filter_) as watcher:
        await watcher.caught_up()
        await zoo(server)
        await watcher.is_the_list(server, filter_)


async def test_pages_hold_every_run_once(server: Server) -> None:
    everything = [run.run_id for run in await zoo(server)]

    request = runs_service_pb2.ListRunsRequest(page_size=3)
    found: list[str] = []
    while True:
        response = await server.call("ListRuns", request, ADMIN)
        found += [run.run_id for run in response.runs]
        request.page_token = response.next_page_token
        if not request.page_token:
            break

    assert found == everything


async def test_the_newest_come_first_unless_asked_otherwise(server: Server) -> None:
    await zoo(server)

    newest = [run.create_time.ToNanoseconds() for run in await server.runs()]
    by_name = [run.name for run in await server.runs(order_by="name")]

    assert all(later >= earlier for later, earlier in pairwise(newest))
    assert by_name == sorted(by_name)


async def test_everybody_sees_their_own(server: Server) -> None:
    own = await server.create()
    theirs = await server.create(caller=BOB, project="blue")
    member = Caller("ann", Role.VIEWER, projects=frozenset({"blue"}))

    assert [run.run_id for run in await server.runs(caller=ANN)] == [own.run_id]
    assert [run.run_id for run in await server.runs(caller=member)] == [theirs.run_id, own.run_id]
    assert len(await server.runs(caller=ADMIN)) == 2


@pytest.mark.parametrize(
    ("filter_", "position"),
    [
        ("state=", 6),
        ("state=NOWHERE", 6),
        ("nofield=1", 0),
        ("(state=RUNNING", 0),
        ("state=RUNNING)", 13),
        ("create_time>yesterday", 12),
        ("a AND", 5),
    ],
)
async def test_an_impossible_filter_is_told_with_its_place(
    server: Server, filter_: str, position: int
) -> None:
    with pytest.raises(InvalidFilterError) as refused:
        await server.runs(filter_)

    assert refused.value.metadata["position"] == str(position)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (runs_service_pb2.ListRunsRequest(order_by="owner"), "order_by"),
        (runs_service_pb2.ListRunsRequest(order_by="name up"), "order_by"),
        (runs_service_pb2.ListRunsRequest(page_size=-1), "page_size"),
        (runs_service_pb2.ListRunsRequest(page_size=1001), "page_size"),
    ],
)
async def test_a_list_that_is_none_is_refused(
    server: Server, request_: runs_service_pb2.ListRunsRequest, field: str
) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await server.call("ListRuns", request_)

    assert refused.value.violations[0].field == field


@pytest.mark.parametrize(
    ("name", "value"), [("filter", "tag:a"), ("order_by", "name"), ("page_token", "nonsense")]
)
async def test_a_page_token_belongs_to_its_request(server: Server, name: str, value: str) -> None:
    for _ in range(3):
        await server.create()
    first = await server.call("ListRuns", runs_service_pb2.ListRunsRequest(page_size=1))
    request = runs_service_pb2.ListRunsRequest(page_size=1, page_token=first.next_page_token)

    setattr(request, name, value)

    with pytest.raises(InvalidPageTokenError):
        await server.call("ListRuns", request)


async def test_a_page_token_of_somebody_else_is_refused(server: Server) -> None:
    for _ in range(3):
        await server.create()
    first = await server.call("ListRuns", runs_service_pb2.ListRunsRequest(page_size=1))
    request = runs_service_pb2.ListRunsRequest(page_size=1, page_token=first.next_page_token)

    with pytest.raises(InvalidPageTokenError):
        await server.call("ListRuns", request, BOB)


# Parts of runs.


PARTS = [
    ("GetRun", runs_service_pb2.GetRunRequest),
    ("ListTasks", runs_service_pb2.ListTasksRequest),
    ("GetTask", runs_service_pb2.GetTaskRequest),
    ("ListProcesses", runs_service_pb2.ListProcessesRequest),
    ("ListOutputs", runs_service_pb2.ListOutputsRequest),
    ("ListChanges", runs_service_pb2.ListChangesRequest),
    ("KillRun", runs_service_pb2.KillRunRequest),
    ("CloseRun", runs_service_pb2.CloseRunRequest),
]


@pytest.mark.parametrize(("method", "kind"), PARTS)
async def test_an_unknown_run_and_one_of_others_are_alike(
    server: Server, method: str, kind: type[runs_service_pb2.GetRunRequest]
) -> None:
    theirs = await server.create(is_parent=True)

    for run_id in (theirs.run_id, new_run_id()):
        with pytest.raises(RunNotFoundError):
            await server.call(method, kind(run_id=run_id), BOB)


@pytest.mark.parametrize(("method", "kind"), PARTS)
@pytest.mark.parametrize("run_id", ["", "short", "ABCDEFGHIJKLMNOP", "é" * 16])
async def test_what_is_no_run_id_is_told(
    server: Server, method: str, kind: type[runs_service_pb2.GetRunRequest], run_id: str
) -> None:
    with pytest.raises(InvalidFieldError) as refused:
        await server.call(method, kind(run_id=run_id))

    assert refused.value.violations[0].field == "run_id"


async def test_a_reporter_reads_its_own_run_only(server: Server) -> None:
    own, other = await server.create(), await server.create()
    reporter = Caller("run", Role.REPORTER, run_ids=frozenset({own.run_id}))

    assert (await server.get(own.run_id, reporter)).run_id == own.run_id
    with pytest.raises(RunNotFoundError):
        await server.get(other.run_id, reporter)


async def test_tasks_are_found_by_state_and_process_in_order(server: Server) -> None:
    run = await server.create()
    names = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED")
    await server.report(
        run.run_id, *(task(f"{i:02}", names[i % 4], process=f"p{i % 3}") for i in range(24))
    )

    async def found(**fields: object) -> list[str]:
        request = runs_service_pb2.ListTasksRequest(run_id=run.run_id, page_size=3, **fields)  # pyright: ignore[reportArgumentType] - any fields
        ids: list[str] = []
        while True:
            response = await server.call("ListTasks", request)
            ids += [told.task_id for told in response.tasks]
            request.page_token = response.next_page_token
            if not request.page_token:
                return ids

    def wanted(states: set[int], process: int | None = None) -> list[str]:
        return [
            f"{i:02}"
            for i in range(24)
            if i % 4 in states and (process is None or i % 3 == process)
        ]

    assert await found() == wanted({0, 1, 2, 3})
    assert await found(states=[3, 5]) == wanted({1, 3})
    assert await found(process="p1") == wanted({0, 1, 2, 3}, 1)
    assert await found(states=[1, 3], process="p2") == wanted({0, 1}, 2)


async def test_what_is_wrong_with_a_request_for_parts_is_told(server: Server) -> None:
    run_id = (await server.create()).run_id
    service = runs_service_pb2
    wrong = [
        ("ListTasks", service.ListTasksRequest(run_id=run_id, page_size=-1), "page_size"),
        ("ListTasks", service.ListTasksRequest(run_id=run_id, states=[99]), "states[0]"),  # pyright: ignore[reportArgumentType] - no such state
        ("ListOutputs", service.ListOutputsRequest(run_id=run_id, page_size=1001), "page_size"),
        ("ListProcesses", service.ListProcessesRequest(run_id=run_id, order_by="x"), "order_by"),
        ("ListChanges", service.ListChangesRequest(run_id=run_id, page_size=-7), "page_size"),
        (
            "ListChanges",
            service.ListChangesRequest(run_id=run_id, after_sequence=-1),
            "after_sequence",
        ),
    ]

    for method, request, field in wrong:
        with pytest.raises(InvalidFieldError) as refused:
            await server.call(method, request)
        assert refused.value.violations[0].field == field


async def test_a_page_token_of_tasks_belongs_to_its_run(server: Server) -> None:
    runs = [await server.create() for _ in range(2)]
    for run in runs:
        await server.report(run.run_id, task("a", "RUNNING"), task("b", "RUNNING"))
    request = runs_service_pb2.ListTasksRequest(run_id=runs[0].run_id, page_size=1)
    first = await server.call("ListTasks", request)

    request = runs_service_pb2.ListTasksRequest(
        run_id=runs[1].run_id, page_size=1, page_token=first.next_page_token
    )

    with pytest.raises(InvalidPageTokenError):
        await server.call("ListTasks", request)


async def test_an_unknown_task_is_told(server: Server) -> None:
    run = await server.create()

    request = runs_service_pb2.GetTaskRequest(run_id=run.run_id, task_id="t")
    with pytest.raises(PartNotFoundError):
        await server.call("GetTask", request)


async def test_a_list_has_no_large_parts(server: Server) -> None:
    run = launched()
    run.provenance.command.append("fit")
    await server.create(run)

    [listed] = await server.runs()

    assert not listed.HasField("provenance")
    assert not listed.HasField("launch")
    assert run_pb2.RUN_FACET_TASKS not in listed.facets
