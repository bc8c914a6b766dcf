"""Deleting what a run has published: asked of the server, confirmed by the run's agent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trackside.client.connection import Connection
from trackside.client.errors import CallTimeoutError, NotFoundError
from trackside.client.stopping import Stopper
from trackside.client.watch import watch_runs
from trackside_protos.runs.v1.output_deletion_pb2 import KeptReason
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run
from trackside_protos.runs.v1.runs_service_pb2 import (
    DeleteOutputsRequest,
    DeleteOutputsResponse,
    WatchRunsResponse,
)

PATHS_AT_ONCE: Final = 1_000
"""How many outputs a request may name."""


@dataclass(frozen=True, slots=True)
class KeptOutput:
    """An output that was not deleted."""

    path: str
    reason: str
    """For example `CHANGED` or `OUTSIDE`."""
    message: str
    """One sentence for people."""


@dataclass(frozen=True, slots=True)
class OutputsDeletion:
    """What came of a deletion of outputs."""

    deleted_count: int = 0
    """How many were deleted."""
    deleted_bytes: int = 0
    """How large their files were."""
    absent_count: int = 0
    """How many were not there any more."""
    kept_count: int = 0
    """How many were kept."""
    kept: tuple[KeptOutput, ...] = ()
    """The first of those that were kept, and why."""
    is_confirmed: bool = True
    """Whether the agent has said all this; else it was asked, and nothing is known yet."""


def ask_to_delete(
    connection: Connection,
    run_id: str,
    confirmation: str,
    paths: Sequence[str] = (),
    *,
    validate_only: bool = False,
) -> Iterator[DeleteOutputsResponse]:
    """Ask for the deletion of outputs, of many bit by bit, and yield each answer.

    Raises:
        TracksideError: The word is wrong, or nothing can be deleted.
    """
    for start in range(0, max(1, len(paths)), PATHS_AT_ONCE):
        request = DeleteOutputsRequest(
            run_id=run_id,
            confirmation=confirmation,
            paths=paths[start : start + PATHS_AT_ONCE],
            validate_only=validate_only,
        )
        yield connection.call(connection.runs.DeleteOutputs, request)


def runs_told(response: WatchRunsResponse) -> Iterator[Run]:
    """Yield the runs that a watch of a list tells of, as they are then."""
    yield from response.present
    for change in response.changes:
        if change.HasField("run"):
            yield change.run


def request_in(run: Run, request_id: str) -> ControlRequest | None:
    """Return a control request of a run, if it is among those that are remembered."""
    return next((one for one in run.control_requests if one.request_id == request_id), None)


def delete_outputs(
    connection: Connection, run_id: str, confirmation: str, paths: Sequence[str]
) -> "OrderedDeletion":
    """Ask for the deletion of outputs, and return what is to be waited for.

    Raises:
        TracksideError: The word is wrong, or nothing can be deleted.
    """
    answers = list(ask_to_delete(connection, run_id, confirmation, paths))
    return OrderedDeletion(answers[-1].run, [answer.request.request_id for answer in answers])


@dataclass(slots=True)
class OrderedDeletion:
    """Outputs of a run that its agent was asked to delete."""

    run: Run
    """The run as it was last told of."""
    request_ids: Sequence[str]

    @property
    def outcome(self) -> OutputsDeletion:
        """What came of it, as far as it is known."""
        requests = self._requests()
        told = [request.outputs_deletion for request in requests]
        return OutputsDeletion(
            deleted_count=sum(one.deleted_count for one in told),
            deleted_bytes=sum(one.deleted_bytes for one in told),
            absent_count=sum(one.absent_count for one in told),
            kept_count=sum(one.kept_count for one in told),
            kept=tuple(
                KeptOutput(kept.path, kept_reason_word(kept.reason), kept.message)
                for one in told
                for kept in one.kept_outputs
            ),
            is_confirmed=all(request.HasField("confirm_time") for request in requests),
        )

    def wait(
        self, connection: Connection, stopper: Stopper, timeout: float | None
    ) -> OutputsDeletion:
        """Wait until the run's agent has confirmed it, and return what came of it.

        An outage of the server is waited out.

        Raises:
            CallTimeoutError: Not in time; the requests stay.
            NotFoundError: The run was deleted meanwhile.
        """
        if self.outcome.is_confirmed:
            return self.outcome
        responses = watch_runs(connection, f'run_id = "{self.run.run_id}"', patient=True)
        with responses, stopper.minding(responses, timeout):
            for response in responses:
                for told in runs_told(response):
                    self.run = told
                if any(change.left_run_id for change in response.changes):
                    message = f"run {self.run.run_id} was deleted meanwhile"
                    raise NotFoundError(message)
                if self.outcome.is_confirmed:
                    return self.outcome
        late = "" if timeout is None else f" after {timeout:g} seconds"
        message = f"the agent of run {self.run.run_id} has not confirmed{late}"
        hint = f"the request stays; `trackside describe {self.run.run_id}` shows how far it is"
        raise CallTimeoutError(message, hint=hint)

    def _requests(self) -> Sequence[ControlRequest]:
        """Return the requests; what is remembered no more was confirmed long ago."""
        found = (request_in(self.run, one) for one in self.request_ids)
        return [request for request in found if request is not None]


def kept_reason_word(reason: int) -> str:
    """Return for example `CHANGED`; empty when not said."""
    value = KeptReason.DESCRIPTOR.values_by_number.get(reason)
    return value.name.removeprefix("KEPT_REASON_") if value and reason else ""
