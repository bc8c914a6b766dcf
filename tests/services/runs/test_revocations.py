"""Who may revoke which tokens, what is kept of it, and who hears of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import Connection

from support.conditions import until
from support.runs import ADMIN, ANN, BOB, NOW, Cluster, Server, Starter, after
from trackside_protos.runs.v1.revocation_pb2 import Revocation
from trackside_protos.runs.v1.runs_service_pb2 import (
    ListRevocationsRequest,
    RevokeTokenRequest,
    RevokeTokenResponse,
    WatchRunDirectoryRequest,
    WatchRunDirectoryResponse,
)
from trackside_runs import revocation_keeper, revoking
from trackside_runs.registry import Change
from trackside_runs.storage import revocations
from trackside_runs.storage.notices import REVOCATIONS_TOPIC
from trackside_serving.calls import Call
from trackside_serving.clock import wall_ms
from trackside_serving.errors import (
    InvalidFieldError,
    InvalidPageTokenError,
    NotAllowedError,
    ServiceError,
    TokenRevokedError,
    TooManyItemsError,
)
from trackside_serving.home import Home
from trackside_serving.identity import Caller, Role

Asked = dict[str, Any]
HOUR = timedelta(hours=1)
SERVICE = Caller("service-logs", Role.SERVICE)


@pytest.fixture
def home(starter: Starter) -> Home:
    return Home(starter.home)


async def revoke(server: Server, caller: Caller = ADMIN, **asked: Any) -> RevokeTokenResponse:
    return await server.call("RevokeToken", RevokeTokenRequest(**asked), caller)


async def listed(server: Server, caller: Caller = ADMIN, **asked: Any) -> list[Revocation]:
    response = await server.call("ListRevocations", ListRevocationsRequest(**asked), caller)
    return list(response.revocations)


def is_refused(server: Server, token: str) -> bool:
    try:
        server.verifier.verify(token)
    except TokenRevokedError:
        return True
    return False


def revocation_of_all(caller: Caller) -> Revocation:
    """Return one of all tokens of a caller, as another replica stores it."""
    revocation = Revocation(subject=caller.subject)
    revocation.latest_issue_time.FromMilliseconds(wall_ms() + 60_000)
    revocation.expire_time.FromMilliseconds(wall_ms() + 3_600_000)
    return revocation


def token_id_of(server: Server, token: str) -> str:
    return server.verifier.signed(token).token_id


def without_id(home: Home, **claims: object) -> str:
    """Return a token as earlier versions made them."""
    made = home.signer().mint(ANN, HOUR)
    told = jwt.decode(made, options={"verify_signature": False})
    del told["jti"]
    told |= {"iat": int(told["iat"]), **claims}
    return jwt.encode(told, home._key, algorithm="EdDSA")


@pytest.mark.parametrize("by", ["token_id", "token", "subject"])
async def test_a_revoked_token_is_refused_at_every_replica(
    cluster: Cluster, home: Home, by: str
) -> None:
    token, others = (home.signer().mint(caller, HOUR) for caller in (ANN, BOB))
    token_id = token_id_of(cluster.one, token)

    asked: Asked = {"token_id": token_id, "token": token, "subject": "ann"}
    revocation = (await revoke(cluster.one, **{by: asked[by]})).revocation

    assert is_refused(cluster.one, token)
    await until(lambda: is_refused(cluster.other, token))
    assert not is_refused(cluster.other, others)
    await until(lambda: wall_ms() > revocation.latest_issue_time.ToMilliseconds())
    later = home.signer().mint(ANN, HOUR)
    assert not is_refused(cluster.one, later)


async def test_a_failure_that_nobody_foresaw_keeps_no_later_revocation_back(
    server: Server, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_keeper, "_RETRY_SECONDS", 0.001)
    token = home.signer().mint(ANN, HOUR)
    failures = [RuntimeError("of the driver")]
    read = revocations.after

    def read_after_a_failure(connection: Connection, position: int, *, limit: int) -> Any:
        if failures:
            raise failures.pop()
        return read(connection, position, limit=limit)

    monkeypatch.setattr(revocations, "after", read_after_a_failure)
    server.application._hub.read_again(REVOCATIONS_TOPIC)
    await until(lambda: not failures)
    await server.application._committer.commit(
        Change((), lambda ledger: ledger.revocations.put(revocation_of_all(ANN)))
    )

    await until(lambda: is_refused(server, token))


async def test_what_was_revoked_is_refused_from_the_first_moment_after_a_restart(
    server: Server, starter: Starter, sqlite_url: str, home: Home
) -> None:
    token = home.signer().mint(ANN, HOUR)
    await revoke(server, token=token)
    await server.application.close()

    again = await starter.start(sqlite_url)

    assert is_refused(again, token)


@pytest.mark.parametrize("by", ["token", "token_id", "subject"])
async def test_a_token_of_before_there_were_ids_can_be_revoked(
    server: Server, home: Home, by: str
) -> None:
    old = without_id(home)
    assert server.verifier.verify(old) == ANN

    token_id = token_id_of(server, old)
    asked: Asked = {"token_id": token_id, "token": old, "subject": "ann"}
    await revoke(server, **{by: asked[by]})

    assert is_refused(server, old)


WHO_MAY: list[tuple[Caller, Caller, str, bool]] = [
    (caller, owner, by, caller is ADMIN or caller.subject == owner.subject)
    for caller in (ADMIN, ANN, BOB)
    for owner in (ANN, ADMIN, Caller("run-0123456789abcdef", Role.REPORTER))
    for by in ("token", "subject")
]


@pytest.mark.parametrize(("caller", "owner", "by", "may"), WHO_MAY)
async def test_who_may_revoke_whose_tokens(
    server: Server, home: Home, caller: Caller, owner: Caller, by: str, *, may: bool
) -> None:
    token = home.signer().mint(owner, HOUR)
    asked: Asked = {"token": token} if by == "token" else {"subject": owner.subject}

    if may:
        await revoke(server, caller, **asked)
    else:
        with pytest.raises(NotAllowedError):
            await revoke(server, caller, **asked)

    assert is_refused(server, token) == may


@pytest.mark.parametrize("caller", [ADMIN, ANN, BOB])
async def test_an_id_alone_revokes_for_a_user_its_own_token_only(
    server: Server, home: Home, caller: Caller
) -> None:
    token = home.signer().mint(ANN, HOUR)

    await revoke(server, caller, token_id=token_id_of(server, token))

    assert is_refused(server, token) == (caller is ADMIN or caller.subject == "ann")


async def test_to_revoke_again_changes_nothing(server: Server, home: Home) -> None:
    token = home.signer().mint(ANN, HOUR)

    first = await revoke(server, ANN, token=token)
    again = await revoke(server, ADMIN, token=token)
    by_id = await revoke(server, ANN, token_id=first.revocation.token_id)

    assert (first.existed, again.existed, by_id.existed) == (False, True, True)
    assert first.revocation == again.revocation == by_id.revocation
    assert await listed(server) == [first.revocation]


async def test_what_is_kept_tells_who_when_and_until_when(server: Server, home: Home) -> None:
    token = home.signer().mint(ANN, HOUR)
    known = server.verifier.signed(token)

    of_token = (await revoke(server, ADMIN, token=token)).revocation
    of_subject = (await revoke(server, BOB, subject="bob")).revocation

    assert (of_token.token_id, of_token.subject) == (known.token_id, "ann")
    assert of_token.requester == ADMIN.subject
    assert of_token.expire_time.ToSeconds() == known.expires
    assert not of_token.HasField("latest_issue_time")
    assert (of_subject.token_id, of_subject.subject) == ("", "bob")
    assert of_subject.latest_issue_time == of_subject.revoke_time


async def test_everybody_is_shown_revocations_of_its_own_tokens_and_admins_all(
    server: Server,
) -> None:
    await revoke(server, ANN, subject="ann")
    await revoke(server, BOB, subject="bob")

    assert [each.subject for each in await listed(server)] == ["bob", "ann"]
    assert [each.subject for each in await listed(server, ANN)] == ["ann"]


async def test_the_list_comes_in_pages(server: Server) -> None:
    ids = [f"{number:016d}" for number in range(5)]
    for token_id in ids:
        await revoke(server, token_id=token_id)

    request = ListRevocationsRequest(page_size=2)
    seen: list[str] = []
    while True:
        page = await server.call("ListRevocations", request, ADMIN)
        seen += [each.token_id for each in page.revocations]
        request.page_token = page.next_page_token
        if not request.page_token:
            break

    assert seen == ids[::-1]
    request.page_token = "x"  # noqa: S105 - none
    with pytest.raises(InvalidPageTokenError):
        await server.call("ListRevocations", request, ADMIN)


@pytest.mark.parametrize(
    "asked",
    [{}, {"token_id": "x"}, {"token_id": "ILOU" * 4}, {"token": "a.b.c"}, {"subject": "an n"}],
    ids=str,
)
async def test_what_is_no_token_is_refused(server: Server, asked: Asked) -> None:
    with pytest.raises(InvalidFieldError):
        await revoke(server, **asked)


async def test_a_question_revokes_nothing_and_has_the_same_answer(
    server: Server, home: Home
) -> None:
    token = home.signer().mint(ANN, HOUR)

    asked = await revoke(server, token=token, validate_only=True)
    with pytest.raises(NotAllowedError):
        await revoke(server, BOB, token=token, validate_only=True)

    assert not is_refused(server, token)
    assert await listed(server) == []
    assert (asked.revocation.subject, asked.existed) == ("ann", False)
    await revoke(server, token=token)
    assert (await revoke(server, token=token, validate_only=True)).existed


async def test_nothing_is_kept_for_a_token_that_has_expired(server: Server, home: Home) -> None:
    old = without_id(home, iat=1_000, exp=2_000)

    answer = await revoke(server, token=old)

    assert answer.revocation.expire_time.seconds == 2_000
    assert await listed(server) == []


async def test_what_no_token_is_left_for_is_dropped(server: Server, home: Home) -> None:
    await revoke(server, token=home.signer().mint(ANN, HOUR))
    await revoke(server, subject="bob")

    server.clock.advance(3_601)
    await server.application._watchman.forget_expired_revocations()

    assert [each.subject for each in await listed(server)] == ["bob"]


async def test_one_user_cannot_fill_everybodys_memory(
    server: Server, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoking, "REVOCATIONS_OF_CALLER", 3)
    for number in range(3):
        await revoke(server, ANN, token_id=f"{number:016d}")

    with pytest.raises(TooManyItemsError):
        await revoke(server, ANN, token_id="9" * 16)

    await revoke(server, ANN, token_id=f"{0:016d}")  # known, so it takes no room
    await revoke(server, BOB, token=home.signer().mint(BOB, HOUR))


async def directory(server: Server, **asked: Any) -> AsyncIterator[WatchRunDirectoryResponse]:
    request = WatchRunDirectoryRequest(**asked)
    async for raw in server.handler("WatchRunDirectory")(request, Call(SERVICE)):
        yield WatchRunDirectoryResponse.FromString(raw)


async def test_other_services_are_told_with_what_they_are_told_of_runs(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await revoke(cluster.one, subject="bob")

    watch = directory(cluster.other, start=NOW)
    first = await anext(watch)
    await revoke(cluster.one, token_id="1" * 16)
    news = await anext(watch)
    while not news.revocations:  # a bookmark
        news = await anext(watch)
    resumed = await anext(directory(cluster.one, start=after(first.cursor)))

    assert [each.run_id for each in first.entries] == [run.run_id]
    assert [each.subject for each in first.revocations] == ["bob"]
    assert [each.token_id for each in news.revocations] == ["1" * 16]
    assert resumed.revocations == news.revocations
    assert not resumed.entries


async def test_who_keeps_nothing_of_runs_is_told_of_none(server: Server) -> None:
    await server.create()
    await revoke(server, subject="bob")

    told = await anext(directory(server, start=NOW, revocations_only=True))

    assert not told.entries
    assert [each.subject for each in told.revocations] == ["bob"]


@pytest.mark.exhaustive
async def test_more_than_fits_on_a_page_is_told_once_and_in_full(server: Server) -> None:
    runs = {(await server.create()).run_id for _ in range(3)}
    ids = {f"{number:016d}" for number in range(1_003)}
    for token_id in ids:
        await revoke(server, token_id=token_id)
    runs.add((await server.create()).run_id)

    told_ids: list[str] = []
    told_runs: list[str] = []
    async for response in directory(server, start=NOW):
        told_ids += [each.token_id for each in response.revocations]
        told_runs += [each.run_id for each in response.entries]
        if response.caught_up:
            break

    assert sorted(told_ids) == sorted(ids)
    assert sorted(told_runs) == sorted(runs)


async def test_a_watch_of_the_list_goes_on_over_a_revocation(cluster: Cluster) -> None:
    async with cluster.other.watch_list(caller=ADMIN) as watcher:
        await watcher.caught_up()
        await revoke(cluster.one, subject="bob")
        run = await cluster.one.create()

        await watcher.until(lambda: run.run_id in watcher.members)


async def test_an_error_tells_nothing_of_the_token_that_was_handed_over(server: Server) -> None:
    with pytest.raises(ServiceError) as caught:
        await revoke(server, token="secret.secret.secret")  # noqa: S106 - none

    assert "secret" not in str(caught.value)
