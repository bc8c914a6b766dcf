"""What a run was launched with, as the order of a new one that resumes it; no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.struct_pb2 import Value

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError
from trackside.cli.parameters import value_text
from trackside.client.states import has_ended, run_state_word
from trackside_protos.runs.v1.run_pb2 import Run

_MASK: Final = "***"
"""What a server shows in place of a secret."""

_KEPT: Final = ("name", "project", "description", "runner", "workflow_name")


@dataclass(frozen=True, slots=True)
class Given:
    """What is said anew: variables and parameters, by name."""

    environment: Mapping[str, str]
    parameters: Mapping[str, Value]


def order_to_resume(resumed: Run, run_id: str, given: Given) -> Run:
    """Return the run to create: launched as the resumed one was, and linked to it.

    Raises:
        CommandError: The run cannot be resumed, or something that was masked is not given.
    """
    _require_resumable(resumed)
    _require_unmasked(resumed, given)
    order = Run(
        run_id=run_id,
        resumed_run_id=resumed.run_id,
        tags=resumed.tags,
        labels=resumed.labels,
        parameters={**resumed.parameters, **given.parameters},
        launch=resumed.launch,
        termination_protection=resumed.termination_protection,
    )
    for name in _KEPT:
        setattr(order, name, getattr(resumed, name))
    order.launch.environment.update(given.environment)
    return order


def _require_resumable(run: Run) -> None:
    if run.is_parent:
        message = f"{run.run_id} is a parent, which executes nothing: resume its children"
        hint = f"`trackside get runs --parent {run.run_id}` lists them"
        raise CommandError(message, hint=hint, code=ExitCode.CONFLICT)
    if not run.launch.command:
        message = f"{run.run_id} was not launched but reported by itself: start its program again"
        raise CommandError(message, code=ExitCode.CONFLICT)
    if not has_ended(run):
        message = f"{run.run_id} is {run_state_word(run.state)}: only what has ended is resumed"
        hint = f"`trackside stop {run.run_id}` ends it"
        raise CommandError(message, hint=hint, code=ExitCode.CONFLICT)


def _require_unmasked(run: Run, given: Given) -> None:
    """Name all that a server has only masked, so that nothing is started with `***` in it."""
    if any(_MASK in argument for argument in run.launch.command):
        message = "the command has a secret in it, which was masked, so it cannot be repeated"
        raise CommandError(message, hint="start it anew with `trackside run`")
    environment = run.launch.environment
    needed = [f"--env {key}=…" for key in _masked(environment, given.environment)]
    texts = {key: value_text(value) for key, value in run.parameters.items()}
    needed += [f"--param {key}=…" for key in _masked(texts, given.parameters)]
    if needed:
        message = f"masked when it was recorded, so needed again: {', '.join(needed)}"
        hint = "--env-file takes variables from a file"
        raise CommandError(message, hint=hint, code=ExitCode.USAGE)


def _masked(recorded: Mapping[str, str], given: Iterable[str]) -> list[str]:
    known = set(given)
    return sorted(key for key, text in recorded.items() if _MASK in text and key not in known)
