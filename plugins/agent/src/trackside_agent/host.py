"""What the agent holds: runners in their threads, runs in their folders, one sender for all."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from trackside_agent.agent_folder import AgentFolder
from trackside_agent.deletions import Deletions
from trackside_agent.delivery import Sender
from trackside_agent.held_run import HeldRun
from trackside_agent.run_folder import RunFolder, StoredCommand
from trackside_agent.runner_thread import RunnerThread
from trackside_agent.unoffered import UnofferedRunner
from trackside_plugin_interface import Discovery
from trackside_protos.runners.v1.runners_service_pb2 import Assignment, RunnerOffer
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction

LEFTOVERS_SECONDS: Final = 3.0
"""How often it is looked for what programs that reached no server have left."""

_ENDING_ACTIONS: Final = frozenset({RunAction.RUN_ACTION_STOP, RunAction.RUN_ACTION_KILL})

GRACE_SECONDS: Final = 10.0
"""How long a stop takes that does not say it."""

logger = logging.getLogger(__name__)


class Host:
    """Takes runs in, once each, and holds them until everything about them is delivered.

    Methods may be called from any thread.
    """

    def __init__(self, folder: AgentFolder, server: str, found: Discovery, sender: Sender) -> None:
        self._folder = folder
        self._server = server
        self._found = found
        self._sender = sender
        self._lock = threading.Lock()
        self._held: dict[str, HeldRun] = {}
        self._ended: set[str] = set()
        self._unforgotten: set[str] = set()
        self._next_leftovers = 0.0
        self._threads = {
            name: RunnerThread(runner)
            for name, runner in {**found.runners, UnofferedRunner.NAME: UnofferedRunner()}.items()
        }

        self.deletions = Deletions(folder, self.thread_of)

    @property
    def held_run_ids(self) -> list[str]:
        """The runs that are held: not yet delivered to their end."""
        with self._lock:
            return sorted({*self._held, *self._ended})

    @property
    def offers(self) -> list[RunnerOffer]:
        """The runners, those that cannot be used too, with the reason."""
        offers = [
            RunnerOffer(name=name, capacity=runner.capacity)
            for name, runner in self._found.runners.items()
        ]
        faults = [
            RunnerOffer(
                name=fault.runner or fault.plugin,
                capacity=1,
                fault=f"plugin {fault.plugin}: {fault.message}",
            )
            for fault in self._found.faults
        ]
        return offers + list({offer.name: offer for offer in faults}.values())

    def free_slots(self) -> Mapping[str, int]:
        """Return how many more runs each runner takes now; none if it hangs."""
        with self._lock:
            busy = [run.runner.name for run in self._held.values()]
        return {
            name: max(0, runner.capacity - busy.count(name))
            if self._threads[name].is_answering
            else 0
            for name, runner in self._found.runners.items()
        }

    def start(self) -> None:
        """Start the runners and adopt all runs that were held before."""
        for thread in self._threads.values():
            thread.start()
        self.deletions.start()
        for folder in self._folder.runs():
            try:
                assignment = folder.assignment()
            except FileNotFoundError:
                folder.remove()  # the server was not answered, and assigns it again
                continue
            if folder.is_ended and not self._sender.is_open(folder.run_id):
                self._ended.add(folder.run_id)
                self._sender.deliver_rest(folder.run_id)
            else:
                self._hold(folder, assignment)

    def assign(self, assignment: Assignment) -> None:
        """Take in a run. Stored when this returns, and launched once, whatever happens.

        Raises:
            ValueError: The run's id is none.
        """
        run_id = assignment.run.run_id
        folder = self._folder.run(run_id)
        with self._lock:
            known = run_id in self._held or run_id in self._ended
        if not known and not self._folder.has_ended(run_id):
            folder.store(assignment)
            logger.info("run %s is assigned to runner %s", run_id, assignment.run.runner)
            self._hold(folder, assignment)

    def command(self, run_id: str, request: ControlRequest) -> None:
        """Take in what is asked of a run. Stored when this returns, and done, whatever happens."""
        with self._lock:
            held = self._held.get(run_id)
        if held is None:
            logger.info("request %s is for run %s, which has ended", request.request_id, run_id)
        elif request.action not in _ENDING_ACTIONS:
            logger.warning("request %s asks for %s", request.request_id, request.action)
        else:
            command = _command(request)
            word = "killed" if command.is_kill else "stopped"
            logger.info("run %s is to be %s: request %s", run_id, word, request.request_id)
            held.folder.store_command(command)
            self.thread_of(held.runner.name).call(held.obey)

    def thread_of(self, runner: str) -> RunnerThread:
        """Return the thread of a runner, or of what stands in for one that is not offered."""
        return self._threads.get(runner) or self._threads[UnofferedRunner.NAME]

    def keep_house(self) -> None:
        """Forget runs of which everything is delivered, and take up what programs have left.

        To be called now and then, on one thread.
        """
        with self._lock:
            for run_id in [one for one, run in self._held.items() if run.folder.is_ended]:
                del self._held[run_id]
                self._ended.add(run_id)
                self._sender.deliver_rest(run_id)
            ended = list(self._ended)
        for run_id in ended:
            if self._sender.is_delivered(run_id):
                self._try_to_forget(run_id)
        if time.monotonic() >= self._next_leftovers:
            self._next_leftovers = time.monotonic() + LEFTOVERS_SECONDS
            self._sender.deliver_leftovers()

    def stop(self) -> None:
        """Let go of all runs, which go on, and end the threads."""
        for thread in self._threads.values():
            thread.stop()
        self._sender.stop()

    def _try_to_forget(self, run_id: str) -> None:
        try:
            self._folder.forget(self._folder.run(run_id))
        except OSError as error:  # such as no room on the disk: next time, and said once
            if run_id not in self._unforgotten:
                logger.warning("run %s cannot be forgotten yet: %s", run_id, error)
            self._unforgotten.add(run_id)
            return
        self._unforgotten.discard(run_id)
        with self._lock:
            self._ended.discard(run_id)
        logger.info("run %s has ended and is delivered", run_id)

    def _hold(self, folder: RunFolder, assignment: Assignment) -> None:
        thread = self.thread_of(assignment.run.runner)
        hazard_of = self._folder.hazard_of
        held = HeldRun(folder, assignment, thread.runner, self._server, hazard_of=hazard_of)
        spool = self._sender.open(folder.run_id)
        with self._lock:
            self._held[folder.run_id] = held
        thread.begin(lambda: held.live(spool))


def _command(request: ControlRequest) -> StoredCommand:
    given = request.grace_duration.ToTimedelta().total_seconds()
    grace = given if request.HasField("grace_duration") else GRACE_SECONDS
    return StoredCommand(
        request_id=request.request_id,
        is_kill=request.action == RunAction.RUN_ACTION_KILL,
        grace_seconds=max(0.0, grace),
        time=time.time(),
    )
