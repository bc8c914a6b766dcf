"""The life of one run in the agent: launched once, adopted until it has ended, ended on demand."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from trackside_agent import translation
from trackside_agent.commands import fill, json_of
from trackside_agent.control import Control
from trackside_agent.delivery import Spool
from trackside_agent.masking import Mask
from trackside_agent.plugin_calls import Pauses, PluginFaultError, call
from trackside_agent.reporting import Note, SpoolingReporter
from trackside_agent.run_folder import RunFolder
from trackside_plugin_interface import (
    Ending,
    EngineUnavailableError,
    ErrorReport,
    Handle,
    NothingLaunchedError,
    Runner,
    RunSpec,
    RunState,
    SpecRefusedError,
    StateReason,
)
from trackside_protos.runners.v1.runners_service_pb2 import Assignment
from trackside_protos.runs.v1.report_pb2 import RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import Launch

HEARTBEAT_SECONDS: Final = 10.0
FAULTS_BEFORE_REFUSAL: Final = 3
LAST_WORDS_SECONDS: Final = 30.0
"""How long a runner may take to report the end of a run that it has ended."""

COMPANY_SECONDS: Final = 0.2
"""How often it is looked whether what a program left is delivered."""

logger = logging.getLogger(__name__)


class HeldRun:
    """One run that this agent holds. To be used on the loop of its runner."""

    def __init__(
        self,
        folder: RunFolder,
        assignment: Assignment,
        runner: Runner,
        server: str,
        *,
        hazard_of: Callable[[str], str],
    ) -> None:
        """Begin.

        Args:
            folder: What is kept of it.
            assignment: What the server has assigned.
            runner: Who runs it.
            server: Where its program may report.
            hazard_of: Says why nothing may be deleted below a path; nothing if it may be.
        """
        self.folder = folder
        self.runner = runner
        self._run = assignment.run
        self._token = assignment.reporter_token
        self._server = server
        self._hazard_of = hazard_of
        self._control = Control(folder, runner)
        self._reporter: SpoolingReporter | None = None

    async def live(self, spool: Spool) -> None:
        """Hold the run to its end. Cancelled when the agent stops: then the run goes on without."""
        mask = Mask(self._token, self._run.launch.environment)
        note = Note.decode(spool.note)
        reporter = self._reporter = SpoolingReporter(spool, note, mask, self._hazard_of)
        heart = asyncio.ensure_future(self._beat(reporter))
        try:
            if not reporter.has_ended:
                self.obey()
                reporter.end(await self._to_the_end(reporter))
            # In this order: once a spool is closed it may be delivered and gone, and with it
            # what says that the run's output was read to its end.
            await self._kept(self.folder.mark_ended)
            # The server seals a run when all whom it knows have closed. What a program left here
            # that found no server is to be a part of the run, and not to come too late.
            while spool.has_company():  # noqa: ASYNC110 - a matter of files and of other threads
                await asyncio.sleep(COMPANY_SECONDS)
            spool.close()
        finally:
            heart.cancel()
            if not self.folder.is_ended:
                reporter.flush()

    def obey(self) -> None:
        """Take up what was asked and stored: acknowledge it, and see that it is done."""
        if self._reporter is not None and not self._reporter.has_ended:
            self._control.take_up(self._reporter)

    async def _to_the_end(self, reporter: SpoolingReporter) -> list[RunReport]:
        """Launch and adopt the run, and return what is to be said of its end."""
        unlaunched = Ending(message="before it was launched")
        if self._control.is_wanted and not self.folder.is_launching:
            return self._last_words(unlaunched, was_launched=False)
        try:
            handle = self.folder.handle or await self._launch(reporter)
        except NothingLaunchedError:
            return self._last_words(unlaunched, was_launched=False)
        except SpecRefusedError as error:
            return self._refusal(reporter, str(error))
        await self._kept(partial(self.folder.store_handle, handle))
        return self._last_words(await self._adopt(handle, reporter))

    async def _launch(self, reporter: SpoolingReporter) -> Handle:
        """Launch the run, however often that must be tried.

        Raises:
            SpecRefusedError: It can never be launched.
            NothingLaunchedError: It is to be ended, and was not launched.
        """
        spec = self._spec()
        await self._kept(self.folder.mark_launching)
        pauses, faults = Pauses(), 0
        while True:
            try:
                return await call(self.runner.name, self.runner.launch(spec, reporter))
            except EngineUnavailableError as error:
                if isinstance(error, NothingLaunchedError) and self._control.is_wanted:
                    raise
                reporter.state(
                    RunState.PENDING,
                    reason=StateReason.WAITING_FOR_RESOURCES,
                    message=str(error),
                )
            except PluginFaultError as error:
                faults += 1
                if faults == FAULTS_BEFORE_REFUSAL:
                    raise SpecRefusedError(str(error)) from error
            await self._control.pause(pauses.next())

    def _spec(self) -> RunSpec:
        launch = self._run.launch
        parameters = {key: json_of(value) for key, value in self._run.parameters.items()}
        return RunSpec(
            run_id=self._run.run_id,
            name=self._run.name,
            command=fill(launch.command, parameters),
            work_directory=launch.work_directory,
            environment=dict(launch.environment),
            parameters=parameters,
            time_limit_seconds=_time_limit(launch),
            memory_limit_bytes=_memory_limit(launch),
            machine_type=launch.machine_type,
            server=self._server,
            token=self._token,
            run_directory=self.folder.runner_directory,
        )

    async def _adopt(self, handle: Handle, reporter: SpoolingReporter) -> Ending:
        """Follow the run to its end; stop or kill it meanwhile when that is wanted."""
        following = asyncio.ensure_future(self._follow(handle, reporter))
        ending = asyncio.ensure_future(self._control.end_when_wanted(handle, reporter))
        try:
            await asyncio.wait((following, ending), return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                with suppress(TimeoutError):
                    await asyncio.wait_for(following, LAST_WORDS_SECONDS)
            elif self._control.is_wanted:
                await ending  # it is for the runner to say that nothing is left
        finally:
            following.cancel()
            ending.cancel()
        return reporter.ending or Ending()

    async def _follow(self, handle: Handle, reporter: SpoolingReporter) -> None:
        pauses = Pauses()
        while reporter.ending is None:
            try:
                await call(self.runner.name, self.runner.adopt(handle, reporter))
            except SpecRefusedError as error:
                reporter.finished(Ending(message=str(error)))
            except (EngineUnavailableError, PluginFaultError) as error:
                logger.warning("run %s cannot be followed now: %s", self._run.run_id, error)
                await asyncio.sleep(pauses.next())
            else:
                if reporter.ending is None:
                    logger.warning("runner %s left a run that has not ended", self.runner.name)
                    await asyncio.sleep(pauses.next())

    async def _kept(self, keep: Callable[[], None]) -> None:
        """Keep something of the run on the disk, when that has room."""
        pauses = Pauses()
        while True:
            try:
                keep()
            except OSError as error:
                logger.warning("run %s waits for the disk: %s", self._run.run_id, error)
                await asyncio.sleep(pauses.next())
            else:
                return

    def _refusal(self, reporter: SpoolingReporter, message: str) -> list[RunReport]:
        reporter.error(ErrorReport(kind="LaunchRefused", message=message))
        state = StateReport(
            state=translation.state_value("FAILED"),
            reason=translation.reason_value("LAUNCH_REFUSED"),
            message=translation.fitting(message),
        )
        return [*self._control.confirmations(nothing_found=True), RunReport(state=state)]

    def _last_words(self, ending: Ending, *, was_launched: bool = True) -> list[RunReport]:
        requested = "" if ending.on_request is False else self._control.word
        report = RunReport(state=translation.ended_state(ending, requested=requested))
        if ending.time is not None:
            report.time.CopyFrom(translation.timestamp(ending.time))
        nothing_found = not (requested and was_launched)
        # First what came of each request: to a server the end alone would be an answer to all.
        return [*self._control.confirmations(nothing_found=nothing_found), report]

    async def _beat(self, reporter: SpoolingReporter) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            reporter.heartbeat()


def _time_limit(launch: Launch) -> float | None:
    if not launch.HasField("time_limit_duration"):
        return None
    return launch.time_limit_duration.ToTimedelta().total_seconds()


def _memory_limit(launch: Launch) -> int | None:
    return launch.memory_limit_bytes if launch.HasField("memory_limit_bytes") else None
