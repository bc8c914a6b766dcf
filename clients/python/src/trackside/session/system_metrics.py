"""What this program and its machine use, as series under `system/`, and in sum for the run."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from typing_extensions import override

from trackside.session.processes import descendants

INTERVAL_SECONDS: Final = 10.0
"""Between two looks, unless the program says otherwise."""

_SHORTEST_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class TreeUse:
    """What the processes of this program have used."""

    processor_seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What all processes of the machine have used, since it was started or since whenever."""

    busy_seconds: float
    memory_bytes: int
    disk_read_bytes: int
    disk_written_bytes: int
    network_received_bytes: int
    network_sent_bytes: int


class Meter(Protocol):
    """Reads what a system tells."""

    def tree(self) -> TreeUse:
        """Return what this process and all below it have used.

        Raises:
            OSError: The system does not tell.
        """
        ...

    def machine(self) -> MachineUse:
        """Return what the machine has used.

        Raises:
            OSError: The system does not tell.
        """
        ...


@dataclass(frozen=True, slots=True)
class Use:
    """What a run's processes have used all together."""

    processor_seconds: float = 0.0
    peak_memory_bytes: int = 0


class SystemMetrics:
    """Looks at the system from time to time; costs a few milliseconds each time."""

    def __init__(
        self, say: Callable[[Mapping[str, float]], None], meter: Meter, interval: float
    ) -> None:
        self.use: Use = Use()
        """What was used until the last look."""
        self._say = say
        self._meter = meter
        self._interval = max(_SHORTEST_SECONDS, interval)
        self._began = time.monotonic()
        self._next = self._began + self._interval
        self._last_time = self._began
        self._tree = meter.tree()
        self._first_machine = self._last_machine = meter.machine()

    def measure(self) -> Use:
        """Return what was used until now, and say nothing."""
        tree = self._meter.tree()
        self.use = Use(
            max(self.use.processor_seconds, tree.processor_seconds),
            max(self.use.peak_memory_bytes, tree.memory_bytes),
        )
        self._tree = tree
        return self.use

    def look_if_due(self) -> bool:
        """Look, if it is time to; say whether it was."""
        if time.monotonic() < self._next:
            return False
        self.look()
        return True

    def look(self) -> None:
        """Say what is used now, and what was since the last look."""
        now = time.monotonic()
        self._next = now + self._interval
        last_tree, last_machine, first = self._tree, self._last_machine, self._first_machine
        self.measure()
        tree, machine = self._tree, self._meter.machine()
        seconds = max(now - self._last_time, 1e-3)
        # A process takes its time with it between its end and its parent's look at it.
        used = max(0.0, tree.processor_seconds - last_tree.processor_seconds)
        busy = max(0.0, machine.busy_seconds - last_machine.busy_seconds)
        self._last_time, self._last_machine = now, machine
        self._say(
            {
                "system/process/cpu_percent": 100 * used / seconds,
                "system/process/memory_bytes": tree.memory_bytes,
                "system/machine/cpu_percent": 100 * busy / seconds / (os.cpu_count() or 1),
                "system/machine/memory_bytes": machine.memory_bytes,
                "system/disk/read_bytes": machine.disk_read_bytes - first.disk_read_bytes,
                "system/disk/written_bytes": machine.disk_written_bytes - first.disk_written_bytes,
                "system/network/received_bytes": machine.network_received_bytes
                - first.network_received_bytes,
                "system/network/sent_bytes": machine.network_sent_bytes - first.network_sent_bytes,
            }
        )


def meter_of_this_system() -> Meter | None:
    """Return what can be read here: /proc, else what psutil tells if it is installed."""
    if sys.platform == "linux":
        return ProcMeter()
    try:
        return PsutilMeter()
    except ImportError:
        return None


class ProcMeter(Meter):
    """Reads /proc."""

    def __init__(self) -> None:
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    @override
    def tree(self) -> TreeUse:
        ticks = pages = 0
        me = os.getpid()
        for process_id in (me, *descendants(me)):
            try:
                facts = _text(f"/proc/{process_id}/stat").rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            ticks += sum(map(int, facts[11:15]))  # with that of the children it has waited for
            pages += int(facts[21])
        return TreeUse(ticks / self._ticks, pages * self._page)

    @override
    def machine(self) -> MachineUse:
        times = [int(number) for number in _text("/proc/stat").split("\n", 1)[0].split()[1:9]]
        idle = times[3] + times[4]
        memory = {
            line.split(":")[0]: int(line.split()[1]) << 10
            for line in _text("/proc/meminfo").splitlines()[:8]
        }
        disk, network = list(_disk_rows()), list(_network_rows())
        return MachineUse(
            busy_seconds=(sum(times) - idle) / self._ticks,
            memory_bytes=memory["MemTotal"] - memory.get("MemAvailable", memory["MemFree"]),
            disk_read_bytes=sum(read for read, _ in disk),
            disk_written_bytes=sum(written for _, written in disk),
            network_received_bytes=sum(received for received, _ in network),
            network_sent_bytes=sum(sent for _, sent in network),
        )


class PsutilMeter(Meter):
    """Asks psutil.

    Raises:
        ImportError: It is not installed.
    """

    def __init__(self) -> None:
        import psutil  # noqa: PLC0415 - optional, and slow to import

        self._psutil = psutil

    @override
    def tree(self) -> TreeUse:
        psutil = self._psutil
        me = psutil.Process()
        use = TreeUse(0.0, 0)
        for process in (me, *me.children(recursive=True)):
            try:
                times, memory = process.cpu_times(), process.memory_info().rss
            except psutil.Error:  # it has ended meanwhile
                continue
            waited = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
            seconds = use.processor_seconds + times.user + times.system + waited
            use = replace(use, processor_seconds=seconds, memory_bytes=use.memory_bytes + memory)
        return use

    @override
    def machine(self) -> MachineUse:
        psutil = self._psutil
        times, memory = psutil.cpu_times(), psutil.virtual_memory()
        disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
        return MachineUse(
            busy_seconds=sum(times) - times.idle - getattr(times, "iowait", 0.0),
            memory_bytes=memory.total - memory.available,
            disk_read_bytes=disk.read_bytes if disk else 0,
            disk_written_bytes=disk.write_bytes if disk else 0,
            network_received_bytes=network.bytes_recv,
            network_sent_bytes=network.bytes_sent,
        )


def _disk_rows() -> Iterator[tuple[int, int]]:
    """Yield what each disk has read and written; a disk's parts are in its own figures."""
    try:
        disks = {entry.name for entry in os.scandir("/sys/block")}
    except OSError:  # a sandbox shows none
        return
    for line in _text("/proc/diskstats").splitlines():
        row = line.split()
        if row[2] in disks and not row[2].startswith(("loop", "ram", "dm-", "zram")):
            yield int(row[5]) * 512, int(row[9]) * 512


def _network_rows() -> Iterator[tuple[int, int]]:
    """Yield what each way out of the machine has received and sent."""
    for line in _text("/proc/net/dev").splitlines()[2:]:
        name, _, figures = line.partition(":")
        row = figures.split()
        if name.strip() != "lo":
            yield int(row[0]), int(row[8])


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - quicker
        return file.read()
