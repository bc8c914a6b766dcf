"""Outputs, one line each."""

from collections.abc import Sequence
from datetime import datetime

from trackside.cli.paint import Paint, Style, Text
from trackside.cli.safe_text import harmless_cell
from trackside.cli.tables import Cell, table
from trackside.cli.times import ago
from trackside.client.sizes import size_text
from trackside_protos.runs.v1.output_pb2 import Output, OutputKind


def output_table(
    outputs: Sequence[Output],
    now: datetime,
    paint: Paint,
    *,
    wide: bool = False,
    width: int | None = None,
) -> list[str]:
    """Return a table of outputs."""
    rows: list[list[Cell]] = []
    for output in outputs:
        row: list[Cell] = [
            size_text(output.size_bytes),
            size_text(output.compressed_bytes) if output.HasField("compressed_bytes") else "",
            _path(output),
            kind_word(output),
            ago(output.create_time, now),
        ]
        if wide:
            row += [
                harmless_cell(output.media_type),
                harmless_cell(output.checksum),
                harmless_cell(output.location),
                harmless_cell(output.description),
            ]
        rows.append(row)
    headers = ["SIZE", "COMPRESSED", "NAME", "KIND", "PUBLISHED"]
    headers += ["TYPE", "CHECKSUM", "LOCATION", "DESCRIPTION"] if wide else []
    return table(headers, rows, paint, width=None if wide else width, flexible=["NAME"])


def kind_word(output: Output) -> str:
    """Return what an output is for, for example `model`; empty when not said."""
    value = OutputKind.DESCRIPTOR.values_by_number.get(output.kind)
    return value.name.removeprefix("OUTPUT_KIND_").lower() if value and output.kind else ""


def _path(output: Output) -> Text:
    path = harmless_cell(output.path) + (" (late)" if output.late else "")
    return Text(path) if output.exists else Text(f"{path} (gone)", Style.FAINT)
