"""What is in the store for an agent: runs to launch, requests to carry out, outputs to delete."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from google.protobuf.message import Message

from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_protos.runners.v1.runners_service_pb2 import (
    Assignment,
    Command,
    ConnectResponse,
)
from trackside_runs import claims, control
from trackside_runs.claims import Connected, Outlook
from trackside_runs.desk import control_request
from trackside_runs.registry import Change, Work
from trackside_runs.storage import deletion_orders, queries
from trackside_runs.storage.ledger import Ledger
from trackside_serving.identity import Caller, Role
from trackside_serving.tokens import TokenSigner

_REPORTER_TOKEN_LIFE: Final = timedelta(days=400)


@dataclass(slots=True)
class Handed:
    """What was handed to an agent on one connection."""

    runs: set[str] = field(default_factory=set[str])
    requests: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class News:
    """What an agent has not been handed yet."""

    messages: list[Message]
    is_more_claimable: bool
    """Whether there is still something to claim."""


class AgentNews:
    """Claims for agents what there is, and tells what was not handed to them yet."""

    def __init__(self, database: Database, committer: Committer[Work], signer: TokenSigner) -> None:
        self._database = database
        self._committer = committer
        self._signer = signer

    async def of(self, connected: Connected, handed: Handed) -> News:
        """Return what an agent has not been handed on its connection, as handed now."""
        outlook = await self._look(connected)
        if outlook.claimable:
            run_ids = outlook.claimable
            await self._committer.commit(
                Change(run_ids, lambda ledger: claims.claim(ledger, connected, run_ids))
            )
            # Others may have been quicker, so what there is now is seen by looking again; if
            # there is still something to claim, in the next round.
            outlook = await self._look(connected)
        messages: list[Message] = []
        for run_id in outlook.unstored:
            if run_id not in handed.runs:
                handed.runs.add(run_id)
                messages += await self._assignment(run_id)
        asked = [(self._command, one) for one in outlook.requests]
        asked += [(self._deletion, one) for one in outlook.deletions]
        for ask, (run_id, request_id) in asked:
            if request_id not in handed.requests:
                handed.requests.add(request_id)
                messages += await ask(run_id, request_id)
        return News(messages, bool(outlook.claimable))

    async def note_delivered(self, run_id: str, request_id: str) -> None:
        """Note that a control request was handed over."""

        def make(ledger: Ledger) -> None:
            if (record := ledger.find(run_id)) is not None:  # it may be deleted meanwhile
                control.note_delivered(ledger, record, request_id)

        await self._committer.commit(Change([run_id], make))

    async def _look(self, connected: Connected) -> Outlook:
        return await self._database.read(lambda database: claims.look(database, connected))

    async def _assignment(self, run_id: str) -> list[Message]:
        run = await self._database.read(lambda connection: queries.assigned_run(connection, run_id))
        if run is None:
            return []  # it was ended by force and deleted meanwhile
        token = self._signer.mint(
            Caller(
                subject=f"run-{run_id}",
                role=Role.REPORTER,
                run_ids=frozenset({run_id}),
            ),
            _REPORTER_TOKEN_LIFE,
        )
        return [ConnectResponse(assignment=Assignment(run=run, reporter_token=token))]

    async def _command(self, run_id: str, request_id: str) -> list[Message]:
        request = await self._database.read(
            lambda connection: control_request(queries.run_message(connection, run_id), request_id)
        )
        if request is None:
            return []
        await self.note_delivered(run_id, request_id)
        return [ConnectResponse(command=Command(run_id=run_id, control=request))]

    async def _deletion(self, run_id: str, request_id: str) -> list[Message]:
        pages = await self._database.read(
            lambda connection: deletion_orders.pages_of(connection, request_id)
        )
        if pages:
            await self.note_delivered(run_id, request_id)
        return [ConnectResponse(deletion=page) for page in pages]
