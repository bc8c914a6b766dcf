"""The call of RunsService that has a run's outputs deleted."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from sqlalchemy import Connection

from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_protos.runs.v1 import output_pb2, run_pb2, runs_service_pb2
from trackside_runs import output_deletion
from trackside_runs.access import RunAccess
from trackside_runs.present import present
from trackside_runs.registry import Change, Work
from trackside_runs.requests import require_none
from trackside_runs.storage import queries
from trackside_runs.storage.ledger import Ledger
from trackside_runs.validation.requests import check_outputs_deletion
from trackside_serving.calls import Call, Implementation
from trackside_serving.errors import (
    NotAllowedError,
    PartNotFoundError,
    RunDeletedError,
    TooManyItemsError,
)
from trackside_serving.identity import may_act

MOST_OUTPUTS: Final = 10_000
"""How many outputs one request may be about."""

_PAGE: Final = 1_000


class DeletionCalls:
    """Answers who wants outputs to be deleted."""

    def __init__(self, database: Database, committer: Committer[Work], access: RunAccess) -> None:
        self._database = database
        self._committer = committer
        self._access = access

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {"DeleteOutputs": self.delete_outputs}

    async def delete_outputs(
        self, request: runs_service_pb2.DeleteOutputsRequest, call: Call
    ) -> runs_service_pb2.DeleteOutputsResponse:
        require_none(check_outputs_deletion(request))
        run = await self._access.find(request.run_id, call)
        if not may_act(call.caller, owner=run.owner):
            raise NotAllowedError
        outputs = await self._database.read(lambda connection: _wanted(connection, request))

        def make(ledger: Ledger) -> run_pb2.ControlRequest | None:
            record = ledger.find(request.run_id)
            if record is None:
                raise RunDeletedError  # since it was found
            if request.validate_only:
                output_deletion.require_possible(ledger, record)
                return None
            return output_deletion.order(ledger, record, call.caller.subject, outputs)

        ordered = cast(
            "run_pb2.ControlRequest | None",
            await self._committer.commit(Change([request.run_id], make)),
        )
        return runs_service_pb2.DeleteOutputsResponse(
            run=present(await self._access.find(request.run_id, call, queries.complete_run)),
            request=ordered,
            outputs=outputs[:_PAGE],
            output_count=len(outputs),
            size_bytes=sum(output.size_bytes for output in outputs),
        )


def _wanted(
    connection: Connection, request: runs_service_pb2.DeleteOutputsRequest
) -> Sequence[output_pb2.Output]:
    """Return the outputs that a request is about, of those that exist, in order of path.

    Raises:
        PartNotFoundError: One was never published.
        TooManyItemsError: They are too many.
    """
    if not request.paths:
        return _existing(connection, request.run_id)
    found: list[output_pb2.Output] = []
    for path in sorted(set(request.paths)):
        output = queries.output(connection, request.run_id, path)
        if output is None:
            raise PartNotFoundError("The run has no such output.", metadata={"path": path})
        found.append(output)
    return [output for output in found if output.exists]


def _existing(connection: Connection, run_id: str) -> Sequence[output_pb2.Output]:
    existing: list[output_pb2.Output] = []
    after = ""
    while page := queries.outputs(connection, run_id, after=after, limit=_PAGE):
        existing += [output for output in page if output.exists]
        after = page[-1].path
        if len(existing) > MOST_OUTPUTS:
            message = f"There are more than {MOST_OUTPUTS} outputs: name some of them."
            raise TooManyItemsError(message)
    return existing
