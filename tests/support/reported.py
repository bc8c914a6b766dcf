"""What a test reads from the reports of one run."""

from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

from support.append_server import StoredRun
from trackside_protos.runs.v1.run_pb2 import ResultSummary

if TYPE_CHECKING:
    from trackside_protos.runs.v1.output_pb2 import Output
    from trackside_protos.runs.v1.scope_pb2 import Scope


def scope(stored: StoredRun, path: str) -> tuple[int, int, bool]:
    """Return how many items of a scope have ended, how many there are, and whether it is over."""
    found: dict[str, Scope] = {r.scope.path: r.scope for r in stored.reports if r.HasField("scope")}
    told = found[path]
    return told.completed_count, told.total_count, told.HasField("end_time")


def result(stored: StoredRun) -> ResultSummary:
    """Return the last result that was reported."""
    (*_, last) = [r.result for r in stored.reports if r.HasField("result")]
    return last


def parameters(stored: StoredRun) -> dict[str, Any]:
    """Return the parameters that were set while it ran."""
    found: dict[str, Any] = {}
    for report in stored.reports:
        found |= {k: MessageToDict(v) for k, v in report.attributes.parameters.items()}
    return found


def outputs(stored: StoredRun) -> "dict[str, Output]":
    """Return what was published, as it was reported last."""
    return {r.output.path: r.output for r in stored.reports if r.HasField("output")}
