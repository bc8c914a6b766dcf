"""What is measured, in processes of its own: `trackside up`, a replica, and the bare program."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import psutil

from bench.load import Target
from bench.streams import LARGEST_MESSAGE, Metadata
from support.private_server import free_port
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2, runs_service_pb2_grpc

APPEND_METRICS: Final = "/trackside.metrics.v1.MetricsService/AppendMetrics"
APPEND_LOGS: Final = "/trackside.logs.v1.LogsService/AppendLogs"
BARE_INGEST: Final = "/bare.Bare/Ingest"

_TESTS: Final = Path(__file__).parents[1]
_LISTENS: Final = re.compile(r"Trackside listens at (\S+)")
_AGENT: Final = re.compile(r"agent +process (\d+)")
_LONGEST_SETTLING: Final = 60.0
_QUIET_CORES: Final = 0.1
"""A server that uses less than that of a processor has nothing left to do."""


@dataclass
class Product:
    """A running server, its agent beside it."""

    home: Path
    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    address: str
    agent_pid: int
    metadata: Metadata = field(default_factory=tuple)
    """What a call needs besides its request."""

    def target(self, ingest: str) -> Target:
        """Return where producers send."""
        return Target(self.address, ingest, self.metadata)

    def channel(self) -> grpc.Channel:
        """Return a new channel."""
        return grpc.insecure_channel(self.address, options=[LARGEST_MESSAGE])

    def runs(self, count: int) -> list[str]:
        """Create runs and return their ids."""
        with self.channel() as channel:
            stub = runs_service_pb2_grpc.RunsServiceStub(channel)
            return [
                stub.CreateRun(
                    runs_service_pb2.CreateRunRequest(
                        run=run_pb2.Run(name=f"bench {index}"), producer_id="bench"
                    ),
                    metadata=self.metadata,
                ).run.run_id
                for index in range(count)
            ]

    def cpu_seconds(self) -> float:
        """Return the processor time that the server has used."""
        return _cpu_seconds(self.process.pid)

    def settle(self, quiet: float = 1.5) -> None:
        """Return when the server has done next to nothing for so many seconds."""
        settle(self.process.pid, quiet)

    def stop(self) -> None:
        """End server and agent as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)

    @contextlib.contextmanager
    def metrics_replica(self) -> Generator[str]:
        """Start a second process that serves metrics from the same stores; yield its address."""
        address = f"127.0.0.1:{free_port()}"
        environment = {
            **self.environment,
            "TRACKSIDE_LISTEN": address,
            "TRACKSIDE_RUNS_ADDRESS": self.address,
        }
        command = [sys.executable, "-m", "trackside_metrics"]
        with _ending(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)):
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=20)
            yield address


def settle(pid: int, quiet: float = 1.5) -> None:
    """Return when a process has done next to nothing for so many seconds."""
    used, since = _cpu_seconds(pid), time.monotonic()
    deadline = since + _LONGEST_SETTLING
    while time.monotonic() < min(since + quiet, deadline):
        time.sleep(0.3)
        before, used = used, _cpu_seconds(pid)
        if used - before > 0.3 * _QUIET_CORES:
            since = time.monotonic()


@contextlib.contextmanager
def running(settings: Mapping[str, str] | None = None) -> Generator[Product]:
    """Start a server with a home of its own; yield it when its agent is up too."""
    with tempfile.TemporaryDirectory(prefix="trackside-bench-") as folder:
        kept = {name: text for name, text in os.environ.items() if "TRACKSIDE" not in name}
        quiet = {"TRACKSIDE_HOME": folder, "TRACKSIDE_LOG_LEVEL": "ERROR"}
        environment = {**kept, **quiet, **(settings or {})}
        command = [Path(sys.executable).with_name("trackside"), "up", "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            address = _read_until(process, _LISTENS)
            product = Product(
                Path(folder), process, environment, address, int(_read_until(process, _AGENT))
            )
            token = (product.home / "token").read_text().strip()
            product.metadata = (("authorization", f"Bearer {token}"),)
            product.settle()  # the agent starts beside
            yield product
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)


@contextlib.contextmanager
def bare(kind: str, *, store: str = "", redis_url: str = "") -> Generator[Target]:
    """Start the bare program, by default on SQLite; yield where to send."""
    with tempfile.TemporaryDirectory(prefix="trackside-bare-") as folder:
        words = [kind, store or str(Path(folder) / "bare.sqlite"), redis_url]
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.bare", *words],
            env={**os.environ, "PYTHONPATH": str(_TESTS)},
            stdout=subprocess.PIPE,
            text=True,
        )
        with _ending(process):
            port = _read_until(process, re.compile(r"(\d+)"))
            yield Target(f"127.0.0.1:{port}", BARE_INGEST, counts_acks=True)


@contextlib.contextmanager
def _ending(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> Generator[None]:
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _read_until(process: subprocess.Popen[str], pattern: re.Pattern[str]) -> str:
    assert process.stdout is not None
    said: Sequence[str] = []
    for line in process.stdout:
        if found := pattern.search(line):
            return found[1]
        said = [*said, line]
    message = f"The server did not start: {''.join(said)}"
    raise AssertionError(message)
