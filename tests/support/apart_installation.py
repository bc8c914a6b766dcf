"""An installation in its deployed form: each service a process, two replicas of each."""

import os
import signal
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from typing_extensions import override

from support.private_server import LOOPBACK, PrivateServer

SERVICES: Final = ("runs", "logs", "metrics", "live")


class ServiceProcess(PrivateServer):
    """One service of one replica: `python -m trackside_runs` and its like."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, service: str) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder)
        self.settings: Mapping[str, str] = {}
        self._service = service

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self.port}"

    @override
    def command(self) -> list[str]:
        return [sys.executable, "-m", f"trackside_{self._service}"]

    @override
    def environment(self) -> Mapping[str, str]:
        ours = {**self.settings, "TRACKSIDE_LISTEN": self.address}
        return without_trackside(os.environ) | ours

    @override
    def is_ready(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


class ApartInstallation:
    """Two replicas of every service over one PostgreSQL database and one Redis.

    The services of a replica know each other; the replicas know nothing of one another.
    """

    def __init__(self, folder: Path, *, database_url: str, redis_url: str) -> None:
        self.home = folder / "home"
        self.replicas = [
            {service: ServiceProcess(folder / replica / service, service) for service in SERVICES}
            for replica in ("first", "second")
        ]
        for replica in self.replicas:
            addresses = {
                f"TRACKSIDE_{service.upper()}_ADDRESS": process.address
                for service, process in replica.items()
            }
            for process in replica.values():
                process.settings = {
                    "TRACKSIDE_HOME": str(self.home),
                    "TRACKSIDE_DATABASE_URL": database_url,
                    "TRACKSIDE_REDIS_URL": redis_url,
                    **addresses,
                }

    @property
    def processes(self) -> list[ServiceProcess]:
        """All of them."""
        return [process for replica in self.replicas for process in replica.values()]

    @property
    def addresses(self) -> list[str]:
        """The address of each replica that a client need know."""
        return [replica["runs"].address for replica in self.replicas]

    @property
    def token(self) -> str:
        """The local user's token."""
        return (self.home / "token").read_text()

    def environment(self, replica: int = 0) -> dict[str, str]:
        """Return what clients of a replica find it by."""
        ours = {"TRACKSIDE_HOME": str(self.home), "TRACKSIDE_SERVER": self.addresses[replica]}
        return without_trackside(os.environ) | ours

    def start(self) -> None:
        """Start every process; returns when all of them listen."""
        for process in self.processes:
            process.launch()
        for process in self.processes:
            process.wait_until_ready()

    def stop(self) -> None:
        """End every process in good order."""
        with ThreadPoolExecutor(len(self.processes)) as enders:
            list(enders.map(ServiceProcess.stop, self.processes))


def without_trackside(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without settings of ours."""
    return {k: v for k, v in environment.items() if not k.startswith("TRACKSIDE_")}
