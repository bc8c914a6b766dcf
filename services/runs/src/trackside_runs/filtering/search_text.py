"""The text that a bare word of a filter is looked for in: stored beside a run, or made anew."""

from typing import Final

from trackside_protos.runs.v1.run_pb2 import Run
from trackside_runs.filtering.parameters import parameter_text

_VALUE_LENGTH: Final = 512


def search_text(run: Run) -> str:
    """Return a run's names, tags, parameters and descriptions, a line each, casefolded."""
    lines = [run.run_id, run.name, run.workflow_name, run.description, *run.tags]
    lines += [
        f"{key}={parameter_text(run.parameters[key])[:_VALUE_LENGTH]}"
        for key in sorted(run.parameters)
    ]
    return "\n".join(filter(None, lines)).casefold()
