import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from support.run_views import plain
from support.runs import (
    ADMIN,
    AGENT,
    ANN,
    BOB,
    COMPLETED,
    FAILED,
    IDLE,
    PENDING,
    RUNNING,
    TERMINATED,
    Cluster,
    Report,
    Server,
    at,
    beat,
    closed,
    launched,
    new_run_id,
    scope,
    state,
    task,
)
from trackside_journal.errors import BatchConflictError, StaleEpochError
from trackside_journal.tasks import closing
from trackside_protos.runs.v1 import (
    output_pb2,
    provenance_pb2,
    report_pb2,
    run_pb2,
    run_state_pb2,
    runs_service_pb2,
)
from trackside_runs.errors import IllegalTransitionError
from trackside_serving.calls import Call
from trackside_serving.errors import (
    InvalidFieldError,
    MalformedMessageError,
    NotAllowedError,
    RunNotFoundError,
    TooManyItemsError,
)
from trackside_serving.identity import Caller, Role


def output(path: str, **fields: object) -> Report:
    return Report(output=output_pb2.Output(path=path, **fields))  # pyright: ignore[reportArgumentType] - any fields


async def test_a_run_goes_through_its_life(cluster: Cluster) -> None:
    run = await cluster.one.create()

    await cluster.one.report(run.run_id, at(1, state(RUNNING)))
    await cluster.other.report(run.run_id, at(61, state(COMPLETED, exit_code=0)), closed())

    ended = await cluster.other.get(run.run_id)
    assert (ended.state, ended.exit_code, ended.sealed) == (COMPLETED, 0, True)
    assert ended.elapsed_duration.seconds == 60
    told = [change.run for change in await cluster.one.changes(run.run_id)]
    assert [one.elapsed_duration.seconds for one in told if one.state == COMPLETED] == [60, 60]
    changes = await cluster.one.changes(run.run_id)
    assert [change.run.state for change in changes] == [PENDING, RUNNING, COMPLETED, COMPLETED]
    assert [change.run.sealed for change in changes] == [False, False, False, True]
    assert [change.sequence for change in changes] == [1, 2, 3, 4]
    assert changes[1].producer_id == "sdk-1"
    assert changes[1].time.seconds == 1_700_000_001


async def test_everything_in_one_batch_counts_though_the_run_ends_in_it(server: Server) -> None:
    run = await server.create()
    result = run_pb2.ResultSummary(best_score=0.9)

    await server.report(
        run.run_id, state(RUNNING), state(COMPLETED), Report(result=result), closed()
    )

    ended = await server.get(run.run_id)
    assert ended.result.best_score == pytest.approx(0.9)
    assert ended.sealed


async def test_a_repeated_batch_counts_once(cluster: Cluster) -> None:
    run = await cluster.one.create()
    raw = cluster.one.batch(run.run_id, task("t", "RUNNING"))

    await cluster.one.send(raw, raw)
    [acknowledged] = await cluster.other.send(raw)

    assert (acknowledged.through_sequence, acknowledged.duplicate_count) == (1, 1)
    assert (await cluster.one.get(run.run_id)).task_counts.running == 1
    assert len(await cluster.one.changes(run.run_id)) == 3


async def test_batches_in_any_order_and_number_over_two_connections_count_once(
    cluster: Cluster,
) -> None:
    run = await cluster.one.create()
    batches = [cluster.one.batch(run.run_id, task(f"t{i}", "RUNNING")) for i in range(30)]
    shuffled = [batches[(i * 7) % 30] for i in range(30)]

    await asyncio.gather(
        cluster.one.send(*shuffled, *batches), cluster.other.send(*reversed(batches))
    )

    told = [change.task.task.task_id for change in await cluster.one.changes(run.run_id)]
    assert [task_id for task_id in told if task_id] == [f"t{i}" for i in range(30)]


async def test_the_same_number_for_other_bytes_is_a_conflict(server: Server) -> None:
    run = await server.create()
    await server.send(server.batch(run.run_id, state(RUNNING), sequence=1))

    with pytest.raises(BatchConflictError):
        await server.send(server.batch(run.run_id, state(COMPLETED), sequence=1))


async def test_an_old_epoch_is_fenced(server: Server) -> None:
    run = await server.create()
    await server.send(server.batch(run.run_id, state(RUNNING), sequence=1, epoch=2))

    with pytest.raises(StaleEpochError):
        await server.send(server.batch(run.run_id, state(COMPLETED), sequence=1, epoch=1))


async def test_an_illegal_state_takes_its_whole_batch_back(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING))
    before = await server.get(run.run_id)

    with pytest.raises(IllegalTransitionError) as refused:
        await server.report(
            run.run_id, task("t", "RUNNING"), scope("fold", 1, 5), state(IDLE), task("u", "RUNNING")
        )

    told = {"from": "RUNNING", "to": "IDLE", "batch_sequence": "2"}
    assert told.items() <= refused.value.metadata.items()
    assert plain(await server.get(run.run_id)) == plain(before)
    assert await server.tasks(run.run_id) == []


async def test_an_illegal_task_takes_its_whole_batch_back(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, task("t", "SUCCEEDED"))

    with pytest.raises(IllegalTransitionError) as refused:
        await server.report(run.run_id, state(RUNNING), task("t", "FAILED"))

    assert refused.value.metadata["from"] == "SUCCEEDED"
    assert (await server.get(run.run_id)).state == PENDING


async def test_an_illegal_batch_hurts_no_other_producer(cluster: Cluster) -> None:
    runs = [await cluster.one.create() for _ in range(8)]
    batches = [
        cluster.one.batch(run.run_id, task("t", "RUNNING"), state(IDLE if i == 3 else RUNNING))
        for i, run in enumerate(runs)
    ]

    results = await asyncio.gather(
        *((cluster.one, cluster.other)[i % 2].send(raw) for i, raw in enumerate(batches)),
        return_exceptions=True,
    )

    found = [(await cluster.one.get(run.run_id)).state for run in runs]
    assert [isinstance(result, Exception) for result in results] == [i == 3 for i in range(8)]
    assert found == [PENDING if i == 3 else RUNNING for i in range(8)]


async def test_wrong_fields_of_a_batch_are_named_and_nothing_changes(server: Server) -> None:
    run = await server.create()

    with pytest.raises(InvalidFieldError) as refused:
        await server.report(
            run.run_id, state(RUNNING), task("", "RUNNING"), scope("a//b", -1), Report()
        )

    fields = [violation.field for violation in refused.value.violations]
    assert fields == [
        "reports[1].task.task_id",
        "reports[2].scope.path",
        "reports[2].scope.completed_count",
        "reports[3]",
    ]
    assert refused.value.metadata["batch_sequence"] == "1"
    assert (await server.get(run.run_id)).sequence == 1


async def test_too_many_reports_are_refused(server: Server) -> None:
    run = await server.create()

    with pytest.raises(TooManyItemsError):
        await server.report(run.run_id, *([beat()] * 1001))


async def test_bytes_that_are_no_batch_are_refused(server: Server) -> None:
    run = await server.create()
    raw = server.batch(run.run_id, state(RUNNING))

    with pytest.raises(MalformedMessageError):
        await server.send(raw + b"\x12\x7f\x01")

    assert (await server.get(run.run_id)).state == PENDING


# The authority.


async def test_only_the_authority_ends_a_run(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING))

    await server.report(run.run_id, state(FAILED, exit_code=3), producer_id="other")

    advised = await server.get(run.run_id)
    last = (await server.changes(run.run_id))[-2:]
    assert (advised.state, advised.exit_code) == (RUNNING, 3)
    assert last[0].ignored.state.state == FAILED
    assert last[0].producer_id == "other"


async def test_the_authority_has_the_last_word_on_the_exit_code(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(FAILED, exit_code=3), producer_id="other")

    await server.report(run.run_id, state(COMPLETED, exit_code=0))

    assert (await server.get(run.run_id)).exit_code == 0


async def test_others_may_say_that_it_runs(server: Server) -> None:
    run = await server.create()

    await server.report(run.run_id, state(RUNNING), producer_id="other")

    assert (await server.get(run.run_id)).state == RUNNING


async def test_a_late_report_is_recorded_and_changes_nothing(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(COMPLETED))

    await server.report(run.run_id, state(RUNNING), task("t", "RUNNING"), state(FAILED))

    late = [c.ignored.WhichOneof("report") for c in await server.changes(run.run_id) if c.ignored]
    assert [kind for kind in late if kind] == ["state", "task", "state"]
    assert (await server.get(run.run_id)).state == COMPLETED
    assert await server.tasks(run.run_id) == []


@pytest.mark.parametrize("end", [COMPLETED, FAILED, TERMINATED])
async def test_a_final_state_never_changes(
    server: Server, end: run_state_pb2.RunState.ValueType
) -> None:
    run = await server.create()
    await server.report(run.run_id, state(end))

    await server.report(run.run_id, *(state(s) for s in (PENDING, RUNNING, COMPLETED, FAILED)))
    await server.report(run.run_id, state(TERMINATED))

    assert (await server.get(run.run_id)).state == end


async def test_an_open_task_is_aborted_with_its_run(server: Server) -> None:
    run = await server.create()
    await server.report(
        run.run_id, task("a", "RUNNING"), task("b", "SUCCEEDED"), task("c", "PENDING")
    )

    await server.report(run.run_id, at(5, state(FAILED)))

    states = {t.task_id: (t.state, t.end_time.seconds) for t in await server.tasks(run.run_id)}
    counts = (await server.get(run.run_id)).task_counts
    assert states["a"] == states["c"] == (6, 1_700_000_005)
    assert states["b"][0] == 4
    assert (counts.aborted, counts.succeeded, counts.running, counts.pending) == (2, 1, 0, 0)


# Termination protection.


async def test_a_protected_run_stays_idle_with_its_outcome(server: Server) -> None:
    run = await server.create(termination_protection=True)

    await server.report(run.run_id, state(RUNNING), state(FAILED, exit_code=2), closed())

    idle = await server.get(run.run_id)
    assert (idle.state, idle.outcome, idle.sealed) == (IDLE, FAILED, False)
    killed = await server.kill(run.run_id)
    assert (killed.state, killed.outcome, killed.sealed) == (TERMINATED, FAILED, True)


async def test_no_reporter_ends_an_idle_run(server: Server) -> None:
    run = await server.create(termination_protection=True)
    await server.report(run.run_id, state(COMPLETED))

    await server.report(run.run_id, state(TERMINATED), state(FAILED))

    assert (await server.get(run.run_id)).state == IDLE


# What else is reported.


async def test_the_seal_waits_for_every_producer(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING), producer_id="other")
    await server.report(run.run_id, state(COMPLETED), closed())
    assert not (await server.get(run.run_id)).sealed

    await server.report(run.run_id, closed(), producer_id="other")

    assert (await server.get(run.run_id)).sealed


async def test_outputs_after_the_seal_are_late(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, output("early"), state(COMPLETED), closed())

    await server.report(run.run_id, output("late"), state(RUNNING), task("t", "RUNNING"))

    listed = await server.call(
        "ListOutputs", runs_service_pb2.ListOutputsRequest(run_id=run.run_id)
    )
    assert [(o.path, o.late) for o in listed.outputs] == [("early", False), ("late", True)]
    assert await server.tasks(run.run_id) == []


async def test_a_report_of_an_output_replaces_what_was_said_of_it(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, output("m", size_bytes=1), output("m", size_bytes=2))

    request = runs_service_pb2.ListOutputsRequest(run_id=run.run_id)
    [listed] = (await server.call("ListOutputs", request)).outputs
    assert listed.size_bytes == 2
    assert run_pb2.RUN_FACET_OUTPUTS in (await server.get(run.run_id)).facets


async def test_an_error_is_kept(server: Server) -> None:
    run = await server.create()

    await server.report(run.run_id, Report(error=run_pb2.ErrorReport(kind="ValueError")))

    told = await server.get(run.run_id)
    assert told.error.kind == "ValueError"
    assert told.error.HasField("time")
    assert run_pb2.RUN_FACET_ERROR in told.facets


async def test_attributes_are_added_and_found(server: Server) -> None:
    run = await server.create(tags=["b"], parameters={"x": Value(number_value=1)})
    told = report_pb2.AttributesReport(
        engine="python", tags=["a"], labels={"team": "pit"}, description="quick"
    )
    told.parameters["x"].number_value = 2

    await server.report(run.run_id, Report(attributes=told))

    found = await server.runs("tag:a tag:b label.team=pit parameter.x=2 quick")
    assert [r.run_id for r in found] == [run.run_id]
    assert await server.runs("parameter.x=1") == []


async def test_attributes_without_end_are_refused(server: Server) -> None:
    run = await server.create()
    first = report_pb2.AttributesReport(tags=[f"t{i}" for i in range(64)])
    await server.report(run.run_id, Report(attributes=first))

    with pytest.raises(InvalidFieldError):
        await server.report(
            run.run_id, Report(attributes=report_pb2.AttributesReport(tags=["one more"]))
        )


async def test_provenance_replaces_the_parts_that_are_set(server: Server) -> None:
    run = await server.create(
        provenance=provenance_pb2.Provenance(command=["fit"], work_directory="/a")
    )

    told = provenance_pb2.Provenance(work_directory="/b")
    await server.report(run.run_id, Report(provenance=told))

    known = (await server.get(run.run_id)).provenance
    assert (list(known.command), known.work_directory) == (["fit"], "/b")
    changes = await server.changes(run.run_id)
    assert [c.run.HasField("provenance") for c in changes] == [False, True]


async def test_a_gap_is_on_the_record(server: Server) -> None:
    run = await server.create()

    await server.report(run.run_id, Report(gap=report_pb2.GapReport(kind="logs", item_count=3)))

    (gap,) = [c.gap for c in await server.changes(run.run_id) if c.HasField("gap")]
    assert gap.item_count == 3


async def test_what_was_lost_is_summed_up_on_the_run_by_kind(server: Server) -> None:
    run = await server.create()
    gaps = [("logs", 3, 10), ("points", 1, 5), ("logs", 4, 20), ("logs", 0, 0)]
    gaps += [(f"kind {number}", (1 << 63) - 1, 0) for number in range(20)] * 2

    for kind, count, size in gaps:
        gap = report_pb2.GapReport(kind=kind, item_count=count, size_bytes=size)
        await server.report(run.run_id, Report(gap=gap))

    losses = (await server.get(run.run_id)).losses
    told = [(loss.kind, loss.item_count, loss.size_bytes) for loss in losses]
    assert told[:2] == [("logs", 7, 30), ("points", 1, 5)]
    assert len(told) == 16


async def test_a_heartbeat_leaves_no_change(server: Server) -> None:
    run = await server.create()
    assert not run.HasField("heartbeat_time")

    await server.report(run.run_id, beat())

    heard = await server.get(run.run_id)
    assert heard.sequence == 1
    assert heard.HasField("heartbeat_time")
    assert (await server.runs())[0].HasField("heartbeat_time")


async def test_a_time_far_ahead_is_kept_and_flagged(server: Server) -> None:
    run = await server.create()
    report = state(RUNNING)
    report.time.FromMilliseconds(server.clock() + 3_600_000)

    await server.report(run.run_id, report)

    told = await server.get(run.run_id)
    assert told.start_time == report.time
    ahead = "The program's clock is 1 hour ahead of the server's."
    assert await skews(server, run.run_id) == [ahead]


def clock(milliseconds: int) -> bytes:
    request = runs_service_pb2.ReportRunRequest()
    request.clock_time.FromMilliseconds(milliseconds)
    return request.SerializeToString()


async def skews(server: Server, run_id: str) -> list[str]:
    conditions = (await server.get(run_id)).conditions
    assert {c.kind for c in conditions} <= {run_state_pb2.CONDITION_KIND_CLOCK_SKEW}
    return [condition.message for condition in conditions]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, []),
        (-59, []),
        (59, []),
        (-61, ["The program's clock is 1 minute behind the server's."]),
        (-2 * 86_400, ["The program's clock is 2 days behind the server's."]),
        (3 * 3_600, ["The program's clock is 3 hours ahead of the server's."]),
    ],
)
async def test_a_clock_that_is_far_off_is_flagged_with_how_far(
    server: Server, seconds: int, told: list[str]
) -> None:
    run = await server.create()

    now = clock(server.clock() + seconds * 1000)
    await server.send(now, server.batch(run.run_id, state(RUNNING)))

    assert await skews(server, run.run_id) == told


async def test_a_clock_that_jumps_while_it_reports_is_flagged(server: Server) -> None:
    run = await server.create()
    begun = server.batch(run.run_id, state(RUNNING))
    later = server.batch(run.run_id, beat())

    await server.send(clock(server.clock()), begun)
    assert await skews(server, run.run_id) == []
    await server.send(clock(server.clock()), clock(server.clock() - 86_400_000), later)

    assert await skews(server, run.run_id) == ["The program's clock is 1 day behind the server's."]


async def test_what_waited_in_a_spool_is_behind_without_a_wrong_clock(server: Server) -> None:
    run = await server.create()

    waited = server.batch(run.run_id, at(0, state(RUNNING)))
    await server.send(clock(server.clock()), waited)

    assert await skews(server, run.run_id) == []


async def test_the_clock_of_an_agent_is_told_as_such(server: Server) -> None:
    agent = await server.connect().welcomed()
    run = await server.create(launched())
    await agent.given()
    agent.store(run.run_id)

    begun = server.batch(run.run_id, state(RUNNING), producer_id=agent.agent_id)
    await server.send(clock(server.clock() - 3_600_000), begun, caller=AGENT)

    assert await skews(server, run.run_id) == ["The agent's clock is 1 hour behind the server's."]


async def test_a_clock_that_shows_no_time_is_refused(server: Server) -> None:
    run = await server.create()
    wrong = runs_service_pb2.ReportRunRequest(clock_time=Timestamp(seconds=1 << 60))

    with pytest.raises(InvalidFieldError, match="clock_time"):
        await server.send(wrong.SerializeToString(), server.batch(run.run_id, state(RUNNING)))
    with pytest.raises(MalformedMessageError):
        await server.send(b"\x1a\xff\xff")


# Who may report.


async def test_nobody_reports_to_what_they_cannot_see(server: Server) -> None:
    run = await server.create()

    with pytest.raises(RunNotFoundError):
        await server.report(run.run_id, state(RUNNING), caller=BOB)
    with pytest.raises(RunNotFoundError):
        await server.report(new_run_id(), state(RUNNING), caller=ADMIN)


async def test_a_member_of_the_project_sees_and_does_not_report(server: Server) -> None:
    run = await server.create(project="blue")
    member = Caller("bob", Role.USER, projects=frozenset({"blue"}))

    with pytest.raises(NotAllowedError):
        await server.report(run.run_id, state(RUNNING), caller=member)


async def test_a_program_cannot_report_in_the_name_of_its_agent(server: Server) -> None:
    run = await server.create(launched())
    async with server.connect() as agent:
        await agent.given()
    program = Caller("run", Role.REPORTER, run_ids=frozenset({run.run_id}))

    with pytest.raises(NotAllowedError):
        await server.report(run.run_id, state(COMPLETED), producer_id="agent-1", caller=program)
    await server.report(run.run_id, state(RUNNING), caller=program)

    assert (await server.get(run.run_id)).state == RUNNING


async def test_many_producers_at_once_are_all_taken(cluster: Cluster) -> None:
    runs = [await cluster.one.create() for _ in range(20)]

    await asyncio.gather(
        *(
            (cluster.one, cluster.other)[(i + n) % 2].report(run.run_id, task(f"{n}", "RUNNING"))
            for n in range(5)
            for i, run in enumerate(runs)
        )
    )

    counts = [run.task_counts.running for run in await cluster.one.runs(page_size=100)]
    assert counts == [5] * 20


async def test_a_stream_of_reports_that_is_left_takes_no_more(server: Server) -> None:
    run = await server.create()
    left: list[bool] = []

    async def batches() -> AsyncIterator[bytes]:
        try:
            while True:
                yield server.batch(run.run_id, state(RUNNING))
        finally:
            left.append(True)

    async with closing(server.handler("ReportRun")(batches(), Call(ANN))) as stream:
        await anext(stream)

    assert left == [True]
