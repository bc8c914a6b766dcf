import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from trackside.spool.folder import Identity, Position, SpoolFolder, spools
from trackside.spool.frames import Frame, Service, frames_in
from trackside.spool.locks import FileLock
from trackside.spool.reader import SpoolReader
from trackside.spool.writer import Limits, SpoolWriter

IDENTITY = Identity("run1", "sdk-a", server="here:1")


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder.of(tmp_path, IDENTITY)


def writer(folder: SpoolFolder, **limits: int) -> SpoolWriter:
    return SpoolWriter(folder, IDENTITY, substitute=lambda _: b"lost", limits=Limits(**limits))


def log(payload: bytes) -> Frame:
    return Frame(Service.LOGS, 0, payload)


def everything(folder: SpoolFolder, service: Service, after: int = 0) -> list[Frame]:
    reader, found = SpoolReader(folder, service, after), list[Frame]()
    while frames := reader.read():
        found += frames
    return found


def test_batches_are_numbered_densely_by_service(folder: SpoolFolder) -> None:
    spool = writer(folder)

    spool.append([log(b"a"), Frame(Service.RUNS, 0, b"r"), log(b"b")])
    spool.append([log(b"c")])

    assert [(f.sequence, f.payload) for f in everything(folder, Service.LOGS)] == [
        (1, b"a"),
        (2, b"b"),
        (3, b"c"),
    ]
    assert [f.sequence for f in everything(folder, Service.RUNS)] == [1]


def test_only_the_owner_may_read(folder: SpoolFolder) -> None:
    writer(folder).append([log(b"a")])

    modes = {path.stat().st_mode & 0o777 for path in folder.path.iterdir()}

    assert modes == {0o600}
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_reader_follows_the_writer_over_segments(folder: SpoolFolder) -> None:
    spool, reader = writer(folder, segment=100), SpoolReader(folder, Service.LOGS)
    read: list[int] = []

    for number in range(20):
        spool.append([log(bytes([number]) * 50)])
        read += [frame.sequence for frame in reader.read()]

    assert read == list(range(1, 21))
    assert len(folder.segments()) == 20


def test_a_reader_reads_frames_longer_than_one_read(folder: SpoolFolder) -> None:
    long = os.urandom(3 << 20)

    writer(folder).append([log(long), log(b"short")])

    assert [frame.payload for frame in everything(folder, Service.LOGS)] == [long, b"short"]


def test_a_cut_frame_at_the_end_is_dropped(folder: SpoolFolder) -> None:
    writer(folder).append([log(b"a"), log(b"b")])
    path = folder.segment(1)

    os.truncate(path, path.stat().st_size - 1)

    assert [frame.payload for frame in everything(folder, Service.LOGS)] == [b"a"]


def test_delivered_segments_are_deleted_but_never_the_newest(folder: SpoolFolder) -> None:
    spool = writer(folder, segment=100)
    for _ in range(5):
        spool.append([log(b"x" * 100), Frame(Service.RUNS, 0, b"r")])

    folder.drop_delivered({Service.RUNS: 5, Service.LOGS: 3, Service.METRICS: 0})

    assert folder.segments() == [4, 5]
    assert [f.sequence for f in everything(folder, Service.LOGS, after=3)] == [4, 5]


def test_a_full_spool_loses_the_oldest_logs_but_no_number(folder: SpoolFolder) -> None:
    spool = writer(folder, segment=1_000, spool=12_000)

    losses = [
        loss
        for _ in range(20)
        for loss in spool.append([log(b"x" * 900), Frame(Service.METRICS, 0, b"m" * 90)])
    ]

    logs, points = everything(folder, Service.LOGS), everything(folder, Service.METRICS)
    assert [frame.sequence for frame in logs] == list(range(1, 21))
    assert [frame.payload for frame in points] == [b"m" * 90] * 20
    dropped = [frame.sequence for frame in logs if frame.substitute]
    assert dropped == list(range(1, len(dropped) + 1))
    assert sum(loss.items for loss in losses) == len(dropped) >= 10
    assert sum(folder.segment(n).stat().st_size for n in folder.segments()) < 14_000


def test_after_the_logs_points_are_lost_and_reports_never(folder: SpoolFolder) -> None:
    spool = writer(folder, segment=1_000, spool=3_000)

    for _ in range(20):
        spool.append([Frame(Service.METRICS, 0, b"m" * 900), Frame(Service.RUNS, 0, b"r" * 90)])

    assert [f.payload for f in everything(folder, Service.RUNS)] == [b"r" * 90] * 20
    assert any(frame.substitute for frame in everything(folder, Service.METRICS))


def test_a_reader_in_a_segment_that_is_made_smaller_goes_on_behind_it(folder: SpoolFolder) -> None:
    spool, reader = writer(folder, segment=10_000, spool=12_000), SpoolReader(folder, Service.LOGS)
    read: list[int] = []

    for _ in range(60):
        spool.append([log(b"x" * 900)])
        read += [frame.sequence for frame in reader.read()]

    assert read == list(range(1, 61))


def test_a_disk_that_takes_nothing_leaves_batches_in_memory(
    folder: SpoolFolder, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_text("in the way")
    spool = writer(folder)

    spool.append([log(b"a"), log(b"b")])
    assert spool.failure is not None
    kept = [frame.payload for frame in spool.waiting(Service.LOGS, 1)]
    (tmp_path / "spool").unlink()
    spool.append([log(b"c")])

    assert kept == [b"b"]
    assert spool.failure is None
    assert [frame.payload for frame in everything(folder, Service.LOGS)] == [b"a", b"b", b"c"]


def test_memory_is_bounded_too(folder: SpoolFolder, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    spool = writer(folder, memory=10_000)

    losses = [loss for _ in range(100) for loss in spool.append([log(b"x" * 1_000)])]

    kept: list[Frame] = []
    while some := spool.waiting(Service.LOGS, len(kept)):
        kept += some
    assert [frame.sequence for frame in kept] == list(range(1, 101))
    assert sum(len(frame.payload) for frame in kept) < 12_000
    assert sum(loss.items for loss in losses) > 80


def test_the_newest_note_is_found_again(folder: SpoolFolder) -> None:
    spool = writer(folder, segment=100)
    spool.append([Frame(Service.LOGS, 0, b"x" * 200, note=b"here")])
    spool.append([log(b"y")])

    newest = folder.newest()

    assert newest is not None
    assert newest.note == b"here"


def test_one_process_writes_and_one_delivers(folder: SpoolFolder) -> None:
    spool = writer(folder)
    spool.append([log(b"a")])
    delivering = folder.lock_for_delivery()

    assert delivering is not None
    assert folder.lock_for_writing() is None
    assert folder.lock_for_delivery() is None

    spool.close()
    delivering.release()
    for lock in (folder.lock_for_writing(), folder.lock_for_delivery()):
        assert lock is not None
        lock.release()


def test_how_far_it_was_delivered_is_kept(folder: SpoolFolder) -> None:
    folder.make()
    position = Position(created=True)
    position.acknowledged[Service.LOGS] = 7
    position.shift[Service.RUNS] = 3

    folder.write_position(position)

    assert folder.read_position() == position


def test_a_position_that_cannot_be_read_is_the_beginning(folder: SpoolFolder) -> None:
    folder.make()
    (folder.path / "delivered.json").write_text('{"created": true')

    assert folder.read_position() == Position()


def test_spools_of_a_home_are_found_with_their_writers(folder: SpoolFolder, tmp_path: Path) -> None:
    writer(folder).append([log(b"a")])

    found = [spool.identity() for spool in spools(tmp_path)]

    assert found == [IDENTITY]


def test_the_note_is_found_when_the_last_segment_was_begun_and_no_more(
    folder: SpoolFolder,
) -> None:
    spool = writer(folder, segment=100)
    spool.append([Frame(Service.LOGS, 0, b"x" * 200, note=b"here")])
    folder.segment(2).touch()

    newest = folder.newest()

    assert newest is not None
    assert newest.note == b"here"


def test_a_segment_that_begins_with_a_long_note_is_known_and_deleted_when_delivered(
    folder: SpoolFolder,
) -> None:
    spool = writer(folder, segment=100)
    for _ in range(3):
        spool.append([Frame(Service.LOGS, 0, b"x" * 200, note=os.urandom(300_000))])

    folder.drop_delivered({Service.RUNS: 0, Service.LOGS: 3, Service.METRICS: 0})

    assert folder.segments() == [3]
    assert folder.identity() == IDENTITY


def test_a_segment_begins_with_the_note_of_what_is_written(folder: SpoolFolder) -> None:
    writer(folder).append([Frame(Service.LOGS, 0, b"x", note=b"behind x")])
    path = folder.segment(1)
    with path.open("rb") as file:
        ((_, header_end), _) = frames_in(file.read())

    os.truncate(path, header_end)

    newest = folder.newest()
    assert newest is not None
    assert newest.note == b""


def test_what_is_durable_may_go_only_when_it_was_synced(folder: SpoolFolder) -> None:
    spool = SpoolWriter(folder, IDENTITY, substitute=lambda _: b"lost", durable=True)
    spool.append([log(b"a")])
    before = [spool.may_go(frame) for frame in everything(folder, Service.LOGS)]

    spool.sync()
    spool.append([log(b"b")])

    assert before == [False]
    assert [spool.may_go(frame) for frame in everything(folder, Service.LOGS)] == [True, False]


def test_segments_that_were_closed_meanwhile_are_synced_too(folder: SpoolFolder) -> None:
    limits = Limits(segment=100)
    spool = SpoolWriter(folder, IDENTITY, substitute=lambda _: b"lost", limits=limits, durable=True)
    spool.append([log(b"a" * 200)])
    spool.append([log(b"b" * 200)])
    spool.close()

    spool.sync()

    assert all(spool.may_go(frame) for frame in everything(folder, Service.LOGS))


def test_what_the_disk_does_not_take_may_go_nevertheless(
    folder: SpoolFolder, tmp_path: Path
) -> None:
    (tmp_path / "spool").write_text("in the way")
    spool = SpoolWriter(folder, IDENTITY, substitute=lambda _: b"lost", durable=True)
    spool.append([log(b"a")])

    spool.sync()

    assert [spool.may_go(frame) for frame in spool.waiting(Service.LOGS, 0)] == [True]


def test_what_is_read_for_being_sent_is_not_dropped(folder: SpoolFolder, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    spool = writer(folder, memory=10_000)
    spool.append([log(b"x" * 1_000) for _ in range(5)])
    taken = spool.waiting(Service.LOGS, 0)

    losses = [loss for _ in range(50) for loss in spool.append([log(b"x" * 1_000)])]

    dropped = [frame.sequence for loss in losses for frame in loss.frames]
    assert len(taken) == 5
    assert min(dropped) == 6
    assert len(set(dropped)) == len(dropped)


def test_a_spool_has_a_writer_while_that_lives(folder: SpoolFolder) -> None:
    spool = writer(folder)
    spool.append([log(b"a")])
    while_it_lives = folder.has_writer()

    spool.close()

    assert (while_it_lives, folder.has_writer()) == (True, False)


def test_of_many_that_ask_at_once_none_takes_another_one_for_the_writer(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = writer(folder)
    spool.append([log(b"a")])
    spool.close()
    release = FileLock.release
    asked_meanwhile: list[bool] = []

    def ask_and_release(lock: FileLock) -> None:
        monkeypatch.undo()
        asked_meanwhile.append(folder.has_writer())
        release(lock)

    monkeypatch.setattr(FileLock, "release", ask_and_release)

    assert not folder.has_writer()
    assert asked_meanwhile == [False]


def test_a_lock_on_what_was_just_deleted_is_none(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer(folder).append([log(b"a")])
    lock = fcntl.flock

    def delete_and_lock(descriptor: int, how: int) -> None:
        folder.remove()  # who had the lock has delivered all
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", delete_and_lock)

    assert folder.lock_for_delivery() is None


def test_a_spool_may_begin_while_the_last_other_one_of_its_run_goes(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir
    gone: list[Path] = []

    def mkdir_amid_a_removal(path: Path, *arguments: Any, **named: Any) -> None:
        if path == folder.path and not gone:
            gone.append(path.parent)
            path.parent.rmdir()
        mkdir(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", mkdir_amid_a_removal)

    folder.make()

    assert gone
    assert folder.path.is_dir()
