'''The hooks, base classes and values that a Trackside plugin is written against.

This page is the author's manual. A plugin is an ordinary Python package of three files; here
is a complete one, a runner that runs commands as children of the agent.

`pyproject.toml` names the module with the hooks, so that Trackside finds it:

    [project]
    name = "trackside-runner-plain"
    version = "1.0"
    dependencies = ["trackside-plugin-interface"]

    [project.entry-points.trackside]
    plain = "trackside_runner_plain.plugin"

`plugin.py` has the hook and nothing else:

    """Offers the runner to Trackside."""

    from trackside_plugin_interface import Runner, hookimpl
    from trackside_runner_plain.runner import PlainRunner


    @hookimpl
    def trackside_runners() -> list[Runner]:
        return [PlainRunner()]

`runner.py` says only what is particular to the engine. Connections, heartbeats, retries,
spooling, leases and the line ends of the output are the host's:

    """Runs commands as children of the agent; they die with it."""

    import asyncio
    import os
    from contextlib import suppress

    from trackside_plugin_interface import (
        Ending, Handle, Reporter, Runner, RunSpec, RunState, SpecRefusedError
    )


    class PlainRunner(Runner):
        """Runs commands as children of the agent."""

        def __init__(self):
            self._processes = {}
            self._told = set()
            self._launching = asyncio.Lock()

        @property
        def name(self):
            return "plain"

        async def launch(self, spec: RunSpec, reporter: Reporter) -> Handle:
            async with self._launching:
                if spec.run_id not in self._processes:
                    self._processes[spec.run_id] = await self._start(spec)
            return {"run_id": spec.run_id}

        async def _start(self, spec: RunSpec):
            try:
                return await asyncio.create_subprocess_exec(
                    *spec.command,
                    cwd=spec.work_directory or None,
                    env={"PATH": os.environ["PATH"], **spec.program_environment()},
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                )
            except OSError as error:
                raise SpecRefusedError(str(error)) from error

        async def adopt(self, handle: Handle, reporter: Reporter) -> None:
            process = self._processes.get(handle["run_id"])
            if process is None:  # the agent was restarted: nobody knows how it ended
                reporter.finished(Ending(message="the run ended with its agent"))
            else:
                reporter.state(RunState.RUNNING)
                while data := await process.stdout.read(65536):
                    reporter.write(data, stream="stdout", position="")
                    await reporter.drain()
                code = await process.wait()
                reporter.finished(
                    Ending(exit_code=code) if code >= 0 else Ending(exit_signal=-code)
                )

        async def stop(self, handle: Handle, grace_seconds: float) -> bool:
            process = self._processes.get(handle["run_id"])
            if process is None or process.returncode is not None:
                return True
            if process not in self._told:
                self._told.add(process)
                process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_seconds)
            return process.returncode is not None

        async def kill(self, handle: Handle) -> None:
            process = self._processes.get(handle["run_id"])
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

The third file is `__init__.py` with its docstring. Install the package beside the agent, and
the next agent offers the runner `plain`.

The contract kit tells what is missing: with `trackside-plugin-interface[testing]` installed,

    pytest --trackside-runner plain

runs the contract against the installed runner. This one fails what is asked about restarts of
the host, about limits, and about the grandchildren of a killed command, and is asked nothing
about published files, as it has neither `open_output` nor `delete_output`. What
`trackside_runner_local` does about all of this is worth a look.
'''

from trackside_plugin_interface.deletions import DoomedOutput, OutputDirectory
from trackside_plugin_interface.discovery import Discovery, PluginFault, find_runners
from trackside_plugin_interface.errors import (
    DeletionUnsupportedError,
    EngineUnavailableError,
    FileChangedError,
    FileGoneError,
    FileKeptError,
    FileNotRegularError,
    FileOutsideError,
    FileUnreadableError,
    NothingLaunchedError,
    ReadingUnsupportedError,
    RunnerError,
    SpecRefusedError,
    UnsafeDirectoryError,
)
from trackside_plugin_interface.files import (
    FolderFile,
    OpenedFile,
    OpenedFolder,
    OutputPlace,
)
from trackside_plugin_interface.hookspecs import PROJECT, hookimpl
from trackside_plugin_interface.reporter import Reporter
from trackside_plugin_interface.reports import (
    Ending,
    EndReason,
    ErrorReport,
    LogLevel,
    Machine,
    Output,
    OutputKind,
    Resources,
    RunState,
    Scope,
    StateReason,
    Task,
    TaskAttempt,
    TaskState,
    TaskWait,
    Usage,
)
from trackside_plugin_interface.runner import Handle, JsonValue, Runner, RunSpec

__all__ = [
    "PROJECT",
    "DeletionUnsupportedError",
    "Discovery",
    "DoomedOutput",
    "EndReason",
    "Ending",
    "EngineUnavailableError",
    "ErrorReport",
    "FileChangedError",
    "FileGoneError",
    "FileKeptError",
    "FileNotRegularError",
    "FileOutsideError",
    "FileUnreadableError",
    "FolderFile",
    "Handle",
    "JsonValue",
    "LogLevel",
    "Machine",
    "NothingLaunchedError",
    "OpenedFile",
    "OpenedFolder",
    "Output",
    "OutputDirectory",
    "OutputKind",
    "OutputPlace",
    "PluginFault",
    "ReadingUnsupportedError",
    "Reporter",
    "Resources",
    "RunSpec",
    "RunState",
    "Runner",
    "RunnerError",
    "Scope",
    "SpecRefusedError",
    "StateReason",
    "Task",
    "TaskAttempt",
    "TaskState",
    "TaskWait",
    "UnsafeDirectoryError",
    "Usage",
    "find_runners",
    "hookimpl",
]
