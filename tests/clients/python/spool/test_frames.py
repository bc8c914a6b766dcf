import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.spool.frames import (
    CorruptFrameError,
    Frame,
    NewerFrameError,
    Service,
    frames_in,
    readable_frames_in,
)

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


WRITTEN = st.builds(
    Frame,
    service=st.sampled_from(Service),
    sequence=st.integers(0, (1 << 40) - 1),
    payload=st.binary(min_size=1, max_size=200),
    note=st.binary(max_size=20),
    closing=st.booleans(),
)
"""As they stand in spools: with contents, and numbers that can be reached."""


@given(st.lists(WRITTEN, min_size=1, max_size=6), st.data())
def test_damage_anywhere_loses_only_the_frames_that_it_is_in(
    frames: list[Frame], data: st.DataObject
) -> None:
    encoded = [frame.encode() for frame in frames]
    damaged = bytearray(b"".join(encoded))
    begin = data.draw(st.integers(0, len(damaged) - 1))
    end = data.draw(st.integers(begin + 1, min(len(damaged), begin + 60)))
    damaged[begin:end] = bytes(byte ^ 0xA5 for byte in damaged[begin:end])
    ends = [len(b"".join(encoded[: count + 1])) for count in range(len(frames))]
    spared = [
        frame
        for frame, own, last in zip(frames, encoded, ends, strict=True)
        if last <= begin or last - len(own) >= end
    ]

    assert readable(bytes(damaged)) == spared


def readable(data: bytes) -> list[Frame]:
    found: list[Frame] = []
    with suppress(CorruptFrameError):
        found.extend(frame for frame, _ in readable_frames_in(data))
    return found


def test_a_frame_that_is_being_written_is_no_damaged_one() -> None:
    inside = Frame(Service.LOGS, 5, b"a").encode()
    half = Frame(Service.LOGS, 4, b"x" * 50 + inside + b"y" * 500).encode()[:200]

    assert list(readable_frames_in(half, lambda: False)) == []


def test_long_damage_is_passed_soon() -> None:
    last = Frame(Service.RUNS, 7, b"end")
    data = Frame(Service.RUNS, 6, b"x").encode()[:20] + bytes(4 << 20) + last.encode()

    assert [frame for frame, _ in readable_frames_in(data)] == [last]


def test_what_only_a_later_version_knows_is_left_to_it() -> None:
    frame = Frame(Service.RUNS, 1, b"a").encode()
    unknown = bytearray(frame)
    unknown[24] = 9
    unknown[4:8] = zlib.crc32(unknown[8:]).to_bytes(4, "little")

    with pytest.raises(NewerFrameError):
        list(readable_frames_in(frame + bytes(unknown) + frame))


def test_the_offset_behind_each_frame_is_told() -> None:
    first, second = Frame(Service.LOGS, 1, b"a"), Frame(Service.RUNS, 1, b"bc")
    data = first.encode() + second.encode()

    ends = [end for _, end in frames_in(data)]

    assert ends == [len(first.encode()), len(data)]


def test_an_impossible_length_is_corrupt() -> None:
    with pytest.raises(CorruptFrameError):
        list(frames_in(b"\xff" * 100))
