"""`trackside token create` and `show`: makes tokens with the key of this home, explains them."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from trackside.cli.failures import CommandError
from trackside.cli.option_types import DURATION
from trackside.location import discover

if TYPE_CHECKING:
    from trackside_serving.home import Home
    from trackside_serving.tokens import VerifiedToken

_ROLES: Final = ("viewer", "user", "reporter", "agent", "admin")
_LIFETIME: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a token says."""

    token_id: str
    subject: str
    role: str
    projects: list[str]
    run_ids: list[str]
    expire_time: str

    @property
    def line(self) -> str:
        """For whom it speaks, and until when."""
        return f"{self.subject} ({self.role}), until {self.expire_time}"

    @property
    def document(self) -> dict[str, object]:
        """All of it, for programs."""
        return {
            "subject": self.subject,
            "role": self.role,
            "projects": self.projects,
            "runIds": self.run_ids,
            "expireTime": self.expire_time,
            "tokenId": self.token_id,
        }


def _output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
    )(function)


@click.command()
@click.argument("subject")
@click.option("--role", type=click.Choice(_ROLES), default="user", show_default=True)
@click.option(
    "--project", "projects", multiple=True, help="Whose runs it may see; may be repeated."
)
@click.option("--run", "run_ids", multiple=True, help="Of a reporter: a run's whole id.")
@click.option(
    "--lifetime",
    type=DURATION,
    default=_LIFETIME,
    metavar="DURATION",
    help="How long it is good, for example 12h; at most 3650d. Default: 30d.",
)
@_output_option
def create(  # one for each option
    subject: str,
    *,
    role: str,
    projects: tuple[str, ...],
    run_ids: tuple[str, ...],
    lifetime: timedelta,
    output: str,
) -> None:
    """Make a token that speaks for SUBJECT, and write it to stdout.

    Its id, by which it can be revoked, goes to stderr. Give it no longer and no more than needed.
    """
    from trackside_serving.identity import Caller, Role  # noqa: PLC0415 - the server's libraries

    if (role == "reporter") != bool(run_ids):
        message = "a reporter needs --run, and nobody else takes it"
        raise click.UsageError(message)
    caller = Caller(subject, Role(role), frozenset(projects), frozenset(run_ids))
    home = _home()
    try:
        made = home.signer().mint(caller, lifetime)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    facts = _facts(home.verifier().verified(made))
    if output == "json":
        click.echo(json.dumps({"token": made, **facts.document}, indent=2))
        return
    click.echo(made)
    click.echo(f"token {facts.token_id}: {facts.line}", err=True)


@click.command()
@_output_option
def show(output: str) -> None:
    """Say for whom the token in use speaks, and until when.

    The token itself is not shown.
    """
    from trackside_serving.errors import TokenRefusedError  # noqa: PLC0415 - see above

    used = discover().current_token()
    try:
        verified = _home().verifier().verified(used)
    except TokenRefusedError as error:
        message = "the token is none of this home, or has expired"
        raise CommandError(message, hint="unset TRACKSIDE_TOKEN to use that of the home") from error
    facts = _facts(verified)
    if output == "json":
        click.echo(json.dumps(facts.document, indent=2))
        return
    click.echo(facts.line)
    click.echo(f"id: {facts.token_id}")
    if facts.projects:
        click.echo(f"projects: {', '.join(facts.projects)}")
    if facts.run_ids:
        click.echo(f"runs: {', '.join(facts.run_ids)}")


def _facts(verified: "VerifiedToken") -> _Facts:
    expires = datetime.fromtimestamp(verified.expires, UTC)
    caller = verified.caller
    return _Facts(
        verified.token_id,
        caller.subject,
        caller.role.value,
        sorted(caller.projects),
        sorted(caller.run_ids),
        f"{expires:%Y-%m-%dT%H:%M:%SZ}",
    )


def _home() -> "Home":
    """Return the home of this machine's server.

    Raises:
        CommandError: No server was ever started in it, or it cannot be used.
    """
    from trackside_serving.home import Home  # noqa: PLC0415 - see above
    from trackside_serving.starting import HomeError  # noqa: PLC0415 - see above

    path = discover().home
    if not os.path.lexists(path / "signing_key.pem"):
        message = f"no server was started in the home {path}, so it has no key for tokens"
        hint = "`trackside up` starts one; TRACKSIDE_HOME names another home"
        raise CommandError(message, hint=hint)
    try:
        return Home(path)
    except HomeError as error:
        raise CommandError(str(error)) from error
