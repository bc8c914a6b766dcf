import os
import subprocess
import sys
import time

import pytest

import trackside
from support.append_server import AppendServer
from trackside.session.system_metrics import (
    MachineUse,
    Meter,
    ProcMeter,
    PsutilMeter,
    SystemMetrics,
    TreeUse,
)

METERS = pytest.mark.parametrize(
    "meter",
    [
        pytest.param(
            ProcMeter, marks=pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
        ),
        PsutilMeter,
    ],
)
KEYS = {
    "system/process/cpu_percent",
    "system/process/memory_bytes",
    "system/machine/cpu_percent",
    "system/machine/memory_bytes",
    "system/disk/read_bytes",
    "system/disk/written_bytes",
    "system/network/received_bytes",
    "system/network/sent_bytes",
}


def spend(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@METERS
def test_a_meter_sees_this_process_and_those_below_it(meter: type[Meter]) -> None:
    before = meter().tree()
    with subprocess.Popen(
        [sys.executable, "-c", "x = b'x' * 50_000_000; print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        spend(0.2)
        during = meter().tree()
        child.communicate(b"\n")
    after = meter().tree()

    assert during.memory_bytes - before.memory_bytes > 40_000_000
    assert during.processor_seconds - before.processor_seconds > 0.1
    # What a child has used stays counted when it has ended.
    assert after.processor_seconds >= during.processor_seconds - 0.05


@METERS
def test_a_meter_sees_the_machine(meter: type[Meter]) -> None:
    before = meter().machine()
    spend(0.2)
    after = meter().machine()

    assert after.busy_seconds - before.busy_seconds > 0.05
    assert after.memory_bytes > meter().tree().memory_bytes
    assert after.disk_written_bytes >= before.disk_written_bytes
    assert after.network_sent_bytes >= before.network_sent_bytes >= 0


class Scripted:
    """A system that uses half of a processor and reads ten bytes a look."""

    def __init__(self) -> None:
        self.looks = 0

    def tree(self) -> TreeUse:
        self.looks += 1
        return TreeUse(processor_seconds=self.looks, memory_bytes=100 - self.looks)

    def machine(self) -> MachineUse:
        return MachineUse(self.looks, 1_000, 10 * self.looks, 0, 0, 0)


def test_totals_count_from_the_beginning_of_the_run() -> None:
    said: list[dict[str, float]] = []
    system = SystemMetrics(lambda values: said.append(dict(values)), Scripted(), 10)

    system.look()
    system.look()

    assert set(said[0]) == KEYS
    assert [values["system/disk/read_bytes"] for values in said] == [10, 20]
    assert all(values["system/process/cpu_percent"] > 0 for values in said)
    assert (system.use.processor_seconds, system.use.peak_memory_bytes) == (3, 98)


@pytest.mark.usefixtures("reporting")
def test_a_run_has_system_series_and_its_use_in_sum(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False, system_metrics=0.1):
        append_server.wait_for(lambda: append_server.runs and append_server.only_run().blocks)

    stored = append_server.only_run()
    assert {block.key for block in stored.blocks} == KEYS
    assert stored.values("system/process/memory_bytes")[0] > 1_000_000
    last = [report.usage for report in stored.reports if report.HasField("usage")][-1]
    assert last.peak_memory_bytes >= max(stored.values("system/process/memory_bytes"))
    assert last.processor_duration.ToMilliseconds() > 0


@pytest.mark.usefixtures("reporting")
def test_programs_that_attach_to_one_run_are_told_apart(
    append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trackside.start_run(capture=False, system_metrics=False) as launched:
        pass
    monkeypatch.setenv("TRACKSIDE_RUN_ID", launched.run_id)
    with trackside.start_run(capture=False, system_metrics=0.1):
        append_server.wait_for(lambda: append_server.only_run().blocks)

    stored = append_server.only_run()
    assert {dict(block.context)["process"] for block in stored.blocks} == {str(os.getpid())}
    # What the run has used in sum is for its launcher to say.
    assert "usage" not in stored.kinds()


@pytest.mark.usefixtures("reporting")
def test_what_is_not_wanted_is_not_measured(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False, system_metrics=False) as run:
        run.flush()
        time.sleep(0.2)  # four beats

    stored = append_server.only_run()
    assert stored.blocks == []
    assert "usage" not in stored.kinds()
