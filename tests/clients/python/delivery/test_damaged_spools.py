import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from support.append_server import AppendServer
from support.deliveries import create, lines, point
from support.small_disk import make_read_only, small_disk
from trackside.delivery.leftovers import deliver_spools
from trackside.delivery.outbox import Outbox
from trackside.location import Location
from trackside.spool.folder import Abandoned, Identity, SpoolFolder
from trackside.spool.frames import frames_in
from trackside_protos.runs.v1.report_pb2 import RunReport
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

pytestmark = pytest.mark.exhaustive

COUNT = 40
CUTS = 8
WHOLE = [f"line {number}" for number in range(COUNT)]


@pytest.fixture
def kept(location: Location, tmp_path: Path) -> SpoolFolder:
    """Return the spool of a program that said forty things and was killed, kept elsewhere."""
    outbox = spool_of(replace(location, home=tmp_path / "kept"), "0000000000000000")
    outbox.spool.close()
    return outbox.spool.folder


def spool_of(location: Location, run_id: str) -> Outbox:
    identity = Identity(run_id, "sdk-1", server=location.destination, abandoned=Abandoned.CRASHED)
    outbox = Outbox(SpoolFolder.of(location.home, identity), identity, create=create(run_id))
    for number, line in enumerate(WHOLE):
        outbox.log(lines(line))
        outbox.points(point(number))
        outbox.report([RunReport()])
    return outbox


def deliver(location: Location, folder: SpoolFolder) -> None:
    """Deliver a copy of a spool, twice, and forget it."""
    shutil.copytree(folder.path.parent, location.home / "spool" / folder.path.parent.name)
    for _ in range(2):
        assert not deliver_spools(location).remaining
    shutil.rmtree(location.home / "spool")


def assert_crashed(server: AppendServer) -> None:
    (*_, state) = [r.state for r in server.only_run().reports if r.HasField("state")]
    assert state.state == RunState.RUN_STATE_FAILED
    assert state.reason == StateReason.STATE_REASON_CRASHED
    assert server.only_run().producers_closed == 1


def test_of_a_spool_that_is_cut_anywhere_all_before_the_cut_arrives_once(
    location: Location, append_server: AppendServer, kept: SpoolFolder
) -> None:
    segment = kept.segment(1)
    whole = segment.read_bytes()
    header_ends = whole.index(b"line 0") - 100
    step = (len(whole) - header_ends) // CUTS
    arrived: list[int] = []

    for size in range(header_ends + step, len(whole) + 1, step):
        segment.write_bytes(whole[:size])
        append_server.forget()
        deliver(location, kept)
        stored = append_server.only_run()
        assert stored.messages == WHOLE[: len(stored.messages)]
        assert stored.values("k") == list(range(len(stored.values("k"))))
        assert abs(len(stored.messages) - len(stored.values("k"))) <= 1
        assert_crashed(append_server)
        arrived.append(len(stored.messages))

    assert arrived == sorted(arrived)
    assert len(set(arrived)) > CUTS // 2
    assert arrived[-1] >= COUNT - COUNT // CUTS - 1


def test_a_spool_of_which_not_even_the_beginning_is_left_stops_nothing(
    location: Location, append_server: AppendServer, kept: SpoolFolder
) -> None:
    for size in (0, 1, 20):
        with kept.segment(1).open("r+b") as file:
            file.truncate(size)
        deliver(location, kept)
    spool_of(location, "1111111111111111")

    deliver_spools(location)

    assert append_server.only_run().messages == WHOLE


@pytest.mark.parametrize("left", [0, 1, -1], ids=["nothing", "a byte", "all but a byte"])
def test_a_run_whose_creation_was_cut_is_there_with_all_that_was_said(
    location: Location, append_server: AppendServer, kept: SpoolFolder, left: int
) -> None:
    kept.create_request.write_bytes(kept.create_request.read_bytes()[:left])

    deliver(location, kept)

    stored = append_server.only_run()
    assert stored.run.run_id == "0000000000000000"
    assert stored.messages == WHOLE
    assert_crashed(append_server)


def test_what_was_damaged_in_the_midst_is_said_to_be_missing_where_it_was(
    location: Location, append_server: AppendServer, kept: SpoolFolder
) -> None:
    whole = kept.segment(1).read_bytes()
    frames = [frame for frame, _ in frames_in(whole)]
    parts = [frames[:61], frames[61:64], frames[64:]]
    for number, part in enumerate(parts, 1):
        header = frames[0] if number == 1 else replace(frames[0], note=b"")
        data = b"".join(frame.encode() for frame in (*([] if number == 1 else [header]), *part))
        kept.segment(number).write_bytes(data)
    kept.segment(2).write_bytes(b"")

    deliver(location, kept)

    missing = "an unknown number of log entries were dropped here because the file was damaged"
    assert append_server.only_run().messages == [*WHOLE[:20], missing, *WHOLE[21:]]
    assert_crashed(append_server)


def test_of_a_byte_that_changed_in_the_midst_only_its_batch_is_missing(
    location: Location, append_server: AppendServer, kept: SpoolFolder
) -> None:
    segment = bytearray(kept.segment(1).read_bytes())
    segment[segment.index(b"line 20")] ^= 1
    kept.segment(1).write_bytes(segment)

    deliver(location, kept)

    missing = "an unknown number of log entries were dropped here because the file was damaged"
    assert append_server.only_run().messages == [*WHOLE[:20], missing, *WHOLE[21:]]
    assert append_server.only_run().values("k") == list(range(COUNT))
    assert_crashed(append_server)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_length_that_changed_hides_nothing_behind_it(
    location: Location, append_server: AppendServer, kept: SpoolFolder, number: int
) -> None:
    segment = bytearray(kept.segment(1).read_bytes())
    begin = [end for _, end in frames_in(bytes(segment))][60]
    segment[begin + number - 1] ^= 2  # it now goes beyond the file, or not by much
    kept.segment(1).write_bytes(segment)

    deliver(location, kept)

    stored = append_server.only_run()
    assert stored.messages[-1] == WHOLE[-1]
    assert len(set(stored.messages) & set(WHOLE)) + len(stored.values("k")) >= 2 * COUNT - 1


def test_what_a_later_version_wrote_is_kept_for_it(
    location: Location, append_server: AppendServer, kept: SpoolFolder
) -> None:
    segment = kept.segment(1).read_bytes()
    frames = [frame for frame, _ in frames_in(segment)]
    unknown = bytearray(frames[1].encode())
    unknown[24] = 9
    unknown[4:8] = zlib.crc32(unknown[8:]).to_bytes(4, "little")
    parts = [*(frame.encode() for frame in frames[:61]), bytes(unknown)]
    parts += [frame.encode() for frame in frames[61:]]
    kept.segment(1).write_bytes(b"".join(parts))
    shutil.copytree(kept.path.parent, location.home / "spool" / kept.path.parent.name)

    report = deliver_spools(location)

    assert report.remaining == ("0000000000000000",)
    assert "later version" in " ".join(report.warnings)
    assert append_server.only_run().messages == WHOLE[:20]
    left = location.home / "spool" / "0000000000000000" / "sdk-1-1" / "00000001.segment"
    assert left.exists()


def test_a_spool_that_can_only_be_read_is_delivered_from_there(
    location: Location, append_server: AppendServer, kept: SpoolFolder, tmp_path: Path
) -> None:
    run_id = kept.path.parent.name
    with small_disk(tmp_path) as disk:
        shutil.copytree(kept.path.parent, disk / "spool" / run_id)
        make_read_only(disk)

        reports = [deliver_spools(replace(location, home=disk)) for _ in range(2)]

    assert [(each.delivered, each.busy) for each in reports] == [((run_id,), ())] * 2
    assert append_server.only_run().messages == WHOLE
    assert_crashed(append_server)


def test_a_crash_is_told_once_however_often_its_spool_is_put_back(
    location: Location, append_server: AppendServer, kept: SpoolFolder
) -> None:
    told: list[list[str]] = []

    for _ in range(3):
        deliver(location, kept)
        told.append(append_server.only_run().kinds())

    assert told[0] == told[1] == told[2]
    assert_crashed(append_server)
