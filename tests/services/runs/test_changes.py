import asyncio
from collections.abc import Sequence

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from support.runs import ADMIN, BOB, COMPLETED, Run, Server, closed, state
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs.errors import RunChangedError
from trackside_serving.errors import InvalidFieldError, NotAllowedError, RunNotFoundError
from trackside_serving.identity import Caller, Role


async def update(server: Server, run: Run, *paths: str, caller: Caller | None = None) -> Run:
    request = runs_service_pb2.UpdateRunRequest(run=run, update_mask=FieldMask(paths=paths))
    return (await server.call("UpdateRun", request, caller or Caller("ann", Role.USER))).run


async def test_only_what_the_mask_names_changes(server: Server) -> None:
    run = await server.create(name="a", tags=["x"], notes="old")

    wanted = Run(run_id=run.run_id, name="b", tags=["z", "y", "z"], notes="new")
    updated = await update(server, wanted, "name", "tags")

    assert (updated.name, list(updated.tags), updated.notes) == ("b", ["y", "z"], "old")
    assert updated == await server.get(run.run_id)
    assert updated.sequence == run.sequence + 1


async def edit(server: Server, run: Run, wanted: Run, *paths: str) -> Run:
    request = runs_service_pb2.UpdateRunRequest(
        run=wanted, update_mask=FieldMask(paths=paths), expected_run=run
    )
    request.run.run_id = run.run_id
    return (await server.call("UpdateRun", request, Caller("ann", Role.USER))).run


async def test_of_two_that_edit_one_text_the_later_is_told(server: Server) -> None:
    run = await server.create(notes="slow", tags=["x"])
    await edit(server, run, Run(notes="slow, says ann"), "notes")

    with pytest.raises(RunChangedError) as caught:
        await edit(server, run, Run(notes="slow, says bob", name="b"), "name", "notes")

    assert caught.value.metadata == {"path": "notes"}
    left = await server.get(run.run_id)
    assert (left.notes, left.name) == ("slow, says ann", run.name)


async def test_an_edit_that_is_sent_again_is_no_edit_of_somebody_else(server: Server) -> None:
    run = await server.create(notes="slow", labels={"team": "pit"})
    wanted = Run(notes="quick", labels={"team": "wall"})

    first = await edit(server, run, wanted, "notes", "labels")
    again = await edit(server, run, wanted, "notes", "labels")

    assert again == first


async def test_what_is_not_edited_may_change_meanwhile(server: Server) -> None:
    run = await server.create(notes="slow", tags=["x"], labels={"team": "pit"})
    await update(server, Run(run_id=run.run_id, name="b", tags=["y"]), "name", "tags")

    edited = await edit(server, run, Run(labels={"team": "wall"}), "labels")

    assert (edited.name, list(edited.tags), dict(edited.labels)) == ("b", ["y"], {"team": "wall"})


async def test_what_is_changed_is_found(server: Server) -> None:
    run = await server.create(name="a", tags=["x"], labels={"team": "pit"})

    wanted = Run(run_id=run.run_id, tags=["y"], labels={"team": "wall"}, description="quick one")
    await update(server, wanted, "tags", "labels", "description")

    assert len(await server.runs("tag:y label.team=wall quick")) == 1
    assert await server.runs("tag:x") == []
    assert await server.runs("label.team=pit") == []


async def change_tags(
    server: Server, run: Run, *, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Sequence[str]:
    request = runs_service_pb2.UpdateRunRequest(
        run=Run(run_id=run.run_id), added_tags=added, removed_tags=removed
    )
    return list((await server.call("UpdateRun", request, Caller("ann", Role.USER))).run.tags)


async def test_tags_that_two_people_change_are_not_lost(server: Server) -> None:
    run = await server.create(tags=["draft", "quick"])

    await asyncio.gather(
        change_tags(server, run, added=["keep"], removed=["draft"]),
        change_tags(server, run, added=["best"], removed=["nowhere"]),
    )

    assert list((await server.get(run.run_id)).tags) == ["best", "keep", "quick"]
    assert len(await server.runs("tag:best tag:keep")) == 1
    assert await server.runs("tag:draft") == []


async def test_tags_that_are_there_change_nothing(server: Server) -> None:
    run = await server.create(tags=["keep"])

    await change_tags(server, run, added=["keep"], removed=["draft"])

    assert (await server.get(run.run_id)).sequence == run.sequence


async def test_a_run_has_no_more_tags_than_it_may(server: Server) -> None:
    run = await server.create(tags=[f"a{number}" for number in range(60)])

    with pytest.raises(InvalidFieldError, match="more than 64"):
        await change_tags(server, run, added=[f"b{number}" for number in range(5)])

    assert len((await server.get(run.run_id)).tags) == 60


async def test_the_same_again_changes_nothing(server: Server) -> None:
    run = await server.create(name="a", labels={"k": "v"})

    wanted = Run(run_id=run.run_id, name="a", labels={"k": "v"})
    updated = await update(server, wanted, "name", "labels")

    assert updated.sequence == run.sequence


async def test_an_ended_run_can_still_be_labelled(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(COMPLETED), closed())

    updated = await update(server, Run(run_id=run.run_id, notes="good"), "notes")

    assert (updated.notes, updated.state) == ("good", COMPLETED)


@pytest.mark.parametrize("path", ["state", "*", "run_id", "nothing", "name.first", "owner", ""])
async def test_a_path_that_cannot_be_changed_is_refused(server: Server, path: str) -> None:
    run = await server.create()

    with pytest.raises(InvalidFieldError) as refused:
        await update(server, Run(run_id=run.run_id, name="b"), "name", path)

    assert refused.value.violations[0].field == "update_mask.paths[1]"
    assert (await server.get(run.run_id)).sequence == run.sequence


async def test_an_update_without_a_mask_is_refused(server: Server) -> None:
    run = await server.create()

    with pytest.raises(InvalidFieldError) as refused:
        await update(server, Run(run_id=run.run_id, name="b"))

    assert refused.value.violations[0].field == "update_mask"


async def test_a_run_keeps_a_name(server: Server) -> None:
    run = await server.create(name="a")

    with pytest.raises(InvalidFieldError) as refused:
        await update(server, Run(run_id=run.run_id), "name")

    assert refused.value.violations[0].field == "run.name"


async def test_only_the_owner_and_admins_change_a_run(server: Server) -> None:
    run = await server.create(project="blue")
    member = Caller("bob", Role.USER, projects=frozenset({"blue"}))
    wanted = Run(run_id=run.run_id, name="b")

    with pytest.raises(RunNotFoundError):
        await update(server, wanted, "name", caller=BOB)
    with pytest.raises(NotAllowedError):
        await update(server, wanted, "name", caller=member)
    assert (await update(server, wanted, "name", caller=ADMIN)).name == "b"


async def test_protection_that_is_switched_on_holds(server: Server) -> None:
    run = await server.create()
    wanted = Run(run_id=run.run_id, termination_protection=True)

    await update(server, wanted, "termination_protection")
    await server.report(run.run_id, state(COMPLETED))

    assert (await server.get(run.run_id)).outcome == COMPLETED
