import pytest
from google.protobuf.descriptor import Descriptor

from trackside_protos.runs.v1 import output_pb2, report_pb2, run_pb2, scope_pb2, task_pb2
from trackside_runs.validation.report_shapes import (
    ATTEMPT,
    OUTPUT,
    REPORT,
    RESOURCES,
    SCOPE,
    TASK,
)
from trackside_runs.validation.rules import Shape
from trackside_runs.validation.run_shapes import ERROR, RESULT, RUN, SWEEP


@pytest.mark.parametrize(
    ("shape", "descriptor"),
    [
        (ATTEMPT, task_pb2.TaskAttempt.DESCRIPTOR),
        (ERROR, run_pb2.ErrorReport.DESCRIPTOR),
        (OUTPUT, output_pb2.Output.DESCRIPTOR),
        (REPORT, report_pb2.RunReport.DESCRIPTOR),
        (RESOURCES, task_pb2.Resources.DESCRIPTOR),
        (RESULT, run_pb2.ResultSummary.DESCRIPTOR),
        (SCOPE, scope_pb2.Scope.DESCRIPTOR),
        (SWEEP, run_pb2.Sweep.DESCRIPTOR),
        (TASK, task_pb2.Task.DESCRIPTOR),
    ],
    ids=lambda value: value.name if isinstance(value, Descriptor) else "",
)
def test_a_shape_has_a_rule_for_every_field(shape: Shape, descriptor: Descriptor) -> None:
    assert {*shape.rules, *shape.free} == set(descriptor.fields_by_name)


def test_the_shape_of_a_run_names_fields_that_exist() -> None:
    assert {*RUN.rules, *RUN.free} <= set(run_pb2.Run.DESCRIPTOR.fields_by_name)
