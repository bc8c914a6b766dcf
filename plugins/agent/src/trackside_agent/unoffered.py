"""Stands in for runners that this agent does not have, so that their runs end with a reason."""

from typing import Final

from typing_extensions import override

from trackside_plugin_interface import (
    DeletionUnsupportedError,
    DoomedOutput,
    EngineUnavailableError,
    Handle,
    Reporter,
    Runner,
    RunSpec,
    SpecRefusedError,
)


class UnofferedRunner(Runner):
    """Refuses to launch, and waits for the plugin to come back for what runs already."""

    NAME: Final = "not-offered"

    @property
    @override
    def name(self) -> str:
        return self.NAME

    @override
    async def launch(self, spec: RunSpec, reporter: Reporter) -> Handle:
        message = "this agent does not offer the runner, or its plugin is at fault; see its log"
        raise SpecRefusedError(message)

    @override
    async def adopt(self, handle: Handle, reporter: Reporter) -> None:
        message = "the plugin that launched the run is not installed any more, or is at fault"
        raise EngineUnavailableError(message)

    @override
    async def examine_output(self, doomed: DoomedOutput) -> Handle:
        message = "this agent does not offer the runner any more, or its plugin is at fault"
        raise DeletionUnsupportedError(message)

    @override
    async def kill(self, handle: Handle) -> None:
        message = "the plugin that launched the run is not installed any more, or is at fault"
        raise EngineUnavailableError(message)
