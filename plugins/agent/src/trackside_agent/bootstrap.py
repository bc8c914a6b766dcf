"""Builds an agent from its settings; the one module that knows every other."""

import logging
import time
from logging.handlers import RotatingFileHandler
from typing import Final

from trackside_agent.delivery import Sender
from trackside_agent.dialing import Dialer
from trackside_agent.host import Host
from trackside_agent.settings import Settings
from trackside_plugin_interface import Discovery, find_runners
from trackside_protos.runs.v1.run_pb2 import ControlRequest

LOG_BYTES: Final = 8 << 20
LOG_FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"

logger = logging.getLogger(__name__)


class Agent:
    """A whole agent. The caller holds the home's lock."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.folder
        folder.make()
        if folder.leave_to_the_original():
            logger.warning("this home is a copy: the agent of the other one keeps name and runs")
        folder.prune()
        agent_id, epoch = folder.agent_id(), folder.raise_epoch()
        found = find_runners()
        _log_discovery(found)
        sender = Sender(
            settings.location, agent_id, epoch, on_control=self._command, on_warning=logger.warning
        )
        self.host = Host(folder, settings.location.server, found, sender)
        self._dialer = Dialer(settings.location, agent_id, self.host)
        logger.info("agent %s begins epoch %d", agent_id, epoch)

    def start(self) -> None:
        """Adopt what was held before and dial out."""
        self.host.start()
        self._dialer.start()

    def keep_house(self) -> None:
        """Do what is to be done now and then."""
        self.host.keep_house()

    def stop(self) -> None:
        """Let go of everything. Runs go on."""
        self._dialer.stop()
        self.host.stop()
        logger.info("agent stopped; its runs go on")

    def _command(self, run_id: str, request: ControlRequest) -> None:
        self.host.command(run_id, request)


def configure_log(settings: Settings) -> None:
    """Send the log of this process to the agent's file, in UTC."""
    settings.folder.make()
    handler = RotatingFileHandler(settings.folder.log, maxBytes=LOG_BYTES, backupCount=1)
    formatter = logging.Formatter(LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _log_discovery(found: Discovery) -> None:
    for name, runner in found.runners.items():
        logger.info("plugin %s offers %s, %d at once", found.plugins[name], name, runner.capacity)
    for fault in found.faults:
        logger.error("plugin %s cannot be used: %s", fault.plugin, fault.message)
