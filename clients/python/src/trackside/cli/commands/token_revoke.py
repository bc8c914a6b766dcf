"""`trackside token revoke`: has tokens refused before they expire, after asking."""

import base64
import getpass
import json
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, cast

import click

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError
from trackside.cli.formats import Format, document_lines, plain
from trackside.cli.options import output_option, server_option
from trackside.cli.reach import connect
from trackside.cli.safe_text import harmless_cell
from trackside.cli.targets import STDIN
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside_protos.runs.v1.revocation_pb2 import Revocation
from trackside_protos.runs.v1.runs_service_pb2 import (
    RevokeTokenRequest,
    RevokeTokenResponse,
)

_ID: Final = re.compile(r"[0-9a-z]{16}")


@click.command()
@click.argument("target", metavar="ID|TOKEN|-", required=False)
@click.option("--subject", metavar="NAME", help="All tokens of somebody that were made until now.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@output_option
@server_option
def revoke(  # one for each option
    target: str | None,
    *,
    subject: str | None,
    yes: bool,
    dry_run: bool,
    output: str,
    server: str | None,
) -> None:
    """Have a token refused from now on, before it expires; that is never taken back.

    \b
    trackside token revoke 7m2k9w0c4x8r1t5v
    trackside token revoke - < ben.token
    trackside token revoke --subject ben

    `-` takes the id or the token from stdin, where no other user of the machine sees it.
    Streams that it has open end within seconds. Admins may revoke any, users their own.
    """  # noqa: D301  # click's mark, not a backslash
    if (target is None) == (subject is None):
        message = "name a token, or somebody with --subject"
        raise click.UsageError(message)
    terminal = Terminal.of_process()
    request = _request(target or "", subject or "")
    with connect(server) as connection:
        planned = _send(connection, request, validate_only=True)
        if dry_run:
            _show(terminal, output, planned)
            terminal.say(f"Would revoke {_what(planned.revocation)}; nothing was revoked.")
            return
        if not yes:
            _ask(terminal, planned.revocation, _loss(connection, planned.revocation))
        revoked = _send(connection, request, validate_only=False)
        _show(terminal, output, revoked)
        terminal.say(_said(revoked, connection.now()))


def _request(target: str, subject: str) -> RevokeTokenRequest:
    if subject:
        return RevokeTokenRequest(subject=subject)
    text = _typed() if target == STDIN else target
    if _ID.fullmatch(text):
        return RevokeTokenRequest(token_id=text)
    return RevokeTokenRequest(token=text)


def _typed() -> str:
    """Return what stdin says, which a terminal does not show.

    Raises:
        UsageError: It says nothing.
    """
    said = getpass.getpass("Token or its id: ") if sys.stdin.isatty() else sys.stdin.read()
    if not said.strip():
        message = "there is no token in stdin"
        raise click.UsageError(message)
    return said.strip()


def _send(
    connection: Connection, request: RevokeTokenRequest, *, validate_only: bool
) -> RevokeTokenResponse:
    request.validate_only = validate_only
    return connection.call(connection.runs.RevokeToken, request)


def _what(revocation: Revocation) -> str:
    whose = f" of {harmless_cell(revocation.subject)}" if revocation.subject else ""
    if revocation.token_id:
        return f"token {revocation.token_id}{whose}"
    return f"all tokens{whose} that were made until now"


def _said(revoked: RevokeTokenResponse, now: datetime) -> str:
    what = _what(revoked.revocation)
    if revoked.existed:
        return f"Nothing to do: {what} was revoked before."
    if revoked.revocation.expire_time.ToDatetime(UTC) <= now:
        return f"Nothing to do: {what} has expired."
    return f"Successfully revoked {what}."


def _ask(terminal: Terminal, revocation: Revocation, loss: str) -> None:
    """Ask; no is the answer unless it is yes.

    Raises:
        CommandError: There is nobody to ask, or the answer is not yes.
    """
    terminal.say(*filter(None, [loss]))
    if not terminal.can_ask:
        message = "stdin is no terminal, so nobody can be asked; nothing was revoked"
        raise CommandError(message, hint="--yes revokes without asking", code=ExitCode.USAGE)
    if terminal.answer_to(f"Revoke {_what(revocation)}? [y/N] ").lower() not in ("y", "yes"):
        message = "nothing was revoked"
        raise CommandError(message)


def _loss(connection: Connection, revocation: Revocation) -> str:
    """Return what whoever asks loses by it; empty: nothing."""
    own = _claims(connection.location.current_token())
    is_meant = revocation.token_id == own.get("jti") or (
        not revocation.token_id and revocation.subject == own.get("sub")
    )
    if not is_meant:
        return ""
    if connection.location.token:
        return "That is the token that you use now: you will need another one."
    return "That is the token of this home: its server makes another one for it at once."


def _claims(token: str) -> dict[str, Any]:
    """Return what a token says of itself; nothing if it cannot be read."""
    try:
        _, said, _ = token.split(".")
        found: object = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _show(terminal: Terminal, output: str, revoked: RevokeTokenResponse) -> None:
    form = Format(output)
    if form is Format.NAME:
        terminal.show_exactly([revoked.revocation.token_id or revoked.revocation.subject])
    elif not form.is_for_people:
        terminal.show(document_lines(plain(revoked), form))
