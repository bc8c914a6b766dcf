import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest

import trackside
from support.append_server import AppendServer, StoredRun
from trackside_protos.runs.v1.scope_pb2 import Scope

pytestmark = pytest.mark.usefixtures("reporting")


def scopes(stored: StoredRun) -> dict[str, Scope]:
    return {r.scope.path: r.scope for r in stored.reports if r.HasField("scope")}


def counted(scope: Scope) -> tuple[int, int | None, bool]:
    total = scope.total_count if scope.HasField("total_count") else None
    return scope.completed_count, total, scope.HasField("end_time")


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


async def numbers_later(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def test_a_scope_counts_the_items_and_gives_them_context(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        steps = run.progress(["a", "b", "c"], scope="fold", unit="folds")
        for letter in steps:
            run.info(letter)
        run.info("afterwards")

    stored = append_server.only_run()
    assert len(steps) == 3
    assert [dict(entry.context) for entry in stored.entries] == [
        {"fold": "1"},
        {"fold": "2"},
        {"fold": "3"},
        {},
    ]
    assert counted(scopes(stored)["fold"]) == (3, 3, True)
    assert scopes(stored)["fold"].unit == "folds"


def test_of_a_generator_the_total_is_known_at_its_end(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        steps = run.progress(numbers(4), "step")
        with pytest.raises(TypeError, match="nobody knows"):
            len(steps)
        assert list(steps) == [0, 1, 2, 3]
        assert list(run.progress(numbers(4), "told", total=8)) == [0, 1, 2, 3]
        assert list(run.progress(numbers(0), "empty")) == []

    found = scopes(append_server.only_run())
    assert counted(found["step"]) == (4, 4, True)
    assert counted(found["told"]) == (4, 8, True)
    assert counted(found["empty"]) == (0, 0, True)


def test_loops_nest(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        for variant in run.progress(range(2), "variant"):
            for fold in run.progress(range(2), "fold"):
                run.info(f"{variant}{fold}")

    stored = append_server.only_run()
    assert [(e.context["variant"], e.context["fold"]) for e in stored.entries] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
        ("2", "2"),
    ]
    assert set(scopes(stored)) == {"variant", "variant/fold"}


def test_a_loop_that_is_broken_off_has_counted_what_was_done(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        for number in run.progress(range(10), "step"):
            if number == 3:
                break
        run.info("afterwards")

    stored = append_server.only_run()
    assert counted(scopes(stored)["step"]) == (3, 10, True)
    assert dict(stored.entries[0].context) == {}


def test_an_exception_in_a_loop_is_placed_where_it_was(append_server: AppendServer) -> None:
    def fail() -> None:
        with trackside.start_run(capture=False) as run:
            for _ in run.progress(range(3), "earlier"):
                break
            for variant in run.progress(range(5), "variant"):
                for fold in run.progress(range(5), "fold"):
                    if (variant, fold) == (1, 2):
                        raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        fail()

    stored = append_server.only_run()
    (error,) = [r.error for r in stored.reports if r.HasField("error")]
    assert dict(error.context) == {"scope": "variant/fold", "variant": "2", "fold": "3"}
    assert counted(scopes(stored)["variant"]) == (1, 5, True)
    assert counted(scopes(stored)["variant/fold"]) == (2, 5, True)


def test_an_exception_after_a_broken_loop_is_not_placed_in_it(append_server: AppendServer) -> None:
    def fail() -> None:
        with trackside.start_run(capture=False) as run:
            for _ in run.progress(range(3), "step"):
                break
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        fail()

    (error,) = [r.error for r in append_server.only_run().reports if r.HasField("error")]
    assert dict(error.context) == {}


def test_an_exception_of_the_items_ends_the_scope(append_server: AppendServer) -> None:
    def broken() -> Iterator[int]:
        yield 0
        raise OSError("unreadable")

    def fail() -> None:
        with trackside.start_run(capture=False) as run:
            list(run.progress(broken(), "file"))

    with pytest.raises(OSError, match="unreadable"):
        fail()

    stored = append_server.only_run()
    (error,) = [r.error for r in stored.reports if r.HasField("error")]
    assert dict(error.context) == {"scope": "file", "file": "2"}
    assert counted(scopes(stored)["file"]) == (1, None, True)


async def test_asynchronous_items_are_counted(append_server: AppendServer) -> None:
    async def go(run: trackside.Run, name: str, until: int) -> None:
        async for number in run.progress(numbers_later(5), name):
            run.info(name)
            if number == until:
                break
        run.info(f"{name} over")

    with trackside.start_run(capture=False) as run:
        await asyncio.gather(go(run, "all", 9), go(run, "some", 2))
        gc.collect()

    stored = append_server.only_run()
    found = scopes(stored)
    assert counted(found["all"]) == (5, 5, True)
    assert counted(found["some"]) == (2, None, True)
    assert all(dict(e.context) == {} for e in stored.entries if e.message.endswith("over"))
    assert all(set(e.context) == {e.message} for e in stored.entries if " " not in e.message)


def test_a_pass_that_is_over_stays_over(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        items = iter(run.progress([1], "step"))
        assert (next(items), next(items, None), next(items, None)) == (1, None, None)

    assert counted(scopes(append_server.only_run())["step"]) == (1, 1, True)


def test_progress_needs_no_run_at_hand(append_server: AppendServer) -> None:
    assert list(trackside.progress([1, 2])) == [1, 2]
    with trackside.start_run(capture=False) as run:
        for _ in trackside.progress(range(2), "fold"):
            run.info("x")

    stored = append_server.only_run()
    assert [entry.context["fold"] for entry in stored.entries] == ["1", "2"]


def test_a_message_says_what_is_done_with_the_item(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        steps = run.progress(range(1), "fold")
        for _ in steps:
            steps.message("Fitting fold 1/1")

    assert scopes(append_server.only_run())["fold"].message == "Fitting fold 1/1"
