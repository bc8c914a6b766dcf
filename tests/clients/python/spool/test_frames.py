import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.spool.frames import CorruptFrameError, Frame, Service, frames_in

FRAMES = st.builds(
    Frame,
    service=st.sampled_from(Service),
    sequence=st.integers(0, (1 << 64) - 1),
    payload=st.binary(max_size=200),
    items=st.integers(0, 1000),
    note=st.binary(max_size=20),
    closing=st.booleans(),
    substitute=st.booleans(),
)


@given(st.lists(FRAMES), st.integers(min_value=0))
def test_a_cut_anywhere_loses_only_the_frames_behind_it(frames: list[Frame], cut: int) -> None:
    encoded = [frame.encode() for frame in frames]
    data = b"".join(encoded)
    end = cut % (len(data) + 1)

    found = [frame for frame, _ in frames_in(data[:end])]

    assert found == frames[: len(found)]
    assert len(b"".join(encoded[: len(found) + 1])) > end or len(found) == len(frames)


@given(FRAMES, st.integers(min_value=0))
def test_a_changed_byte_is_noticed(frame: Frame, position: int) -> None:
    data = bytearray(frame.encode())
    data[position % len(data)] ^= 0x55

    try:
        found = [each for each, _ in frames_in(bytes(data))]
    except CorruptFrameError:
        return

    assert found == []


def test_the_offset_behind_each_frame_is_told() -> None:
    first, second = Frame(Service.LOGS, 1, b"a"), Frame(Service.RUNS, 1, b"bc")
    data = first.encode() + second.encode()

    ends = [end for _, end in frames_in(data)]

    assert ends == [len(first.encode()), len(data)]


def test_an_impossible_length_is_corrupt() -> None:
    with pytest.raises(CorruptFrameError):
        list(frames_in(b"\xff" * 100))
