"""`trackside up` from start to end: server, agent, and what is said on the way."""

import asyncio
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from trackside_serving import process
from trackside_serving.log import configure_log
from trackside_serving.settings import Settings, load_settings
from trackside_standalone import greeting
from trackside_standalone.assembly import Assembly
from trackside_standalone.companion import (
    AgentNotStartedError,
    AgentNotStoppedError,
    Companion,
    dismiss,
    summon,
)

LONGEST_DRAIN: Final = 3.0
AGENT_END_SECONDS: Final = 4.0
"""With the drain, a second for each of grpc and the stores, this stays below the hard deadline."""

_LOG_BYTES: Final = 8 << 20
_logger: Final = logging.getLogger(__name__)


def run(listen: str | None) -> int:
    """Serve until SIGINT or SIGTERM and return the exit status of the process."""

    async def serve(stop: asyncio.Event) -> None:
        given = {"listen": listen} if listen else {}
        settings = load_settings(**given)
        await _serve(settings, stop)

    return process.run(serve)


async def _serve(settings: Settings, stop: asyncio.Event) -> None:
    grace = min(settings.drain_grace, LONGEST_DRAIN)
    assembly = Assembly(settings.model_copy(update={"drain_grace": grace}))
    log = assembly.home.path / "server.log"
    configure_log(settings.log_level, _log_file(log))
    try:
        await assembly.start()
        _say(*greeting.opening(assembly.server.address, assembly.home, log))
        agent = asyncio.create_task(_accompanied(assembly.home.path, assembly.server.address))
        await stop.wait()
        await agent
        _say("", "Ending; runs go on.")
        await _alone(assembly.home.path)
    finally:
        await assembly.close()


async def _accompanied(home: Path, address: str) -> None:
    try:
        companion: Companion = await asyncio.to_thread(summon, home, address)
    except (AgentNotStartedError, AgentNotStoppedError) as error:
        _logger.exception("the agent did not start")
        _say(f"  agent   none: {error}".rstrip())
    else:
        _say(greeting.agent_line(companion.pid, was_running=companion.was_running))
    _say(*greeting.advice(address))


async def _alone(home: Path) -> None:
    """End the agent while the server still takes its last words."""
    try:
        await asyncio.wait_for(asyncio.to_thread(dismiss, home), AGENT_END_SECONDS)
    except (AgentNotStoppedError, TimeoutError):
        _logger.warning("the agent was told to end and has not yet")


def _log_file(path: Path) -> logging.Handler:
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    path.chmod(0o600)
    return handler


def _say(*lines: str) -> None:
    try:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        sys.stdout.flush()
    except OSError:  # whoever started us reads no more; the server serves on
        _logger.debug("nobody reads what is said")
