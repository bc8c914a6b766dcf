"""The spooling reporter: wherever it is cut off, the next one goes on exactly there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from trackside.delivery.wire import Item
from trackside.spool.frames import Service
from trackside_agent import reporting
from trackside_agent.masking import Mask
from trackside_agent.reporting import Note, SpoolingReporter
from trackside_plugin_interface import OutputDirectory, RunState, Usage
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.runs.v1.report_pb2 import RunReport

if TYPE_CHECKING:
    from trackside_agent.delivery import Spool

Piece = tuple[str, bytes]


@dataclass
class MemorySpool:
    appended: list[tuple[Service, Sequence[Item], bytes]] = field(
        default_factory=list[tuple[Service, Sequence[Item], bytes]]
    )

    is_connected: bool = True
    gather_seconds: float = 0.2

    def append(self, service: Service, items: Sequence[Item], note: bytes) -> None:
        self.appended.append((service, items, note))

    def is_crowded(self) -> bool:
        return False

    def reports(self) -> list[RunReport]:
        return [
            RunReport.FromString(item.data)
            for service, items, _ in self.appended
            if service is Service.RUNS
            for item in items
        ]

    def lines(self, stream: str) -> list[str]:
        entries = [
            LogEntry.FromString(item.data)
            for service, items, _ in self.appended
            if service is Service.LOGS
            for item in items
        ]
        return [entry.message for entry in entries if entry.stream == stream]


def reporter_on(spool: MemorySpool, note: bytes) -> SpoolingReporter:
    return SpoolingReporter(cast("Spool", spool), Note.decode(note), Mask("", {}), lambda _: "")


def report(reporter: SpoolingReporter, pieces: Sequence[Piece]) -> None:
    """Report as a runner does: from the position on, each piece with the position behind it."""
    reporter.state(RunState.RUNNING, time=1.0)
    for number in range(int(reporter.position or 0), len(pieces)):
        stream, data = pieces[number]
        reporter.write(data, stream=stream, position=str(number + 1), time=2.0)
    reporter.end(())


pieces_of_output = some.lists(
    some.tuples(
        some.sampled_from(["stdout", "stderr"]),
        some.lists(some.sampled_from([b"a", b"bc\n", b"\n", b"d\r\n", b"\xff\n"])).map(b"".join),
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(pieces_of_output, some.integers(0, 40), some.integers(1, 5))
def test_reporter_cut_off_anywhere_repeats_and_loses_nothing(
    pieces: list[Piece], cut: int, batch: int
) -> None:
    async def whole() -> tuple[MemorySpool, MemorySpool]:
        undisturbed, resumed = MemorySpool(), MemorySpool()
        report(reporter_on(undisturbed, b""), pieces)
        report(reporter_on(resumed, b""), pieces)
        resumed.appended = resumed.appended[:cut]
        note = resumed.appended[-1][2] if resumed.appended else b""
        if not Note.decode(note).ended:
            report(reporter_on(resumed, note), pieces)
        return undisturbed, resumed

    before = reporting.BATCH_ITEMS
    reporting.BATCH_ITEMS = batch  # pyright: ignore[reportConstantRedefinition] - many cuts
    try:
        undisturbed, resumed = asyncio.run(whole())
    finally:
        reporting.BATCH_ITEMS = before  # pyright: ignore[reportConstantRedefinition]

    for stream in ("stdout", "stderr"):
        assert resumed.lines(stream) == undisturbed.lines(stream)
    states = [service for service, _, _ in resumed.appended if service is Service.RUNS]
    assert len(states) == 1


async def test_a_piece_with_very_many_lines_makes_batches_of_bounded_size() -> None:
    spool = MemorySpool()
    reporter = reporter_on(spool, b"")

    reporter.write(b"\n" * 50_000, stream="stdout", position="1", time=2.0)
    reporter.end(())

    assert max(len(items) for _, items, _ in spool.appended) <= reporting.BATCH_ITEMS
    assert len(spool.lines("stdout")) == 50_000


async def test_heartbeat_is_not_spooled_while_nobody_listens() -> None:
    spool = MemorySpool()
    reporter = reporter_on(spool, b"")
    spool.is_connected = False

    reporter.heartbeat()
    reporter.end(())

    assert spool.appended == []


async def test_what_was_said_before_is_not_said_again() -> None:
    spool = MemorySpool()
    reporter = reporter_on(spool, b"")
    reporter.state(RunState.RUNNING, time=1.0)
    reporter.flush()

    again = reporter_on(spool, spool.appended[-1][2])
    again.state(RunState.RUNNING, time=1.0)
    again.state(RunState.STOPPING, time=2.0)
    again.flush()

    assert [len(items) for _, items, _ in spool.appended] == [1, 1]


async def test_usage_is_passed_on_now_and_then_and_at_the_end() -> None:
    spool = MemorySpool()
    reporter = reporter_on(spool, b"")

    for number in range(1000):
        reporter.usage(Usage(processor_seconds=number / 8, peak_memory_bytes=number))
    reporter.end(())

    usages = [report.usage for report in spool.reports()]
    assert [usage.peak_memory_bytes for usage in usages] == [0, 999]
    assert usages[-1].processor_duration.ToMilliseconds() == 124_875


async def test_a_directory_is_told_once_with_what_the_host_has_against_it() -> None:
    spool = MemorySpool()
    reporter = SpoolingReporter(
        cast("Spool", spool), Note(), Mask("", {}), lambda path: f"{path} is ours"
    )

    for _ in range(2):
        reporter.output_directory(OutputDirectory(path="/data/work", identity="1:2"))
    reporter.flush()

    [told] = [report.output_directory for report in spool.reports()]
    assert (told.path, told.identity, told.hazard) == ("/data/work", "1:2", "/data/work is ours")


@pytest.mark.parametrize("path", ["work", "", "/data/../etc", "/\udcff", "/a\0b", "/" + "x" * 4096])
async def test_a_directory_that_cannot_be_told_is_not(path: str) -> None:
    spool = MemorySpool()
    reporter = reporter_on(spool, b"")

    reporter.output_directory(OutputDirectory(path=path, identity="1:2"))
    reporter.flush()

    assert spool.reports() == []
