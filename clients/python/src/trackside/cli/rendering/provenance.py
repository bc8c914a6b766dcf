"""Where a run came from and what it ran with, as named values."""

import shlex
from typing import Final

from trackside.cli.safe_text import harmless
from trackside.cli.tables import Cell
from trackside.cli.times import seconds_of, span
from trackside.client.sizes import size_text
from trackside_protos.runs.v1.provenance_pb2 import Container, Dataset, Machine, Source
from trackside_protos.runs.v1.run_pb2 import Launch, Loss, Run, Usage

_KINDS_OF_LOSSES: Final = {"logs": "log entries"}


def provenance_fields(run: Run) -> list[tuple[str, Cell]]:
    """Return what is known; the launch stands in for what was not reported."""
    provenance = run.provenance
    command = provenance.command or run.launch.command
    return [
        ("Command", harmless(shlex.join(command))),
        ("Directory", harmless(provenance.work_directory or run.launch.work_directory)),
        ("Output directory", harmless(provenance.output_directory)),
        ("Source", _source(provenance.source)),
        ("Machine", _machine(provenance.machine)),
        ("Machine type", _machine_type(provenance.machine, run.launch)),
        ("Limits", _limits(run.launch)),
        ("Used", _used(run.usage)),
        ("Dropped", ", ".join(_loss(loss) for loss in run.losses)),
        ("Container", _container(provenance.container)),
        ("Data", ", ".join(_dataset(dataset) for dataset in provenance.datasets)),
    ]


def _source(source: Source) -> str:
    at = "@".join(part for part in (source.revision, source.commit[:12]) if part)
    parts = [source.repository, at, source.path, "with uncommitted changes" if source.dirty else ""]
    return harmless(" ".join(part for part in parts if part))


def _machine(machine: Machine) -> str:
    parts = [
        machine.host,
        machine.platform,
        f"{machine.cpu_count} cpus" if machine.cpu_count else "",
        size_text(machine.memory_bytes) if machine.memory_bytes else "",
        machine.runtime,
        f"process {machine.process_id}" if machine.process_id else "",
    ]
    return harmless(", ".join(part for part in parts if part))


def _machine_type(machine: Machine, launch: Launch) -> str:
    """Return the type in use, once that is known; until then the one asked for."""
    asked, used = launch.machine_type, machine.machine_type
    return harmless(
        f"{used} ({asked} was asked for)" if used and asked not in {"", used} else used or asked
    )


def _limits(launch: Launch) -> str:
    parts: list[str] = []
    if launch.HasField("time_limit_duration"):
        parts.append(f"at most {span(seconds_of(launch.time_limit_duration))}")
    if launch.HasField("memory_limit_bytes"):
        parts.append(f"at most {size_text(launch.memory_limit_bytes)} of memory")
    return ", ".join(parts)


def _loss(loss: Loss) -> str:
    size = f" ({size_text(loss.size_bytes)})" if loss.size_bytes else ""
    kind = _KINDS_OF_LOSSES.get(loss.kind, loss.kind or "items")
    return harmless(f"{loss.item_count} {kind}{size}")


def _used(usage: Usage) -> str:
    parts: list[str] = []
    if usage.HasField("processor_duration"):
        parts.append(f"{span(seconds_of(usage.processor_duration))} of processor time")
    if usage.peak_memory_bytes:
        parts.append(f"{size_text(usage.peak_memory_bytes)} of memory at its peak")
    return ", ".join(parts)


def _container(container: Container) -> str:
    mounts = [f"{mount.source} at {mount.mount_point}" for mount in container.mounts]
    return harmless("; ".join(part for part in (container.image, ", ".join(mounts)) if part))


def _dataset(dataset: Dataset) -> str:
    rows = f" ({dataset.row_count} rows)" if dataset.HasField("row_count") else ""
    return harmless(f"{dataset.name or dataset.location}{rows} {dataset.fingerprint[:24]}".strip())
