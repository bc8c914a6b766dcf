import pytest
from google.protobuf import unknown_fields
from hypothesis import given
from hypothesis import strategies as st

from trackside_journal import wire
from trackside_protos.producers.v1.batch_pb2 import Acknowledgement, Batch, HeaderOnly

NUMBERS = st.integers(0, 2**64 - 1)
SEQUENCES = st.integers(1, 2**63 - 1)


@given(value=NUMBERS, offset=st.binary(max_size=5))
def test_a_varint_is_read_as_it_was_written(value: int, offset: bytes) -> None:
    data = offset + wire.varint(value)

    assert wire.read_varint(data + b"\xff", len(offset)) == (value, len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\x80" * 10 + b"\x01"])
def test_a_cut_or_endless_varint_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="varint"):
        wire.read_varint(data, 0)


@given(number=st.integers(5, 2**29 - 1), value=NUMBERS)
def test_the_runtime_reads_a_varint_field(number: int, value: int) -> None:
    message = Batch.FromString(wire.varint_field(number, value))

    found = unknown_fields.UnknownFieldSet(message)[0]

    assert (found.field_number, found.wire_type, found.data) == (number, 0, value)


@given(sequence=SEQUENCES, epoch=SEQUENCES)
def test_the_runtime_reads_numbers(sequence: int, epoch: int) -> None:
    data = wire.varint_field(3, epoch) + wire.varint_field(4, sequence)

    assert Batch.FromString(data) == Batch(epoch=epoch, sequence=sequence)


@given(text=st.text(max_size=300))
def test_the_runtime_reads_a_text(text: str) -> None:
    data = wire.bytes_field(1, text.encode())

    assert Batch.FromString(data) == Batch(run_id=text)
    assert data == Batch(run_id=text).SerializeToString() or not text


@given(
    run_id=st.text(max_size=200),
    sequence=SEQUENCES,
    body=st.binary(max_size=50).map(lambda data: wire.bytes_field(9, data)),
)
def test_the_leading_message_is_what_the_runtime_finds(
    run_id: str, sequence: int, body: bytes
) -> None:
    batch = Batch(run_id=run_id, sequence=sequence)
    data = HeaderOnly(batch=batch).SerializeToString() + body

    found = wire.leading_message(data)

    assert found is not None
    assert Batch.FromString(found[0]) == batch
    assert data[found[1] :] == body


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x0a", id="a tag alone"),
        pytest.param(b"\x0a\x05abcd", id="cut"),
        pytest.param(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="endless length"),
        pytest.param(b"\x0a\xff\xff\xff\xff\x0f", id="4 GiB"),
        pytest.param(b"\x12\x00\x0a\x00", id="another field first"),
        pytest.param(b"\x08\x01", id="a number"),
    ],
)
def test_what_does_not_begin_with_a_message_is_left_to_the_parser(data: bytes) -> None:
    assert wire.leading_message(data) is None


@given(data=st.binary(max_size=40))
def test_the_leading_message_of_any_bytes_lies_within_them(data: bytes) -> None:
    found = wire.leading_message(data)

    assert found is None or (data[: found[1]].endswith(found[0]) and found[1] <= len(data))


def test_encoded_messages_may_be_concatenated() -> None:
    data = Acknowledgement(run_id="a", through_sequence=1).SerializeToString()

    joined = Acknowledgement.FromString(data + wire.varint_field(4, 7))

    assert joined == Acknowledgement(run_id="a", through_sequence=7)
