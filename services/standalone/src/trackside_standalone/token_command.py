"""The command `trackside token`: makes tokens with the key of this home, and explains them."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from trackside.cli.failures import CommandError
from trackside.cli.option_types import DURATION
from trackside.location import discover

if TYPE_CHECKING:
    from trackside_serving.home import Home

_ROLES: Final = ("viewer", "user", "reporter", "agent", "admin")
_LIFETIME: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a token says."""

    subject: str
    role: str
    projects: list[str]
    run_ids: list[str]
    expire_time: str


@click.group()
def token() -> None:
    """Make and explain tokens of the server whose home is on this machine.

    A token cannot be taken back before it expires: give it no longer and no more than needed.
    """


@token.command()
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
    help="How long it is good, for example 12h. Default: 30d.",
)
def create(
    subject: str,
    *,
    role: str,
    projects: tuple[str, ...],
    run_ids: tuple[str, ...],
    lifetime: timedelta,
) -> None:
    """Make a token that speaks for SUBJECT, and write it to stdout."""
    from trackside_serving.identity import Caller, Role  # noqa: PLC0415 - the server's libraries

    if (role == "reporter") != bool(run_ids):
        message = "a reporter needs --run, and nobody else takes it"
        raise click.UsageError(message)
    caller = Caller(subject, Role(role), frozenset(projects), frozenset(run_ids))
    try:
        made = _home().signer().mint(caller, lifetime)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    click.echo(made)


@token.command()
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
)
def show(output: str) -> None:
    """Say for whom the token speaks that commands use now, and until when; never the token."""
    from trackside_serving.errors import TokenRefusedError  # noqa: PLC0415 - see above

    used = discover().current_token()
    try:
        verified = _home().verifier().verified(used)
    except TokenRefusedError as error:
        message = "the token is none of this home, or has expired"
        raise CommandError(message, hint="unset TRACKSIDE_TOKEN to use that of the home") from error
    expires = datetime.fromtimestamp(verified.expires, UTC)
    caller = verified.caller
    facts = _Facts(
        caller.subject,
        caller.role.value,
        sorted(caller.projects),
        sorted(caller.run_ids),
        f"{expires:%Y-%m-%dT%H:%M:%SZ}",
    )
    _show(facts, as_json=output == "json")


def _show(facts: _Facts, *, as_json: bool) -> None:
    if as_json:
        names = ("subject", "role", "projects", "runIds", "expireTime")
        values = (facts.subject, facts.role, facts.projects, facts.run_ids, facts.expire_time)
        click.echo(json.dumps(dict(zip(names, values, strict=True)), indent=2))
        return
    click.echo(f"{facts.subject} ({facts.role}), until {facts.expire_time}")
    if facts.projects:
        click.echo(f"projects: {', '.join(facts.projects)}")
    if facts.run_ids:
        click.echo(f"runs: {', '.join(facts.run_ids)}")


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
