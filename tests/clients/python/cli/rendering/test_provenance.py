import pytest

from trackside.cli.rendering.provenance import provenance_fields
from trackside_protos.runs.v1.provenance_pb2 import Machine, Provenance
from trackside_protos.runs.v1.run_pb2 import Launch, Run


@pytest.mark.parametrize(
    ("asked", "used", "shown"),
    [
        ("", "", ""),
        ("m5.large", "", "m5.large"),
        ("", "m5.large", "m5.large"),
        ("m5.large", "m5.large", "m5.large"),
        ("m5.large", "x86_64", "x86_64 (m5.large was asked for)"),
    ],
)
def test_the_machine_type_is_the_one_in_use_and_before_that_the_one_asked_for(
    asked: str, used: str, shown: str
) -> None:
    run = Run(
        launch=Launch(machine_type=asked),
        provenance=Provenance(machine=Machine(host="box", machine_type=used)),
    )

    fields = dict(provenance_fields(run))

    assert (fields["Machine type"], fields["Machine"]) == (shown, "box")
