"""`trackside token revoke` and `list`, against a server that answers as written down."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.command_line import Command, Keyboard
from support.scripted_server import Refused, ScriptedServer
from trackside_protos.runs.v1.revocation_pb2 import Revocation
from trackside_protos.runs.v1.runs_service_pb2 import (
    ListRevocationsResponse,
    RevokeTokenRequest,
    RevokeTokenResponse,
)

TOKEN_ID = "7m2k9w0c4x8r1t5v"  # noqa: S105 - an id
TOKEN = "aaaa.bbbb.cccc"  # noqa: S105 - none


@pytest.fixture(autouse=True)
def revoking(server: ScriptedServer) -> None:
    server.answers["RevokeToken"] = answer


def own_token(**claims: str) -> str:
    """Return a token that says so of itself."""
    said = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"head.{said}.signature"


def answer(asked: RevokeTokenRequest, **fields: Any) -> RevokeTokenResponse:
    revocation = Revocation(requester="ann", subject=asked.subject or "ben")
    if not asked.subject:
        revocation.token_id = asked.token_id or TOKEN_ID
    revocation.revoke_time.GetCurrentTime()
    revocation.expire_time.FromMilliseconds(1 << 42)
    return RevokeTokenResponse(revocation=revocation, **fields)


def done_to(server: ScriptedServer) -> list[RevokeTokenRequest]:
    """Return what the server was asked to do, not only whether it may be done."""
    return [asked for asked in server.requests["RevokeToken"] if not asked.validate_only]


@pytest.mark.parametrize(
    ("words", "asked", "said"),
    [
        ([TOKEN_ID], RevokeTokenRequest(token_id=TOKEN_ID), f"token {TOKEN_ID} of ben"),
        ([TOKEN], RevokeTokenRequest(token=TOKEN), f"token {TOKEN_ID} of ben"),
        (["-"], RevokeTokenRequest(token=TOKEN), f"token {TOKEN_ID} of ben"),
        (["--subject", "eve"], RevokeTokenRequest(subject="eve"), "all tokens of eve"),
    ],
)
def test_what_is_named_is_revoked(
    command: Command,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    asked: RevokeTokenRequest,
    said: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN}\n"))

    done = command("token", "revoke", "--yes", *words)

    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"Successfully revoked {said}")
    assert done_to(server) == [asked]
    assert TOKEN not in done.err


def test_it_is_asked_whether_that_is_meant(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard("n\n"))
    refused = command("token", "revoke", TOKEN_ID)
    assert not done_to(server)
    monkeypatch.setattr("sys.stdin", Keyboard("y\n"))
    agreed = command("token", "revoke", TOKEN_ID)

    question = f"Revoke token {TOKEN_ID} of ben? [y/N] "
    assert (refused.code, refused.err) == (1, f"{question}error: nothing was revoked\n")
    assert (agreed.code, agreed.err.startswith(question)) == (0, True)
    assert len(done_to(server)) == 1


@pytest.mark.parametrize("words", [[TOKEN_ID], ["--subject", "ben"]])
@pytest.mark.parametrize("own", ["of the home", "of the environment"])
def test_who_revokes_what_it_uses_itself_is_told_so(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, words: list[str]
) -> None:
    token = own_token(jti=TOKEN_ID, sub="ben")
    if own == "of the home":
        (tmp_path / "token").write_text(token)
        monkeypatch.delenv("TRACKSIDE_TOKEN")
    else:
        monkeypatch.setenv("TRACKSIDE_TOKEN", token)
    monkeypatch.setattr("sys.stdin", Keyboard("n\n"))

    done = command("token", "revoke", *words)

    hint = {
        "of the home": "its server makes another one for it at once",
        "of the environment": "you will need another one",
    }[own]
    assert hint in done.err


def test_without_a_terminal_nothing_is_revoked_unasked(
    command: Command, server: ScriptedServer
) -> None:
    done = command("token", "revoke", TOKEN_ID)

    assert (done.code, "--yes revokes without asking" in done.err) == (2, True)
    assert not done_to(server)


def test_a_plan_revokes_nothing(command: Command, server: ScriptedServer) -> None:
    done = command("token", "revoke", "--dry-run", TOKEN_ID)

    assert done.code == 0
    assert done.err == f"Would revoke token {TOKEN_ID} of ben; nothing was revoked.\n"
    assert not done_to(server)


def test_what_was_revoked_before_is_said_to_be(command: Command, server: ScriptedServer) -> None:
    server.answers["RevokeToken"] = lambda asked: answer(asked, existed=True)

    done = command("token", "revoke", "--yes", TOKEN_ID)

    assert done.code == 0
    assert done.err == f"Nothing to do: token {TOKEN_ID} of ben was revoked before.\n"


def test_a_program_gets_what_is_kept_of_it(command: Command) -> None:
    done = command("token", "revoke", "--yes", TOKEN_ID, "-o", "json")

    told = json.loads(done.out)
    assert (told["revocation"]["tokenId"], told["existed"]) == (TOKEN_ID, False)


@pytest.mark.parametrize("words", [[], [TOKEN_ID, "--subject", "ben"], ["-"]])
def test_what_names_nothing_or_too_much_is_a_usage_error(
    command: Command, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    assert command("token", "revoke", "--yes", *words).code == 2
    assert not server.requests["RevokeToken"]


def test_who_may_not_is_told(command: Command, server: ScriptedServer) -> None:
    server.answers["RevokeToken"] = Refused(
        grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED", "Only an admin may."
    )

    done = command("token", "revoke", "--yes", "--subject", "eve")

    assert (done.code, done.err.splitlines()[0]) == (4, "error: Only an admin may.")


def test_what_is_revoked_is_listed_page_by_page(command: Command, server: ScriptedServer) -> None:
    one, other = (answer(RevokeTokenRequest(token_id=i * 16)).revocation for i in "12")
    everything = answer(RevokeTokenRequest(subject="e\x1b[2Jve")).revocation
    pages = {
        "": ListRevocationsResponse(revocations=[one], next_page_token="next"),  # noqa: S106 - a page's
        "next": ListRevocationsResponse(revocations=[other, everything]),
    }
    server.answers["ListRevocations"] = lambda asked: pages[asked.page_token]

    table = command("token", "list").out
    names = command("token", "list", "-o", "name").out
    document = json.loads(command("token", "list", "-o", "json").out)

    assert [line.split()[0] for line in table.splitlines()] == ["TOKEN", "1" * 16, "2" * 16, "all"]
    assert "\x1b" not in table
    assert names.splitlines()[:2] == ["1" * 16, "2" * 16]
    assert len(document["revocations"]) == 3


def test_that_nothing_is_revoked_is_said(command: Command, server: ScriptedServer) -> None:
    server.answers["ListRevocations"] = ListRevocationsResponse()

    done = command("token", "list")

    assert (done.code, done.out, done.err) == (0, "", "Nothing is revoked.\n")
