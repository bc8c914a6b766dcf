"""Where a run came from and what it ran with, as named values."""

import shlex

from trackside.cli.rendering.sizes import size_text
from trackside.cli.safe_text import harmless
from trackside.cli.tables import Cell
from trackside_protos.runs.v1.provenance_pb2 import Container, Dataset, Machine, Source
from trackside_protos.runs.v1.run_pb2 import Run


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
        machine.machine_type,
        machine.platform,
        f"{machine.cpu_count} cpus" if machine.cpu_count else "",
        size_text(machine.memory_bytes) if machine.memory_bytes else "",
        machine.runtime,
        f"process {machine.process_id}" if machine.process_id else "",
    ]
    return harmless(", ".join(part for part in parts if part))


def _container(container: Container) -> str:
    mounts = [f"{mount.source} at {mount.mount_point}" for mount in container.mounts]
    return harmless("; ".join(part for part in (container.image, ", ".join(mounts)) if part))


def _dataset(dataset: Dataset) -> str:
    rows = f" ({dataset.row_count} rows)" if dataset.HasField("row_count") else ""
    return harmless(f"{dataset.name or dataset.location}{rows} {dataset.fingerprint[:24]}".strip())
