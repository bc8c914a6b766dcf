"""`trackside up` from start to end: server, agent, and what is said on the way."""

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, TypeVar

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
T = TypeVar("T")


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
        await agent  # one that is just coming is ended when it has come
        _say("", "Ending; runs go on.")
        await _alone(assembly.home.path)
    finally:
        await assembly.close()


async def _accompanied(home: Path, address: str) -> None:
    try:
        companion: Companion = await _aside(summon, home, address)
    except (AgentNotStartedError, AgentNotStoppedError) as error:
        _logger.exception("the agent did not start")
        _say(f"  agent   none: {error}".rstrip())
    else:
        _say(greeting.agent_line(companion.pid, was_running=companion.was_running))
    _say(*greeting.advice(address))


async def _alone(home: Path) -> None:
    """End the agent while the server still takes its last words."""
    try:
        async with asyncio.timeout(AGENT_END_SECONDS):
            await _aside(dismiss, home)
    except (AgentNotStoppedError, TimeoutError):
        _logger.warning("the agent was told to end and has not yet")


async def _aside(work: Callable[..., T], *words: object) -> T:
    """Return what blocking work returns, done in a thread that nobody waits for once left.

    For the threads of the event loop the end of the process waits, however long they block.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(settle: Callable[[Any], None], outcome: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if done.done() else settle(outcome))

    def run() -> None:
        try:
            result = work(*words)
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            tell(done.set_exception, error)
        else:
            tell(done.set_result, result)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await done


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
