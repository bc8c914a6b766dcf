import asyncio
import threading
from typing import Any

import pytest

from support.conditions import until
from support.runs import (
    COMPLETED,
    FAILED,
    IDLE,
    PENDING,
    RUNNING,
    TERMINATED,
    Cluster,
    Report,
    Run,
    Server,
    at,
    closed,
    scope,
    state,
)
from trackside_journal.errors import StoreUnavailableError
from trackside_protos.runs.v1 import provenance_pb2, run_pb2, run_state_pb2, runs_service_pb2
from trackside_runs import parents
from trackside_runs.errors import ActionNotAllowedError
from trackside_runs.registry import Change
from trackside_serving.errors import InvalidFieldError
from trackside_serving.identity import Caller, Role


async def family(server: Server, count: int, **fields: Any) -> tuple[Run, list[Run]]:
    parent = await server.create(is_parent=True, **fields)
    return parent, [await server.create(parent_run_id=parent.run_id) for _ in range(count)]


async def close(server: Server, parent: Run, result: run_pb2.ResultSummary | None = None) -> Run:
    request = runs_service_pb2.CloseRunRequest(run_id=parent.run_id, result=result)
    return (await server.call("CloseRun", request)).run


def counts(run: Run) -> dict[str, int]:
    return dict(run.children.counts)


async def test_a_parent_runs_with_its_first_child(server: Server) -> None:
    parent, children = await family(server, 2)
    assert (parent.state, counts(await server.get(parent.run_id))) == (PENDING, {"PENDING": 2})

    await server.report(children[0].run_id, at(5, state(RUNNING)))

    told = await server.get(parent.run_id)
    assert (told.state, told.start_time.seconds) == (RUNNING, 1_700_000_005)
    assert counts(told) == {"PENDING": 1, "RUNNING": 1}


@pytest.mark.parametrize(
    ("ends", "outcome", "reason"),
    [
        ([COMPLETED, COMPLETED], COMPLETED, 0),
        ([COMPLETED, FAILED], FAILED, run_state_pb2.STATE_REASON_CHILDREN_FAILED),
        ([COMPLETED, TERMINATED], FAILED, run_state_pb2.STATE_REASON_CHILDREN_FAILED),
    ],
)
async def test_a_closed_parent_ends_with_its_last_child(
    cluster: Cluster, ends: list[run_state_pb2.RunState.ValueType], outcome: int, reason: int
) -> None:
    parent, children = await family(cluster.one, 2)
    await close(cluster.one, parent)

    for child, end in zip(children, ends, strict=True):
        assert (await cluster.one.get(parent.run_id)).state in {PENDING, RUNNING}
        await cluster.other.report(child.run_id, state(RUNNING), state(end), closed())

    told = await cluster.one.get(parent.run_id)
    assert (told.state, told.state_reason, told.sealed) == (outcome, reason, True)
    assert told.children.ended_count == 2


async def test_an_open_parent_waits_for_more_children(server: Server) -> None:
    parent, [child] = await family(server, 1)
    await server.report(child.run_id, state(RUNNING), state(COMPLETED))
    assert (await server.get(parent.run_id)).state == RUNNING

    ended = await close(server, parent, run_pb2.ResultSummary(best_score=0.9))

    assert (ended.state, ended.result.best_score) == (COMPLETED, pytest.approx(0.9))


async def test_closing_again_changes_nothing(server: Server) -> None:
    parent, _ = await family(server, 1)
    first = await close(server, parent)

    assert (await close(server, parent)).sequence == first.sequence


async def test_only_a_parent_is_closed(server: Server) -> None:
    run = await server.create()

    with pytest.raises(ActionNotAllowedError):
        await close(server, run)


async def test_a_wrong_result_is_refused(server: Server) -> None:
    parent, _ = await family(server, 0)

    with pytest.raises(InvalidFieldError) as refused:
        await close(server, parent, run_pb2.ResultSummary(best_run_id="nobody"))

    assert refused.value.violations[0].field == "result.best_run_id"
    assert not (await server.get(parent.run_id)).closed


async def test_a_protected_parent_stays_idle_with_its_outcome(server: Server) -> None:
    parent, [child] = await family(server, 1, termination_protection=True)
    await close(server, parent)

    await server.report(child.run_id, state(FAILED))

    told = await server.get(parent.run_id)
    assert (told.state, told.outcome, told.sealed) == (IDLE, FAILED, False)


async def test_an_idle_child_counts_by_its_outcome(server: Server) -> None:
    parent = await server.create(is_parent=True)
    child = await server.create(parent_run_id=parent.run_id, termination_protection=True)
    await close(server, parent)

    await server.report(child.run_id, state(COMPLETED))
    ended = await server.get(parent.run_id)
    await server.kill(child.run_id)

    assert (ended.state, counts(ended)) == (COMPLETED, {"IDLE": 1})
    assert counts(await server.get(parent.run_id)) == {"TERMINATED": 1}


async def test_progress_is_that_of_the_children(server: Server) -> None:
    parent, children = await family(server, 4)
    await server.report(children[0].run_id, state(RUNNING), state(COMPLETED))
    await server.report(children[1].run_id, state(RUNNING), scope("fold", 1, 2))

    await server.look()

    assert (await server.get(parent.run_id)).progress.percent == pytest.approx(37.5)


async def test_progress_of_children_is_added_up_once_a_round(server: Server) -> None:
    parent, [child] = await family(server, 1)
    await server.report(child.run_id, state(RUNNING))
    await server.look()
    before = (await server.get(parent.run_id)).sequence

    for done in range(1, 6):
        await server.report(child.run_id, scope("fold", done, 10))
    unseen = (await server.get(parent.run_id)).sequence
    await server.look()
    await server.look()

    told = await server.get(parent.run_id)
    assert unseen == before
    assert told.sequence == before + 1
    assert told.progress.percent == pytest.approx(50)


async def test_progress_that_the_store_did_not_take_is_added_up_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, [child] = await family(server, 1)
    await server.look()
    await server.report(child.run_id, state(RUNNING), scope("fold", 1, 2))

    def fail(*_: object) -> None:
        raise StoreUnavailableError

    with monkeypatch.context() as patched:
        patched.setattr(parents, "add_up", fail)
        with pytest.raises(StoreUnavailableError):
            await server.look()
    await server.look()

    assert (await server.get(parent.run_id)).progress.percent == pytest.approx(50)


async def test_progress_that_is_told_together_with_something_else_is_progress(
    server: Server,
) -> None:
    parent, [child] = await family(server, 1)
    provenance = Report(provenance=provenance_pb2.Provenance(work_directory="/data"))

    await server.report(child.run_id, state(RUNNING), scope("fold", 1, 2), provenance)
    await server.look()

    last = [each.run for each in await server.changes(child.run_id) if each.HasField("run")][-1]
    assert last.progress.percent == pytest.approx(50)
    assert (await server.get(parent.run_id)).progress.percent == pytest.approx(50)


async def test_progress_that_is_stored_together_with_figures_reaches_the_parent(
    server: Server,
) -> None:
    parent, [child] = await family(server, 1)
    await server.report(child.run_id, state(RUNNING))
    await server.look()
    committer = server.application._committer
    busy, go = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        busy.set()
        assert go.wait(20)

    figures = runs_service_pb2.RunFigures(run_id=child.run_id, sequence=1)
    figures.figures.add(key="accuracy", last=0.9)
    request = runs_service_pb2.ReportFiguresRequest(runs=[figures])

    async with asyncio.TaskGroup() as together:
        together.create_task(committer.commit(Change((), hold)))
        await until(busy.is_set)
        together.create_task(server.report(child.run_id, scope("fold", 1, 2)))
        await until(lambda: committer._queue.qsize() == 1)
        together.create_task(server.call("ReportFigures", request, Caller("metrics", Role.SERVICE)))
        await until(lambda: committer._queue.qsize() == 2)
        go.set()
    await server.look()

    assert (await server.get(parent.run_id)).progress.percent == pytest.approx(50)


async def test_remaining_time_follows_from_the_durations_of_ended_children(server: Server) -> None:
    parent, children = await family(server, 6)
    for child in children[:2]:
        await server.report(child.run_id, at(0, state(RUNNING)))
    for child in children[:3]:
        await server.report(child.run_id, at(0, state(RUNNING)), at(10, state(COMPLETED)))

    told = await server.get(parent.run_id)

    assert told.children.peak_concurrency == 2
    assert told.progress.remaining_duration.seconds == 15


async def test_children_count_however_many_report_at_once(cluster: Cluster) -> None:
    parent, children = await family(cluster.one, 24)
    await close(cluster.one, parent)

    await asyncio.gather(
        *(
            (cluster.one, cluster.other)[i % 2].report(
                child.run_id, state(RUNNING), state(COMPLETED), closed()
            )
            for i, child in enumerate(children)
        )
    )

    told = await cluster.one.get(parent.run_id)
    assert (told.state, counts(told)) == (COMPLETED, {"COMPLETED": 24})
    assert told.sealed


async def test_a_parent_takes_what_a_program_says_of_it(server: Server) -> None:
    parent, _ = await family(server, 1)
    result = Report(result=run_pb2.ResultSummary(best_score=0.5))

    await server.report(parent.run_id, result, state(COMPLETED))

    told = await server.get(parent.run_id)
    assert (told.state, told.result.best_score) == (PENDING, 0.5)
