"""What a program says of itself, added to its run."""

from trackside_protos.runs.v1 import report_pb2, run_pb2
from trackside_runs import masking
from trackside_runs.validation.run_shapes import (
    MAXIMUM_LABELS,
    MAXIMUM_PARAMETERS,
    MAXIMUM_TAGS,
)
from trackside_serving.errors import InvalidFieldError


def add(run: run_pb2.Run, told: report_pb2.AttributesReport) -> None:
    """Add what was told to a run; empty fields change nothing.

    Raises:
        InvalidFieldError: The run would have too many tags, labels or parameters.
    """
    run.engine = told.engine or run.engine
    run.workflow_name = told.workflow_name or run.workflow_name
    run.description = told.description or run.description
    tags = sorted({*run.tags, *told.tags})
    run.tags[:] = tags
    for key, value in told.labels.items():
        run.labels[key] = value
    for key, value in told.parameters.items():
        run.parameters[key].CopyFrom(masking.masked_value(key, value))
    _require_room("tags", len(tags), MAXIMUM_TAGS)
    _require_room("labels", len(run.labels), MAXIMUM_LABELS)
    _require_room("parameters", len(run.parameters), MAXIMUM_PARAMETERS)


def _require_room(name: str, count: int, maximum: int) -> None:
    if count > maximum:
        raise InvalidFieldError.of(f"attributes.{name}", f"make more than {maximum} of the run")
