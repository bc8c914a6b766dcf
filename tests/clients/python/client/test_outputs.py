import pytest

from trackside.client.errors import NotFoundError
from trackside.client.output_facts import OutputFacts
from trackside.client.outputs import Outputs
from trackside.client.sizes import size_text
from trackside_protos.runs.v1.output_pb2 import Output


def listed(*outputs: Output) -> Outputs[OutputFacts]:
    return Outputs(OutputFacts(output) for output in outputs)


def test_outputs_print_as_a_table() -> None:
    outputs = listed(
        Output(path="model.pt", size_bytes=3_400_000, compressed_bytes=1_200_000, exists=True),
        Output(path="raw\x1b[2J", size_bytes=800, exists=True),
        Output(path="old.csv", size_bytes=10, compressed_bytes=8),
    )

    assert str(outputs).splitlines() == [
        "Archive size: 1.2 MB",
        "Contents:",
        "  Size         Compressed   Name",
        "  3.4 MB       1.2 MB       model.pt",
        "  800 B                     raw\N{REPLACEMENT CHARACTER}[2J",
        "  10 B         8 B          old.csv (gone)",
    ]
    assert repr(outputs) == "<Outputs 3, 3.4 MB>"
    assert len(outputs) == 3


def test_nothing_published_is_said() -> None:
    assert str(listed()) == "No outputs."


def test_an_output_is_found_by_its_path() -> None:
    outputs = listed(Output(path="a"), Output(path="b"))

    assert outputs.named("b") is outputs[1]
    with pytest.raises(NotFoundError):
        outputs.named("c")


def test_sizes_go_over_to_the_next_unit() -> None:
    sizes = (0, 999, 1_000, 999_949, 999_960, 10**16)

    texts = [size_text(size) for size in sizes]

    assert texts == ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "10.0 PB"]
