"""`trackside help`: commands and topics explained."""

import click

from trackside.cli.exit_codes import MEANINGS, ExitCode
from trackside.cli.failures import CommandError

_FILTER = """\
A filter chooses runs, in the language of AIP-160: `trackside get runs --filter '...'`,
or the tasks of one run: `trackside get tasks RUN --filter '...'`.

  state = RUNNING AND tag:gpu            comparisons: = != < <= > >= and : (has)
  owner = "ann" (ridge OR lasso)         bare words are looked for in names, tags, parameters
  parameter.alpha < 0.1 end_time > -2h   times: RFC 3339, a date, or as long ago as -2h30m
  NOT parent:*                           field:* means that there is some value
  best.accuracy > 0.9 last.loss < 0.1    metrics: what counts is any series of that key

OR binds tighter than AND; two terms side by side must both hold.
Fields of runs: run_id name owner project state condition tag label.KEY parent runner workflow
create_time start_time end_time external_key parameter.KEY exit_code last.KEY best.KEY

  state = FAILED AND attempts > 1        of tasks
  duration > 1m30s host = node7*         time spans: seconds, or with units; a star is a wildcard
  context.sample = S7 retried = true

Fields of tasks: task_id name process state wait parent_task scope attempts retried cached
exit_code host machine_type create_time start_time end_time duration context.KEY.
Exit code, host and machine type are the latest attempt's; a duration is that of an ended task."""

_ENVIRONMENT = """\
TRACKSIDE_SERVER   the server, HOST:PORT; default: the profile in use, else 127.0.0.1:8750
TRACKSIDE_TOKEN    the token; default: the file `token` in the home
TRACKSIDE_PROFILE  the profile to use where no server is named; see `trackside profile`
TRACKSIDE_CONFIG   the folder of the profiles; default: the platform's folder for settings
TRACKSIDE_HOME     the data folder; default: the platform's folder for user data
TRACKSIDE_PAGER    the pager for what does not fit on the screen; else PAGER, else less
NO_COLOR           no colour, when set to anything
FORCE_COLOR        colour even where stdout is no terminal
TERM=dumb          no colour and no live page"""

_FORMATS = """\
-o table   for people; may change at any time
-o wide    the same with more columns, nothing cut off
-o json    proto3-JSON: names in camelCase, times in RFC 3339, 64-bit numbers as strings
-o jsonl   of a list: each item as JSON on a line of its own
-o yaml    the same as JSON, as YAML
-o csv     of a list: a header and a line for each item; what is nested has a column
           outer.inner, lists are JSON
-o name    one id or name a line

`logs -o json` and `-o jsonl` write one JSON object a line. On a terminal, a table or page that
does not fit goes through a pager: TRACKSIDE_PAGER, else PAGER, else less; --no-pager, or a
pager `cat`, writes it without stopping. Results go to stdout, everything else to stderr."""


def _exit_codes() -> str:
    codes = [f"{code.value:>3}  {meaning}" for code, meaning in MEANINGS.items()]
    followed = """
`trackside run` that follows a single run to its end returns the exit code of the command
itself (128 + N when signal N ended it); 10 and 11 are for runs whose command tells less:
none, or 0 though its time was up."""
    return "\n".join([*codes, followed])


def topics() -> dict[str, str]:
    """Return what can be explained beside the commands."""
    return {
        "exit-codes": _exit_codes(),
        "filter": _FILTER,
        "environment": _ENVIRONMENT,
        "formats": _FORMATS,
    }


@click.command(name="help")
@click.argument("subject", metavar="[COMMAND | TOPIC]", nargs=-1)
@click.pass_context
def help_(context: click.Context, subject: tuple[str, ...]) -> None:
    """Explain a command or a topic.

    Topics: exit-codes, filter, environment, formats.
    """
    assert context.parent is not None
    text = topics().get(" ".join(subject))
    click.echo(text if text is not None else _command_help(context.parent, subject))


def _command_help(parent: click.Context, names: tuple[str, ...]) -> str:
    context = parent
    for name in names:
        group = context.command
        command = group.get_command(context, name) if isinstance(group, click.Group) else None
        if command is None:
            message = f"there is no command and no topic {' '.join(names)!r}"
            hint = f"topics: {', '.join(topics())}; `trackside --help` lists the commands"
            raise CommandError(message, hint=hint, code=ExitCode.USAGE)
        context = click.Context(command, info_name=name, parent=context)
    return context.get_help()
