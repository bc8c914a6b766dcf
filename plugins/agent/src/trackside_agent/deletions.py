"""Deletions of outputs: stored, carried out once each, and told until the server has noted it.

An order outlives the agent: the next one goes on behind the last output of which it was written
down what came of it. What is deleted was examined before, and that was written down as well.
"""

import asyncio
import json
import logging
import re
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from trackside_agent import translation
from trackside_agent.agent_folder import AgentFolder
from trackside_agent.deletion_folder import DeletionFolder, Outcome
from trackside_agent.plugin_calls import READING, Pauses, PluginFaultError, call
from trackside_agent.runner_thread import RunnerThread
from trackside_plugin_interface import (
    DeletionUnsupportedError,
    DoomedOutput,
    EngineUnavailableError,
    FileChangedError,
    FileGoneError,
    FileNotRegularError,
    FileOutsideError,
    FileUnreadableError,
    Handle,
    OutputDirectory,
    Runner,
    UnsafeDirectoryError,
)
from trackside_protos.runners.v1.runners_service_pb2 import (
    ConnectRequest,
    DeletionOrder,
    DeletionReport,
)
from trackside_protos.runs.v1.output_deletion_pb2 import (
    GoneOutput,
    KeptOutput,
    KeptReason,
    OutputsDeletion,
)

AT_ONCE: Final = 64
"""How many outputs are examined before that is written down and they are deleted."""

REPORTED_AT_ONCE: Final = 500
KEPT_TOLD: Final = 16

_REQUEST_ID: Final = re.compile(r"[0-9a-z]{1,64}")
_KEPT: Final[Sequence[tuple[type[Exception], str]]] = (
    (FileNotRegularError, "NOT_REGULAR"),
    (FileChangedError, "CHANGED"),
    (FileOutsideError, "OUTSIDE"),
    (UnsafeDirectoryError, "UNSAFE_DIRECTORY"),
    (DeletionUnsupportedError, "UNSUPPORTED"),
    (FileUnreadableError, "UNDELETABLE"),
    (PluginFaultError, "RUNNER_FAULT"),
)

Say = Callable[[ConnectRequest], None]
T = TypeVar("T")

logger = logging.getLogger(__name__)


class Deletions:
    """Holds the deletions that this agent was ordered. Methods may be called from any thread."""

    def __init__(self, folder: AgentFolder, thread_of: Callable[[str], RunnerThread]) -> None:
        self._folder = folder
        self._thread_of = thread_of
        self._lock = threading.Lock()
        self._held: dict[str, _Deletion] = {}
        self._incoming: dict[str, DeletionOrder] = {}
        self._say: Say | None = None

    def start(self) -> None:
        """Go on with what was ordered before."""
        for folder in self._folder.deletions():
            try:
                order = folder.load()
            except FileNotFoundError:
                folder.remove()  # the server was not answered, and orders it again
                continue
            self._hold(folder, order, is_stored=True)

    def attach(self, say: Say) -> None:
        """Tell a server on a new connection how far everything is, and what comes from now on."""
        with self._lock:
            self._say = say
            self._incoming.clear()  # whatever was cut is handed over from its beginning
            for deletion in self._held.values():
                self._tell(deletion)

    def detach(self, say: Say) -> None:
        """Tell nothing more on a connection that is cut."""
        with self._lock:
            if self._say == say:
                self._say = None

    def take(self, page: DeletionOrder) -> None:
        """Take in a page of an order. With the last it is stored, and done, whatever happens."""
        request_id = page.request_id
        if not _REQUEST_ID.fullmatch(request_id):
            logger.warning("a deletion is refused: %r is no request id", request_id)
            return
        with self._lock:
            if request_id in self._held:
                return
            order = self._incoming.setdefault(request_id, DeletionOrder())
            order.MergeFrom(page)
            if not page.is_last:
                return
            del self._incoming[request_id]
        logger.info(
            "%d outputs of run %s are to be deleted: request %s",
            len(order.outputs),
            order.run_id,
            request_id,
        )
        folder = self._folder.deletion(request_id)
        is_stored = True
        try:
            folder.store(order)
        except OSError as error:  # done all the same: it may be what makes room
            logger.warning("deletion %s could not be stored: %s", request_id, error)
            is_stored = False
        self._hold(folder, order, is_stored=is_stored)

    def forget(self, request_id: str) -> None:
        """Forget a deletion of which the server has noted the end."""
        with self._lock:
            deletion = self._held.pop(request_id, None)
        if deletion is not None:
            deletion.folder.remove()
            logger.info("deletion %s is done and told", request_id)

    def _hold(self, folder: DeletionFolder, order: DeletionOrder, *, is_stored: bool) -> None:
        thread = self._thread_of(order.runner)
        hazard = self._folder.hazard_of(order.directory.path)
        deletion = _Deletion(folder, order, thread.runner, hazard, is_stored=is_stored)
        with self._lock:
            self._held[folder.request_id] = deletion
            self._tell(deletion)
        thread.begin(lambda: self._carry_out(deletion))

    async def _carry_out(self, deletion: "_Deletion") -> None:
        await deletion.carry_out()
        with self._lock:
            self._tell(deletion)

    def _tell(self, deletion: "_Deletion") -> None:
        if self._say is not None:
            for report in deletion.reports():
                self._say(ConnectRequest(deletion=report))


class _Deletion:
    """One order, and how far it is."""

    def __init__(
        self,
        folder: DeletionFolder,
        order: DeletionOrder,
        runner: Runner,
        hazard: str,
        *,
        is_stored: bool,
    ) -> None:
        self.folder = folder
        self._order = order
        self._runner = runner
        self._hazard = hazard
        self._is_stored = is_stored
        self._is_done = False

    async def carry_out(self) -> None:
        """Delete what is not yet known to be gone or kept. On the loop of the runner.

        Cancelled when the agent stops: the next one goes on.
        """
        for start in range(0, len(self._order.outputs), AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, len(self._order.outputs)))
            await self._examine([one for one in numbers if one not in self.folder.examined])
            for number in numbers:
                if number not in self.folder.outcomes:
                    self.folder.note_outcome(number, await self._delete(number))
        self._is_done = True

    def reports(self) -> Iterator[DeletionReport]:
        """Yield what is to be told: that the order is stored, or what came of it."""
        head = DeletionReport(run_id=self._order.run_id, request_id=self._order.request_id)
        if not self._is_done:
            if self._is_stored:
                yield head
            return
        gone = [
            GoneOutput(path=doomed.path, sequence=doomed.sequence, absent=not outcome.is_deleted)
            for number, doomed in enumerate(self._order.outputs)
            if not (outcome := self.folder.outcomes[number]).kept
        ]
        for start in range(0, len(gone), REPORTED_AT_ONCE):
            report = DeletionReport(gone_outputs=gone[start : start + REPORTED_AT_ONCE])
            report.MergeFrom(head)
            yield report
        head.result.CopyFrom(self._result())
        yield head

    def _result(self) -> OutputsDeletion:
        outcomes = self.folder.outcomes.values()
        kept = [
            KeptOutput(
                path=doomed.path,
                reason=KeptReason.Value(f"KEPT_REASON_{outcome.kept}"),
                message=translation.word(outcome.message),
            )
            for number, doomed in enumerate(self._order.outputs)
            if (outcome := self.folder.outcomes[number]).kept
        ]
        return OutputsDeletion(
            deleted_count=sum(outcome.is_deleted for outcome in outcomes),
            deleted_bytes=sum(outcome.size_bytes for outcome in outcomes),
            absent_count=sum(not (one.is_deleted or one.kept) for one in outcomes),
            kept_count=len(kept),
            kept_outputs=kept[:KEPT_TOLD],
        )

    async def _examine(self, numbers: Sequence[int]) -> None:
        examined: dict[int, Handle] = {}
        for number in numbers:
            if number not in self.folder.outcomes:
                found = await self._settled(lambda one=number: self._examined(one))
                if isinstance(found, Outcome):
                    self.folder.note_outcome(number, found)
                else:
                    examined[number] = found
        if examined:
            self.folder.note_examined(examined)

    async def _examined(self, number: int) -> Handle:
        if self._hazard:
            message = f"nothing is deleted in the run's directory: {self._hazard}"
            raise UnsafeDirectoryError(message)
        work = self._runner.examine_output(self._doomed(number))
        found = await call(self._runner.name, work, may_raise=READING)
        try:
            json.dumps(found)
        except (TypeError, ValueError) as error:
            message = f"runner {self._runner.name!r} found what cannot be stored: {error}"
            raise PluginFaultError(message) from error
        return found

    async def _delete(self, number: int) -> Outcome:
        found = await self._settled(lambda: self._deleted(number))
        return found if isinstance(found, Outcome) else Outcome(is_deleted=True, size_bytes=found)

    async def _deleted(self, number: int) -> int:
        work = self._runner.delete_output(self._doomed(number), self.folder.examined[number])
        size: object = await call(self._runner.name, work, may_raise=READING)
        if not isinstance(size, int) or size < 0:  # pyright: ignore[reportUnnecessaryIsInstance] - a plugin need not be checked
            message = f"runner {self._runner.name!r} deleted {size!r} bytes"
            raise PluginFaultError(message)
        return size

    async def _settled(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T | Outcome:
        """Return what a runner does, or what came of the output as it does not."""
        pauses = Pauses()
        while True:
            try:
                return await work()
            except EngineUnavailableError as error:
                logger.warning("deletion %s has to wait: %s", self.folder.request_id, error)
                await asyncio.sleep(pauses.next())
            except FileGoneError:
                return Outcome()
            except (FileUnreadableError, PluginFaultError) as error:
                return _kept(error)

    def _doomed(self, number: int) -> DoomedOutput:
        told, directory = self._order.outputs[number], self._order.directory
        return DoomedOutput(
            run_id=self._order.run_id,
            directory=OutputDirectory(
                path=directory.path, identity=directory.identity, hazard=directory.hazard
            ),
            location=told.location,
            size_bytes=told.size_bytes,
            checksum=told.checksum,
        )


def _kept(error: Exception) -> Outcome:
    reason = next(reason for kind, reason in _KEPT if isinstance(error, kind))
    if isinstance(error, PluginFaultError):  # what it raised is for the log
        return Outcome(kept=reason, message="the runner is at fault; the agent's log says more")
    return Outcome(kept=reason, message=str(error))
