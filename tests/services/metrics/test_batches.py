import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.metrics import make_batch, make_block
from trackside_journal import wire
from trackside_metrics.batches import BLOCK_LIMIT, POINT_LIMIT, read_batch
from trackside_metrics.blocks import find_layout, join, read_columns, split_bodies
from trackside_metrics.identities import Identities
from trackside_protos.metrics.v1 import metrics_service_pb2, series_pb2
from trackside_serving.errors import InvalidFieldError, MalformedMessageError, TooManyItemsError

PointBlock = series_pb2.PointBlock


def parsed_of(raw: bytes) -> PointBlock:
    """Return the only block of a batch, after it was read."""
    (block,) = read_batch(raw, Identities())
    return PointBlock.FromString(block.body)


def batch_of(block: bytes) -> bytes:
    return wire.bytes_field(2, block)


def unpacked(number: int, words: list[bytes]) -> bytes:
    return b"".join(wire.varint(number << 3 | 1) + word for word in words)


@pytest.mark.parametrize("points", [1, 2, 15, 16, 17, 255, 2048, 5000])
def test_a_block_as_producers_send_it_is_kept_byte_by_byte(points: int) -> None:
    block = make_block("train/loss", np.arange(points, dtype=float).tolist(), fold="3", run="a")
    encoded = block.SerializeToString()

    read = [read_batch(batch_of(encoded), identities)[0] for identities in [Identities()] * 2]

    assert [one.body for one in read] == [encoded, encoded]


def test_unpacked_columns_are_taken() -> None:
    encoded = (
        PointBlock(key="loss").SerializeToString()
        + unpacked(4, [struct.pack("<q", step) for step in (1, -2)])
        + unpacked(5, [struct.pack("<q", time) for time in (3, 4)])
        + unpacked(6, [struct.pack("<d", value) for value in (0.5, float("inf"))])
    )

    block = parsed_of(batch_of(encoded))

    assert block == make_block("loss", [0.5, float("inf")], steps=[1, -2], times=[3, 4]), (
        "no point was lost"
    )


def test_columns_split_into_pieces_are_joined() -> None:
    first, second = make_block(values=[1.0, 2.0]), make_block(values=[3.0], first_step=2)
    second.key = ""

    block = parsed_of(batch_of(first.SerializeToString() + second.SerializeToString()))

    assert block == make_block(values=[1.0, 2.0, 3.0])


def test_packed_and_unpacked_pieces_are_joined() -> None:
    encoded = make_block(values=[1.0]).SerializeToString()
    for number, word in ((4, struct.pack("<q", 1)), (5, struct.pack("<q", 7)), (6, bytes(8))):
        encoded += unpacked(number, [word])

    block = parsed_of(batch_of(encoded))

    assert (list(block.steps), list(block.values)) == ([0, 1], [1.0, 0.0])


def test_what_only_the_service_may_say_is_dropped() -> None:
    block = make_block()
    block.sequence, block.late = 77, True

    assert parsed_of(batch_of(block.SerializeToString())) == make_block()


def test_unknown_fields_are_dropped() -> None:
    encoded = make_block().SerializeToString() + wire.bytes_field(99, b"later")

    assert parsed_of(batch_of(encoded)) == make_block()


def test_fields_in_another_order_are_taken() -> None:
    block = make_block()
    key = PointBlock(key=block.key).SerializeToString()

    encoded = block.SerializeToString().removeprefix(key) + key

    assert parsed_of(batch_of(encoded)) == block


def test_a_known_prefix_does_not_let_a_wrong_block_pass() -> None:
    identities = Identities()
    good = make_block().SerializeToString()
    read_batch(batch_of(good), identities)
    bad = bytearray(good)
    bad[-10] ^= 0x08  # the tag of the values becomes another field's

    with pytest.raises((InvalidFieldError, MalformedMessageError)):
        read_batch(batch_of(bytes(bad)), identities)


@pytest.mark.parametrize(
    ("block", "field"),
    [
        pytest.param(make_block(""), "key", id="no key"),
        pytest.param(make_block("k" * 257), "key", id="long key"),
        pytest.param(make_block("a\nb"), "key", id="control character"),
        pytest.param(make_block("a\x9fb"), "key", id="C1 control character"),
        pytest.param(
            PointBlock(key="a", context={f"k{index}": "" for index in range(33)}),
            "context",
            id="many keys",
        ),
        pytest.param(PointBlock(key="a", context={"": "x"}), "context", id="empty context key"),
        pytest.param(
            PointBlock(key="a", context={"k" * 129: "x"}), "context", id="long context key"
        ),
        pytest.param(make_block(a="x" * 4097), "context", id="long context value"),
        pytest.param(make_block(values=[]), "steps", id="no points"),
        pytest.param(make_block(times=[1, 2]), "times_millis", id="too many times"),
        pytest.param(make_block(values=[1.0], steps=[1, 2]), "values", id="too few values"),
    ],
)
def test_a_wrong_field_is_named(block: PointBlock, field: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_batch(make_batch(1, [make_block(), make_block("b"), block]), Identities())

    assert caught.value.violations[0].field == f"blocks[2].{field}"


def test_all_wrong_blocks_are_named() -> None:
    with pytest.raises(InvalidFieldError) as caught:
        read_batch(make_batch(1, [make_block(""), make_block(), make_block("\0")]), Identities())

    assert [violation.field for violation in caught.value.violations] == [
        "blocks[0].key",
        "blocks[2].key",
    ]


def test_the_longest_key_and_the_largest_context_are_taken() -> None:
    context = {f"{index:x<128}": "ü" * 4096 for index in range(32)}
    block = make_block("ß" * 256)
    block.context.update(context)

    assert parsed_of(make_batch(1, [block])) == block


def test_no_blocks_are_refused() -> None:
    with pytest.raises(InvalidFieldError, match="blocks: not 1 to 1,000"):
        read_batch(make_batch(1, []), Identities())


def test_as_many_blocks_as_there_may_be_are_taken() -> None:
    assert len(read_batch(make_batch(1, [make_block()] * BLOCK_LIMIT), Identities())) == BLOCK_LIMIT


def test_more_blocks_are_refused() -> None:
    with pytest.raises(TooManyItemsError, match="1,000 blocks"):
        read_batch(make_batch(1, [make_block()] * (BLOCK_LIMIT + 1)), Identities())


def test_as_many_points_as_there_may_be_are_taken() -> None:
    half = make_block(values=[0.0] * (POINT_LIMIT // 2))

    assert len(read_batch(make_batch(1, [half, half]), Identities())) == 2


def test_more_points_are_refused() -> None:
    half = make_block(values=[0.0] * (POINT_LIMIT // 2))

    with pytest.raises(TooManyItemsError, match="100,000 points"):
        read_batch(make_batch(1, [half, half, make_block()]), Identities())


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\xff\xff", id="no message"),
        pytest.param(make_batch(1)[:-3], id="cut off"),
        pytest.param(batch_of(b"\x12\x02\xff\xff"), id="no UTF-8"),
        pytest.param(batch_of(make_block().SerializeToString()[:-1]), id="block cut off"),
    ],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        read_batch(raw, Identities())


POINTS = st.lists(
    st.tuples(
        st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 63), (1 << 63) - 1), st.floats()
    ),
    min_size=1,
    max_size=40,
)


@given(POINTS, st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20))
def test_columns_lie_where_the_layout_says(points: list[tuple[int, int, float]], key: str) -> None:
    steps, times, values = zip(*points, strict=True)
    block = make_block(key, values, steps=steps, times=times).SerializeToString()

    layout = find_layout(block)

    assert layout is not None
    columns = read_columns(block, layout)
    assert (columns.steps.tolist(), columns.times.tolist()) == (list(steps), list(times))
    assert columns.values.tobytes() == np.array(values).tobytes()


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=300),
    st.one_of(st.integers(1, 300), st.integers(1, 1 << 62)),
    st.booleans(),
)
def test_joined_blocks_get_their_sequences_and_can_be_split_again(
    sizes: list[int],
    first: int,
    late: bool,  # noqa: FBT001 - drawn
) -> None:
    bodies = [make_block(values=[0.5] * size).SerializeToString() for size in sizes]

    fragment = join(bodies, first, is_late=late)

    blocks = metrics_service_pb2.WatchMetricsResponse.FromString(fragment).blocks
    assert [block.sequence for block in blocks] == list(range(first, first + len(sizes)))
    assert {block.late for block in blocks} == {late}
    assert split_bodies(fragment, first, is_late=late) == bodies
